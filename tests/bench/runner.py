"""Start the processes: the server on one core, clients on another; contender and plain aiohttp alternate."""

import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

from attrs import define

from tests.bench.contenders import CONTENDERS, FLOOR, OURS, is_installed
from tests.bench.results import CALLS, JOBS, Figure, Ratio, Results

_CLIENT, _SERVER = "0", "1"
"""Cores of the client and the server."""

_BLOCKS: Final = 10
"""Blocks of a round: contender and plain aiohttp alternate, so that noise affects both."""

_PINNED: Final = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26)}
"""By default glibc may map a new buffer for each read in one process and not in another."""

_PATH: Final = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
"""Import path of the processes."""

_PYTHON: Final = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE")
"""Environment variables that slow Python down."""

_LATENCY: Final = 0.05

_IMPORTS: Final = 15

_DEPENDENCIES: Final = "import aiohttp, attrs, cattrs, tenacity"


def _environment(allocator: str) -> dict[str, str]:
    unwanted = (*_PINNED, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", *_PYTHON)
    kept = {name: value for name, value in os.environ.items() if name.upper() not in unwanted}
    return {**kept, "NO_PROXY": "*", "PYTHONPATH": _PATH, **(_PINNED if allocator == "pinned" else {})}


@define
class Child:
    """A process of this package that prints lines of JSON."""

    process: "subprocess.Popen[str]"

    @classmethod
    @contextmanager
    def running(cls, module: str, *arguments: str, allocator: str = "default") -> Generator[Self, None, None]:
        """Start the process; closing its standard input at the end makes the process exit."""
        command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment(allocator)
        ) as process:
            yield cls(process)

    def read(self) -> Any:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} has ended early")  # type: ignore[arg-type, unused-ignore]
        return json.loads(line)

    def ask(self, line: str) -> Any:
        """Send a line and return the reply."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        """Close standard input of the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextmanager
def _server(*arguments: str) -> Generator[str, None, None]:
    """Run the server and yield its base URL."""
    with Child.running("server", "--core", _SERVER, *arguments) as server:
        yield f"http://127.0.0.1:{server.read()['port']}"


def run(
    jobs: Sequence[str], contenders: Sequence[str], rounds: int, scale: float, say: Callable[[str], None]
) -> Results:
    """Run the jobs and return the results.

    Args:
        jobs: Letters of `JOBS`.
        contenders: Names of clients; plain aiohttp is always measured.
        rounds: Minimum measurements of each pair.
        scale: Fraction of the calls of each job to make.
        say: Called with lines about the progress.
    """
    present = [name for name in contenders if is_installed(name) and name != FLOOR]
    return Results(
        machine=f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, aiohttp {version('aiohttp')}",
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        rounds=rounds,
        scale=scale,
        ratios=tuple(_ratios([job for job in jobs if job in CALLS], present, rounds, scale, say)),
        figures=tuple(_figures([job for job in jobs if job not in CALLS], present, rounds, scale, say)),
        missing=tuple(name for name in contenders if not is_installed(name)),
    )


def _ratios(
    jobs: Sequence[str], contenders: Sequence[str], rounds: int, scale: float, say: Callable[[str], None]
) -> Iterator[Ratio]:
    if not jobs:
        return
    measured: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    cases = [(name, "pinned") for name in contenders] + [(OURS, "default")] * (OURS in contenders)
    with _server() as base:
        for number in range(rounds):
            for name, allocator in random.sample(cases, len(cases)):
                say(f"round {number + 1} of {rounds}: {name} ({allocator} allocator)")
                for job, pair in _duel(name, allocator, jobs, scale, base).items():
                    measured.setdefault((name, job, allocator), []).append(pair)
    for (name, job, allocator), pairs in measured.items():
        yield Ratio(name, job, allocator, tuple(ratio for ratio, _ in pairs), median(each for _, each in pairs))


