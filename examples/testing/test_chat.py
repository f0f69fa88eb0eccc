import pytest

from sse_ref.client import ChatStream, Truncated
from sse_ref.server import Answer


def reply(url, prompt):
    """The application under test; with an SDK: OpenAI(base_url=url, api_key="any"), and so on."""
    with ChatStream(prompt, url=url, model="gpt-4o", retries=2) as stream:
        return "".join(piece.text for piece in stream if hasattr(piece, "text"))


def test_question_is_asked_and_answered(model):
    server = model("Paris.")
    assert reply(server.url + "/v1", "Where is the Louvre?") == "Paris."
    assert server.requests[0].messages[-1].text == "Where is the Louvre?"


def test_busy_model_is_asked_again(model):
    server = model(Answer(status=503, headers={"Retry-After": "0"}, times=2), "Paris.")
    assert reply(server.url + "/v1", "Where is the Louvre?") == "Paris."
    assert len(server.requests) == 3


def test_cut_answer_is_not_taken_for_a_whole_one(model):
    server = model(Answer("Rain in Ber", fault="cut"))
    with pytest.raises(Truncated) as cut:
        reply(server.url + "/v1", "The weather?")
    assert cut.value.text == "Rain in Ber" and server.journal[-1]["outcome"] == "cut"
