"""Plans and reports as HTML: each one self-contained file, to mail, archive or attach to a CI job."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from secoda_async import AttemptEvent, Change, Outcome, Plan, RateLimit, Report, __version__
from secoda_async.cli.output import timeline
from secoda_async.cli.output.endings import NOT_ATTEMPTED, Cause, Ending, causes_of
from secoda_async.cli.output.timeline import Recorder
from secoda_async.cli.output.times import duration, estimate
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.render import MemberNames, facts, field_changes, held_messages
from secoda_async.reconcile.wording import count

if TYPE_CHECKING:
    from jinja2 import Environment

_MAX_EXPANDED: Final = 10
"""A plan of more changes starts with all but the deletes collapsed."""

_TOO_MANY_REQUESTS: Final = 429

_ORDER: Final = {"unknown": 0, "failed": 1, "not attempted": 2}
"""The order of the changes by status; those that succeeded are last."""


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


def plan_page(plan: Plan, source: str, host: str, command: str = "") -> str:
    """Return a plan as HTML.

    Args:
        plan: The plan.
        source: The names of its files.
        host: The API's origin.
        command: The command line that applies it, without an approval; empty if there is none.
    """
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
        numbers=[*_plan_numbers(plan, kinds), *_problem_numbers(plan)],
        cost="" if plan.is_empty else f"{estimate(plan)}.",
        digest="" if plan.is_empty else plan.digest,
        breaches=[breach.message for breach in plan.breaches],
        command="" if plan.is_empty or not command else escape_control(command + _approval(plan)),
        **_remarks(plan),
        kinds=list(kinds.items()),
        rows=rows,
    )


def _plan_numbers(plan: Plan, kinds: Mapping[str, int]) -> list[tuple[str, int, str]]:
    return [
        *((f"to {kind}", kinds[kind], kind) for kind in ("create", "update", "delete")),
        ("members added", sum(len(change.added) for change in plan.changes), ""),
        ("members removed", sum(len(change.removed) for change in plan.changes), ""),
        ("unchanged", plan.unchanged, ""),
        ("not managed", plan.unmanaged, ""),
    ]


def _approval(plan: Plan) -> str:
    return f" --approve {plan.digest}" if plan.breaches else ""


def report_page(
    plan: Plan, report: Report, recorder: Recorder, limit: RateLimit, ending: Ending, *, source: str, host: str
) -> str:
    """Return a report as HTML: the next step and the failures first, with a timeline of the writes.

    `source` and `host` are as in `plan_page`; `ending` is the end in sentences.
    """
    rows = _list_outcomes(plan, report)
    statuses = Counter(row.filter for row in rows)
    verified = "verified by a last read" if report.verified else "NOT verified by a last read"
    return _render(
        "report.html",
        headline=f"{'Done' if report.ok else 'Incomplete'}: {', '.join(_count_statuses(plan, statuses))}",
        source=escape_control(source),
        host=host,
        ok=report.ok,
        ending=[(label, escape_control(text)) for label, text in ending.parts()],
        command=escape_control(ending.command),
        causes=_cause_rows(causes_of(plan, report, ending.stopped)),
        numbers=[*_status_numbers(statuses), *_request_numbers(recorder), ("duration", duration(report.seconds), "")],
        cost=f"{count(report.writes, 'change')} written in {duration(report.seconds)}; {verified}.",
        digest=plan.digest,
        differences=[escape_control(difference) for difference in report.differences],
        **_remarks(plan),
        chart=timeline.chart(recorder.timed, limit),
        events=[timeline.event_row(at, event) for at, event in recorder.timed],
        kinds=list(statuses.items()),
        rows=rows,
    )


def _list_outcomes(plan: Plan, report: Report) -> Sequence[_Row]:
    """Return a row for each change: the failures first, expanded unless they are many."""
    names = MemberNames(plan)
    rows = [_with_outcome(_row(plan.changes[each.index], names), each) for each in report.outcomes]
    rows.sort(key=lambda row: _ORDER.get(row.filter, len(_ORDER)))
    failures = sum(row.open for row in rows)
    if failures > _MAX_EXPANDED:  # the causes are on top
        return [evolve(row, open=False) for row in rows]
    return rows


def _count_statuses(plan: Plan, statuses: Mapping[str, int]) -> Sequence[str]:
    """Return the number of changes of each status, and the number of problems of the plan, as phrases."""
    problems = (("in conflict", len(plan.conflicts)), ("held", _held(plan)))
    return [
        *([f"{number} {status}" for status, number in statuses.items()] or ["nothing to do"]),
        *(f"{number} {problem}" for problem, number in problems if number),
    ]


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


def _cause_rows(causes: Iterable[Cause]) -> list[tuple[str, str, str]]:
    """Return each cause of several failures with its status and number of changes, escaped."""
    return [
        (cause.status, count(len(cause.names), "change"), escape_control(cause.message))
        for cause in causes
        if len(cause.names) > 1 and cause.status != NOT_ATTEMPTED
    ]


def in_progress_page(command: str) -> str:
    """Return the page that stands in for the report while `apply` runs; `command` repeats the run."""
    return _render("in_progress.html", command=escape_control(command))


def _render(template: str, **values: Any) -> str:  # noqa: ANN401 - the template's variables
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return _templates().get_template(template).render(version=__version__, created=created, **values)


@cache
def _templates() -> "Environment":
    """Return the templates. All are loaded here: an upgrade during a long `apply` may remove their files."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - most commands render no HTML

    environment = Environment(
        loader=PackageLoader("secoda_async.cli.output", "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


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
        open=outcome.status in ("failed", "unknown"),
    )
