"""Start the jobs other than a to d, and turn what they measure into figures."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, Final

from attrs import frozen

from tests.bench.canned import PAGE_SIZE
from tests.bench.children import CLIENT, SERVER, Child, environment, server
from tests.bench.contenders import CONTENDERS, FLOOR, OURS
from tests.bench.results import JOBS, SIZES, Figure, Growth

_LATENCY: Final = 0.05

_READ_LATENCY, _WRITE_LATENCY = 0.01, 2.0
"""Seconds of l."""

_LATENCIES: Final = (0.01, 0.2, 2.0)
"""Seconds of o, in real time."""

_TIME_SCALE: Final = 0.1
"""Fraction of the real time in which o runs."""

_SLOW: Final = 3
"""Maximum rounds of jobs that take seconds."""

_IMPORT: Final = "from secoda_async import SecodaClient"
"""The import of a program: `import secoda_async` alone loads nothing."""
_DEPENDENCIES: Final = "import aiohttp, attrs, cattrs, tenacity"


@frozen
class Effort:
    """The extent of a run."""

    contenders: Sequence[str]
    rounds: int
    scale: float
    say: Callable[[str], None]

    @property
    def few(self) -> int:
        """Rounds of jobs that take seconds."""
        return min(self.rounds, _SLOW)

    def groups(self, number: int) -> int:
        """Return the scaled number of groups: whole pages."""
        return max(1, int(number * self.scale) // PAGE_SIZE) * PAGE_SIZE


def measure(job: str, effort: Effort) -> Figure:
    """Run a job."""
    effort.say(f"{job}: {JOBS[job].what}")
    return _FIGURES[job](effort)


def growths(effort: Effort) -> Iterator[Growth]:
    """Run each operation at each size, in a new process each time."""
    for what in ("snapshot", "list", "plan", "bulk"):
        for size in sorted({effort.groups(number) for number in SIZES}):
            effort.say(f"scaling: {what} of {size:,} groups")
            runs = [_run_at_size(what, size)[0] for _ in range(1 if size >= SIZES[-1] else effort.few)]
            yield Growth(
                what,
                size,
                median(each["seconds"] for each in runs) / size * 1e6,
                median(each["megabytes"] for each in runs),
            )


def _run_at_size(job: str, size: int) -> tuple[Any, float]:
    """Run a job on a number of groups of 50 members; return what it measured, and the megabytes of JSON of the list."""
    pages = size // PAGE_SIZE
    with server("--pages", str(pages), "--kind", "members") as base:
        got = _run(job, "--base", base, "--size", str(size), allocator="default")  # users see its memory
        with urllib.request.urlopen(f"{base}/count") as response:  # noqa: S310 - http, on this machine
            counts: dict[str, int] = json.load(response)
    return got, counts["bytes"] / max(1, counts["requests"]) * pages / 2**20


def _run(job: str, *arguments: str, allocator: str = "pinned") -> Any:
    with Child.running("measures", job, "--core", CLIENT, *arguments, allocator=allocator) as child:
        return child.read()


def _ahead(effort: Effort) -> Figure:
    """Read a list over a slow connection; the other clients can only read page by page."""
    pages = max(16, int(JOBS["e"].number * effort.scale))
    seconds: dict[str, list[float]] = {}
    with server("--pages", str(pages), "--latency", str(_LATENCY)) as base:
        for _ in range(effort.few):
            for name in {FLOOR, OURS, *effort.contenders}:
                if "e" in CONTENDERS[name].jobs:
                    with Child.running(
                        "worker", "--core", CLIENT, "--cold", "--contender", name, "--base", base
                    ) as child:
                        child.read()
                        seconds.setdefault(name, []).append(child.ask(f"e {pages}")["wall"])
    ours = median(seconds.pop(OURS))
    peer, best = min(((name, median(each)) for name, each in seconds.items()), key=lambda each: each[1])
    return Figure("e", best / ours, f"{pages} pages in {ours:.2f} s; {peer}: {best:.2f} s")


def _creates(effort: Effort) -> Figure:
    with Child.running("emulate", "--core", SERVER) as emulator:
        where = emulator.read()
        got = _run("f", "--base", where["url"], "--key", where["key"], "--scale", str(effort.scale))
        emulator.end()
        seen = emulator.read()
    return Figure(
        "f",
        got["ratio"],
        f"{got['seconds']:.2f} s, least {got['least']:.0f} s; {seen['taken']} made, {seen['refused']} refused",
    )


def _stream(effort: Effort) -> Figure:
    with server("--pages", str(max(200, int(JOBS["g"].number * effort.scale) // PAGE_SIZE))) as base:
        got = _run("g", "--base", base)
    return Figure("g", got["megabytes"], f"{got['groups']:,} groups")


def _clients(effort: Effort) -> Figure:
    with server() as base:
        runs = [_run("h", "--base", base, "--scale", str(effort.scale)) for _ in range(effort.rounds)]
    most = max(runs, key=lambda each: each["kilobytes"])
    return Figure(
        "h", most["kilobytes"], f"{most['clients']:,} clients, closed in {max(r['close'] for r in runs):.3f} s"
    )


def _bulk(effort: Effort) -> Figure:
    with server() as base:
        runs = [_run("i", "--base", base, "--scale", str(effort.scale)) for _ in range(effort.few)]
    return Figure("i", median(each["ratio"] for each in runs), f"{runs[0]['operations']:,} operations")


def _plans(effort: Effort) -> Figure:
    size = effort.groups(JOBS["k"].number)
    runs = [_run("k", "--size", str(size)) for _ in range(effort.few)]
    ratio = median(each["times_a_tenth"] for each in runs)
    return Figure("k", median(each["seconds"] for each in runs), f"{size:,} groups, {ratio:.1f} times a tenth of them")


def _reads_beside_writes(effort: Effort) -> Figure:
    """Return the larger of the ratios of the two limits."""
    with server("--latency", str(_READ_LATENCY), "--write-latency", str(_WRITE_LATENCY)) as base:
        runs = [_run("l", "--base", base, "--scale", str(effort.scale)) for _ in range(effort.few)]
    ratios, texts = list[float](), list[str]()
    for name in runs[0]:
        ratios.append(median(run[name]["busy"] / run[name]["idle"] for run in runs))
        idle, idle_p99, busy, busy_p99 = (
            median(run[name][key] for run in runs) for key in ("idle", "idle_p99", "busy", "busy_p99")
        )
        texts.append(f"{name}: p50 {busy:.1f} ms, p99 {busy_p99:.0f} ms (idle: {idle:.1f} and {idle_p99:.0f} ms)")
    return Figure("l", max(ratios), "; ".join(texts))


def _memory(effort: Effort) -> Figure:
    size = effort.groups(JOBS["m"].number)
    got, json_megabytes = _run_at_size("snapshot", size)
    gained = got["megabytes"]
    return Figure("m", gained / json_megabytes, f"{size:,} groups: {gained:.0f} MB, {json_megabytes:.0f} MB of JSON")


def _new_field(effort: Effort) -> Figure:
    with server() as plain, server("--kind", "new_field") as new:
        arguments = ("--base", plain, "--base", new, "--scale", str(effort.scale))
        runs = [_run("n", *arguments) for _ in range(effort.few)]
    return Figure("n", median(each["ratio"] for each in runs), f"{runs[0]['pages']} pages")


def _use_of_limit(effort: Effort) -> Figure:
    speed = _TIME_SCALE * effort.scale
    with ExitStack() as stack:
        bases = [stack.enter_context(server("--write-latency", str(latency * speed))) for latency in _LATENCIES]
        arguments = (part for base in bases for part in ("--base", base))
        got: list[float] = _run("o", *arguments, "--scale", str(effort.scale))
    found = dict(zip(_LATENCIES, got, strict=True))
    others = "; ".join(f"{latency:g} s: {found[latency]:.2f} of {_ideal(latency):.2f}" for latency in _LATENCIES)
    return Figure("o", found[0.2], f"latency {others} possible; at {1 / speed:g} times the speed")


def _ideal(latency: float) -> float:
    """Writes in a window if a permit is free 60 s after the response: nothing else costs time."""
    return 30 * 60 / (60 + latency)


def _imports(effort: Effort) -> Figure:
    ratios, ours = list[float](), list[float]()
    _import_time(_IMPORT)  # compiles the package
    for _ in range(max(3, int(15 * effort.scale))):
        whole, parts = _import_time(_IMPORT), _import_time(_DEPENDENCIES)
        ratios.append(whole / parts)
        ours.append(whole)
    return Figure("j", median(ratios), f"{median(ours) * 1000:.0f} ms")


def _import_time(statement: str) -> float:
    program = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment("default"))
    return float(done.stdout)


_FIGURES: Final[Mapping[str, Callable[[Effort], Figure]]] = {
    "e": _ahead,
    "f": _creates,
    "g": _stream,
    "h": _clients,
    "i": _bulk,
    "j": _imports,
    "k": _plans,
    "l": _reads_beside_writes,
    "m": _memory,
    "n": _new_field,
    "o": _use_of_limit,
}
