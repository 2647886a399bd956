"""Drift: compare the changes of a plan with the workspace as it is now."""

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import permutations
from typing import Final

from attrs import field, frozen

from secoda_async._engine.name_keys import confusable_key
from secoda_async.models import Group, normalize
from secoda_async.reconcile.escape import spell_name
from secoda_async.reconcile.invited import matches_except_invited
from secoda_async.reconcile.plan import Change, Plan

__all__ = ["ChangeStatus", "DriftCheck", "WorkspaceSnapshot", "status_of"]


class ChangeStatus(enum.Enum):
    """The status of a change in a workspace."""

    PENDING = "pending"
    """The group is as it was when the plan was made: write the change."""
    DONE = "done"
    """The group is as planned already."""
    DRIFTED = "drifted"
    """Something else has changed the group: do not write the change."""


@frozen
class DriftCheck:
    """The status of a change, and what was read."""

    status: ChangeStatus
    group: Group | None
    """The group of the change; None if there is none."""
    reason: str = ""
    """When drifted: the predicate of a sentence about the group."""


_EXISTS_DIFFERENT: Final = "exists already, and not as planned"


@frozen
class WorkspaceSnapshot:
    """The groups of a workspace at one time."""

    read_at: float
    """The time of the read on the client's clock."""
    by_id: Mapping[str, Group]
    by_name: Mapping[str, Sequence[Group]]
    """Without the groups that the plan updates or deletes: the plan may change their names."""
    pending: Collection[str] = ()
    """Ids of the members whom the service may not show yet."""
    planned_names: Mapping[str, str] = field(factory=dict[str, str])
    """The name that each group that the plan updates has afterwards, by id."""
    owners: Mapping[str, Sequence[str]] = field(factory=dict[str, Sequence[str]])
    """Ids of all groups that have one of the new names."""
    lookalikes: Mapping[str, Group] = field(factory=dict[str, Group])
    """By each new name, a group whose name looks like it, although the plan has no breach about the two."""

    @classmethod
    def of(cls, groups: Iterable[Group], plan: Plan, read_at: float) -> "WorkspaceSnapshot":
        """Index the groups by id and name."""
        planned_ids = {change.id for change in plan.changes}
        by_id = {group.id: group for group in groups}
        by_name: dict[str, list[Group]] = defaultdict(list)
        others: list[Group] = []
        owners: dict[str, list[str]] = {name: [] for name in _new_names(plan)}
        for group in by_id.values():
            name = normalize(group.name)
            if group.id not in planned_ids:
                others.append(group)
                by_name[name].append(group)
            if name in owners:
                owners[name].append(group.id)
        return cls(
            read_at=read_at,
            by_id=by_id,
            by_name=dict(by_name),
            pending=plan.pending,
            planned_names={
                change.id: normalize(change.name) for change in plan.changes if change.id and change.kind != "delete"
            },
            owners=owners,
            lookalikes=_lookalikes(others, plan),
        )

    def status_of(self, change: Change) -> DriftCheck:
        """Return the status of a change; its new name must be free too."""
        if change.id is None:
            return self._status_of_create(change)
        check = status_of(change, self.by_id.get(change.id), self.pending)
        if check.status is not ChangeStatus.PENDING or not change.after.name:
            return check
        if normalize(change.after.name) in self.by_name:
            return DriftCheck(ChangeStatus.DRIFTED, check.group, _EXISTS_DIFFERENT)
        return self._unless_similar(change, check)

    def _status_of_create(self, change: Change) -> DriftCheck:
        namesakes = self.by_name.get(normalize(change.name), ())
        if not namesakes:
            return self._unless_similar(change, DriftCheck(ChangeStatus.PENDING, None))
        if len(namesakes) == 1 and matches_except_invited(change.after, namesakes[0], self.pending):
            return DriftCheck(ChangeStatus.DONE, namesakes[0])
        return DriftCheck(ChangeStatus.DRIFTED, namesakes[0], _EXISTS_DIFFERENT)

    def _unless_similar(self, change: Change, check: DriftCheck) -> DriftCheck:
        other = self.lookalikes.get(normalize(change.name))
        if other is None:
            return check
        reason = f"looks like {spell_name(other.name)} ({other.id}), which did not exist when the plan was made"
        return DriftCheck(ChangeStatus.DRIFTED, check.group, reason)

    def mismatch(self, change: Change, created: Group | None) -> str | None:
        """Return a sentence that says how the workspace contradicts an applied change; None if it does not."""
        group_id = created.id if change.id is None and created is not None else change.id
        group = self.by_id.get(group_id or "")
        if change.kind == "delete":
            return None if group is None else f"{change.name!r} still exists"
        if group is None:
            return f"{change.name!r} does not exist"
        if not matches_except_invited(change.after, group, self.pending):
            return f"{change.name!r} is not as it was written"
        return self._second_group(change, group.id) if change.after.name else None

    def _second_group(self, change: Change, group_id: str) -> str | None:
        """Return a sentence about another group that has, or seems to have, the new name of a group."""
        name = normalize(change.name)
        others = [other for other in self.owners.get(name, ()) if self.planned_names.get(other) != name]
        ids = sorted({group_id, *others})
        if len(ids) > 1:
            return f"{change.name!r} exists {len(ids)} times ({', '.join(ids)}): rename or delete all but one"
        other = self.lookalikes.get(name)
        return None if other is None else f"{change.name!r} looks like {spell_name(other.name)} ({other.id})"


