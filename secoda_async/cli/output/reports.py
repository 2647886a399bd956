"""The result of `apply`, for a person and as JSON."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from attrs import asdict, define, field

from secoda_async import Plan, Progress, Report
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.endings import Cause, Ending, causes_of
from secoda_async.cli.output.times import duration
from secoda_async.reconcile.apply import MAX_CONSECUTIVE_FAILURES
from secoda_async.reconcile.render import MemberNames, held_messages
from secoda_async.reconcile.wording import count

_MOST_HELD: Final = 10
"""Held members that are named once more after the writes; all of them are above, in the plan."""

_NOTED_FAILURES: Final = 3
"""Failures in a row after which a note says when the run ends by itself."""


@define
class FailureNote:
    """A note that is printed once, after several changes in a row have failed: it says when `apply` stops by itself."""

    console: Console
    _failures: int = field(default=0, init=False)
    _consecutive_failures: int = field(default=0, init=False)

    def update(self, progress: Progress) -> None:
        """Take the progress after a change, and print the note when it is due."""
        if self._consecutive_failures >= _NOTED_FAILURES:
            return
        self._consecutive_failures = self._consecutive_failures + 1 if progress.failed > self._failures else 0
        self._failures = progress.failed
        if self._consecutive_failures == _NOTED_FAILURES:
            self.console.info(
                f"{_NOTED_FAILURES} changes in a row have failed. If the service is down, apply stops after "
                f"{MAX_CONSECUTIVE_FAILURES}. Ctrl-C stops it sooner, and a further run writes what is left."
            )


def print_report(console: Console, plan: Plan, report: Report, ending: Ending, *, is_verbose: bool = False) -> None:
    """Print the failures by cause, the end, and the summary as the last line; with `--json`, one document."""
    causes = causes_of(plan, report, ending.stopped)
    if console.output.json:
        console.print_json(_report_document(plan, report, causes, ending))
        return
    for cause in causes:
        console.print(cause.text(is_verbose=is_verbose), style="red")
    for difference in report.differences:
        console.print(f"problem: {difference}", style="red")
    if report.outcomes:
        _print_held(console, plan)
    for label, text in ending.parts():
        console.print(f"{label}: {text}", style="bold")
    if ending.command:
        console.print_command(ending.command)
    console.print("; ".join(_summary_parts(plan, report)), style="green" if report.ok else "bold red")


def count_summary(report: Report) -> str:
    """Return the number of changes by status: `1 failed, 2 applied`."""
    return ", ".join(f"{number} {status.replace('_', ' ')}" for status, number in sorted(report.counts.items()))


def _print_held(console: Console, plan: Plan) -> None:
    for message in islice(held_messages(plan), _MOST_HELD):
        console.print(f"held: {message}", style="yellow")
    more = len(plan.held) - _MOST_HELD
    if more > 0:
        console.print(f"held: {more} more, see the plan above", style="yellow")


def _summary_parts(plan: Plan, report: Report) -> list[str]:
    if report.outcomes:
        parts = [f"{count_summary(report)} in {duration(report.seconds)}"]
        if any(outcome.ok or outcome.status == "unknown" for outcome in report.outcomes):
            parts.append("verified by a last read" if report.verified else "NOT verified")
    else:
        parts = ["nothing was written"]
    if plan.conflicts:
        parts.append(f"{count(len(plan.conflicts), 'group')} in conflict")
    if plan.held:
        parts.append(f"{count(len({held.member for held in plan.held}), 'unknown member')} held")
    return parts


def _report_document(plan: Plan, report: Report, causes: Sequence[Cause], ending: Ending) -> dict[str, object]:
    names = MemberNames(plan)
    return {
        "ok": report.ok,
        "verified": report.verified,
        "digest": plan.digest,
        "counts": dict(report.counts),
        "writes": report.writes,
        "conflicts": [conflict.message for conflict in plan.conflicts],
        "differences": list(report.differences),
        "failures": [
            {"name": plan.changes[outcome.index].name, "status": outcome.status, "error": str(outcome.error)}
            for outcome in report.outcomes
            if outcome.error is not None
        ],
        "causes": [asdict(cause) | {"status": cause.status.replace(" ", "_")} for cause in causes],
        "stopped": ending.stopped or None,
        "next_step": ending.advice or None,
        "next_command": ending.command or None,
        "held": [asdict(held) | {"kept": names.addresses(held.kept)} for held in plan.held],
        "notes": list(plan.notes),
        "pending": names.addresses(plan.pending),
        "disabled": names.addresses(plan.disabled),
        "unmanaged_names": list(plan.unmanaged_names),
        "ignored_names": list(plan.ignored_names),
        "seconds": round(report.seconds, 3),
    }