def _duel(name: str, allocator: str, jobs: Sequence[str], scale: float, base: str) -> Mapping[str, tuple[float, float]]:
    """Alternate a contender and plain aiohttp; return the ratio of CPU time, and microseconds for a call."""
    pairs: dict[str, tuple[float, float]] = {}
    with ExitStack() as stack:
        ours, floor = (
            stack.enter_context(
                Child.running("worker", "--core", _CLIENT, "--contender", each, "--base", base, allocator=allocator)
            )
            for each in (name, FLOOR)
        )
        for child in (ours, floor):
            child.read()
        for job in jobs:
            if job not in CONTENDERS[name].jobs:
                continue
            number, times = JOBS[job].number, _BLOCKS
            if CONTENDERS[name].reads_whole and job == "c":
                calls, times = number, 1
            else:
                calls = max(1, int(number * scale) // times)
            blocks = list[tuple[float, float]]()
            for block in range(times):
                order = (ours, floor) if block % 2 else (floor, ours)
                seconds = {id(child): child.ask(f"{job} {calls}")["cpu"] for child in order}
                blocks.append((seconds[id(ours)], seconds[id(floor)]))
            pairs[job] = (
                median(mine / theirs for mine, theirs in blocks),
                median(mine for mine, _ in blocks) / calls * 1e6,
            )
    return pairs


def _figures(
    jobs: Sequence[str], contenders: Sequence[str], rounds: int, scale: float, say: Callable[[str], None]
) -> Iterator[Figure]:
    for job in jobs:
        say(f"{job}: {JOBS[job].what}")
        yield {
            "e": lambda: _ahead(contenders, rounds, scale),
            "f": lambda: _creates(scale),
            "g": lambda: _stream(scale),
            "h": lambda: _clients(rounds, scale),
            "i": lambda: _bulk(rounds, scale),
            "j": lambda: _imports(max(3, int(_IMPORTS * scale))),
            "k": lambda: _plans(rounds, scale),
        }[job]()


def _ahead(contenders: Sequence[str], rounds: int, scale: float) -> Figure:
    """Read a list over a slow connection; the other clients can only read page by page."""
    pages = max(16, int(JOBS["e"].number * scale))
    seconds: dict[str, list[float]] = {}
    with _server("--pages", str(pages), "--latency", str(_LATENCY)) as base:
        for _ in range(min(rounds, 3)):
            for name in {FLOOR, OURS, *contenders}:
                if "e" in CONTENDERS[name].jobs:
                    with Child.running(
                        "worker", "--core", _CLIENT, "--cold", "--contender", name, "--base", base
                    ) as child:
                        child.read()
                        seconds.setdefault(name, []).append(child.ask(f"e {pages}")["wall"])
    ours = median(seconds.pop(OURS))
    peer, best = min(((name, median(each)) for name, each in seconds.items()), key=lambda each: each[1])
    return Figure("e", best / ours, f"{pages} pages in {ours:.2f} s; {peer}: {best:.2f} s")


def _creates(scale: float) -> Figure:
    with Child.running("emulate", "--core", _SERVER) as emulator:
        where = emulator.read()
        got = _measured("f", "--base", where["url"], "--key", where["key"], "--scale", str(scale))
        emulator.end()
        seen = emulator.read()
    return Figure(
        "f",
        got["ratio"],
        f"{got['seconds']:.2f} s, least {got['least']:.0f} s; {seen['taken']} made, {seen['refused']} refused",
    )


def _stream(scale: float) -> Figure:
    with _server("--pages", str(max(200, int(10_000 * scale)))) as base:
        got = _measured("g", "--base", base)
    return Figure("g", got["megabytes"], f"{got['groups']:,} groups")


def _clients(rounds: int, scale: float) -> Figure:
    with _server() as base:
        runs = [_measured("h", "--base", base, "--scale", str(scale)) for _ in range(rounds)]
    most = max(runs, key=lambda each: each["kilobytes"])
    return Figure(
        "h", most["kilobytes"], f"{most['clients']:,} clients, closed in {max(r['close'] for r in runs):.3f} s"
    )


def _bulk(rounds: int, scale: float) -> Figure:
    with _server() as base:
        runs = [_measured("i", "--base", base, "--scale", str(scale)) for _ in range(rounds)]
    return Figure("i", median(each["ratio"] for each in runs), f"{runs[0]['operations']:,} operations")


def _plans(rounds: int, scale: float) -> Figure:
    runs = [_measured("k", "--scale", str(scale)) for _ in range(min(rounds, 3))]
    ratio = median(each["times_a_tenth"] for each in runs)
    return Figure(
        "k",
        median(each["seconds"] for each in runs),
        f"{runs[0]['groups']:,} groups, {ratio:.1f} times what a tenth takes",
    )


def _measured(job: str, *arguments: str) -> Any:
    with Child.running("measures", job, "--core", _CLIENT, *arguments, allocator="pinned") as child:
        return child.read()


def _imports(times: int) -> Figure:
    ratios, ours = list[float](), list[float]()
    _import_time("import secoda_async")  # compiles the package
    for _ in range(times):
        whole, parts = _import_time("import secoda_async"), _import_time(_DEPENDENCIES)
        ratios.append(whole / parts)
        ours.append(whole)
    return Figure("j", median(ratios), f"{median(ours) * 1000:.0f} ms")


def _import_time(statement: str) -> float:
    program = f"import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment("default"))
    return float(done.stdout)
