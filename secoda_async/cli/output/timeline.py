"""What a client told while it worked, and when: as a picture of the writes against the limit, and as a table."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeGuard

from attrs import define, field, frozen

from secoda_async import AttemptEvent, Clock, Event, RateLimit, WaitEvent
from secoda_async._engine.wire.protocol import LIMITED
from secoda_async.cli.output.console import duration

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BASE = 960, 220, 40, 945, 18, 190

_SHORTEST: Final = 12.0
"""Seconds that the axis of time shows, at least."""

_MARKS: Final = 6
"""Parts of the axis of time."""


@define
class Recorder:
    """Keeps what a client tells while it works, and when: pass it as `on_event`."""

    clock: Clock
    events: list[tuple[float, Event]] = field(init=False, factory=list[tuple[float, Event]])
    began: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.began = self.clock.now()

    def __call__(self, event: Event) -> None:
        """Keep it."""
        self.events.append((self.clock.now() - self.began, event))


@frozen
class _Scale:
    """From seconds and counts to places in the picture."""

    seconds: float
    most: int

    def x(self, seconds: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * seconds / self.seconds, 1)

    def y(self, count: float) -> float:
        return round(_BASE - (_BASE - _TOP) * count / self.most, 1)


def chart(events: Sequence[tuple[float, Event]], limit: RateLimit) -> Mapping[str, Any] | None:
    """How many writes were sent in the window that ends at each moment, against how many may be."""
    sent = sorted(
        ((max(0.0, at - event.seconds), event) for at, event in events if _is_limited(event)), key=itemgetter(0)
    )
    if not sent:
        return None
    window = limit.per_seconds
    last = max(at for at, _ in events)
    starts = [start for start, _ in sent]
    counts = [index + 1 - bisect_right(starts, start - window) for index, start in enumerate(starts)]
    scale = _Scale(max(last, _SHORTEST), max(limit.places, *counts) + 2)
    steps = sorted(
        [(start, 1) for start, _ in sent] + [(start + window, -1) for start, _ in sent if start + window < last]
    )
    path, count = f"M{scale.x(0)} {scale.y(0)}", 0
    for at, change in steps:
        count += change
        path += f"H{scale.x(at)}V{scale.y(count)}"
    waits = _merged([(at - event.seconds, at) for at, event in events if isinstance(event, WaitEvent)])
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _RIGHT,
        "base": _BASE,
        "limit": limit.places,
        "limit_y": scale.y(limit.places),
        "path": f"{path}H{scale.x(last)}",
        "times": [_mark(scale, part) for part in range(_MARKS + 1)],
        "waits": [
            {
                "x": scale.x(start),
                "width": max(1.0, round(scale.x(end) - scale.x(start), 1)),
                "text": f"waiting, {duration(end - start)}",
            }
            for start, end in waits
        ],
        "dots": [
            {
                "x": scale.x(start),
                "y": scale.y(count),
                "r": 2.5 if event.attempt == 1 else 4,
                "colour": _colour(event),
                "text": f"{event.method} {_end(event)}, attempt {event.attempt}, at {duration(start)}",
            }
            for (start, event), count in zip(sent, counts, strict=True)
        ],
        "text": (
            f"The line is how many POST, PUT and PATCH this run has sent in the {window:g} s before each moment: "
            f"{max(counts)} at most, and the limit is {limit.places}. Dots are requests: green was answered well, red "
            "was not, a large one is a retry. The bar above is when something waited."
        ),
    }


def _mark(scale: _Scale, part: int) -> Mapping[str, object]:
    """A mark on the axis of time."""
    seconds = scale.seconds * part / _MARKS
    anchor = "end" if part == _MARKS else "middle"
    return {"x": scale.x(seconds), "text": duration(seconds), "anchor": anchor}


def _is_limited(event: Event) -> TypeGuard[AttemptEvent]:
    return isinstance(event, AttemptEvent) and event.method in LIMITED


def _merged(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches of time, those that overlap as one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((max(0.0, start), end))
    return merged


def _colour(event: AttemptEvent) -> str:
    return "create" if event.ok else "delete"


def _end(event: AttemptEvent) -> str:
    return str(event.error or event.status)


def told(at: float, event: Event) -> Mapping[str, str]:
    """A line of the table."""
    shared = {"at": duration(at), "call": f"{event.method} {event.path}", "seconds": f"{event.seconds:.2f}"}
    if isinstance(event, WaitEvent):
        return {**shared, "what": "wait", "attempt": "", "end": event.reason, "kind": ""}
    return {**shared, "what": "request", "attempt": str(event.attempt), "end": _end(event), "kind": _colour(event)}
