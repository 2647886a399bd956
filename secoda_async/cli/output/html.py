"""Plans and reports as HTML: each one self-contained file, to mail, archive or attach to a CI job."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve, frozen

from secoda_async import AttemptEvent, Change, Outcome, Plan, RateLimit, Report, __version__
from secoda_async.cli.output import timeline
from secoda_async.cli.output.console import duration, estimate
from secoda_async.cli.output.timeline import Recorder
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.render import MemberNames, facts, field_changes, held_messages
from secoda_async.reconcile.wording import count

_MAX_EXPANDED: Final = 10
"""A plan of more changes starts with all but the deletes collapsed."""

_TOO_MANY_REQUESTS: Final = 429


@frozen
class _Row:
    """A change, as the template shows it."""

    kind: str
    filter: str
    """The value of the checkbox that shows or hides the row: the kind of change, or its status."""
    name: str
    summary: str
    fields: Sequence[tuple[str, str, str]]
    added: Sequence[str]
    removed: Sequence[str]
    id: str | None
    text: str
    """The searchable text, in lower case."""
    status: str = ""
    ok: bool = True
    error: str = ""
    effort: str = ""
    open: bool = False


def plan_page(plan: Plan, source: str, host: str) -> str:
    """Return a plan as HTML; `source` is the name of its file, `host` the API's origin."""
    names = MemberNames(plan)
    is_expanded = len(plan.changes) <= _MAX_EXPANDED
    changes = sorted(plan.changes, key=lambda change: change.kind != "delete")
    rows = [evolve(_row(change, names), open=is_expanded or change.kind == "delete") for change in changes]
    kinds = Counter(row.kind for row in rows)
    return _render(
        "plan.html",
        source=escape_control(source),
        host=host,
        summary=plan.summary(),
        numbers=[
            ("to create", kinds["create"], "create"),
            ("to update", kinds["update"], "update"),
            ("to delete", kinds["delete"], "delete"),
            ("members added", sum(len(change.added) for change in plan.changes), ""),
            ("members removed", sum(len(change.removed) for change in plan.changes), ""),
            ("unchanged", plan.unchanged, ""),
            ("not managed", plan.unmanaged, ""),
            *_problem_numbers(plan),
        ],
        cost="" if plan.is_empty else f"{estimate(plan)}.",
        digest="" if plan.is_empty else plan.digest,
        breaches=[breach.message for breach in plan.breaches],
        approve=f"--approve {plan.digest}",
        **_remarks(plan),
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
    """Return a report as HTML: failures first, with a timeline of the writes.

    `source` and `host` are as in `plan_page`; `stopped` is the reason why the run was stopped early, if it was.
    """
    names = MemberNames(plan)
    rows = [_with_outcome(_row(plan.changes[each.index], names), each) for each in report.outcomes]
    rows.sort(key=lambda row: row.ok)
    statuses = Counter(row.filter for row in rows)
    counts = [f"{number} {status}" for status, number in statuses.items()] or ["nothing to do"]
    problems = (("in conflict", len(plan.conflicts)), ("held", _held(plan)))
    counts += [f"{number} {status}" for status, number in problems if number]
    verified = "verified by a last read" if report.verified else "NOT verified by a last read"
    return _render(
        "report.html",
        headline=f"{'Done' if report.ok else 'Incomplete'}: {', '.join(counts)}",
        source=escape_control(source),
        host=host,
        stopped=stopped,
        ok=report.ok,
        numbers=[*_status_numbers(statuses), *_request_numbers(recorder), ("duration", duration(report.seconds), "")],
        cost=f"{count(report.writes, 'write')} in {duration(report.seconds)}; {verified}.",
        digest=plan.digest,
        differences=[escape_control(difference) for difference in report.differences],
        **_remarks(plan),
        chart=timeline.chart(recorder.events, limit),
        events=[timeline.event_row(at, event) for at, event in recorder.events],
        kinds=list(statuses.items()),
        rows=rows,
    )


def _remarks(plan: Plan) -> dict[str, Sequence[str]]:
    """Return the sentences that plan and report share."""
    return {
        "conflicts": [conflict.message for conflict in plan.conflicts],
        "held": list(held_messages(plan, verbose=True)),
        "important": plan.notes,
        "facts": list(facts(plan, verbose=True)),
    }


def _problem_numbers(plan: Plan) -> list[tuple[str, int, str]]:
    numbers = (("members held", _held(plan), "update"), ("in conflict", len(plan.conflicts), "bad"))
    return [(label, number, style) for label, number, style in numbers if number]


def _held(plan: Plan) -> int:
    return len({held.member for held in plan.held})


def _status_numbers(statuses: Mapping[str, int]) -> list[tuple[str, int, str]]:
    return [
        (status, number, "good" if status in ("applied", "unchanged") else "bad") for status, number in statuses.items()
    ]


def _request_numbers(recorder: Recorder) -> list[tuple[str, int, str]]:
    attempts = [event for _, event in recorder.events if isinstance(event, AttemptEvent)]
    return [
        ("requests", len(attempts), ""),
        ("retries", sum(event.attempt > 1 for event in attempts), ""),
        ("429 responses", sum(event.status == _TOO_MANY_REQUESTS for event in attempts), ""),
        ("without response", sum(event.status is None for event in attempts), ""),
    ]


def in_progress_page() -> str:
    """Return the page that stands in for the report while `apply` runs."""
    return _render("in_progress.html")


def _render(template: str, **values: Any) -> str:  # noqa: ANN401 - the template's variables
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most commands render no HTML

    environment = Environment(
        loader=PackageLoader("secoda_async.cli.output", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template(template).render(version=__version__, created=created, **values)


def _row(change: Change, members: MemberNames) -> _Row:
    fields = list(field_changes(change))
    if change.kind == "create":
        fields = [(name, before, after) for name, before, after in fields if after]
    added, removed = members(change.added), members(change.removed)
    name = escape_control(change.name)
    texts = [name, *added, *removed, *(text for each in fields for text in each[1:])]
    return _Row(
        kind=change.kind,
        filter=change.kind,
        name=name,
        summary=_summary(change, added, removed, fields),
        fields=fields,
        added=added,
        removed=removed,
        id=change.id,
        text=" ".join(texts).lower(),
    )


def _summary(
    change: Change, added: Sequence[str], removed: Sequence[str], fields: Iterable[tuple[str, str, str]]
) -> str:
    parts = [f"{sign}{len(users)}" for sign, users in (("+", added), ("−", removed)) if users]  # noqa: RUF001 - a minus
    members = [f"{' '.join(parts)} member{'s' if len(added) + len(removed) > 1 else ''}"] if parts else []
    changed = [f"renamed from {before}" if name == "name" else name for name, before, _ in fields]
    return ", ".join(members + (changed if change.kind == "update" else []))


def _with_outcome(row: _Row, outcome: Outcome) -> _Row:
    status = outcome.status.replace("_", " ")
    error = "" if outcome.error is None else escape_control(str(outcome.error))
    return evolve(
        row,
        filter=status,
        id=row.id or (outcome.group.id if outcome.group else None),
        text=f"{row.text} {status} {error.lower()}",
        status=status,
        ok=outcome.ok,
        error=error,
        effort=f"{count(outcome.attempts, 'request')}, waited {duration(outcome.waited)}",
        open=not outcome.ok,
    )
