"""Reverse one change of a run of apply, as far as nobody has changed the group since. Pure, without I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Self

from attrs import evolve, frozen

from secoda_async.models import UNSET, Group, GroupFields, User, normalize
from secoda_async.reconcile.invited import matches_except_invited
from secoda_async.reconcile.journal_runs import LoggedChange
from secoda_async.reconcile.plan import Change, Conflict, Held, delete_of, update_of
from secoda_async.user_index import UserIndex

__all__ = ["NOTHING", "PresentState", "Reversal", "conflict_of", "reverse"]


@frozen
class PresentState:
    """The present groups and users."""

    by_id: Mapping[str, Group]
    by_name: Mapping[str, Sequence[Group]]
    users: UserIndex
    hideable: frozenset[str]
    """Ids of the users with a pending invitation, if responses may not show them as members: no group shows one."""

    @classmethod
    def of(cls, groups: Sequence[Group], users: Iterable[User]) -> Self:
        """Index the groups and users."""
        members = frozenset[str]().union(*(group.users for group in groups))
        index = UserIndex(users, members)
        pending = frozenset(index.pending(index.ids))
        by_name: dict[str, list[Group]] = defaultdict(list)
        for group in groups:
            by_name[normalize(group.name)].append(group)
        return cls(
            by_id={group.id: group for group in groups},
            by_name=dict(by_name),
            users=index,
            hideable=frozenset() if pending & members else pending,
        )

    def shows(self, group: Group, fields: GroupFields) -> bool:
        """Return whether a group has these fields; members with a pending invitation may be hidden."""
        return matches_except_invited(fields, group, self.hideable)

    def names(self, users: Iterable[str]) -> list[str]:
        """Return the sorted addresses of users; the id of a user who has none."""
        ids = list(users)
        emails = self.users.emails(ids)
        return sorted(emails.get(user, user) for user in ids)


@frozen(kw_only=True)
class Reversal:
    """The result for one change of the run."""

    change: Change | None = None
    """The change that reverses it, if any."""
    conflicts: tuple[Conflict, ...] = ()
    held: tuple[Held, ...] = ()

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing changes and nothing is in conflict."""
        return self.change is None and not self.conflicts


NOTHING: Final = Reversal()
"""The result when the workspace is as it was before the run."""


def reverse(logged: LoggedChange, present: PresentState) -> Reversal:
    """Return the change that reverses a change of a run, and the conflicts that prevent others."""
    undo = {"create": _undo_create, "update": _undo_update, "delete": _undo_delete}
    return undo[logged.change.kind](logged, present)


def conflict_of(change: Change, message: str, ids: Iterable[str] = ()) -> Reversal:
    """Return the result for a change that stays; the message is the predicate of a sentence about the group."""
    sentence = f"{change.place}: {change.name!r} {message}"
    return Reversal(conflicts=(Conflict(name=change.name, message=sentence, ids=tuple(ids)),))


# --- creates -------------------------------------------------------------------------------------------------------


def _undo_create(logged: LoggedChange, present: PresentState) -> Reversal:
    change = logged.change
    if logged.id is None:
        ids = sorted(group.id for group in present.by_name.get(normalize(change.name), ()))
        advice = "the journal does not have the id of the group that the run may have created: compare, delete by hand"
        return conflict_of(change, f"exists ({', '.join(ids)}), and {advice}", ids) if ids else NOTHING
    group = present.by_id.get(logged.id)
    if group is None:
        return NOTHING
    sent = change.after
    created = GroupFields(
        name=sent.name, icon=sent.icon or None, description=sent.description or None, users=sent.users or ()
    )
    changed = [name for name, fields in _each_field(created) if not present.shows(group, fields)]
    if changed:
        fields = ", ".join(map(_label, changed))
        return conflict_of(
            change, f"({group.id}) was changed since the run created it ({fields}): not deleted", [group.id]
        )
    return Reversal(change=delete_of(group, change.place))


def _each_field(fields: GroupFields) -> Iterator[tuple[str, GroupFields]]:
    """Yield each field that is set, by name and alone."""
    for name in ("name", "icon", "description", "users"):
        value = getattr(fields, name)
        if value is not UNSET:
            yield name, GroupFields(**{name: value})


