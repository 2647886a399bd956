"""The events of a client over time: a chart of its writes against the limit, and rows of a table."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from operator import itemgetter
from typing import Any, Final, TypeGuard

from attrs import define, field, frozen

from secoda_async import AttemptEvent, Clock, Event, RateLimit, WaitEvent
from secoda_async._engine.wire.protocol import LIMITED
from secoda_async.cli.output.times import duration

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BASE = 960, 220, 40, 945, 18, 190

_MINIMUM_SECONDS: Final = 0.01
"""The shortest time axis."""

_MAX_TICKS: Final = 8
"""Intervals on the time axis, at most."""

_STEPS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
"""Seconds between two marks of the time axis; above, hours."""

_HOUR: Final = 3600
_TENTH: Final = 0.1

_ROUNDING: Final = 1e-9

_MARGIN: Final = 30
"""Columns at the right edge that a centered text would leave."""

_Timed = tuple[float, Event]


@define
class Recorder:
    """Records events with their time: pass it as `on_event`."""

    clock: Clock
    events: list[_Timed] = field(init=False, factory=list[_Timed])
    began: float = field(init=False)
    """The start of the apply; events before it have a negative time."""

    def __attrs_post_init__(self) -> None:
        self.begin()

    def __call__(self, event: Event) -> None:
        """Record an event."""
        self.events.append((self.clock.now(), event))

    def begin(self) -> None:
        """Count the time from now on."""
        self.began = self.clock.now()

    @property
    def timed(self) -> Sequence[_Timed]:
        """The events, each with the seconds since the start of the apply."""
        return [(at - self.began, event) for at, event in self.events]


@frozen
class _Scale:
    """Converts seconds and counts to coordinates."""

    seconds: float
    most: int

    def x(self, seconds: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * seconds / self.seconds, 1)

    def y(self, count: float) -> float:
        return round(_BASE - (_BASE - _TOP) * count / self.most, 1)


def chart(events: Sequence[_Timed], limit: RateLimit) -> Mapping[str, Any] | None:
    """Return the chart of the writes sent in the window before each moment; None if there were none.

    Events are recorded at their end, so a request was sent `event.seconds` earlier.
    """
    sent = sorted(
        ((max(0.0, at - event.seconds), event) for at, event in events if _is_limited(event)), key=itemgetter(0)
    )
    if not sent:
        return None
    starts = [start for start, _ in sent]
    counts = [index + 1 - bisect_right(starts, start - limit.per_seconds) for index, start in enumerate(starts)]
    end = max(at for at, _ in events)
    scale = _Scale(max(end, _MINIMUM_SECONDS), max(limit.places, *counts) + 2)
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _RIGHT,
        "base": _BASE,
        "limit": limit.places,
        "limit_y": scale.y(limit.places),
        "path": _path(scale, starts, limit.per_seconds, end),
        "times": list(_ticks(scale)),
        "waits": [_wait_bar(scale, start, stop) for start, stop in _merged(events)],
        "dots": [_dot(scale, start, count, event) for (start, event), count in zip(sent, counts, strict=True)],
        "text": (
            f"The line shows the POST, PUT and PATCH requests that this run sent in the {limit.per_seconds:g} s "
            f"before each moment: at most {max(counts)}, and the limit is {limit.places}. A dot is a request: green = "
            "success, red = failure, large = retry. A bar at the top is a wait."
        ),
    }


def _path(scale: _Scale, starts: Sequence[float], window: float, end: float) -> str:
    """Return the step line: up by one when a request is sent, down by one a window later."""
    ups = [(start, 1) for start in starts]
    downs = [(start + window, -1) for start in starts if start + window < end]
    path, count = f"M{scale.x(0)} {scale.y(0)}", 0
    for at, step in sorted(ups + downs):
        count += step
        path += f"H{scale.x(at)}V{scale.y(count)}"
    return f"{path}H{scale.x(end)}"


def _ticks(scale: _Scale) -> Iterable[Mapping[str, object]]:
    """Yield the marks of the time axis, at round times."""
    hours = _HOUR * ceil(scale.seconds / _HOUR / _MAX_TICKS)
    step = next((step for step in _STEPS if scale.seconds / step <= _MAX_TICKS), hours)
    for number in range(floor(scale.seconds / step + _ROUNDING) + 1):
        seconds = number * step
        x = scale.x(seconds)
        text = f"{seconds * 1000:.0f} ms" if step < _TENTH else duration(seconds)
        yield {"x": x, "text": text, "anchor": "end" if x > _RIGHT - _MARGIN else "middle"}


def _wait_bar(scale: _Scale, start: float, end: float) -> Mapping[str, object]:
    return {
        "x": scale.x(start),
        "width": max(1.0, round(scale.x(end) - scale.x(start), 1)),
        "text": f"waiting, {duration(end - start)}",
    }


def _dot(scale: _Scale, start: float, count: int, event: AttemptEvent) -> Mapping[str, object]:
    return {
        "x": scale.x(start),
        "y": scale.y(count),
        "r": 2.5 if event.attempt == 1 else 4,
        "color": _color(event),
        "text": f"{event.method} {_result(event)}, attempt {event.attempt}, at {duration(start)}",
    }


def _is_limited(event: Event) -> TypeGuard[AttemptEvent]:
    return isinstance(event, AttemptEvent) and event.method in LIMITED


def _merged(events: Iterable[_Timed]) -> list[tuple[float, float]]:
    """Return the start and end of each wait; overlapping waits are one."""
    merged: list[tuple[float, float]] = []
    waits = ((at - event.seconds, at) for at, event in events if isinstance(event, WaitEvent) and at > 0)
    for start, end in sorted(waits):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((max(0.0, start), end))
    return merged


def _color(event: AttemptEvent) -> str:
    return "create" if event.ok else "delete"


def _result(event: AttemptEvent) -> str:
    return str(event.error or event.status)


def _format_time(seconds: float) -> str:
    return duration(seconds) if seconds >= 0 else f"-{duration(-seconds)}"


def event_row(at: float, event: Event) -> Mapping[str, str]:
    """Return an event as a row of the table."""
    shared = {"at": _format_time(at), "call": f"{event.method} {event.path}", "seconds": f"{event.seconds:.2f}"}
    if isinstance(event, WaitEvent):
        return {**shared, "event": "wait", "attempt": "", "result": event.reason, "kind": ""}
    return {
        **shared,
        "event": "request",
        "attempt": str(event.attempt),
        "result": _result(event),
        "kind": _color(event),
    }
