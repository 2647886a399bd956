"""Compare a desired state with a workspace: the changes that lead from one to the other. Pure, without I/O or a clock.

`matching` finds the group that each desired group means, and `member_resolver` the users that its members mean.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain

from attrs import evolve

from secoda_async.models import UNSET, Group, GroupFields, User, normalize
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.invited import hidden_member_notes
from secoda_async.reconcile.matching import Matching, gets_its_name
from secoda_async.reconcile.member_resolver import MemberResolver
from secoda_async.reconcile.plan import (
    Change,
    Held,
    Plan,
    delete_of,
    members_of,
    sort_changes,
    sort_conflicts,
    update_of,
)
from secoda_async.reconcile.safety import Rules, find_breaches
from secoda_async.reconcile.wording import natural_key
from secoda_async.user_index import UserIndex

__all__ = ["diff"]


def diff(
    desired: DesiredState,
    groups: Sequence[Group],
    users: Iterable[User],
    rules: Rules,
    time_for: Callable[[int], float] = lambda writes: 0.0,  # noqa: ARG005
    *,
    origin: str = "",
    workspace: str | None = None,
) -> Plan:
    """Return the plan with the fewest changes, at most one for each group, bound to an origin and a workspace.

    The groups, with their invited members, and the users must be complete. `time_for` returns the seconds that a number
    of rate-limited writes takes.

    Raises:
        DesiredStateError: With every desired group that is ignored, or with every member who is not a user of the
            workspace, unless these are held.
    """
    index = UserIndex(users, chain.from_iterable(group.users for group in groups))
    rules = evolve(rules, ignore=(*rules.ignore, *desired.ignore))
    matching, members = Matching(desired, groups, rules.scope), MemberResolver(index, rules)
    matched = [_change(wanted, present, members.resolve(wanted, present)) for wanted, present in matching.pairs]
    members.raise_unknown()
    deletes = [delete_of(group) for group in matching.deletable] if rules.prune else []
    changes = sort_changes([*(change for change in matched if change is not None), *deletes])
    deleted = {change.id for change in deletes}
    unmanaged = _sorted_names(group for group in matching.unmanaged if group.id not in deleted)
    held = tuple(sorted(members.held, key=lambda held: (natural_key(held.group), held.member)))
    pending = index.pending(members.desired | members_of(changes))
    disabled = index.disabled(members.desired)
    return Plan(
        changes=changes,
        conflicts=sort_conflicts(matching.conflicts),
        breaches=tuple(find_breaches(matching, changes, rules)),
        held=held,
        seconds=time_for(len(changes) - len(deletes)),
        unchanged=matched.count(None),
        unmanaged=len(unmanaged),
        unmanaged_names=unmanaged,
        ignored_names=_sorted_names(matching.ignored),
        pending=pending,
        disabled=disabled,
        notes=(
            *hidden_member_notes(_gaining(changes, members.keeping), groups, index.by_id.values()),
            *rules.scope.unused(_names(desired, groups), deletes=bool(deletes)),
        ),
        origin=origin,
        workspace=workspace,
        people=index.emails(_shown_users(changes, held).union(pending, disabled)),
    )


def _sorted_names(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return the names of groups in natural order."""
    return tuple(sorted((group.name for group in groups), key=natural_key))


def _shown_users(changes: Iterable[Change], held: Iterable[Held]) -> set[str]:
    """Return the ids of the users that the changes add or remove, and of those that a held member keeps."""
    shown = {user for change in changes for user in (*change.added, *change.removed)}
    return shown.union(*(one.kept for one in held))


def _names(desired: DesiredState, groups: Iterable[Group]) -> list[str]:
    return [*(group.name for group in groups), *(wanted.name for wanted in desired.groups)]


def _gaining(changes: Iterable[Change], ids: Collection[str]) -> list[str]:
    """Return the names of the groups with these ids whose members change."""
    return [change.name for change in changes if change.id in ids and change.after.users is not UNSET]


def _change(wanted: DesiredGroup, present: Group | None, members: set[str] | None) -> Change | None:
    """Return the change for a desired group; None if the group is as desired."""
    return _create_change(wanted, members) if present is None else _update_change(wanted, present, members)


def _create_change(wanted: DesiredGroup, members: set[str] | None) -> Change:
    """Return a create without the empty fields: every field of a new group is empty."""
    users = tuple(sorted(members)) if members else UNSET
    after = GroupFields(
        name=wanted.name, icon=wanted.icon or UNSET, description=wanted.description or UNSET, users=users
    )
    return Change(kind="create", name=wanted.name, after=after, place=wanted.place)


def _update_change(wanted: DesiredGroup, present: Group, members: set[str] | None) -> Change | None:
    """Return an update of the fields that differ; None when none does."""
    name = wanted.name if gets_its_name(wanted, present) else UNSET
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    for key, value in (("name", name), ("icon", wanted.icon), ("description", wanted.description)):
        current = getattr(present, key)
        if value is not UNSET and value != current and _is_other_text(value, current):
            before[key], after[key] = current, value
    if members is not None and members != set(present.users):
        before["users"], after["users"] = tuple(sorted(present.users)), tuple(sorted(members))
    if not after:
        return None
    return update_of(present.id, wanted.name, before, after, wanted.place)


def _is_other_text(value: str | None, current: str | None) -> bool:
    return normalize(value or "") != normalize(current or "")