def _new_names(plan: Plan) -> list[str]:
    return [normalize(change.name) for change in plan.changes if change.kind != "delete" and change.after.name]


def _lookalikes(groups: Iterable[Group], plan: Plan) -> Mapping[str, Group]:
    """Return a group for each new name of the plan that it looks like, unless a breach of the plan mentions the two.

    A plan made by hand has no breaches.
    """
    new = _new_names(plan)
    if not plan.origin or not new:
        return {}
    listed, counted = _similar_names(plan)
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in new:
        if (key := confusable_key(name)) not in counted:
            by_key[key].append(name)
    found: dict[str, Group] = {}
    for group in groups:
        present = normalize(group.name)
        for name in by_key.get(confusable_key(group.name), ()):
            if present != name and (present, name) not in listed:
                found.setdefault(name, group)
    return found


def _similar_names(plan: Plan) -> tuple[Collection[tuple[str, str]], Collection[str]]:
    """Return the pairs of similar names that breaches list, and the confusable keys of which they list only some."""
    listed: set[tuple[str, str]] = set()
    counted: set[str] = set()
    for breach in plan.breaches:
        if breach.kind == "similar":
            names = set(map(normalize, breach.names))
            listed.update(permutations(names, 2))
            if len(names) == 1:
                counted.add(confusable_key(breach.names[0]))
    return listed, counted


def status_of(change: Change, group: Group | None, pending: Collection[str] = ()) -> DriftCheck:
    """Return the status of an update or a delete, given the group that was read; None if it does not exist.

    A read that hides a member with a pending invitation does not prove that the member was sent: the change is written
    (again), as an update of the whole membership has the same effect twice.
    """
    if group is None:
        if change.kind == "delete":
            return DriftCheck(ChangeStatus.DONE, None)
        return DriftCheck(ChangeStatus.DRIFTED, None, "does not exist any more")
    if matches_except_invited(change.before, group, pending):
        return DriftCheck(ChangeStatus.PENDING, group)
    if change.kind == "update" and change.after.matches(group):
        return DriftCheck(ChangeStatus.DONE, group)
    if change.kind == "update" and matches_except_invited(change.after, group, pending):
        return DriftCheck(ChangeStatus.PENDING, group)
    return DriftCheck(ChangeStatus.DRIFTED, group, "has changed since the plan was made")