def _label(name: str) -> str:
    return "members" if name == "users" else name


# --- updates -------------------------------------------------------------------------------------------------------


def _undo_update(logged: LoggedChange, present: PresentState) -> Reversal:
    change = logged.change
    group = present.by_id.get(change.id or "")
    if group is None:
        return conflict_of(change, f"({change.id}) does not exist any more: not restored")
    if not logged.is_applied and not present.shows(group, change.after):
        if present.shows(group, change.before):
            return NOTHING
        reason = "is neither as it was before the run nor as the run may have written it: not restored"
        return conflict_of(change, f"({group.id}) {reason}", [group.id])
    after, conflicts = _undo_fields(change, group)
    before = {name: getattr(group, name) for name in after}
    users, members = _undo_members(change, group, present)
    if users is not None:
        before["users"], after["users"] = tuple(sorted(group.users)), users
    reversal = update_of(group.id, str(after.get("name", group.name)), before, after, change.place) if after else None
    return Reversal(change=reversal, conflicts=(*conflicts, *members.conflicts), held=members.held)


def _undo_fields(change: Change, group: Group) -> tuple[dict[str, object], Sequence[Conflict]]:
    """Return the former values of the fields to restore, without the members, and the conflicts of the others."""
    former_values: dict[str, object] = {}
    conflicts: list[Conflict] = []
    for name, wrote in _each_field(change.after):
        former = getattr(change.before, name)
        if former is UNSET:
            message = f"({group.id}) had other {_label(name)}, which the journal does not have: not restored"
            conflicts += conflict_of(change, message, [group.id]).conflicts
        elif name == "users" or GroupFields(**{name: former}).matches(group):
            continue
        elif wrote.matches(group):
            former_values[name] = former
        else:
            message = f"({group.id}) has another {name} since: not restored"
            conflicts += conflict_of(change, message, [group.id]).conflicts
    return former_values, conflicts


def _undo_members(change: Change, group: Group, present: PresentState) -> tuple[tuple[str, ...] | None, Reversal]:
    """Reverse the members that the run added and removed, and leave all others.

    Return the sorted ids of the members, None if they stay, and a result with the conflicts and held members.
    """
    if change.before.users is UNSET:
        return None, NOTHING
    now = set(group.users)
    back = set(change.removed) - now
    wanted = (now - set(change.added)) | (back & present.users.ids)
    held = Reversal(held=_held(change, back - present.users.ids, present))
    if wanted != now:
        return tuple(sorted(wanted)), held
    hidden = present.names(present.hideable.intersection(change.added) - now)
    if not hidden:
        return None, held
    message = f"({group.id}) may have members with a pending invitation that responses do not show: {', '.join(hidden)}"
    return None, evolve(held, conflicts=conflict_of(change, f"{message}. Remove them by hand", [group.id]).conflicts)


def _held(change: Change, missing: Iterable[str], present: PresentState) -> tuple[Held, ...]:
    reason = "is not a user of this workspace any more"
    return tuple(
        Held(group=change.name, member=member, reason=reason, place=change.place) for member in present.names(missing)
    )


# --- deletes -------------------------------------------------------------------------------------------------------


def _undo_delete(logged: LoggedChange, present: PresentState) -> Reversal:
    change = logged.change
    if change.id in present.by_id:
        return NOTHING
    if not normalize(change.name):
        return conflict_of(change, "had no name: create it by hand")
    if change.before.users is UNSET:
        return conflict_of(change, "had fields and members that the journal does not have: create it by hand")
    members = set(change.before.users)
    held = _held(change, members - present.users.ids, present)
    former = GroupFields(
        name=change.before.name or change.name,
        icon=change.before.icon or None,
        description=change.before.description or None,
        users=tuple(sorted(members & present.users.ids)),
    )
    namesakes = present.by_name.get(normalize(change.name), ())
    if len(namesakes) == 1 and present.shows(namesakes[0], former):
        return Reversal(held=held)
    restored = evolve(
        former,
        icon=former.icon or UNSET,
        description=former.description or UNSET,
        users=former.users or UNSET,
    )
    create = Change(kind="create", name=normalize(change.name), after=restored, place=change.place)
    return Reversal(change=create, held=held)
