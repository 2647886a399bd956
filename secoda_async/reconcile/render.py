"""Render plans as lines for a terminal, and the sentences that every output format shares.

Names are untrusted: none can move a cursor, forge a line or hide a character.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from secoda_async.models import UNSET
from secoda_async.reconcile.escape import escape_control, escape_invisible
from secoda_async.reconcile.plan import Change, Held, Plan
from secoda_async.reconcile.wording import abbreviate, count

__all__ = ["MemberNames", "StyledLine", "details", "facts", "field_changes", "held_messages", "render_text"]

_SIGNS: Final[Mapping[str, str]] = {"create": "+", "update": "~", "delete": "-"}

_MOST_MEMBERS: Final = 8
"""Members that are named for each change; the others are counted."""

_MOST_NAMES: Final = 10
"""Names in a note, such as the groups that are not managed; the others are counted."""

_INDENT: Final = 4

_HIDDEN_IN_EMOJI: Final = re.compile("[\u200c\u200d\ufe0f]")
"""The invisible characters that `escape_control` leaves in emoji and words."""


@frozen
class StyledLine:
    """A line of text and its style."""

    text: str
    kind: str = ""
    """`create`, `update`, `delete`, `added`, `removed`, `note`, `attention`, `warning`, `summary`, or empty."""
    indent: int = 0
    """Columns to indent."""


class MemberNames:
    """The names under which a plan's members are shown: addresses where known, with a mark."""

    def __init__(self, plan: Plan) -> None:
        self._people = plan.people
        self._pending = frozenset(plan.pending)
        self._disabled = frozenset(plan.disabled)

    def __call__(self, members: Iterable[str]) -> Sequence[str]:
        """Return the sorted names of members, by id; the invited and the disabled are marked."""
        return sorted(escape_control(self._people.get(member, member)) + self._mark(member) for member in members)

    def addresses(self, members: Iterable[str]) -> list[str]:
        """Return the sorted addresses of members, as they are; the id where the address is not known."""
        return sorted(self._people.get(member, member) for member in members)

    def _mark(self, member: str) -> str:
        if member in self._disabled:
            return " (disabled)"
        return " (invited)" if member in self._pending else ""


def render_text(plan: Plan, *, most: int | None = None, verbose: bool = False) -> Iterable[StyledLine]:
    """Yield the lines of a plan: `most` of its changes, notes, the problems that need a person, and the summary.

    `verbose` names every group and member that is only counted otherwise.
    """
    names = MemberNames(plan)
    shown = plan.changes[:most]
    for change in shown:
        yield StyledLine(f"{_SIGNS[change.kind]} {change.kind} {escape_control(change.name)}", change.kind)
        yield from details(change, names, most=None if verbose else _MOST_MEMBERS)
    hidden = len(plan.changes) - len(shown)
    if hidden and shown:
        yield StyledLine(f"... and {count(hidden, 'more change')}")
    notes = [StyledLine(fact, "note") for fact in facts(plan, verbose=verbose)]
    problems = _list_problems(plan, verbose=verbose)
    if (notes or problems) and shown:
        yield StyledLine("")
    yield from notes
    yield from problems
    if problems:
        yield StyledLine("")
    yield StyledLine(plan.summary(), "summary")


def _list_problems(plan: Plan, *, verbose: bool) -> Sequence[StyledLine]:
    """Return a line for each part of a plan that needs a person."""
    return [
        *(StyledLine(f"! important: {note}", "attention") for note in plan.notes),
        *(StyledLine(f"! held: {message}", "attention") for message in held_messages(plan, verbose=verbose)),
        *(StyledLine(f"! in conflict: {conflict.message}", "warning") for conflict in plan.conflicts),
        *(StyledLine(f"! needs an approval: {breach.message}", "warning") for breach in plan.breaches),
    ]


def details(change: Change, names: MemberNames, *, most: int | None = _MOST_MEMBERS) -> Iterable[StyledLine]:
    """Yield a line for each field of a change, and for the members that it adds and removes."""
    for name, before, after in field_changes(change):
        if change.kind == "update":
            yield StyledLine(f"{name}: {_quote(before)} -> {_quote(after)}", "", _INDENT)
        elif change.kind == "create":
            yield StyledLine(f"{name}: {_quote(after)}", "", _INDENT)
    for kind, sign, members in (("added", "+", change.added), ("removed", "-", change.removed)):
        if members:
            yield StyledLine(f"members {sign}{len(members)}: {abbreviate(names(members), most)}", kind, _INDENT)


def facts(plan: Plan, *, verbose: bool = False, quote: Callable[[str], str] = str) -> Iterable[str]:
    """Yield a sentence for each fact that a reviewer should know although no change shows it.

    `verbose` names everything; `quote` makes markup of a name.
    """
    names = MemberNames(plan)
    most = None if verbose else _MOST_NAMES
    for label, groups in (("ignored", plan.ignored_names), ("not managed", plan.unmanaged_names)):
        if groups:
            shown = abbreviate([quote(escape_control(name)) for name in groups], most)
            yield f"{label}: {count(len(groups), 'group')}: {shown}"
    for members, one, several, explanation in (
        (plan.disabled, "member has a disabled account", "members have disabled accounts", ""),
        (
            plan.pending, "member is invited and not a user yet", "members are invited and not users yet",
            ". The service may not show them in the group until they accept",
        ),
    ):  # fmt: skip
        if members:
            shown = abbreviate([quote(escape_control(address)) for address in names.addresses(members)], most)
            yield f"{len(members)} {one if len(members) == 1 else several}: {shown}{explanation}"


def held_messages(plan: Plan, *, verbose: bool = False, quote: Callable[[str], str] = str) -> Iterable[str]:
    """Yield a sentence for each held member; the first one of a group names the users who stay because of it.

    `verbose` names every user who stays; `quote` makes markup of a name.
    """
    names = MemberNames(plan)
    shown_groups = set[str]()
    for held in plan.held:
        kept = () if held.group in shown_groups else held.kept
        shown_groups.add(held.group)
        yield _held_message(held, names(kept), None if verbose else _MOST_MEMBERS, quote)


def _held_message(held: Held, kept: Sequence[str], most: int | None, quote: Callable[[str], str]) -> str:
    member, group = (quote(escape_control(text)) for text in (held.member, held.group))
    place = f" ({quote(escape_control(held.place))})" if held.place else ""
    stay = f"{group} keeps {abbreviate([quote(name) for name in kept], most)}" if kept else f"not added to {group}"
    return f"{member}{place} {held.reason}; {stay}"


def field_changes(change: Change) -> Iterable[tuple[str, str, str]]:
    """Yield each text field that changes, with its value before and after; not the name of a created group.

    The values are escaped; an unset or empty one is an empty string. If the two values look the same, invisible
    characters are shown in both.
    """
    for name in ("name", "icon", "description"):
        former, new = getattr(change.before, name), getattr(change.after, name)
        is_set = former is not UNSET or new is not UNSET
        if is_set and not (change.kind == "create" and name == "name"):
            before, after = former or "", new or ""
            is_alike = before != after and _visible(before) == _visible(after)
            escape = escape_invisible if is_alike else escape_control
            yield name, escape(before), escape(after)


def _visible(text: str) -> str:
    return _HIDDEN_IN_EMOJI.sub("", text)


def _quote(value: str) -> str:
    return '"' + value.replace('"', '\\"') + '"' if value else "(none)"
