"""Runs of the judge: select vectors, judge a program by them, write the reports.

In:   options, as ``commands`` read them.
Out:  results as they come, reports, the exit status.

    select the vectors  ->  judge each, several at once  ->  again, alone, where a limit passed  ->  reports
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO, TypeVar

from sse_ref.conformance import (
    causes,
    clients,
    corpus,
    decoders,
    encoders,
    fuzz,
    gateways,
    hostile,
    matrix,
    programs,
    reports,
    servers,
    verdicts,
)
from sse_ref.conformance.clients import Client
from sse_ref.conformance.corpus import DEFAULT_PROFILE, Vector
from sse_ref.conformance.programs import Program
from sse_ref.conformance.reports import Run
from sse_ref.conformance.verdicts import Result, UsageError
from sse_ref.errors import fit

__all__ = [
    "REPORTS",
    "check_version",
    "cores",
    "fuzz_decoder",
    "judge_client",
    "judge_decoder",
    "judge_encoder",
    "judge_gateway",
    "judge_server",
]
__all__ += ["read_report", "run_vectors", "write"]

REPORTS = ("json", "junit", "tap", "md", "badge", "html")
Judge = Callable[[Vector], Result]
P = TypeVar("P", Program, Client)

LONGER = 4.0  # times the limit, for a vector that is tried again because a limit passed
FUZZED = 20_000  # random streams for a kept process; a tenth of them if each batch starts one
TRIED_IN_VAIN = 3  # such errors; the others of the run are then not tried again


# ---- Which vectors ----------------------------------------------------------------------------------------------------


def selected(options: argparse.Namespace, target: str, profile: str | None = None) -> list[Vector]:
    """The vectors that the options ask for. Raises ``UsageError`` for a pattern that matches none.

    Also validates the other options before anything runs.
    """
    check_version(options)
    _check_files(options)
    options.known_failures = _known_failures(options, target)
    vectors = [vector for vector in corpus.load(target) if profile is None or vector.profile == profile]
    if getattr(options, "exercise", None):
        options.globs += corpus.exercises()[str(options.exercise)]
    for pattern in [*options.globs, *options.skip]:
        if not any(corpus.matching(vectors, [pattern])):
            raise UsageError(f"no {target} vector matches {pattern!r}; the command list shows them")
    if options.globs:
        vectors = list(corpus.matching(vectors, options.globs))
    left_out = {vector.id for vector in corpus.matching(vectors, options.skip)}
    vectors = [vector for vector in vectors if vector.id not in left_out]
    if options.quick:
        vectors = [vector for vector in vectors if "quick" in vector.tags]
    if options.level:
        vectors = [vector for vector in vectors if vector.level == options.level]
    if options.tag:
        vectors = [vector for vector in vectors if options.tag in vector.tags]
    if options.only_failed:
        failed = _failed_in(options.only_failed)
        vectors = [vector for vector in vectors if vector.id in failed]
    if not vectors and not options.only_failed:
        raise UsageError("no vector is left to run")
    return vectors


def check_version(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` for a corpus version that does not exist."""
    known = corpus.versions()
    if options.as_of and options.as_of not in known:
        raise UsageError(f"there is no corpus version {options.as_of}; there are {', '.join(known)}")


def _check_files(options: argparse.Namespace) -> None:
    """Raise ``UsageError`` if a report cannot be written where it should be: before the run, not after it."""
    for form in (*REPORTS, "write_known"):
        name = getattr(options, form)
        if name and name != "-":
            try:
                open(name, "a").close()
            except OSError as error:
                raise UsageError(f"{name} cannot be written: {error.strerror}") from None


def _failed_in(name: str) -> set[str]:
    report = read_report(name)
    return {result["id"] for result in report["results"] if result["verdict"] in ("fail", "error", "xfail", "xpass")}


