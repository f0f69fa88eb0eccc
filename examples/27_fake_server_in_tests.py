"""Testing. How is an application tested that streams from a model?

    python examples/27_fake_server_in_tests.py

With a model that costs nothing, says what the test chose, and fails when asked to. You will see seven tests of a small
function pass: the good case, given words, an error inside the stream, a cut, a refusal, a busy server that is asked again, a
user who leaves. Faults are asked for in the URL, which works with every SDK in every language, or by an answer; what the
server saw is in its requests and its journal.
"""

import unittest

import lesson  # finds sse_ref

from sse_ref.client import ChatStream, StreamError
from sse_ref.server import Answer, running


def headline(url, prompt, enough=None):
    """The application: the first words of an answer, marked if it did not come whole."""
    stream = ChatStream(prompt, url=url, model="toy-echo", retries=1)
    try:
        with stream:
            for _ in stream:
                if enough and len(stream.text) >= enough:
                    break
    except StreamError as error:
        return f"{error.text or 'nothing'} [{error.outcome}]"
    return stream.text


class HeadlineTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(running())  # ends with the test
        self.url = self.server.url + "/v1"

    def url_with(self, settings):
        return f"{self.server.url}/{settings}/v1"

    def test_whole_answer(self):
        self.assertEqual(headline(self.url, "Rain in Bergen"), "Rain in Bergen")

    def test_words_that_the_test_chose(self):
        answers = ["Sun in Bergen", Answer("Sun in Ber", fault="cut")]
        with running(answers) as server:  # and an error, if one is not asked for
            self.assertEqual(headline(server.url + "/v1", "The weather?"), "Sun in Bergen")
            self.assertEqual(headline(server.url + "/v1", "Again?"), "Sun in Ber [truncated]")
            self.assertEqual([asked.messages[-1].text for asked in server.requests], ["The weather?", "Again?"])

    def test_error_inside_the_stream(self):
        self.assertEqual(headline(self.url_with("fault=error&at=2"), "Rain in Bergen"), "Rain in [api_error]")

    def test_cut(self):
        self.assertEqual(headline(self.url_with("fault=cut&at=2"), "Rain in Bergen"), "Rain in [truncated]")

    def test_refusal(self):
        self.assertEqual(headline(self.url_with("fault=refuse"), "Rain in Bergen"), "nothing [http_error]")
        self.assertEqual([record["status"] for record in self.server.journal], [429, 429])  # it was tried twice

    def test_busy_server_is_asked_again(self):
        server = self.enterContext(running(max_streams=1))
        with ChatStream("word " * 8, url=server.url + "/tps=10/v1", model="toy-echo") as other:
            next(iter(other))  # it has the only place for most of a second, and Retry-After is a second
            self.assertEqual(headline(server.url + "/v1", "Rain in Bergen"), "Rain in Bergen")
        self.assertEqual([record["status"] for record in server.journal], [200, 429, 200])

    def test_user_who_leaves_stops_the_model(self):
        self.assertEqual(headline(self.url_with("tps=100"), "word " * 50, enough=9), "word word")
        (record,) = self.server.journal
        self.assertEqual(record["outcome"], "client_left")
        self.assertLess(record["tokens"], 50)


if __name__ == "__main__":
    unittest.main(argv=[__file__], verbosity=2)
