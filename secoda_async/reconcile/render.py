"""Render plans as lines for a terminal or as Markdown for a pull request.

Names are untrusted: none can move a cursor, forge a line or mention anybody.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from secoda_async.models import UNSET
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.plan import Change, Plan

__all__ = ["StyledLine", "display_names", "field_changes", "markdown", "render_text"]

_SIGNS: Final[Mapping[str, str]] = {"create": "+", "update": "~", "delete": "-"}

_MOST_MEMBERS: Final = 8
"""Members that are named for each change; the others are counted."""

_MOST_GROUPS: Final = 10
"""Groups that are not managed and named; the others are counted."""

_INDENT: Final = 4


@frozen
class StyledLine:
    """A line of text and its style."""

    text: str
    kind: str = ""
    """`create`, `update`, `delete`, `added`, `removed`, `note`, `warning`, `summary`, or empty."""
    indent: int = 0
    """Columns to indent."""


def render_text(plan: Plan, *, most: int | None = None, verbose: bool = False) -> Iterable[StyledLine]:
    """Yield the lines of a plan: each change with its fields before and after, and members by address where known.

    Args:
        plan: The plan.
        most: The number of changes to show; the others are counted.
        verbose: Name every group that is not managed or ignored.
    """
    for change in plan.changes[:most]:
        yield StyledLine(f"{_SIGNS[change.kind]} {change.kind} {escape_control(change.name)}", change.kind)
        yield from _details(change, plan.people)
    hidden = len(plan.changes[most:]) if most is not None else 0
    if hidden:
        yield StyledLine(f"... and {hidden} more changes")
    yield from _untouched(plan, verbose=verbose)
    for conflict in plan.conflicts:
        yield StyledLine(f"! skipped: {conflict.message}", "warning")
    for breach in plan.breaches:
        yield StyledLine(f"! exceeds the safety limits: {breach.message}", "warning")
    yield StyledLine(plan.summary(), "summary")


def markdown(plan: Plan) -> str:
    """Return the plan as Markdown."""
    parts = [f"### Secoda groups: {plan.summary()}", ""]
    for title, messages in (
        ("Exceeds the safety limits", [breach.message for breach in plan.breaches]),
        ("Skipped", [conflict.message for conflict in plan.conflicts]),
    ):
        if messages:
            parts += [f"**{title}**", "", *(f"- {_escape_markdown(message)}" for message in messages), ""]
    if plan.changes:
        parts += ["| | group | what changes |", "|---|---|---|"]
        parts += [
            f"| {change.kind} | {_code(change.name)} | "
            f"{'<br>'.join(_code(line.text) for line in _details(change, plan.people))} |"
            for change in plan.changes
        ]
        parts += ["", f"{plan.writes} writes. Digest: `{plan.digest}`"]
    return "\n".join(parts).rstrip() + "\n"


def field_changes(change: Change) -> Iterable[tuple[str, object, object]]:
    """Yield each text field that changes, with its value before and after; not the name of a created group."""
    for field in ("name", "icon", "description"):
        before, after = getattr(change.before, field), getattr(change.after, field)
        is_set = before is not UNSET or after is not UNSET
        if is_set and not (change.kind == "create" and field == "name"):
            yield field, before, after


def display_names(members: Iterable[str], people: Mapping[str, str]) -> Sequence[str]:
    """Return the members' sorted addresses; the id where the address is not known."""
    return sorted(escape_control(people.get(member, member)) for member in members)


def _details(change: Change, people: Mapping[str, str]) -> Iterable[StyledLine]:
    for field, before, after in field_changes(change):
        if change.kind == "update":
            yield StyledLine(f"{field}: {_quote(before)} -> {_quote(after)}", "", _INDENT)
        elif change.kind == "create":
            yield StyledLine(f"{field}: {_quote(after)}", "", _INDENT)
    for kind, sign, members in (("added", "+", change.added), ("removed", "-", change.removed)):
        if members:
            yield StyledLine(
                f"members {sign}{len(members)}: {_abbreviate(display_names(members, people))}", kind, _INDENT
            )


def _untouched(plan: Plan, *, verbose: bool) -> Iterable[StyledLine]:
    """Yield a line for the groups that stay because the desired state, or the scope, does not cover them."""
    for label, names, most in (("not managed", plan.unmanaged_names, _MOST_GROUPS), ("ignored", plan.ignored_names, 0)):
        if names and (verbose or most):
            shown = [escape_control(name) for name in names]
            yield StyledLine(f"{label} ({len(names)}): {_abbreviate(shown, len(shown) if verbose else most)}", "note")


def _quote(value: object) -> str:
    if value is None or value is UNSET or value == "":
        return "(none)"
    return '"' + escape_control(str(value)).replace('"', '\\"') + '"'


def _abbreviate(names: Sequence[str], most: int = _MOST_MEMBERS) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _code(text: str) -> str:
    """Return text as Markdown code for a table: it contains no markup, link or mention."""
    text = escape_control(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _escape_markdown(text: str) -> str:
    """Return a sentence with its markup, links and mentions escaped."""
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([@#]|:(?=//))", "\\1\u200b", text)
