"""Jobs of the benchmark, their goals and their results."""

from typing import Final

from attrs import field, frozen


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
    """Calls or pages in a round."""
    is_more_better: bool = False

    def is_met(self, figure: float) -> bool:
        """Return whether a figure, rounded as in the report, meets the goal."""
        shown = round(figure, 2)
        return shown >= self.goal if self.is_more_better else shown <= self.goal


_CPU: Final = "CPU / aiohttp"

JOBS: Final[dict[str, Job]] = {
    job.letter: job
    for job in (
        Job("a", "GET of one group, one after the other", _CPU, 0.95, 2000),
        Job("b", "GET of one group, 50 at a time", _CPU, 0.90, 5000),
        Job("c", "pages of 100 groups, one after the other", _CPU, 0.70, 200),
        Job("d", "PATCH, 20 at a time", _CPU, 0.90, 1000),
        Job("e", "pages with 50 ms of latency, 8 ahead", "times faster than the best peer", 6, 48, is_more_better=True),
        Job("f", "300 creates at 30 a second", "time / least possible", 1.02),
        Job("g", "a million groups streamed", "MB more than at first", 10),
        Job("h", "a thousand clients on one connector", "KB a client", 64),
        Job("i", "bulk of 10,000 operations", "CPU / by hand", 1.15),
        Job("j", "import", "time / its four core dependencies", 1.10),
        Job("k", "plan for 100,000 groups of 50 members", "s", 3),
    )
}
CALLS: Final = "abcd"
"""Jobs that each contender runs, in blocks that alternate with plain aiohttp."""


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
class Results:
    """One run."""

    machine: str
    date: str
    rounds: int
    scale: float
    ratios: tuple[Ratio, ...] = ()
    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = field(default=())
    """Contenders that are not installed."""
