"""``python -m sse_ref.conformance``: list, show and export vectors, and judge programs.

In:   arguments.
Out:  a report, and the exit status: 0 nothing unexpected, 1 at least one failure, 2 the run could not be made, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import io
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from sse_ref.conformance import (
    clients,
    corpus,
    decoders,
    encoders,
    matrix,
    programs,
    reports,
    scripts,
    servers,
    verdicts,
)
from sse_ref.conformance.corpus import LEVELS, TARGETS, Vector
from sse_ref.conformance.programs import Program
from sse_ref.conformance.reports import COMMAND, Run
from sse_ref.conformance.verdicts import Result, Usage

__all__ = ["main"]

PROFILES = ("openai-chat", "sse")
REPORTS = ("json", "junit", "tap", "md", "badge", "html")

HELP = f"""\
{COMMAND} COMMAND ...

Tells where a program departs from the standard, in any language.

  decoder [options] [GLOB ...] -- CMD ...     judge an event stream decoder: lines of JSON in and out
  encoder [options] [GLOB ...] -- CMD ...     judge an encoder, in the same way
  client  [options] [GLOB ...] -- CMD ...     judge a client: we are the hostile server
  server  [options] [GLOB ...] URL --model M  judge a server
  list · show · export · serve · report       look at the vectors, play a case by hand, put reports side by side
  self                                        judge this package's own; needs nothing else

