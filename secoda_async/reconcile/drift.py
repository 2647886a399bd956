"""How the changes of a plan stand in a workspace: to be made, made already, or not possible any more."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from secoda_async.models import Group
from secoda_async.reconcile.desired_group import normalize
from secoda_async.reconcile.plan import Change, Plan

__all__ = ["View", "standing"]

_TAKEN: Final = "is there already, otherwise than planned"


@frozen
class View:
    """The groups of a workspace at a moment."""

    at: float
    """When, by the client's clock."""
    by_id: Mapping[str, Group]
    by_name: Mapping[str, Sequence[Group]]
    """Without those that the plan itself changes or deletes: they may give up their names."""

    @classmethod
    def of(cls, groups: Iterable[Group], plan: Plan, at: float) -> "View":
        """Sort the groups for looking them up."""
        own = {change.id for change in plan.changes}
        by_id = {group.id: group for group in groups}
        by_name: dict[str, list[Group]] = defaultdict(list)
        for group in by_id.values():
            if group.id not in own:
                by_name[normalize(group.name)].append(group)
        return cls(at, by_id, dict(by_name))

    def standing(self, change: Change) -> str | None:
        """How a change stands: to be made (empty), made already (None), or what is in the way."""
        if change.id is not None:
            found = standing(change, self.by_id.get(change.id))
            return _TAKEN if found == "" and change.after.name and change.after.name in self.by_name else found
        there = self.by_name.get(change.name, ())
        if not there:
            return ""
        return None if len(there) == 1 and change.after.matches(there[0]) else _TAKEN

    def group_of(self, change: Change) -> Group | None:
        """The group that a change is about, if it is there."""
        if change.id is not None:
            return self.by_id.get(change.id)
        return next(iter(self.by_name.get(change.name, ())), None)

    def difference(self, change: Change, made: Group | None) -> str | None:
        """What is not as a change left it, in words; `made` is what a create made."""
        group = self.by_id.get((made.id if change.id is None and made is not None else change.id) or "")
        if change.kind == "delete":
            return None if group is None else f"{change.name!r} is still there"
        if group is None:
            return f"{change.name!r} is not there"
        if not change.after.matches(group):
            return f"{change.name!r} is not as it was written"
        namesakes = self.by_name.get(change.name, ()) if change.kind == "create" else ()
        if len(namesakes) > 1:
            ids = ", ".join(sorted(group.id for group in namesakes))
            return f"{change.name!r} is there {len(namesakes)} times ({ids}): somebody else made it too"
        return None


def standing(change: Change, group: Group | None) -> str | None:
    """How an update or a delete stands, now that its group was read."""
    if group is None:
        return None if change.kind == "delete" else "is not there any more"
    if change.kind == "update" and change.after.matches(group):
        return None
    return "" if change.before.matches(group) else "is not as it was"
