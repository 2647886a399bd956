"""Plan the undo of a run of apply: restore what the run changed and nobody has changed since. Pure, without I/O.

An update is reversed field by field, where the group still has the value that the run wrote; of the members, only those
that the run added or removed. A create is reversed by a delete, if the group is exactly as it was created. A delete is
reversed by a create, under a new id. Everything else is a conflict, and stays as it is.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from secoda_async.errors import StalePlanError
from secoda_async.models import UNSET, Group, User, normalize
from secoda_async.reconcile.binding import workspace_of
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup, has_unsendable_characters
from secoda_async.reconcile.invited import with_invited_members
from secoda_async.reconcile.journal_runs import JournalRun
from secoda_async.reconcile.matching import Matching
from secoda_async.reconcile.plan import Breach, Change, Plan, members_of, sort_changes, sort_conflicts
from secoda_async.reconcile.reversal import PresentState, Reversal, conflict_of, reverse
from secoda_async.reconcile.safety import Rules, find_breaches
from secoda_async.reconcile.scope import Scope
from secoda_async.reconcile.wording import abbreviate

__all__ = ["plan_undo"]

_DEFAULT_RULES: Final = Rules()

_ATTACHED: Final = "resources, shares and team memberships"
"""Objects that belong to a group, and that no call of the API on groups shows."""

_MAX_NAMED: Final = 10
"""Groups that a note names; the changes of the plan, and the journal, have them all."""


def plan_undo(
    run: JournalRun,
    groups: Sequence[Group],
    users: Iterable[User],
    rules: Rules = _DEFAULT_RULES,
    time_for: Callable[[int], float] = lambda writes: 0.0,  # noqa: ARG005
    *,
    origin: str,
) -> Plan:
    """Return the plan that undoes a run.

    Args:
        run: The run, from its journal.
        groups: Every group of the workspace.
        users: Every user of the workspace.
        rules: The limits of the plan.
        time_for: Returns the seconds that a number of rate-limited writes takes.
        origin: The workspace's origin: `SecodaClient.origin`.

    Raises:
        StalePlanError: When the run wrote to another origin or workspace.
    """
    users = list(users)
    workspace = workspace_of([*groups, *users])
    _check_binding(run, origin, workspace)
    groups = with_invited_members(groups, users, {})
    present = PresentState.of(groups, users)
    undone = _reverse_run(run, present)
    changes = sort_changes(each.change for each in undone if each.change is not None)
    added = set[str]().union(*(change.added for change in changes))
    concerned = members_of(changes)
    return Plan(
        changes=changes,
        conflicts=sort_conflicts(conflict for each in undone for conflict in each.conflicts),
        breaches=_find_undo_breaches(groups, changes, rules),
        held=tuple(held for each in undone for held in each.held),
        notes=tuple(_notes(changes, run)),
        seconds=time_for(sum(change.kind != "delete" for change in changes)),
        unchanged=sum(each.is_unchanged for each in undone),
        pending=present.users.pending(concerned),
        disabled=present.users.disabled(added),
        origin=origin,
        workspace=workspace,
        people=present.users.emails(concerned),
    )


def _check_binding(run: JournalRun, origin: str, workspace: str | None) -> None:
    if run.origin != origin:
        raise StalePlanError(f"the run {run.id} wrote to {run.origin or 'an unknown origin'}, and this is {origin}")
    if run.workspace is not None and run.workspace != workspace:
        this = "the id of this workspace is not known" if workspace is None else f"this is {workspace}"
        raise StalePlanError(f"the run {run.id} wrote to the workspace {run.workspace}, and {this}")


def _reverse_run(run: JournalRun, present: PresentState) -> Sequence[Reversal]:
    """Return the result for each change of a run; a reversal that can't be sent or repeats a name is a conflict."""
    return _without_collisions([_without_unsendable(reverse(logged, present)) for logged in run.changes], present)


def _without_unsendable(undone: Reversal) -> Reversal:
    """Turn a change that restores a text which can't be sent into a conflict."""
    change = undone.change
    if change is None or not any(map(_is_unsendable, (change.after.name, change.after.icon, change.after.description))):
        return undone
    conflict = conflict_of(change, "had a character that can't be sent: restore it by hand")
    return evolve(undone, change=None, conflicts=(*undone.conflicts, *conflict.conflicts))


def _is_unsendable(text: object) -> bool:
    return isinstance(text, str) and has_unsendable_characters(text)