def read_report(name: str) -> dict[str, Any]:
    """A report that an earlier run wrote with ``--json``."""
    try:
        report = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{name} is not JSON") from None
    good = isinstance(report, dict) and isinstance(report.get("results"), list)
    if not good or not all(
        isinstance(r, dict) and {"id", "verdict", "level", "title"} <= set(r) for r in report["results"]
    ):
        raise UsageError(f"{name} is no report of this command (--json writes one)")
    return dict(report)


# ---- Running ----------------------------------------------------------------------------------------------------------


def run_vectors(
    vectors: Sequence[Vector],
    judge: Judge,
    again: Judge,
    jobs: int,
    report: Callable[[Result], None],
    stopped: Callable[[], bool] = lambda: False,
) -> list[Result]:
    """Judge each vector, several at once if asked; the results are in the order of the vectors.

    ``report`` is called with each result as it comes; when ``stopped`` says so, no other vector is judged. On a busy
    machine a limit that passes says little about a program:
    such vectors are judged ``again`` after all others, one by one and with longer limits, before they are reported.
    """
    results: list[Result] = []
    expired: list[int] = []

    def unless_stopped(vector: Vector) -> Result:
        return Result(vector, "not-run", "the run ended at its first failure") if stopped() else judge(vector)

    with _each(vectors, unless_stopped, jobs) as first_results:
        for result in first_results:
            results.append(result)
            if result.expired:
                expired.append(len(results) - 1)
            else:
                report(result)
    in_vain = 0
    for at in expired:
        result = results[at]
        if stopped():
            results[at] = Result(vectors[at], "not-run", "the run ended at its first failure")
        elif result.verdict == "error" and in_vain == TRIED_IN_VAIN:
            result.reason += f" (not tried again: {TRIED_IN_VAIN} others were, in vain)"
        else:
            results[at] = again(vectors[at])
            if results[at].verdict == "error":
                in_vain += 1
                results[at].reason = f"{result.reason}; alone, with a longer limit: {results[at].reason}"
        report(results[at])
    return results


@contextlib.contextmanager
def _each(vectors: Sequence[Vector], judge: Judge, jobs: int) -> Iterator[Iterator[Result]]:
    """The results as they come. If the run is interrupted, the programs are ended, and no other vector is begun."""
    pool = concurrent.futures.ThreadPoolExecutor(jobs) if jobs > 1 else None
    try:
        yield _in_order([pool.submit(judge, vector) for vector in vectors]) if pool else map(judge, vectors)
    except BaseException:
        with programs.none_started():
            if pool:
                pool.shutdown(cancel_futures=True)
        raise
    if pool:
        pool.shutdown()


def _in_order(futures: Sequence[concurrent.futures.Future[Result]]) -> Iterator[Result]:
    for future in futures:
        while not future.done():  # in short waits: a signal that another thread received does not wake this one
            concurrent.futures.wait([future], timeout=programs.GLANCE)
        yield future.result()


class Progress:
    """Prints each result as it comes, and on a terminal how far the run is; the first failure ends a run that fails fast."""

    def __init__(self, options: argparse.Namespace, run: Run, total: int) -> None:
        self.options = options
        self.run = run
        self.total = total
        self.done = 0
        self.bad = 0
        self.text_to = _text_to(options)
        self.colour = self.text_to.isatty() and not os.environ.get("NO_COLOR")
        self.progress = sys.stderr.isatty()
        self.stopped = False

    def __call__(self, result: Result) -> None:
        if self.options.as_of:
            result.scored = result.vector.since <= self.options.as_of
        verdicts.apply_known([result], self.options.known_failures)
        self.done += 1
        bad = result.verdict in ("fail", "error", "xpass")
        self.bad += bad
        self.stopped = self.stopped or (self.options.fail_fast and self.run.unexpected(result))
        if self.progress:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self.options.verbose:
            print(reports.show_failure(self.run, result, colour=self.colour) + "\n", file=self.text_to, flush=True)
        elif bad and (self.options.brief or self.total > 1):
            print(reports.one_line(result), file=self.text_to, flush=True)
        if self.progress and self.done < self.total:
            text = f"{self.done}/{self.total}, {self.bad} failed: {result.vector.id}"
            print(text, end="", file=sys.stderr, flush=True)