Each explains itself with --help. The protocol is one page: sse_ref/conformance/README.md
"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.conformance``: do what the arguments say, and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        print(f"usage: {HELP}", end="", file=sys.stderr)
        return 2
    command: list[str] = []
    if "--" in given:
        at = given.index("--")
        given, command = given[:at], given[at + 1 :]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handlers = _catch_signals()
    try:
        parser = _parser()
        options, rest = parser.parse_known_args(given)
        if any(word.startswith("-") for word in rest) or (rest and not hasattr(options, "globs")):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options.globs = [*getattr(options, "globs", ()), *rest]  # globs may stand before and after options
        options.command_line = command
        status: int = options.do(options)
        sys.stdout.flush()
        return status
    except Usage as error:
        print(f"sse_ref.conformance: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as interrupt:
        return 128 + interrupt.args[0] if interrupt.args else 130
    finally:
        programs.kill_all()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _catch_signals() -> dict[int, Any]:
    """Let each signal end the run as Ctrl-C does, so that no program under test outlives it; a second one ends it at once.

    Returns the handlers that there were.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    wanted = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    programs.begin_run()
    return {number: signal.signal(number, lambda number, frame: programs.interrupt(number)) for number in wanted}


# ---- Which vectors ---------------------------------------------------------------------------------------------------


def selected(options: argparse.Namespace, target: str, profile: str | None = None) -> list[Vector]:
    """The vectors that the options ask for. Raises ``Usage`` for a pattern that matches none.

    What else can be wrong with the options is found here too, before anything runs.
    """
    _check_version(options)
    _check_files(options)
    options.known_failures = _known_failures(options, target)
    vectors = [vector for vector in corpus.load(target) if profile is None or vector.profile == profile]
    for pattern in [*options.globs, *options.skip]:
        if not any(corpus.matching(vectors, [pattern])):
            raise Usage(f"no {target} vector matches {pattern!r}; the command list shows them")
    if options.globs:
        vectors = list(corpus.matching(vectors, options.globs))
    left_out = {vector.id for vector in corpus.matching(vectors, options.skip)}
    vectors = [vector for vector in vectors if vector.id not in left_out]
    if options.level:
        vectors = [vector for vector in vectors if vector.level == options.level]
    if options.tag:
        vectors = [vector for vector in vectors if options.tag in vector.tags]
    if options.only_failed:
        failed = _failed_in(options.only_failed)
        vectors = [vector for vector in vectors if vector.id in failed]
    if not vectors and not options.only_failed:
        raise Usage("no vector is left to run")
    return vectors


def _check_files(options: argparse.Namespace) -> None:
    """Raise ``Usage`` if a report cannot be written where it should be: before the run, not after it."""
    for form in (*REPORTS, "write_known"):
        name = getattr(options, form)
        if name and name != "-":
            try:
                open(name, "a").close()
            except OSError as error:
                raise Usage(f"{name} cannot be written: {error.strerror}") from None


def _failed_in(name: str) -> set[str]:
    report = _read_report(name)
    return {result["id"] for result in report["results"] if result["verdict"] in ("fail", "error", "xfail", "xpass")}


def _read_report(name: str) -> dict[str, Any]:
    try:
        report = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise Usage(f"{name} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Usage(f"{name} is not JSON") from None
    good = isinstance(report, dict) and isinstance(report.get("results"), list)
    if not good or not all(
        isinstance(r, dict) and {"id", "verdict", "level", "title"} <= set(r) for r in report["results"]
    ):
        raise Usage(f"{name} is no report of this command (--json writes one)")
    return dict(report)


# ---- Judging ---------------------------------------------------------------------------------------------------------

Judge = Callable[[Vector], Result]

LONGER = 4.0  # times the limit, for a vector that is tried again because a limit passed
TRIED_IN_VAIN = 3  # such errors; the others of the run are then not tried again


def run_vectors(
    vectors: Sequence[Vector], judge: Judge, again: Judge, jobs: int, told: Callable[[Result], None]
) -> list[Result]:
    """Judge each vector, several at once if asked; the results are in the order of the vectors.

    ``told`` is given each as it comes. A limit that passes says little about a program on a busy machine: such vectors are
    judged ``again`` when all others are done, one by one and with longer limits, before anything is said of them.
    """
    results: list[Result] = []
    expired: list[int] = []
    with _each(vectors, judge, jobs) as first_results:
        for result in first_results:
            results.append(result)
            if result.expired:
                expired.append(len(results) - 1)
            else:
                told(result)
    in_vain = 0
    for at in expired:
        result = results[at]
        if result.verdict == "error" and in_vain == TRIED_IN_VAIN:
            result.reason += f" (not tried again: {TRIED_IN_VAIN} others were, in vain)"
        else:
            results[at] = again(vectors[at])
            if results[at].verdict == "error":
                in_vain += 1
                results[at].reason = f"{result.reason}; alone, with a longer limit: {results[at].reason}"
        told(results[at])
    return results


@contextlib.contextmanager
def _each(vectors: Sequence[Vector], judge: Judge, jobs: int) -> Iterator[Iterator[Result]]:
    """The results as they come. If the run is given up, so are the programs, and what has not begun does not begin."""
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
        while not future.done():  # not for ever at once: a signal that another thread took does not wake this one
            concurrent.futures.wait([future], timeout=programs.GLANCE)
        yield future.result()


class _Told:
    """Prints each result as it comes, and on a terminal how far the run is."""

    def __init__(self, options: argparse.Namespace, run: Run, total: int) -> None:
        self.options = options
        self.run = run
        self.total = total
        self.done = 0
        self.bad = 0
        self.text_to = _text_to(options)
        self.colour = self.text_to.isatty() and not os.environ.get("NO_COLOR")
        self.progress = sys.stderr.isatty()

    def __call__(self, result: Result) -> None:
        if self.options.as_of:
            result.scored = result.vector.since <= self.options.as_of
        verdicts.apply_known([result], self.options.known_failures)
        self.done += 1
        bad = result.verdict in ("fail", "error", "xpass")
        self.bad += bad
        if self.progress:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self.options.verbose or (bad and not self.options.brief):
            print(reports.show_failure(self.run, result, colour=self.colour) + "\n", file=self.text_to, flush=True)
        elif bad:
            print(reports.one_line(result), file=self.text_to, flush=True)
        if self.progress and self.done < self.total:
            text = f"{self.done}/{self.total}, {self.bad} failed: {result.vector.id}"
            print(text, end="", file=sys.stderr, flush=True)


def _do_decoder(options: argparse.Namespace) -> int:
    return _judge_pipe(options, "decoder", decoders.judge, decoders.PROBE, decoders.FEATURES)


def _do_encoder(options: argparse.Namespace) -> int:
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
    without = set(filter(None, options.without.replace(" ", "").split(",")))
    if options.raw and options.persistent:
        raise Usage("--raw starts a process for each stream: leave out --persistent")
    if unknown := without - {*known, "comment"}:
        raise Usage(f"--without: there is no feature {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    repeat = [flag for flag in ("--persistent", "--raw") if getattr(options, flag.strip("-"))]
    repeat += ["--without", options.without] if options.without else []
    run = _run(options, target, shlex.join(command), vectors, repeat)
    run.name = options.name or ""
    told = _Told(options, run, len(vectors))
    features = set(known) - without
    if options.raw:
        one, patient = (
            functools.partial(decoders.judge_raw, command=command, features=features, timeout=timeout * factor)
            for factor in (1, LONGER)
        )
        run.features = sorted(features)
        run.results = run_vectors(vectors, one, patient, options.jobs or _cores(), told)
        return _finish(options, run)
    measured = programs.Measured()
    with (
        _programs(command, options.persistent, timeout, measured) as program,
        _programs(command, options.persistent, LONGER * timeout, measured) as patient_program,
    ):
        said = programs.ask_features(program(), probe, known)
        features = said["features"] - without
        run.name, run.version, run.features = options.name or said["name"], said["version"], sorted(features)
        one, patient = (functools.partial(_one, judge, made, features) for made in (program, patient_program))
        jobs = options.jobs or (1 if options.persistent else _cores())
        run.results = run_vectors(vectors, one, patient, jobs, told)
    return _finish(options, run)


def _one(
    judge: Callable[[Vector, Program, set[str]], Result],
    program: Callable[[], Program],
    features: set[str],
    vector: Vector,
) -> Result:
    own = program()
    if own.hopeless:
        return Result(vector, "not-run", "the program was started three times and has never replied")
    return judge(vector, own, features)


@contextlib.contextmanager
def _programs(
    command: Sequence[str], persistent: bool, timeout: float, measured: programs.Measured
) -> Iterator[Callable[[], Program]]:
    """A program for each thread that asks for one; all are ended at the end."""
    local = threading.local()
    started: list[Program] = []

    def mine() -> Program:
        if not hasattr(local, "program"):
            local.program = Program(command, persistent=persistent, timeout=timeout, measured=measured)
            started.append(local.program)
        program: Program = local.program
        return program

    try:
        yield mine
    finally:
        for program in started:
            program.stop()


def _cores() -> int:
    return min(os.cpu_count() or 1, 8)


def _command(options: argparse.Namespace) -> list[str]:
    if not options.command_line:
        raise Usage("the command to be judged is missing: put it after --")
    command: list[str] = options.command_line
    return command


def _do_client(options: argparse.Namespace) -> int:
    vectors = selected(options, "client", options.profile)
    command = _command(options)
    run = _run(options, "client", shlex.join(command), vectors, ["--profile", options.profile], options.profile)
    run.name = options.name or ""
    with scripts.HostileServer() as server:
        limit = options.timeout * options.timeout_scale
        started = clients.Started()
        judge, patient = (
            functools.partial(
                clients.judge, server=server, command=command, timeout=limit, started=started, factor=factor
            )
            for factor in (1.0, LONGER)
        )
        told = _Told(options, run, len(vectors))
        run.results = run_vectors(vectors, judge, patient, options.jobs or 1, told)
    return _finish(options, run)


def _do_server(options: argparse.Namespace) -> int:
    urls = [word for word in options.globs if "://" in word]
    if len(urls) != 1:
        raise Usage("name one URL: that of the API, like http://127.0.0.1:8000/v1")
    options.url = urls[0]
    options.globs.remove(options.url)
    vectors = selected(options, "server", options.profile)
    target = _target(options)
    if options.profile == "openai-chat" and not options.model:
        raise Usage("--model is missing: the model to ask for")
    print(
        f"{servers.requests_needed(vectors)} requests will be sent to {target.url}; they may be billed",
        file=sys.stderr,
        flush=True,
    )
    run = _run(options, "server", target.url, vectors, _server_options(options), options.profile)
    run.name = options.name or ""
    target.warm_up(options.profile)
    told = _Told(options, run, len(vectors))
    judge = functools.partial(servers.judge, target=target)
    patient = functools.partial(servers.judge_patiently, target=target, factor=LONGER)
    run.results = run_vectors(vectors, judge, patient, 1, told)
    return _finish(options, run)


def _target(options: argparse.Namespace) -> servers.Target:
    key = None
    if options.api_key_env:
        key = os.environ.get(options.api_key_env, "").strip()
        if not key:
            raise Usage(f"the environment variable {options.api_key_env} holds no API key")
    models = {"": options.model}
    for entry in options.model_for:
        what, _, name = entry.partition("=")
        if what not in servers.ROLES or not name:
            raise Usage(f"--model-for takes WHAT=NAME, WHAT being one of {', '.join(servers.ROLES)}")
        models[what] = name
    return servers.Target(
        options.url, models, key, options.journal, options.pid, options.timeout * options.timeout_scale
    )


def _server_options(options: argparse.Namespace) -> list[str]:
    given = ["--profile", options.profile, "--model", options.model]
    for entry in options.model_for:
        given += ["--model-for", entry]
    for name in ("api_key_env", "journal"):
        if value := getattr(options, name):
            given += [f"--{name.replace('_', '-')}", value]
    return given


# ---- The report ------------------------------------------------------------------------------------------------------


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


def _known_failures(options: argparse.Namespace, target: str) -> list[verdicts.Known]:
    if not options.known:
        return []
    try:
        text = Path(options.known).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise Usage(f"{options.known} cannot be read: {error}") from None
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
    print(reports.summary(run), file=text_to, flush=True)
    for name, form in forms:
        if name:
            _write(name, form())
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
    """Where the text goes: to standard error if a report goes to standard output."""
    return sys.stderr if any(getattr(options, form) == "-" for form in (*REPORTS, "write_known")) else sys.stdout


def _write(name: str, text: str) -> None:
    if name == "-":
        sys.stdout.write(text)
        return
    try:
        Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise Usage(f"{name} cannot be written: {error.strerror}") from None


# ---- Looking at the corpus -------------------------------------------------------------------------------------------


def _do_list(options: argparse.Namespace) -> int:
    targets = [options.globs.pop(0)] if options.globs and options.globs[0] in TARGETS else TARGETS
    vectors = [vector for target in targets for vector in corpus.load(target)]
    vectors = [vector for vector in vectors if options.profile in (None, vector.profile)]
    if options.globs:
        for pattern in options.globs:
            if not any(corpus.matching(vectors, [pattern])):
                raise Usage(f"no vector matches {pattern!r}")
        vectors = list(corpus.matching(vectors, options.globs))
    vectors = [vector for vector in vectors if options.level in (None, vector.level)]
    vectors = [vector for vector in vectors if options.tag is None or options.tag in vector.tags]
    if options.json:
        print(json.dumps([vector.as_json() for vector in vectors], indent=1))
        return 0
    width = max((len(vector.id) for vector in vectors), default=0)
    for vector in vectors:
        print(f"{vector.id:<{width}}  {vector.level:<6}  {vector.title}")
    return 0


def _find(id: str) -> Vector:
    for target in TARGETS:
        for vector in corpus.load(target):
            if vector.id == id:
                return vector
    raise Usage(f"there is no vector {id!r}; the command list shows them")


def _do_show(options: argparse.Namespace) -> int:
    vector = _find(options.id)
    if options.bytes or options.hex:
        stream = _stream(vector)
        if options.hex:
            print(stream.hex())
        else:
            sys.stdout.buffer.write(stream)
        return 0
    if options.curl:
        print(servers.curl(vector, options.curl))
        return 0
    print(f"{vector.id}  [{vector.level}]  {vector.target}, since {vector.since}\n  {vector.title}")
    for name, value in vector.basis.items():
        print(f"  {name:<9}{', '.join(value) if isinstance(value, list) else value}")
    for name in ("why", "practice"):
        if name in vector.body:
            print(f"  {name:<9}{vector.body[name]}")
    if vector.target == "decoder":
        n = vector.body.get("linear", {}).get("small", 1)
        for line in _shown_input(vector, n):
            print(f"  {line}")
        expected = decoders.expected_of(vector, n)
        wanted = {"events": expected.events, "retry": expected.retry, "last_event_id": expected.last_event_id}
        print("  expects  " + "\n           ".join(reports.event_lines(wanted)[:20]))
        return 0
    rest = {name: value for name, value in vector.body.items() if name not in ("why", "practice")}
    print("\n".join(f"  {line}" for line in json.dumps(reports.trimmed(rest), indent=1).splitlines()))
    return 0


def _stream(vector: Vector) -> bytes:
    if vector.target == "decoder":
        n = vector.body.get("linear", {}).get("large", 1)
        return b"".join(decoders.cuttings(vector, n)[0].chunks)
    if vector.target == "client":
        return b"".join(step.data for step in scripts.steps_of(vector, "http://127.0.0.1:8090")[0] if step.data)
    raise Usage(f"a vector of a {vector.target} has no bytes; show it without --bytes")


def _shown_input(vector: Vector, n: int) -> Iterator[str]:
    result = Result(vector, "pass", input=[chunk.hex() for chunk in decoders.cuttings(vector, n)[0].chunks])
    for number, line in enumerate(reports.input_lines(result)):
        yield f"{'bytes' if number == 0 else '':<9}{line}"


def _do_export(options: argparse.Namespace) -> int:
    _check_version(options)
    folder = Path(options.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in TARGETS:
            vectors = [_expanded(v) for v in corpus.load(target) if not options.as_of or v.since <= options.as_of]
            whole = {"target": target, "corpus": options.as_of or corpus.versions()[-1], "vectors": vectors}
            (folder / f"{target}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
            print(f"{folder / f'{target}.json'}: {len(vectors)} vectors")
    except OSError as error:
        raise Usage(f"{options.dir} cannot be written: {error.strerror}") from None
    return 0


def _expanded(vector: Vector) -> dict[str, Any]:
    """The vector for other runners: bytes as hex, cuttings made, texts written out."""
    whole = vector.as_json()
    if vector.target == "decoder":
        n = vector.body.get("linear", {}).get("large", 1)
        expected = decoders.expected_of(vector, n)
        whole["cuttings"] = [[chunk.hex() for chunk in cutting.chunks] for cutting in decoders.cuttings(vector, n)]
        whole["expect"] = {
            "events": expected.events,
            "last_event_id": expected.last_event_id,
            "retry": expected.retry,
            "or_error": expected.or_error,
        }
        for name in ("input", "chunks", "cuts", "chunk_size", "whole"):
            whole.pop(name, None)
    elif vector.target == "encoder":
        whole["events"] = encoders.request_of(vector)["events"]
        whole["accept"] = encoders.outcomes(vector)
    elif vector.target == "client":
        whole["connections"] = [[step.as_json() for step in steps] for steps in scripts.steps_of(vector, "{base}")]
    return whole


def _do_serve(options: argparse.Namespace) -> int:
    with scripts.HostileServer(options.port, play_all=True) as server:
        print(f"playing every client case below {server.url}/case/ID", flush=True)
        print(f"try     curl -sN --raw {server.url}/case/wire/baseline", flush=True)
        print("        Ctrl-C stops it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def _do_report(options: argparse.Namespace) -> int:
    loaded = [_read_report(name) for name in options.reports]
    if options.html:
        _write(options.html, matrix.as_html(loaded))
    if options.md or not options.html:
        _write(options.md or "-", matrix.as_table(loaded))
    return 0


def _do_self(options: argparse.Namespace) -> int:
    """Judge our own decoder, encoder, client and server, and say so for each."""
    me = [sys.executable, "-m", "sse_ref.conformance.reference"]
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    common = ["--name", "sse_ref", "--strict", "--strict-skips", *(["--brief"] if options.brief else [])]
    statuses = [
        main(["decoder", "--persistent", *common, "--", *me, "decoder"]),
        main(["encoder", "--persistent", *common, "--", *me, "encoder"]),
    ]
    for profile in ("openai-chat", "sse"):
        jobs = str(options.jobs or _cores())
        statuses.append(main(["client", "--profile", profile, "--jobs", jobs, *common, "--", *me, "client", profile]))
    for profile in ("openai-chat", "sse"):
        with servers.our_own(profile) as arguments:
            statuses.append(main(["server", "--profile", profile, *common, *arguments]))
    return max(statuses)


# ---- Arguments -------------------------------------------------------------------------------------------------------


def _check_version(options: argparse.Namespace) -> None:
    known = corpus.versions()
    if options.as_of and options.as_of not in known:
        raise Usage(f"there is no corpus version {options.as_of}; there are {', '.join(known)}")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _count(text: str) -> int:
    if not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("must be from 1 to 1000")
    return int(text)


def _port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, usage=HELP, add_help=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog=COMMAND)

    def command(
        name: str, do: Callable[[argparse.Namespace], int], text: str, usage: str = ""
    ) -> argparse.ArgumentParser:
        whole = f"%(prog)s [options] [GLOB ...] {usage}" if usage else None  # None: argparse writes it
        sub = commands.add_parser(name, help=text, description=text, usage=whole)
        sub.set_defaults(do=do)
        return sub

    listing = command("list", _do_list, "list vectors: id, level, and the fact in one sentence")
    listing.add_argument("globs", nargs="*", metavar="TARGET or GLOB", help=f"{', '.join(TARGETS)}, or globs of ids")
    listing.add_argument("--profile", choices=PROFILES)
    listing.add_argument("--level", choices=LEVELS)
    listing.add_argument("--tag")
    listing.add_argument("--json", action="store_true", help="the vectors themselves, as JSON")

    show = command("show", _do_show, "show one vector: where it comes from, its bytes, what is expected")
    show.add_argument("id")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--bytes", action="store_true", help="only the bytes, as they are")
    form.add_argument("--hex", action="store_true", help="only the bytes, as hex")
    form.add_argument("--curl", metavar="URL", help="the curl line that sends the request of a server vector to URL")

    export = command("export", _do_export, "write the corpus as plain JSON for other runners")
    export.add_argument("dir", metavar="DIR")
    export.add_argument("--as-of", metavar="VERSION")

    for target, do in (("decoder", _do_decoder), ("encoder", _do_encoder)):
        sub = command(target, do, f"judge an event stream {target}", "-- CMD ...")
        _common(sub, timeout=10.0)
        sub.add_argument("--persistent", action="store_true", help="keep one process for all vectors")
        sub.add_argument("--without", default="", metavar="F,F", help="features that it does not have")
        if target == "decoder":
            sub.add_argument("--raw", action="store_true", help="bytes on its input, one line of JSON for each event")
        else:
            sub.set_defaults(raw=False)

    client = command("client", _do_client, "judge a client: started once for each case, with our URL", "-- CMD ...")
    _common(client, timeout=20.0)
    client.add_argument("--profile", choices=PROFILES, default="openai-chat")

    server = command("server", _do_server, "judge a server by its bytes on raw sockets", "URL --model M")
    _common(server, timeout=10.0)
    server.add_argument("--profile", choices=PROFILES, default="openai-chat")
    server.add_argument("--model", default="", metavar="NAME", help="the model to ask for")
    server.add_argument(
        "--model-for",
        action="append",
        default=[],
        metavar="WHAT=NAME",
        help=f"a model made for one thing: {', '.join(servers.ROLES)}",
    )
    server.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    server.add_argument("--journal", metavar="URL", help="where a server of this package keeps its journal")
    server.add_argument("--pid", type=int, help="process of the server, to count its threads and files")
    server.set_defaults(do=_do_server)

    serve = command("serve", _do_serve, "play the client cases, for curl or a browser")
    serve.add_argument("--port", type=_port, default=0)

    report = command("report", _do_report, "put several --json reports side by side")
    report.add_argument("reports", nargs="+", metavar="REPORT.json")
    report.add_argument("--html", metavar="FILE")
    report.add_argument("--md", metavar="FILE")

    own = command("self", _do_self, "judge this package's own decoder, encoder, client and server")
    own.add_argument("--jobs", type=_count, metavar="N")
    own.add_argument("--brief", action="store_true")
    return parser


def _common(parser: argparse.ArgumentParser, timeout: float) -> None:
    parser.add_argument("globs", nargs="*", metavar="GLOB", help="ids to run; * matches anything (default: all)")
    pick = parser.add_argument_group("which vectors")
    pick.add_argument("--skip", action="append", default=[], metavar="GLOB")
    pick.add_argument("--level", choices=LEVELS)
    pick.add_argument("--tag", metavar="T")
    pick.add_argument("--only-failed", metavar="REPORT.json", help="those that failed in an earlier --json report")
    judged = parser.add_argument_group("how they count")
    judged.add_argument("--known", metavar="FILE", help="known failures; an unexpected pass fails")
    judged.add_argument("--write-known", metavar="FILE", help="write such a file")
    judged.add_argument("--allow-xpass", action="store_true", help="let unexpected passes be")
    judged.add_argument("--as-of", metavar="VERSION", help="score only what this corpus version had")
    judged.add_argument("--strict", action="store_true", help="should vectors count, too")
    judged.add_argument("--strict-skips", action="store_true", help="a skipped must vector counts as a failure")
    written = parser.add_argument_group("reports (FILE may be - for standard output)")
    for form in REPORTS:
        written.add_argument(f"--{form}", metavar="FILE")
    parser.add_argument("--name", metavar="NAME", help="what to call the program in reports")
    parser.add_argument("--timeout", type=_positive, default=timeout, metavar="S", help="default: %(default)s seconds")
    parser.add_argument("--timeout-scale", type=_positive, default=1.0, metavar="F", help="for slow machines")
    parser.add_argument("--jobs", type=_count, metavar="N", help="vectors at once")
    parser.add_argument("--brief", action="store_true", help="one line for each failure")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every vector, also those that pass")
