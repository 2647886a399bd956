"""Find the group of the workspace that each desired group means. Pure, without I/O.

Groups are matched in this order: by `id`; by name; by a former name (`previously`). A group that any desired group
mentions is never deleted. A match that would give two groups one name is a conflict, and nothing is changed for it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from operator import attrgetter
from typing import TypeVar

from secoda_async._engine.name_keys import confusable_key
from secoda_async.errors import DesiredStateError
from secoda_async.models import Group, normalize
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.plan import Conflict
from secoda_async.reconcile.scope import Scope

__all__ = ["Matching", "Pair", "gets_its_name"]

T = TypeVar("T", Group, DesiredGroup)

Pair = tuple[DesiredGroup, Group | None]
"""A desired group and its group; None if the group does not exist."""


def gets_its_name(wanted: DesiredGroup, present: Group | None) -> bool:
    """Return whether the plan creates or renames the group."""
    return present is None or (present.name != wanted.name and normalize(present.name) != wanted.name)


def _group_by_name(groups: Iterable[Group]) -> dict[str, list[Group]]:
    """Return the groups of each normalized name."""
    by_name: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        by_name[normalize(group.name)].append(group)
    return by_name


def _split(groups: Iterable[T], contains: Callable[[str], bool]) -> tuple[list[T], list[T]]:
    """Return the groups inside a scope, and those outside."""
    inside: list[T] = []
    outside: list[T] = []
    for group in groups:
        (inside if contains(group.name) else outside).append(group)
    return inside, outside


class Matching:
    """The group of the workspace that each desired group means.

    Raises:
        DesiredStateError: With every desired group that a pattern of `ignore` covers.
    """

    def __init__(self, desired: DesiredState, groups: Sequence[Group], scope: Scope) -> None:
        self.pairs: list[Pair] = []
        """The desired groups inside the scope that have no conflict."""
        self.conflicts: list[Conflict] = []
        self._scope = scope
        contains = self._contains = cache(scope.contains)
        self._by_id = {group.id: group for group in groups}
        self._by_name = _group_by_name(groups)
        self._managed_ids: set[str] = set()
        """Ids of the groups that a desired group means, or may mean."""
        if scope.ignore:
            self._reject_ignored(desired.groups)
        self._unmatched = self._match(desired.groups)
        self.wanted: list[DesiredGroup]
        self.outside: list[DesiredGroup]
        self.wanted, self.outside = _split(desired.groups, contains)
        """The desired groups inside the scope, and those outside, which are left out."""
        self._leave_out_of_scope()
        self._reject_name_collisions()
        self.inside: list[Group]
        self.ignored: list[Group]
        self.inside, self.ignored = _split(groups, contains)
        """The groups of the workspace inside the scope, and those outside."""
        self.unmanaged: list[Group] = [group for group in self.inside if group.id not in self._managed_ids]
        """Groups inside the scope that no desired group means."""

    @cached_property
    def deletable(self) -> list[Group]:
        """The unmanaged groups whose names no desired group without a group can be meant to have."""
        names = (name for wanted in self._unmatched for name in (wanted.name, *wanted.previously))
        keys = frozenset(map(confusable_key, names))
        return [group for group in self.unmanaged if not keys or confusable_key(group.name) not in keys]

    # --- matches -----------------------------------------------------------------------------------------------

    def _match(self, desired: Sequence[DesiredGroup]) -> list[DesiredGroup]:
        """Match the desired groups, and return those that match no group or have a conflict."""
        self._match_pinned(wanted for wanted in desired if wanted.id is not None)
        self._match_named(sorted((wanted for wanted in desired if wanted.id is None), key=attrgetter("name")))
        matched = {id(wanted) for wanted, present in self.pairs if present is not None}
        return [wanted for wanted in desired if id(wanted) not in matched]

    def _match_pinned(self, pinned: Iterable[DesiredGroup]) -> None:
        for wanted in pinned:
            present = self._by_id.get(wanted.id or "")
            if present is None:
                message = f"there is no group with the id {wanted.id}: correct the id, or remove it to create the group"
                self._add_conflict(wanted, message)
                for name in (wanted.name, *wanted.previously):  # a group of this name may be meant: never delete it
                    self._managed_ids |= {group.id for group in self._groups_named(normalize(name))}
                continue
            self._managed_ids.add(present.id)
            if wanted.name or not normalize(present.name):
                self.pairs.append((wanted, present))
            else:
                message = f"the group {present.id} has the name {present.name!r}: write this name, or a new one"
                self._add_conflict(wanted, message, (present.id,))

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
        self._managed_ids.update(group.id for group in free)
        return bool(free)

    def _groups_named(self, name: str) -> Sequence[Group]:
        return self._by_name.get(name, ())

    # --- scope -------------------------------------------------------------------------------------------------

    def _reject_ignored(self, desired: Iterable[DesiredGroup]) -> None:
        problems: list[str] = []
        for wanted in desired:
            pinned = self._by_id.get(wanted.id or "")
            names = (wanted.name, *wanted.previously, *([] if pinned is None else [pinned.name]))
            if problem := self._scope.ignored_problem(names):
                problems.append(escape_control(f"{wanted.place}: {problem}"))
        if problems:
            raise DesiredStateError("\n".join(problems), problems=tuple(problems))

    def _leave_out_of_scope(self) -> None:
        """Keep the pairs inside the scope. A rename into or out of the scope is a conflict."""
        contains = self._contains
        self.conflicts = [conflict for conflict in self.conflicts if contains(conflict.name)]
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            wanted, present = pair
            is_inside = contains(wanted.name)
            if present is None or contains(present.name) == is_inside:
                if is_inside:
                    self.pairs.append(pair)
            else:
                side = "outside" if is_inside else "inside"
                message = f"a rename of {present.name!r}, which is {side} the scope (only): plan both names together"
                self._add_conflict(wanted, message, (present.id,))

    # --- conflicts ---------------------------------------------------------------------------------------------

    def _reject_name_collisions(self) -> None:
        """Turn each create or rename to a name that another group keeps into a conflict.

        A group whose rename is rejected keeps its own name, which may cause the next collision.
        """
        matched_ids = {present.id for _, present in self.pairs if present is not None}
        kept = dict(enumerate(self.pairs))
        by_new_name: dict[str, list[int]] = defaultdict(list)
        for index, (wanted, present) in kept.items():
            if gets_its_name(wanted, present):
                by_new_name[wanted.name].append(index)
        names = list(by_new_name)
        while names:
            name = names.pop()
            ids = tuple(sorted(group.id for group in self._groups_named(name) if group.id not in matched_ids))
            if not ids:
                continue
            for index in by_new_name.pop(name, ()):
                wanted, present = kept.pop(index)
                message = f"another group has the name {name!r} ({', '.join(ids)}): rename or delete it first"
                self._add_conflict(wanted, message, ids)
                self._managed_ids |= set(ids)
                if present is not None:
                    matched_ids.discard(present.id)
                    names.append(normalize(present.name))
        self.pairs = list(kept.values())

    def _add_conflict(self, wanted: DesiredGroup, message: str, ids: tuple[str, ...] = ()) -> None:
        self.conflicts.append(Conflict(name=wanted.name, message=f"{wanted.place}: {message}", ids=ids))