# ---- What is judged ---------------------------------------------------------------------------------------------------


def judge_decoder(options: argparse.Namespace) -> int:
    """``decoder``: judge a decoder, and return the exit status."""
    return _judge_pipe(options, "decoder", decoders.judge, decoders.PROBE, decoders.FEATURES)


def judge_encoder(options: argparse.Namespace) -> int:
    """``encoder``: judge an encoder, and return the exit status."""
    return _judge_pipe(options, "encoder", encoders.judge, encoders.PROBE, encoders.FEATURES)


def _judge_pipe(
    options: argparse.Namespace,
    target: str,
    judge: Callable[[Vector, Program, set[str]], Result],
    probe: dict[str, Any],
    known: Sequence[str],
) -> int:
    """Judge a program that speaks the protocol on its standard input and output."""
    vectors = selected(options, target)
    command = _command(options)
    timeout = options.timeout * options.timeout_scale
    without = _without(options, (*known, "comment"))
    if options.raw and options.persistent:
        raise UsageError("--raw starts a process for each stream: leave out --persistent")
    repeat = [flag for flag in ("--persistent", "--raw") if getattr(options, flag.strip("-"))]
    repeat += ["--without", options.without] if options.without else []
    run = _run(options, target, shlex.join(command), vectors, repeat)
    run.name = options.name or ""
    progress = Progress(options, run, len(vectors))
    features = set(known) - without
    if options.raw:
        one, patient = (
            functools.partial(decoders.judge_raw, command=command, features=features, timeout=timeout * factor)
            for factor in (1, LONGER)
        )
        run.features = sorted(features)
        run.results = run_vectors(vectors, one, patient, options.jobs or cores(), progress, lambda: progress.stopped)
        return _finish(options, run)
    made = functools.partial(Program, command, persistent=options.persistent, measured=programs.Measured())
    with (
        _programs(functools.partial(made, timeout=timeout)) as program,
        _programs(functools.partial(made, timeout=LONGER * timeout)) as patient_program,
    ):
        hello = programs.ask_features(program(), probe, known)
        _self_test(program(), target, vectors)
        features = hello["features"] - without
        run.name, run.version, run.features = options.name or hello["name"], hello["version"], sorted(features)
        one, patient = (functools.partial(_one, judge, its, features) for its in (program, patient_program))
        jobs = options.jobs or (1 if options.persistent else cores())
        run.results = run_vectors(vectors, one, patient, jobs, progress, lambda: progress.stopped)
    return _finish(options, run)


