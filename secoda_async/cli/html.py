"""Plans and reports as pages: one file each, without anything from outside, to be mailed, kept or shown in a CI job."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, TypeGuard

from attrs import define, evolve, field, frozen

from secoda_async import AttemptEvent, Change, Clock, Event, Outcome, Plan, RateLimit, Report, WaitEvent, __version__
from secoda_async.cli.screen import at_least, duration
from secoda_async.models import UNSET
from secoda_async.reconcile.words import printable

_LIMITED: Final = ("POST", "PUT", "PATCH")
"""What the write limit counts."""

_CLIENT_ERROR: Final = 400

_UNFOLDED: Final = 10
"""Changes that are all shown at once; of more, each is to be unfolded."""


@frozen
class _Row:
    """A change on a page."""

    kind: str
    filter: str
    name: str
    short: str
    fields: Sequence[tuple[str, str, str]]
    added: Sequence[str]
    removed: Sequence[str]
    id: str | None
    text: str
    """What a search looks through."""
    status: str = ""
    ok: bool = True
    error: str = ""
    spent: str = ""
    open: bool = False


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


def plan_page(plan: Plan, source: str, host: str) -> str:
    """The plan as a page; `source` says what it was made from, `host` where it would be carried out."""
    is_short = len(plan.changes) <= _UNFOLDED
    rows = [evolve(_row(change, plan.people), open=is_short) for change in plan.changes]
    kinds = Counter(row.kind for row in rows)
    gained, lost = (sum(len(getattr(change, what)) for change in plan.changes) for what in ("added", "removed"))
    return _rendered(
        "plan.html",
        source=printable(source),
        host=host,
        summary=plan.summary(),
        numbers=[
            ("to create", kinds["create"], "create"),
            ("to update", kinds["update"], "update"),
            ("to delete", kinds["delete"], "delete"),
            ("members gained", gained, ""),
            ("members lost", lost, ""),
            ("unchanged", plan.unchanged, ""),
            ("not managed", plan.unmanaged, ""),
        ],
        takes="" if plan.is_empty else f"{plan.writes} writes, {at_least(plan.seconds)}.",
        digest="" if plan.is_empty else plan.digest,
        breaches=[printable(breach.message) for breach in plan.breaches],
        approve=f"--approve {plan.digest}",
        conflicts=[printable(conflict.message) for conflict in plan.conflicts],
        kinds=list(kinds.items()),
        rows=rows,
    )


def report_page(
    plan: Plan, report: Report, recorder: Recorder, limit: RateLimit, *, source: str, host: str, stopped: str | None
) -> str:
    """What became of a plan, as a page: the failures first, and when each write was sent.

    Args:
        plan: What was to be done.
        report: What was.
        recorder: What the client told meanwhile.
        limit: The write limit.
        source: The file that the plan was made from.
        host: Where it was carried out.
        stopped: Why it was stopped before its end, if it was.
    """
    rows = [_with_outcome(_row(plan.changes[each.index], plan.people), each) for each in report.outcomes]
    rows.sort(key=lambda row: row.ok)
    statuses = Counter(row.filter for row in rows)
    attempts = [event for _, event in recorder.events if isinstance(event, AttemptEvent)]
    verified = "verified by a last read" if report.verified else "NOT verified by a last read"
    ends = ", ".join(f"{number} {status}" for status, number in statuses.items()) or "nothing to do"
    return _rendered(
        "report.html",
        headline=f"{'Done' if report.ok else 'Not all is done'}: {ends}",
        source=printable(source),
        host=host,
        stopped=stopped,
        ok=report.ok,
        numbers=[
            *(
                (status, number, "good" if status in ("applied", "unchanged") else "bad")
                for status, number in statuses.items()
            ),
            ("requests", len(attempts), ""),
            ("retries", sum(event.attempt > 1 for event in attempts), ""),
            ("429 answers", sum(event.status == 429 for event in attempts), ""),  # noqa: PLR2004 - the status of a limit
            ("without an answer", sum(event.status is None for event in attempts), ""),
            ("took", duration(report.seconds), ""),
        ],
        takes=f"{report.writes} writes in {duration(report.seconds)}; {verified}.",
        digest=plan.digest,
        differences=[printable(difference) for difference in report.differences],
        conflicts=[printable(conflict.message) for conflict in plan.conflicts],
        chart=_chart(recorder.events, limit),
        events=[_told(at, event) for at, event in recorder.events],
        kinds=list(statuses.items()),
        rows=rows,
    )


def begun_page() -> str:
    """What stands in the report's place while it is not there."""
    return _rendered("begun.html")


