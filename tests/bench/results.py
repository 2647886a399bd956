"""Jobs of the benchmark, their goals, and the results of one or several runs."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from statistics import median
from typing import Final, TypeVar

from attrs import evolve, frozen

T = TypeVar("T")


@frozen
class Job:
    """A measurement."""

    letter: str
    what: str
    unit: str
    """Unit of the figure."""
    goal: float
    """The figure must be at most this; at least, when `is_more_better`."""
    number: int = 0
    """Calls, pages or groups in a round."""
    is_more_better: bool = False
    is_internal: bool = False
    """Whether users notice the figure only as a part of others."""

    def is_met(self, figure: float) -> bool:
        """Return whether a figure, rounded as in the report, meets the goal."""
        shown = round(figure, 2)
        return shown >= self.goal if self.is_more_better else shown <= self.goal

    @property
    def goal_with_unit(self) -> str:
        return f"{'≥' if self.is_more_better else '≤'} {self.goal:g} {self.unit}".rstrip()


def _ratio(letter: str, what: str, goal: float, number: int) -> Job:
    return Job(letter, what, "", goal, number, is_internal=True)


JOBS: Final[dict[str, Job]] = {
    job.letter: job
    for job in (
        Job("k", "CPU time of a plan for 100,000 groups of 50 members", "s", 2, 100_000),
        Job("l", "Median latency of 20 readers while 300 writes of 2 s wait, over that without writes", "", 1.10, 100),
        Job("m", "Memory of a snapshot of 100,000 groups of 50 members, over its JSON", "", 0.60, 100_000),
        Job("o", "Writes in each window of 30, at 200 ms of latency", "", 29.8, 120, is_more_better=True),
        Job("e", "List with 50 ms of latency, 8 pages ahead: times faster than other clients", "", 6, 48,
            is_more_better=True),
        Job("f", "300 creates at 30 a second, over the least possible time", "", 1.02, 300),
        Job("g", "Memory that grows while a million groups are listed", "MB", 10, 1_000_000),
        Job("h", "Memory of each of a thousand clients on one connector", "KB", 64, 1000),
        Job("j", "CPU time to import SecodaClient, over that of aiohttp, attrs, cattrs and tenacity", "", 1.06),
        _ratio("a", "GET of one group, one after the other", 0.98, 2000),
        _ratio("b", "GET of one group, 50 at a time", 0.98, 5000),
        _ratio("c", "Pages of 100 groups, one after the other", 0.82, 200),
        _ratio("d", "PATCH, 20 at a time", 1.04, 1000),
        _ratio("i", "Bulk of 10,000 operations, over the same calls by hand", 1.15, 10_000),
        _ratio("n", "Page with a field that the client does not know, over one without", 1.10, 200),
    )
}  # fmt: skip
CALLS: Final = "abcd"
"""Jobs that each contender runs, in blocks that alternate with plain aiohttp."""

SCALING: Final = "scaling"
"""Name of the job that repeats four operations at several sizes."""

_LOAD: Final = re.compile(r"load ([0-9.]+)")
"""Load of a machine, in its description."""

SIZES: Final = (1000, 10_000, 100_000)
"""Numbers of groups of the scaling table."""


@frozen
class Ratio:
    """CPU time of a contender divided by that of plain aiohttp, for each round."""

    contender: str
    job: str
    allocator: str
    """`pinned` or `default`."""
    rounds: tuple[float, ...]
    microseconds: float
    """CPU for one call or page."""


@frozen
class Figure:
    """Result of one of the other jobs."""

    job: str
    value: float
    more: str = ""
    """Additional text for the report."""


@frozen
class Growth:
    """Cost of an operation on a number of groups."""

    what: str
    groups: int
    microseconds: float
    """CPU for each group."""
    megabytes: float
    """Memory that the process has gained at the end."""


@frozen
class Results:
    """One run, or the medians of several."""

    label: str
    """Heading of the column; runs with the same label are merged."""
    machine: str
    date: str
    rounds: int
    scale: float
    ratios: tuple[Ratio, ...] = ()
    figures: tuple[Figure, ...] = ()
    growths: tuple[Growth, ...] = ()
    missing: tuple[str, ...] = ()
    """Contenders that are not installed."""
    runs: int = 1


def merge_runs(runs: Iterable[Results]) -> list[Results]:
    """Return one result for each label, with the medians of its runs."""
    return [_median_of(same) for same in _group_by(runs, lambda run: run.label).values()]


def _median_of(runs: Sequence[Results]) -> Results:
    first, dates = runs[0], sorted(run.date for run in runs)
    if len(runs) == 1:
        return first
    ratios = _group_by(
        (each for run in runs for each in run.ratios), lambda each: (each.contender, each.job, each.allocator)
    )
    figures = _group_by((each for run in runs for each in run.figures), lambda each: each.job)
    growths = _group_by((each for run in runs for each in run.growths), lambda each: (each.what, each.groups))
    return evolve(
        first,
        machine=_join_machines([run.machine for run in runs]),
        date=dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
        ratios=tuple(_median_ratio(same) for same in ratios.values()),
        figures=tuple(_middle(same) for same in figures.values()),
        growths=tuple(_median_growth(same) for same in growths.values()),
        runs=sum(run.runs for run in runs),
    )


def _join_machines(machines: Sequence[str]) -> str:
    """Return the descriptions, each once; those that differ in the load only become one with the range of the load."""
    loads = dict[str, list[float]]()
    for machine in machines:
        loads.setdefault(_LOAD.sub("load {}", machine), []).extend(map(float, _LOAD.findall(machine)))
    return "; ".join(machine.replace("{}", _range_of(numbers)) for machine, numbers in loads.items())


def _range_of(numbers: Sequence[float]) -> str:
    ends = {min(numbers, default=0.0), max(numbers, default=0.0)}
    return " to ".join(f"{number:g}" for number in sorted(ends))


def _group_by(items: Iterable[T], key: Callable[[T], Hashable]) -> Mapping[Hashable, list[T]]:
    groups = dict[Hashable, list[T]]()
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _median_ratio(same: Sequence[Ratio]) -> Ratio:
    """Keep the median of each run, so that the range is that between runs."""
    return evolve(
        same[0],
        rounds=tuple(median(each.rounds) for each in same),
        microseconds=median(each.microseconds for each in same),
    )


def _middle(same: Sequence[Figure]) -> Figure:
    """Return the median, with the text of the run that is closest to it."""
    value = median(each.value for each in same)
    return evolve(min(same, key=lambda each: abs(each.value - value)), value=value)


def _median_growth(same: Sequence[Growth]) -> Growth:
    return evolve(
        same[0],
        microseconds=median(each.microseconds for each in same),
        megabytes=median(each.megabytes for each in same),
    )
