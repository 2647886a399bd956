"""Run the jobs: contender and plain aiohttp alternate in processes of their own; the other jobs follow."""

import os
import platform
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import Final

from tests.bench import figures
from tests.bench.children import CLIENT, Child, server
from tests.bench.contenders import CONTENDERS, FLOOR, OURS, is_installed
from tests.bench.results import CALLS, JOBS, SCALING, Ratio, Results

_BLOCKS: Final = 10
"""Blocks of a round: contender and plain aiohttp alternate, so that noise affects both."""

_SLOW: Final = 0.25
"""Fraction of the calls that a client makes which takes several times the CPU time of the others."""


def run(
    jobs: Sequence[str],
    contenders: Sequence[str],
    rounds: int,
    scale: float,
    say: Callable[[str], None],
    label: str = "",
) -> Results:
    """Run the jobs and return the results.

    Args:
        jobs: Letters of `JOBS`, or `SCALING`.
        contenders: Names of clients; plain aiohttp is always measured.
        rounds: Measurements of each pair.
        scale: Fraction of the calls of each job to make.
        say: Called with lines about the progress.
        label: Heading of the column. Default: the version of Python.
    """
    present = [name for name in contenders if is_installed(name) and name != FLOOR]
    effort = figures.Effort(present, rounds, scale, say)
    return Results(
        label=label or f"Python {platform.python_version()}",
        machine=_machine(),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        rounds=rounds,
        scale=scale,
        ratios=tuple(_ratios([job for job in jobs if job in CALLS], effort)),
        figures=tuple(figures.measure(job, effort) for job in jobs if job not in (*CALLS, SCALING)),
        growths=tuple(figures.growths(effort)) if SCALING in jobs else (),
        missing=tuple(name for name in contenders if not is_installed(name)),
    )


def _machine() -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores{load}, "
        f"Python {platform.python_version()}, aiohttp {version('aiohttp')}"
    )


def _ratios(jobs: Sequence[str], effort: "figures.Effort") -> Iterator[Ratio]:
    if not jobs:
        return
    measured: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    cases = [(name, "pinned") for name in effort.contenders] + [(OURS, "default")] * (OURS in effort.contenders)
    with server() as base:
        for number in range(effort.rounds):
            for name, allocator in random.sample(cases, len(cases)):
                effort.say(f"round {number + 1} of {effort.rounds}: {name} ({allocator} allocator)")
                scale = effort.scale * (_SLOW if CONTENDERS[name].is_slow else 1)
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
                Child.running("worker", "--core", CLIENT, "--contender", each, "--base", base, allocator=allocator)
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