def _without_collisions(undone: Sequence[Reversal], present: PresentState) -> Sequence[Reversal]:
    """Turn each name that another group would have too into a conflict.

    A group whose rename is rejected keeps its own name, which may cause the next collision.
    """
    checked = list(undone)
    owners, claims = _names_after(checked, present)
    names = list(claims)
    while names:
        name = names.pop()
        is_taken = False
        for claim in tuple(claims.get(name, ())):
            index, change = claim
            others = owners[name] - {change.id}
            if not others and not (change.id is None and is_taken):
                is_taken = is_taken or change.id is None
                continue
            checked[index] = _without_name(checked[index], change, sorted(others))
            claims[name].remove(claim)
            if change.id is not None:
                owners[name].discard(change.id)
                names.append(normalize(present.by_id[change.id].name))
                owners[names[-1]].add(change.id)
    return checked


def _names_after(
    undone: Sequence[Reversal], present: PresentState
) -> tuple[Mapping[str, set[str]], Mapping[str, list[tuple[int, Change]]]]:
    """Return the ids of the groups that have each name after the undo, and the changes (with index) that give it."""
    names = {group.id: normalize(group.name) for group in present.by_id.values()}
    claims: dict[str, list[tuple[int, Change]]] = defaultdict(list)
    for index, each in enumerate(undone):
        change = each.change
        if change is not None and change.kind == "delete":
            names.pop(change.id or "")
        elif change is not None and change.after.name is not UNSET:
            claims[normalize(change.after.name)].append((index, change))
            if change.id is not None:
                names[change.id] = normalize(change.after.name)
    owners: dict[str, set[str]] = defaultdict(set)
    for group_id, name in names.items():
        owners[name].add(group_id)
    return owners, claims


def _without_name(undone: Reversal, change: Change, ids: Sequence[str]) -> Reversal:
    who = f"another group has the name ({', '.join(ids)})" if ids else "the run deleted another group of this name"
    conflict = conflict_of(change, f"can't be restored: {who}", ids).conflicts
    if change.kind == "create":
        return Reversal(conflicts=(*undone.conflicts, *conflict))
    after = evolve(change.after, name=UNSET)
    left = evolve(change, name=str(change.before.name), before=evolve(change.before, name=UNSET), after=after)
    return evolve(undone, change=left if after.to_dict() else None, conflicts=(*undone.conflicts, *conflict))


def _find_undo_breaches(groups: Sequence[Group], changes: Sequence[Change], rules: Rules) -> tuple[Breach, ...]:
    """Return the safety limits that the undo exceeds, without those that are about groups files."""
    breaches = find_breaches(_matching_after(groups, changes), changes, rules)
    return tuple(breach for breach in breaches if breach.kind not in ("rename", "empty"))


def _matching_after(groups: Sequence[Group], changes: Sequence[Change]) -> Matching:
    """Return the groups that the workspace has after the undo: the safety limits compare them with the present ones."""
    created = [DesiredGroup(name=change.name) for change in changes if change.kind == "create"]
    return Matching(DesiredState((*_keep_groups(groups, changes), *created)), groups, Scope())


def _keep_groups(groups: Iterable[Group], changes: Sequence[Change]) -> Iterator[DesiredGroup]:
    """Yield the groups that the undo does not delete, under their names after the undo."""
    gone = {change.id for change in changes if change.kind == "delete"}
    names = {change.id: change.after.name for change in changes if change.id is not None and change.after.name}
    for group in groups:
        if group.id not in gone and _can_be_desired(group.name):
            yield DesiredGroup(name=names.get(group.id, group.name), id=group.id if group.id in names else None)


def _can_be_desired(name: str) -> bool:
    """Return whether a desired group can have a name; groups of the workspace may have others."""
    return bool(normalize(name)) and not _is_unsendable(name)


def _notes(changes: Sequence[Change], run: JournalRun) -> Iterator[str]:
    """Yield a sentence about each kind of loss that the undo can't prevent, or causes."""
    old_ids = {normalize(logged.change.name): logged.id for logged in run.changes if logged.change.kind == "delete"}
    created = [f"{change.name!r} (was {old_ids.get(change.name)})" for change in changes if change.kind == "create"]
    if created:
        lost = f"their former ids, and the {_ATTACHED} of the deleted groups, are lost for good"
        yield f"Deleted groups are created again under new ids; {lost}: {abbreviate(created, _MAX_NAMED)}"
    deleted = [f"{change.name!r} ({change.id})" for change in changes if change.kind == "delete"]
    if deleted:
        named = abbreviate(deleted, _MAX_NAMED)
        yield f"Groups are deleted with all {_ATTACHED} that they have been given since: {named}"