def _rendered(template: str, **values: Any) -> str:  # noqa: ANN401 - what the template asks for
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most commands make no page

    pages = Environment(
        loader=PackageLoader("secoda_async.cli", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return pages.get_template(template).render(version=__version__, made=made, **values)


# --- changes ---------------------------------------------------------------------------------------------------


def _row(change: Change, people: Mapping[str, str]) -> _Row:
    fields: list[tuple[str, str, str]] = []
    for name in ("name", "icon", "description"):
        before, after = getattr(change.before, name), getattr(change.after, name)
        if before is not UNSET or after is not UNSET:
            fields.append((name, _shown(before), _shown(after)))
    if change.kind == "create":
        fields = [each for each in fields if each[0] != "name" and each[2]]
    added, removed = (
        sorted(printable(people.get(user, user)) for user in users) for users in (change.added, change.removed)
    )
    name = printable(change.name)
    texts = [name, *added, *removed, *(text for each in fields for text in each[1:])]
    return _Row(
        kind=change.kind,
        filter=change.kind,
        name=name,
        short=_short(change, added, removed, fields),
        fields=fields,
        added=added,
        removed=removed,
        id=change.id,
        text=" ".join(texts).lower(),
    )


def _short(change: Change, added: Sequence[str], removed: Sequence[str], fields: Iterable[tuple[str, str, str]]) -> str:
    parts = [f"{sign}{len(users)}" for sign, users in (("+", added), ("−", removed)) if users]  # noqa: RUF001 - a minus
    members = [f"{' '.join(parts)} member{'s' if len(added) + len(removed) > 1 else ''}"] if parts else []
    changed = [f"renamed from {before}" if name == "name" else name for name, before, _ in fields]
    return ", ".join(members + (changed if change.kind == "update" else []))


def _shown(value: object) -> str:
    return "" if value is None or value is UNSET else printable(str(value), keep="\n")


def _with_outcome(row: _Row, outcome: Outcome) -> _Row:
    status = outcome.status.replace("_", " ")
    error = "" if outcome.error is None else printable(str(outcome.error))
    spent = f"{outcome.attempts} request{'s' if outcome.attempts != 1 else ''}"
    return evolve(
        row,
        filter=status,
        id=row.id or (outcome.group.id if outcome.group else None),
        text=f"{row.text} {status} {error.lower()}",
        status=status,
        ok=outcome.ok,
        error=error,
        spent=f"{spent}, {duration(outcome.waited)} of waiting",
        open=not outcome.ok,
    )


# --- the timeline ----------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BASE = 960, 220, 40, 945, 18, 190


_SHORTEST: Final = 12.0
"""Seconds that the axis of time shows, at least."""

_MARKS: Final = 6
"""Parts of the axis of time."""


@frozen
class _Scale:
    """From seconds and counts to places in the picture."""

    seconds: float
    most: int

    def x(self, seconds: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * seconds / self.seconds, 1)

    def y(self, count: float) -> float:
        return round(_BASE - (_BASE - _TOP) * count / self.most, 1)


def _chart(events: Sequence[tuple[float, Event]], limit: RateLimit) -> Mapping[str, Any] | None:
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
        "top": _TOP,
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
    return isinstance(event, AttemptEvent) and event.method in _LIMITED


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
    return "create" if event.status is not None and event.status < _CLIENT_ERROR else "delete"


def _end(event: AttemptEvent) -> str:
    return str(event.error or event.status)


def _told(at: float, event: Event) -> Mapping[str, str]:
    """A line of the table."""
    shared = {"at": duration(at), "call": f"{event.method} {event.path}", "seconds": f"{event.seconds:.2f}"}
    if isinstance(event, WaitEvent):
        return {**shared, "what": "wait", "attempt": "", "end": event.reason, "kind": ""}
    return {**shared, "what": "request", "attempt": str(event.attempt), "end": _end(event), "kind": _colour(event)}
