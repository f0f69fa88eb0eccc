"""Random streams: which decoders they tell from ours, and how small the difference is made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from broken.decoders import FAULTS, UNUSUAL, Decoder, Program

from sse_ref.conformance import fuzz
from sse_ref.conformance.corpus import vector_of
from sse_ref.conformance.decoders import FEATURES, judge

ROOT = Path(__file__).parents[1]
ALL = set(FEATURES)
SIZES = ("size/", "prompt/", "beside/", "linear/", "align/")
NEVER_MADE = {
    *("data/thousand-lines", "field/long-unknown-field-name", "framing/hundred-events-in-one-chunk", "id/very-long"),
    *("framing/ten-thousand-blank-lines", "framing/two-thousand-events-in-one-chunk", "comment/ten-thousand"),
    *("field/after-a-hundred-unknown", "field/long-unknown-value", "event/very-long", "id/over-a-hundred-events"),
    *("comment/long", "retry/huge", "retry/4301-digits", "bom/utf16le-not-recognised", "llm/missing-blank-line-merges"),
}
"""What needs a stream of another kind: long, of many events, of another encoding."""

SEEN = sorted(name for name, (_, id) in FAULTS.items() if not id.startswith(SIZES) and id not in NEVER_MADE)


@pytest.mark.once
def test_most_faults_are_seen_and_made_small() -> None:
    found = {name: fuzz.first_difference(Program(FAULTS[name][0]), ALL, 1, 1000) for name in SEEN}
    missed = [name for name, difference in found.items() if difference is None]
    assert len(missed) < len(SEEN) / 8, missed
    sizes = sorted(len(difference.reading.stream) for difference in found.values() if difference)
    assert sizes[len(sizes) // 2] <= 10 and sizes[-1] <= 30


@pytest.mark.once
@pytest.mark.parametrize(
    "name", ["StripsAllSpaces", "ForgetsCrBetweenChunks", "DropsNulOfValueDataMiddle", "KeepsTheBom"]
)
def test_difference_is_a_vector_that_the_decoder_fails_and_ours_passes(name: str) -> None:
    found = fuzz.first_difference(Program(FAULTS[name][0]), ALL, 1, 20_000)
    assert found is not None
    members = json.loads(json.dumps(found.vector.as_json()))
    vector = vector_of("decoder", members)
    assert judge(vector, Program(FAULTS[name][0]), ALL).verdict == "fail"
    assert judge(vector, Program(Decoder), ALL).verdict == "pass"


@pytest.mark.once
@pytest.mark.parametrize("name", UNUSUAL)
def test_correct_but_unusual_decoder_does_not_differ(name: str) -> None:
    assert fuzz.first_difference(UNUSUAL[name], ALL, 2, 1500) is None


@pytest.mark.once
def test_ids_of_the_block_alone_are_no_difference_where_they_are_declared() -> None:
    class BlockIds(Decoder):
        def dispatch(self) -> None:
            super().dispatch()
            self.id = ""

    told = Program(BlockIds, lambda reply: {name: reply[name] for name in ("events", "retry")})
    assert fuzz.first_difference(told, ALL | {"block-ids"}, 1, 2000) is None
    assert fuzz.first_difference(told, ALL, 1, 2000) is not None


def test_same_seed_makes_the_same_streams() -> None:
    one, other = (fuzz.first_difference(Program(FAULTS["KeepsTheSpace"][0]), ALL, 7, 500) for _ in range(2))
    assert one is not None and other is not None and one.reading == other.reading


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sse_ref.conformance", "fuzz", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


PYTHON = [sys.executable, "-S"]  # without what is installed: it starts in a third of the time
NAIVE = [*PYTHON, "examples/adapters/decoder.py"]
OURS = [*PYTHON, "-m", "sse_ref.conformance.reference", "decoder"]


@pytest.mark.once
def test_command_prints_the_difference_as_a_vector() -> None:
    done = run("--persistent", "--streams", "2000", "--", *NAIVE)
    assert done.returncode == 1 and done.stderr == ""
    line = next(line for line in done.stdout.splitlines() if line.startswith("  vector "))
    vector = vector_of("decoder", json.loads(line.removeprefix("  vector ")))
    assert vector.body["expect"] and "again    python -m sse_ref.conformance fuzz --seed 1" in done.stdout


@pytest.mark.once
def test_command_finds_nothing_in_our_own_decoder() -> None:
    done = run("--persistent", "--streams", "1000", "--seed", "3", "--", *OURS)
    assert (done.returncode, done.stdout) == (0, "no difference in 1000 streams (seed 3)\n"), done.stderr


@pytest.mark.once
@pytest.mark.parametrize("persistent", [["--persistent"], []])
def test_program_that_crashes_at_some_stream_is_found(tmp_path: Path, persistent: list[str]) -> None:
    program = tmp_path / "crashes.py"
    program.write_text(
        "import json, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from sse_ref.conformance.reference import decode\n"
        "for line in sys.stdin:\n"
        "    request = json.loads(line)\n"
        "    if '00' in [c[at:at + 2] for c in request.get('chunks', []) for at in range(0, len(c), 2)]: sys.exit(3)\n"
        "    reply = decode(request) if request['op'] == 'decode' else {}\n"
        "    print(json.dumps({'id': request.get('id'), **reply}), flush=True)\n"
    )
    done = run(*persistent, "--streams", "100", "--", *PYTHON, str(program), str(ROOT))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "it ended with exit status 3" in done.stdout and "DIFFERENCE in 1 bytes" in done.stdout


@pytest.mark.once
def test_options_that_mean_nothing_are_refused() -> None:
    assert run("--persistent").returncode == 2
    assert run("--without", "colour", "--", *OURS).returncode == 2
    assert run("--", "./no-such-program").returncode == 2
