"""The end of an apply in sentences: failures by cause, what is certain, what is unknown, and the next step."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from secoda_async import (
    AuthenticationError,
    BadRequestError,
    Change,
    Outcome,
    OutcomeUnknownError,
    Plan,
    Report,
    SecodaError,
    StalePlanError,
)
from secoda_async.cli.exit_codes import advice_for
from secoda_async.reconcile.journal import INCOMPLETE
from secoda_async.reconcile.wording import abbreviate, count

__all__ = ["NOT_ATTEMPTED", "Cause", "Ending", "causes_of", "ending_of"]

NOT_ATTEMPTED: Final = "not attempted"

_MOST_NAMES: Final = 3
"""Names that a cause has on the screen; the JSON document, the report and the journal have all of them."""

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


@frozen
class Cause:
    """The changes that ended in one way for one reason."""

    status: str
    """`failed`, `unknown` or `not attempted`."""
    message: str
    """The reason, in the words of the first error."""
    names: tuple[str, ...]
    """The groups, in the plan's order."""

    def text(self, *, is_verbose: bool) -> str:
        """Return a line for people, with three of the names, or with all."""
        names = abbreviate(self.names, None if is_verbose else _MOST_NAMES)
        subject = names if len(self.names) == 1 else f"{count(len(self.names), 'change')} ({names})"
        reason = "" if self.status == NOT_ATTEMPTED else f": {self.message}"  # the end says it
        return f"{self.status}: {subject}{reason}"


@frozen
class Ending:
    """The end of an apply that is incomplete; every text is empty after a complete one."""

    stopped: str = ""
    """The reason why changes were not attempted."""
    certain: str = ""
    """The changes that are written, and those that are not."""
    unknown: str = ""
    """The changes that may have been written."""
    advice: str = ""
    """The next step."""
    command: str = ""
    """The command of the next step."""

    def parts(self) -> Sequence[tuple[str, str]]:
        """Return each text with its label, without the command."""
        labels = {"Stopped early": self.stopped, "Certain": self.certain, "Unknown": self.unknown, "Next": self.advice}
        return [(label, text) for label, text in labels.items() if text]


def causes_of(plan: Plan, report: Report, stopped: str) -> Sequence[Cause]:
    """Return the failures by status and cause, in the plan's order, and the changes that were not attempted last.

    `stopped` is the reason why they were not attempted.
    """
    found: dict[object, list[Outcome]] = {}
    for outcome in report.outcomes:
        if outcome.error is not None:
            found.setdefault(_key(plan.changes[outcome.index], outcome), []).append(outcome)
    causes = [_cause(plan, outcomes) for outcomes in found.values()]
    rest = tuple(plan.changes[each.index].name for each in report.outcomes if each.status == "not_attempted")
    return [*causes, Cause(NOT_ATTEMPTED, stopped, rest)] if rest else causes


def _key(change: Change, outcome: Outcome) -> object:
    """Return a value that is equal for two failures of one cause; they may differ in names and seconds."""
    root = _root(outcome.error)
    return outcome.status, type(root), getattr(root, "status", None), _NUMBER.sub("#", _message(change, root))


def _cause(plan: Plan, outcomes: Sequence[Outcome]) -> Cause:
    first, *others = outcomes
    names = tuple(plan.changes[each.index].name for each in outcomes)
    message = _message(plan.changes[first.index], _root(first.error)) if others else str(first.error)
    return Cause(first.status, message, names)


def _root(error: SecodaError | None) -> SecodaError:
    """Return the reason of an unknown outcome, or the error itself."""
    cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else None
    return cause if isinstance(cause, SecodaError) else error or SecodaError("")


def _message(change: Change, error: SecodaError) -> str:
    return error.message.replace(repr(change.name), "the group")


# --- the next step -------------------------------------------------------------------------------------------------


def ending_of(plan: Plan, report: Report, *, stopped: str | None, command: str, is_saved: bool) -> Ending:
    """Return the end of an apply.

    Args:
        plan: The plan.
        report: The result.
        stopped: The reason why the run was stopped from outside, if it was.
        command: The command of this run.
        is_saved: Whether the plan is a saved one, so that it can't be made again.
    """
    if report.ok:
        return Ending()
    is_stale = is_saved and any(isinstance(outcome.error, StalePlanError) for outcome in report.outcomes)
    unknown = tuple(plan.changes[each.index].name for each in report.outcomes if each.status == "unknown")
    return Ending(
        stopped=(stopped or report.stopped) if report.stopped else "",
        certain=_certain(report),
        unknown=_unknown(unknown),
        advice=" ".join([*_advice(plan, report), _STALE if is_stale else _AGAIN]),
        command="" if is_stale else command,
    )


_AGAIN: Final = "Run this again: it reads the workspace first, and writes only what is left."
_STALE: Final = "The saved plan is out of date: make a new one with `secoda-async plan`, and apply that."


def _certain(report: Report) -> str:
    counts: Mapping[str, int] = report.counts
    written, rest = counts.get("applied", 0), counts.get("failed", 0) + counts.get("not_attempted", 0)
    parts = [f"{count(written, 'change')} {_be(written)} written{_proof(report, written)}"] if written else []
    if same := counts.get("unchanged", 0):
        parts.append(f"{count(same, 'change')} {_be(same)} not needed any more")
    if rest:
        parts.append(f"{count(rest, 'change')} {_be(rest)} not written")
    if not parts:
        return "" if counts.get("unknown") else "nothing was written."
    return "; ".join(parts) + "."


def _proof(report: Report, written: int) -> str:
    them = "it" if written == 1 else "them"
    if report.verified:
        return f", and a last read shows {them}"
    return f": the service confirmed {them}, but no last read has shown {them}"


def _unknown(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"{count(len(names), 'change')} may or may not be written: {abbreviate(names, _MOST_NAMES)}."


def _be(number: int) -> str:
    return "is" if number == 1 else "are"


def _advice(plan: Plan, report: Report) -> Sequence[str]:
    """Return a sentence for each kind of failure, the most urgent one first."""
    found = _advice_on_errors([outcome.error for outcome in report.outcomes if outcome.error is not None])
    if "create" in {plan.changes[each.index].kind for each in report.outcomes if each.status == "unknown"}:
        found.append("Wait a few minutes first: the service may list a new group late.")
    if any(difference.startswith(INCOMPLETE) for difference in report.differences):
        found.append("Make room for the journal (--log), or name another file.")
    if plan.conflicts:
        found.append("Resolve the groups in conflict, which are named above.")
    return list(dict.fromkeys(found))


def _advice_on_errors(errors: Sequence[SecodaError]) -> list[str]:
    roots = sorted(map(_root, errors), key=lambda error: not isinstance(error, AuthenticationError))
    return [advice for error in roots if (advice := _advice_for(error)) is not None]


def _advice_for(error: SecodaError) -> str | None:
    return "Correct what the service refused." if isinstance(error, BadRequestError) else advice_for(error)
