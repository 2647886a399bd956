"""Compare a desired state with a workspace: the changes that lead from one to the other. Pure, without I/O or a clock.

Groups are matched in this order: by `id`; by name; by a former name (`previously`). A group that any desired group
mentions is never deleted. A match that would give two groups one name is a conflict, and nothing is changed for it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from secoda_async.errors import AmbiguousNameError, DesiredStateError
from secoda_async.models import UNSET, Group, GroupFields, User, normalize
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.plan import Change, Conflict, Plan
from secoda_async.reconcile.safety import Rules, find_breaches
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
    """Return the plan with the fewest changes, at most one for each group.

    Args:
        desired: The desired state.
        groups: Every group of the workspace.
        users: Every user of the workspace.
        rules: The options and limits of the plan.
        time_for: Returns the seconds that a number of rate-limited writes takes.
        origin: The workspace's origin, to which the plan is bound.
        workspace: The workspace's id, to which the plan is bound.

    Raises:
        DesiredStateError: With every member who is not a user of the workspace, unless these are held.
    """
    index = UserIndex.of(users, (user for group in groups for user in group.users))
    matching = _Matching(desired, groups)
    matched = _diff_matched(matching.pairs, index, rules)
    deletes = [_delete_change(group) for group in matching.unmanaged] if rules.prune else []
    changes = _sorted([*(change for change in matched if change is not None), *deletes])
    mentioned = {user for change in changes for user in (*change.added, *change.removed)}
    return Plan(
        changes=tuple(changes),
        conflicts=tuple(sorted(matching.conflicts, key=lambda conflict: (conflict.name, conflict.message))),
        breaches=tuple(find_breaches(desired, groups, changes, rules)),
        seconds=time_for(sum(change.kind != "delete" for change in changes)),
        unchanged=matched.count(None),
        unmanaged=len(matching.unmanaged) - len(deletes),
        origin=origin,
        workspace=workspace,
        people=_addresses(mentioned, index),
    )


def _addresses(ids: Iterable[str], index: UserIndex) -> Mapping[str, str]:
    known = {user_id: index.by_id[user_id].email for user_id in sorted(ids) if user_id in index.by_id}
    return {user_id: email for user_id, email in known.items() if email}


def _sorted(changes: Iterable[Change]) -> list[Change]:
    order = ("create", "update", "delete")
    return sorted(changes, key=lambda change: (order.index(change.kind), change.name, change.id or ""))


class _Matching:
    """The group of the workspace that each desired group means."""

    def __init__(self, desired: DesiredState, groups: Sequence[Group]) -> None:
        self.pairs: list[tuple[DesiredGroup, Group | None]] = []
        """Each desired group without a conflict, and its group; None if the group does not exist."""
        self.conflicts: list[Conflict] = []
        self._by_id = {group.id: group for group in groups}
        self._by_name: dict[str, list[Group]] = defaultdict(list)
        self._managed_ids: set[str] = set()
        """Ids of the groups that a desired group means, or may mean."""
        for group in groups:
            self._by_name[normalize(group.name)].append(group)
        self._match_pinned([wanted for wanted in desired.groups if wanted.id is not None])
        self._match_named(
            sorted((wanted for wanted in desired.groups if wanted.id is None), key=lambda wanted: wanted.name)
        )
        self._reject_name_collisions()
        self.unmanaged = [group for group in groups if group.id not in self._managed_ids]
        """Groups that no desired group means."""

    def _match_pinned(self, pinned: Iterable[DesiredGroup]) -> None:
        for wanted in pinned:
            present = self._by_id.get(wanted.id or "")
            if present is None:
                message = f"there is no group with the id {wanted.id}: correct the id, or remove it to create the group"
                self._add_conflict(wanted, message)
                for name in (wanted.name, *wanted.previously):  # a group of this name may be meant: never delete it
                    self._managed_ids |= {group.id for group in self._groups_named(normalize(name))}
            else:
                self._managed_ids.add(present.id)
                self.pairs.append((wanted, present))

    def _match_named(self, named: Iterable[DesiredGroup]) -> None:
        unmatched = [wanted for wanted in named if not self._match_name(wanted, wanted.name)]
        for wanted in unmatched:  # after all present names: a former name may be another group's present name
            if not any(self._match_name(wanted, normalize(former)) for former in wanted.previously):
                self.pairs.append((wanted, None))

    def _match_name(self, wanted: DesiredGroup, name: str) -> bool:
        """Match the group of this name, and return whether one exists; several are a conflict."""
        free = [group for group in self._groups_named(name) if group.id not in self._managed_ids]
        if len(free) == 1:
            self.pairs.append((wanted, free[0]))
        elif free:
            ids = tuple(sorted(group.id for group in free))
            message = f"{len(free)} groups have the name {name!r} ({', '.join(ids)}): choose with `id:`, or rename one"
            self._add_conflict(wanted, message, ids)
        self._managed_ids |= {group.id for group in free}
        return bool(free)

    def _reject_name_collisions(self) -> None:
        """Turn each rename to a name that another group keeps into a conflict.

        A group whose rename is rejected keeps its own name, which may cause the next collision.
        """
        while (found := next(self._name_collisions(), None)) is not None:
            pair, others = found
            wanted, ids = pair[0], tuple(sorted(group.id for group in others))
            message = f"another group has the name {wanted.name!r} ({', '.join(ids)}): rename or delete it first"
            self._add_conflict(wanted, message, ids)
            self.pairs.remove(pair)
            self._managed_ids |= set(ids)

    def _name_collisions(self) -> Iterator[tuple[tuple[DesiredGroup, Group | None], list[Group]]]:
        matched_ids = {present.id for _, present in self.pairs if present is not None}
        for wanted, present in self.pairs:
            if present is not None and normalize(present.name) != wanted.name:
                others = [group for group in self._groups_named(wanted.name) if group.id not in matched_ids]
                if others:
                    yield (wanted, present), others

    def _groups_named(self, name: str) -> Sequence[Group]:
        return self._by_name.get(name, ())

    def _add_conflict(self, wanted: DesiredGroup, message: str, ids: tuple[str, ...] = ()) -> None:
        self.conflicts.append(Conflict(name=wanted.name, message=f"{wanted.place}: {message}", ids=ids))


def _diff_matched(
    pairs: Iterable[tuple[DesiredGroup, Group | None]], index: UserIndex, rules: Rules
) -> list[Change | None]:
    """Return a change for each pair; None if the group is as desired.

    Raises:
        DesiredStateError: With every unknown member, unless these are held.
    """
    changes: list[Change | None] = []
    problems: list[str] = []
    for wanted, present in pairs:
        members, unknown = _resolve_members(wanted, index)
        if unknown and rules.unknown_members == "error":
            problems += [
                escape_control(f"{wanted.place}: {member!r}, a member of {wanted.name!r}, {reason}")
                for member, reason in unknown.items()
            ]
        elif unknown and present is not None:  # remove nobody: a present member may be the unknown one
            members = tuple(sorted({*(members or ()), *present.users}))
        changes.append(_create_change(wanted, members) if present is None else _update_change(wanted, present, members))
    if problems:
        raise _unknown_members_error(problems)
    return changes


def _unknown_members_error(problems: Sequence[str]) -> DesiredStateError:
    advice = "invite them, correct them, or use unknown_members='hold' (--unknown-members hold)"
    return DesiredStateError("\n".join([*problems, advice]), problems=tuple(problems))


def _resolve_members(wanted: DesiredGroup, index: UserIndex) -> tuple[tuple[str, ...] | None, Mapping[str, str]]:
    """Return the sorted ids of the members (None: not managed), and the reason why each other member is unknown."""
    if wanted.members is UNSET:
        return None, {}
    if (given := set(wanted.members)) <= index.ids:  # fast path: all are ids
        return tuple(sorted(given)), {}
    found: set[str] = set()
    unknown: dict[str, str] = {}
    for member in wanted.members:
        try:
            user_id = index.id_of(member)
        except AmbiguousNameError as error:
            unknown[member] = error.message.removeprefix(f"{member!r} ")
            continue
        if user_id is None:
            unknown[member] = "is not a user of this workspace"
        else:
            found.add(user_id)
    return tuple(sorted(found)), unknown


def _create_change(wanted: DesiredGroup, members: tuple[str, ...] | None) -> Change:
    """Return a create without the empty fields: every field of a new group is empty."""
    after = GroupFields(
        name=wanted.name, icon=wanted.icon or UNSET, description=wanted.description or UNSET, users=members or UNSET
    )
    return Change(kind="create", name=wanted.name, after=after, place=wanted.place)


def _update_change(wanted: DesiredGroup, present: Group, members: tuple[str, ...] | None) -> Change | None:
    """Return an update of the fields that differ; None when none does."""
    name = UNSET if normalize(present.name) == wanted.name else wanted.name
    users = UNSET if members is None else members
    if GroupFields(name=name, icon=wanted.icon, description=wanted.description, users=users).matches(present):
        return None  # fast path: most groups
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    for key, value in (("name", name), ("icon", wanted.icon), ("description", wanted.description), ("users", users)):
        if not GroupFields(**{key: value}).matches(present):  # type: ignore[arg-type]
            current = getattr(present, key)
            before[key] = tuple(sorted(current)) if key == "users" else current
            after[key] = value
    return Change(
        kind="update",
        name=wanted.name,
        id=present.id,
        before=GroupFields(**before),  # type: ignore[arg-type]
        after=GroupFields(**after),  # type: ignore[arg-type]
        place=wanted.place,
    )


def _delete_change(group: Group) -> Change:
    before = GroupFields(
        name=group.name, icon=group.icon, description=group.description, users=tuple(sorted(group.users))
    )
    return Change(kind="delete", name=group.name, id=group.id, before=before)
