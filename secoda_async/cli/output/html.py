"""Plans and reports as pages: one file each, without anything from outside, to be mailed, kept or shown in a CI job."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve, frozen

from secoda_async import AttemptEvent, Change, Outcome, Plan, RateLimit, Report, __version__
from secoda_async.cli.output import timeline
from secoda_async.cli.output.console import duration, estimate
from secoda_async.cli.output.timeline import Recorder
from secoda_async.models import UNSET
from secoda_async.reconcile import render
from secoda_async.reconcile.escape import escape_control

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


def plan_page(plan: Plan, source: str, host: str) -> str:
    """The plan as a page; `source` says what it was made from, `host` where it would be carried out."""
    is_short = len(plan.changes) <= _UNFOLDED
    rows = [evolve(_row(change, plan.people), open=is_short) for change in plan.changes]
    kinds = Counter(row.kind for row in rows)
    gained, lost = (sum(len(getattr(change, what)) for change in plan.changes) for what in ("added", "removed"))
    return _rendered(
        "plan.html",
        source=escape_control(source),
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
        takes="" if plan.is_empty else f"{estimate(plan)}.",
        digest="" if plan.is_empty else plan.digest,
        breaches=[breach.message for breach in plan.breaches],
        approve=f"--approve {plan.digest}",
        conflicts=[conflict.message for conflict in plan.conflicts],
        kinds=list(kinds.items()),
        rows=rows,
    )


def report_page(
    plan: Plan,
    report: Report,
    recorder: Recorder,
    limit: RateLimit,
    *,
    source: str,
    host: str,
    stopped: str | None,
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
        source=escape_control(source),
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
        differences=[escape_control(difference) for difference in report.differences],
        conflicts=[conflict.message for conflict in plan.conflicts],
        chart=timeline.chart(recorder.events, limit),
        events=[timeline.told(at, event) for at, event in recorder.events],
        kinds=list(statuses.items()),
        rows=rows,
    )


def begun_page() -> str:
    """What stands in the report's place while it is not there."""
    return _rendered("begun.html")


def _rendered(template: str, **values: Any) -> str:  # noqa: ANN401 - what the template asks for
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most commands make no page

    pages = Environment(
        loader=PackageLoader("secoda_async.cli.output", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return pages.get_template(template).render(version=__version__, made=made, **values)


def _row(change: Change, people: Mapping[str, str]) -> _Row:
    fields = [(name, _shown(before), _shown(after)) for name, before, after in render.field_changes(change)]
    if change.kind == "create":
        fields = [each for each in fields if each[2]]
    added, removed = (render.display_names(users, people) for users in (change.added, change.removed))
    name = escape_control(change.name)
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
    return "" if value is None or value is UNSET else escape_control(str(value))


def _with_outcome(row: _Row, outcome: Outcome) -> _Row:
    status = outcome.status.replace("_", " ")
    error = "" if outcome.error is None else escape_control(str(outcome.error))
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
