"""Times and durations, in words for people."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from secoda_async.reconcile.wording import count_mutations

if TYPE_CHECKING:
    from secoda_async import Plan

_MINUTE: Final = 60
"""Seconds in a minute, minutes in an hour."""


def estimate(plan: "Plan") -> str:
    """Return how many writes and deletes a plan has, and how long they take at least.

    A new process can't know what others wrote in the last minute.
    """
    mutations = count_mutations(change.kind for change in plan.changes)
    return f"{mutations}, {at_least(plan.seconds)} if no other program wrote in the last minute"


def at_least(seconds: float) -> str:
    """Return the shortest duration of a job: `immediately`, `at least 2 min 00 s`."""
    return f"at least {duration(seconds)}" if seconds else "immediately"


def time_left(items: int, seconds: float) -> str:
    """Return the time that the items take by the write limit, or their number if the limit does not delay them.

    The limit knows nothing of a service that is slow or down, so the text never says that the end is near.
    """
    return f"at least {duration(seconds)} left" if seconds >= 1 else f"{items} left"


def duration(seconds: float) -> str:
    """Return a duration for people: `4.0 s`, `12 min 05 s`, `1 h 20 min`."""
    if seconds < 9.95:  # noqa: PLR2004 - below ten seconds, tenths matter
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02} min"


def format_time(time: datetime | None) -> str:
    """Return a time for people: `2026-01-31 08:05:00 UTC`."""
    return "(unknown)" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"