def fuzz_decoder(options: argparse.Namespace) -> int:
    """``fuzz``: compare a decoder with ours on random streams, and print the smallest difference as a vector."""
    command = _command(options)
    without = _without(options, decoders.FEATURES)
    streams = options.streams or (FUZZED if options.persistent else FUZZED // 10)
    show = sys.stderr.isatty()

    def progress(number: int) -> None:
        if show:
            print(f"\r\x1b[K{number} of {streams} streams", end="", file=sys.stderr, flush=True)

    with _programs(lambda: Program(command, persistent=options.persistent, timeout=options.timeout)) as program:
        hello = programs.ask_features(program(), decoders.PROBE, decoders.FEATURES)
        found = fuzz.first_difference(program(), hello["features"] - without, options.seed, streams, progress)
        stderr = program().stderr
    if show:
        progress(streams)
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if found is None:
        print(f"no difference in {streams} streams (seed {options.seed})")
        return 0
    words = ["fuzz", "--seed", str(options.seed), "--streams", str(streams)]
    words += ["--persistent"] if options.persistent else []
    words += ["--without", options.without] if options.without else []
    again = f"{reports.COMMAND} {shlex.join(words)} -- {shlex.join(command)}"
    print(reports.show_difference(found, stderr, again))
    return 1


FEW = 10  # vectors: a run of fewer is no test of a whole program
SIMPLEST = {
    "decoder": {"v": 1, "id": "self-test", "op": "decode", "chunks": [b"data: x\n\n".hex()]},
    "encoder": {
        "v": 1,
        "id": "self-test",
        "op": "encode",
        "events": [{"data": "x", "event": None, "id": None, "retry": None}],
    },
}
"""What a program is asked before it is judged, and what must not be missing in its reply."""


def _self_test(program: Program, target: str, vectors: Sequence[Vector]) -> None:
    """Raise ``UsageError`` if the program, asked for the simplest there is, gives nothing: then its adapter does nothing."""
    if len(vectors) < FEW:
        return  # they show by themselves what is wrong
    request = SIMPLEST[target]
    try:
        (reply,) = program.ask([request])
    except programs.NoReply as error:
        said = error.args[0]
        if error.expired:
            return  # it may be slow: the vectors will tell
    else:
        given = reply.get("events") if target == "decoder" else reply.get("bytes")
        if given or reply.get("skip") is not None:
            return
        said = f"it says {reports.escaped(fit(json.dumps(reply), 160))}"
    last = program.stderr.strip().splitlines()[-1:]
    hint = f"; its last words: {reports.escaped(fit(last[0], 160))}" if last else ""
    asked = json.dumps(request)
    raise UsageError(f"the adapter does nothing yet, so nothing was counted: asked {asked} {said}{hint}")


def _one(
    judge: Callable[[Vector, Program, set[str]], Result],
    program: Callable[[], Program],
    features: set[str],
    vector: Vector,
) -> Result:
    its_program = program()
    if its_program.hopeless:
        return Result(vector, "not-run", "the program was started three times and has never replied")
    return judge(vector, its_program, features)


def _without(options: argparse.Namespace, known: Sequence[str]) -> set[str]:
    """The features that ``--without`` names. Raises ``UsageError`` for one that there is not."""
    without = set(filter(None, options.without.replace(" ", "").split(",")))
    if unknown := without - set(known):
        raise UsageError(f"--without: there is no feature {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return without


@contextlib.contextmanager
def _programs(make: Callable[[], P]) -> Iterator[Callable[[], P]]:
    """A program for each thread that asks for one; all are ended at the end."""
    local = threading.local()
    started: list[P] = []

    def mine() -> P:
        if not hasattr(local, "program"):
            local.program = make()
            started.append(local.program)
        program: P = local.program
        return program

    try:
        yield mine
    finally:
        for program in started:
            program.stop()


def cores() -> int:
    """How many vectors to judge at once by default."""
    return min(os.cpu_count() or 1, 8)


def _command(options: argparse.Namespace) -> list[str]:
    if not options.command_line:
        raise UsageError("the command to be judged is missing: put it after --")
    command: list[str] = options.command_line
    return command


def judge_client(options: argparse.Namespace) -> int:
    """``client``: judge a client, and return the exit status."""
    vectors = selected(options, "client", options.profile)
    command = _command(options)
    repeat = ["--profile", options.profile, *(["--persistent"] if options.persistent else [])]
    run = _run(options, "client", shlex.join(command), vectors, repeat, options.profile)
    run.name = options.name or ""
    started, limit = clients.Started(), options.timeout * options.timeout_scale
    made = functools.partial(Client, command, persistent=options.persistent)
    with hostile.HostileServer() as server, _programs(made) as client:

        def judge(vector: Vector, factor: float = 1.0) -> Result:
            return clients.judge(vector, server, client(), limit, started, factor)

        patient = functools.partial(judge, factor=LONGER)
        progress = Progress(options, run, len(vectors))
        run.results = run_vectors(vectors, judge, patient, options.jobs or 1, progress, lambda: progress.stopped)
    return _finish(options, run)


def judge_server(options: argparse.Namespace) -> int:
    """``server``: judge a server, and return the exit status."""
    options.url = _url(options)
    vectors = selected(options, "server", options.profile)
    target = _target(options)
    if target.file.get("needs_model") and not options.model:
        raise UsageError("--model is missing: the model to ask for")
    print(
        f"{servers.requests_needed(vectors)} requests will be sent to {target.url}; they may be billed",
        file=sys.stderr,
        flush=True,
    )
    run = _run(options, "server", target.url, vectors, _server_options(options), options.profile)
    run.name = options.name or ""
    target.warm_up(1 if options.quick else 2)
    if (jobs := options.jobs or (8 if options.quick else 1)) > 1:
        # Of a vector with many exchanges the others are asked for only if the first ones fail.
        target.ask_at_once({name for vector in vectors for name in vector.body["exchanges"][:4]}, jobs)
    progress = Progress(options, run, len(vectors))
    vectors.sort(key=lambda vector: "every" in vector.body)  # last: they look at every stream that came
    judge = functools.partial(servers.judge, target=target)
    patient = functools.partial(servers.judge_patiently, target=target, factor=LONGER)
    run.results = run_vectors(vectors, judge, patient, 1, progress, lambda: progress.stopped)
    return _finish(options, run)


def judge_gateway(options: argparse.Namespace) -> int:
    """``gateway``: judge a gateway from both sides, and return the exit status."""
    options.url = _url(options)
    vectors = selected(options, "gateway", DEFAULT_PROFILE)
    if not options.model:
        raise UsageError("--model is missing: the model to ask for")
    words = ["--model", options.model, "--upstream-port", str(options.upstream_port), *_asking(options)]
    run = _run(options, "gateway", options.url, vectors, words, DEFAULT_PROFILE)
    run.name = options.name or ""
    with gateways.Upstream(options.upstream_port, options.model) as upstream:
        print(f"the upstream is {upstream.url}/v1; the gateway must ask it for {options.model}", file=sys.stderr)
        limit = options.timeout * options.timeout_scale
        gateway = gateways.Gateway(
            options.url, options.model, upstream, _key(options), _headers(options), limit, DEFAULT_PROFILE
        )
        gateway.await_start()
        progress = Progress(options, run, len(vectors))
        one, patient = (functools.partial(gateways.judge, gateway=gateway, patience=f) for f in (1.0, LONGER))
        run.results = run_vectors(vectors, one, patient, 1, progress, lambda: progress.stopped)
    return _finish(options, run)


def _url(options: argparse.Namespace) -> str:
    """Take the URL from among the globs. Raises ``UsageError`` if there is none, or more than one."""
    urls = [word for word in options.globs if "://" in word]
    if len(urls) != 1:
        raise UsageError("name one URL: that of the API, like http://127.0.0.1:8000/v1")
    options.globs.remove(urls[0])
    return str(urls[0])


def _key(options: argparse.Namespace) -> str | None:
    """The API key, from the environment. Raises ``UsageError`` if the variable holds none."""
    if not options.api_key_env:
        return None
    key = os.environ.get(options.api_key_env, "").strip()
    if not key:
        raise UsageError(f"the environment variable {options.api_key_env} holds no API key")
    return key


def _headers(options: argparse.Namespace) -> dict[str, str]:
    """The headers that ``--header`` names. Raises ``UsageError`` for what is no header."""
    headers = {}
    for line in options.header:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search("[\0\r\n]", value):
            raise UsageError(f"--header takes NAME: VALUE, not {line!r}")
        headers[name] = value.strip()
    return headers


def _target(options: argparse.Namespace) -> servers.Target:
    models = {"": options.model}
    for entry in options.model_for:
        what, _, name = entry.partition("=")
        if what not in servers.ROLES or not name:
            raise UsageError(f"--model-for takes WHAT=NAME, WHAT being one of {', '.join(servers.ROLES)}")
        models[what] = name
    timeout = options.timeout * options.timeout_scale
    known = sorted({name for vector in corpus.load("server") for name in vector.needs})
    without = frozenset(_without(options, known))
    return servers.Target(
        options.url,
        models,
        _key(options),
        options.journal,
        options.pid,
        timeout,
        options.profile,
        _headers(options),
        without,
    )


def _server_options(options: argparse.Namespace) -> list[str]:
    words = ["--profile", options.profile, "--model", options.model]
    for entry in options.model_for:
        words += ["--model-for", entry]
    for name in ("journal", "without"):
        if value := getattr(options, name):
            words += [f"--{name}", value]
    return words + _asking(options)


def _asking(options: argparse.Namespace) -> list[str]:
    """The options of what goes with each request, to repeat them."""
    words = ["--api-key-env", options.api_key_env] if options.api_key_env else []
    for line in options.header:
        words += ["--header", line]
    return words


# ---- The report -------------------------------------------------------------------------------------------------------


def _run(
    options: argparse.Namespace,
    target: str,
    program: str,
    vectors: Sequence[Vector],
    repeat: list[str],
    profile: str | None = None,
) -> Run:
    """A run of these vectors that has not begun."""
    chosen = {vector.id for vector in vectors}
    scored = [v for v in corpus.load(target) if v.profile == profile and v.since <= (options.as_of or v.since)]
    return Run(
        target=target,
        program=program,
        results=[],
        corpus=corpus.versions()[-1],
        tool=tool_version(),
        profile=profile,
        options=repeat,
        left_out=sum(vector.level == "must" and vector.id not in chosen for vector in scored),
        as_of=options.as_of,
        strict=options.strict,
        strict_skips=options.strict_skips,
        allow_xpass=options.allow_xpass,
    )


def _known_failures(options: argparse.Namespace, target: str) -> list[verdicts.KnownFailure]:
    if not options.known:
        return []
    try:
        text = Path(options.known).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{options.known} cannot be read: {error}") from None
    return verdicts.read_known(text, corpus.load(target))


def tool_version() -> str:
    """The version of this package, if it is installed."""
    try:
        return metadata.version("sse_ref")
    except metadata.PackageNotFoundError:
        return "from source"


def _finish(options: argparse.Namespace, run: Run) -> int:
    """Write every report that was asked for, and return the exit status."""
    forms: list[tuple[str | None, Callable[[], str]]] = [
        (options.json, lambda: json.dumps(reports.as_json(run), indent=1) + "\n"),
        (options.junit, lambda: reports.as_junit(run)),
        (options.tap, lambda: reports.as_tap(run)),
        (options.md, lambda: reports.as_markdown(run)),
        (options.badge, lambda: json.dumps(reports.as_badge(run)) + "\n"),
        (options.html, lambda: matrix.as_html([reports.as_json(run)])),
        (options.write_known, lambda: verdicts.write_known(run.results)),
    ]
    text_to = _text_to(options)
    if not options.brief and not options.verbose:
        colour = text_to.isatty() and not os.environ.get("NO_COLOR")
        for group in causes.grouped(run.results):
            print(f"\n{reports.show_group(run, group, colour=colour)}", file=text_to)
        if causes.failures(run.results):
            print(file=text_to)
    print(reports.summary(run), file=text_to, flush=True)
    for name, form in forms:
        if name:
            write(name, form())
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with contextlib.suppress(OSError), open(summary, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(reports.as_markdown(run))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in reports.github_annotations(run):
            print(line, file=text_to)
    return verdicts.exit_status(
        run.results, strict=options.strict, strict_skips=options.strict_skips, allow_xpass=options.allow_xpass
    )


def _text_to(options: argparse.Namespace) -> TextIO:
    """The stream for the text: standard error if a report goes to standard output."""
    return sys.stderr if any(getattr(options, form) == "-" for form in (*REPORTS, "write_known")) else sys.stdout


def write(name: str, text: str) -> None:
    """Write a file, or to standard output if its name is "-"."""
    if name == "-":
        sys.stdout.write(text)
        return
    try:
        Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"{name} cannot be written: {error.strerror}") from None
