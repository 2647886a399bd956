"""What a workspace should hold, from a file or from code. Nothing is sent from here."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

from attrs import evolve, frozen

from secoda_async.errors import DesiredStateError
from secoda_async.models import Group
from secoda_async.reconcile.desired_group import DesiredGroup, normalize
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.reading import load_groups

__all__ = ["DesiredState"]


@frozen
class DesiredState:
    """Every group that there should be."""

    groups: tuple[DesiredGroup, ...]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file: YAML, or by its ending `.json` or `.csv`; `-` is YAML from standard input.

        Raises:
            DesiredStateError: With every problem of the file, a missing file included.
        """
        groups, problems = load_groups(os.fspath(path))
        return cls._checked(groups, problems)

    @classmethod
    def from_groups(cls, groups: Iterable[Group | DesiredGroup]) -> Self:
        """Take groups as they are, all their fields managed, or as they should be.

        Groups of one name are told apart by their ids; others go by their name, so that the state fits another
        workspace too.

        Raises:
            DesiredStateError: With every problem: a name or id that is there twice.
        """
        given = list(groups)
        names = Counter(normalize(group.name) for group in given)
        made = [
            _as_it_is(group, pins=_needs_id(group, names)) if isinstance(group, Group) else group for group in given
        ]
        placed = [group if group.place else evolve(group, place=f"groups[{index}]") for index, group in enumerate(made)]
        return cls._checked(placed, [])

    @classmethod
    def _checked(cls, groups: Iterable[DesiredGroup], problems: list[str]) -> Self:
        state = cls(tuple(groups))
        problems += state._contradictions()
        problems = [escape_control(problem) for problem in problems]
        if problems:
            error = DesiredStateError("\n".join(problems))
            error.problems = tuple(problems)
            raise error
        return state

    def _contradictions(self) -> list[str]:
        """What two groups can't both say."""
        problems: list[str] = []
        ids: dict[str, DesiredGroup] = {}
        names: dict[str, DesiredGroup] = {}
        for group in self.groups:
            first = names.setdefault(group.name, group) if group.name else group
            if first is not group and (group.id is None or first.id is None or group.id == first.id):
                problems.append(f"{group.place}: the name {group.name!r} stands twice, first at {first.place}")
            if group.id is not None and ids.setdefault(group.id, group) is not group:
                problems.append(f"{group.place}: the id {group.id} stands twice, first at {ids[group.id].place}")
        formers: dict[str, DesiredGroup] = {}
        for group in self.groups:
            for former in dict.fromkeys(map(normalize, group.previously)):
                if former in names:
                    problems.append(
                        f"{group.place}: previously {former!r} is the name of the group at {names[former].place}"
                    )
                elif formers.setdefault(former, group) is not group:
                    problems.append(f"{group.place}: previously {former!r} is also said at {formers[former].place}")
        return problems


def _needs_id(group: Group, names: Mapping[str, int]) -> bool:
    return names[normalize(group.name)] > 1 or not normalize(group.name)


def _as_it_is(group: Group, *, pins: bool) -> DesiredGroup:
    return DesiredGroup(
        name=group.name,
        id=group.id if pins else None,
        icon=group.icon,
        description=group.description,
        members=group.users,
    )
