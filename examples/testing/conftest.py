import contextlib

import pytest

from sse_ref.server import running


@pytest.fixture
def model():
    """model("Paris.", ...): a model that gives these answers, in any dialect, until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda *answers: stack.enter_context(running(answers))
