"""The desired state of a workspace, from files or from code. No I/O with the server."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from attrs import evolve, field, frozen

from secoda_async.errors import DesiredStateError, InvalidArgumentError
from secoda_async.models import Group, normalize
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.columns import Columns
from secoda_async.reconcile.files.find_files import find_files
from secoda_async.reconcile.files.reading import FileFormat, LoadedFile, load_file
from secoda_async.reconcile.scope import Scope, ignore_patterns

__all__ = ["DesiredState"]


def _check_paths(paths: Sequence[object]) -> None:
    """Raise an error without a path, or when one of them is another object."""
    if not paths:
        raise InvalidArgumentError("load needs at least one file or directory")
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            kind = type(path).__name__
            raise InvalidArgumentError(f"load needs paths, not {kind}: write load(*paths) for a list of paths")


def _load_files(
    paths: Iterable[str | os.PathLike[str]], columns: Columns | None, file_format: FileFormat | None
) -> tuple[list[LoadedFile], list[str]]:
    """Read the files that the paths stand for, and return the files with all problems."""
    files, problems = find_files(os.fspath(path) for path in paths)
    loaded = [load_file(file, columns=columns, file_format=file_format) for file in files]
    problems += [problem for file in loaded for problem in file.problems]
    if columns is not None and not problems and not any(file.is_table for file in loaded):
        problems.append("columns are given, but no file is a table: leave them out")
    return loaded, problems


def _check_groups(groups: object, *kinds: type) -> tuple[Any, ...]:
    if isinstance(groups, str) or not isinstance(groups, Iterable):
        kind = type(groups).__name__
        raise InvalidArgumentError(f"groups must be a list of DesiredGroup, not {kind}: DesiredState.load reads files")
    given: tuple[Any, ...] = tuple(groups)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for index, group in enumerate(given):
        if not isinstance(group, kinds):
            hint = "DesiredGroup(name=...) makes one"
            raise InvalidArgumentError(f"groups[{index}] must be a DesiredGroup, not {type(group).__name__}: {hint}")
    return given


def _desired_groups(groups: Iterable[DesiredGroup]) -> tuple[DesiredGroup, ...]:
    return _check_groups(groups, DesiredGroup)


@frozen
class DesiredState:
    """The groups that a workspace should have.

    Raises:
        InvalidArgumentError: When `groups` is not a list of `DesiredGroup`.
    """

    groups: tuple[DesiredGroup, ...] = field(converter=_desired_groups)
    ignore: tuple[str, ...] = field(default=(), converter=ignore_patterns)
    """Patterns of names, such as `SAML *`: groups with such a name are never changed or deleted."""

    @classmethod
    def load(
        cls,
        *paths: str | os.PathLike[str],
        columns: str | Mapping[str, str] | None = None,
        input: FileFormat | None = None,  # noqa: A002 - the option's name
    ) -> Self:
        """Read files of groups: YAML, JSON or tables (CSV).

        Args:
            paths: Files, directories, or `-` for standard input. A directory stands for all its files of groups.
            columns: Columns of tables with other names, such as `{"group": "Group name", "member": "Email"}`.
            input: The format of all files; by default the suffix decides, and the content if there is no known suffix.

        Raises:
            DesiredStateError: With every problem of all files. A missing file is a problem too.
            InvalidArgumentError: Without a path, or when `columns` can't be parsed.
        """
        _check_paths(paths)
        wanted = None if columns is None else Columns.parse(columns)
        loaded, problems = _load_files(paths, wanted, input)
        groups = [group for file in loaded for group in file.groups]
        return cls._checked(groups, problems, [pattern for file in loaded for pattern in file.ignore])

    @classmethod
    def from_groups(cls, groups: Iterable[Group | DesiredGroup]) -> Self:
        """Build a state from groups; all fields of a `Group` are managed.

        A group is pinned by its id only if its name is empty or not unique, so that the state fits another workspace.

        Raises:
            DesiredStateError: With every duplicate name or id.
        """
        given: tuple[Group | DesiredGroup, ...] = _check_groups(groups, Group, DesiredGroup)
        names = Counter(normalize(group.name) for group in given)
        return cls._checked([_desired_group(group, f"groups[{index}]", names) for index, group in enumerate(given)], [])

    @classmethod
    def _checked(cls, groups: Iterable[DesiredGroup], problems: list[str], ignore: Iterable[str] = ()) -> Self:
        state = cls(tuple(groups), tuple(dict.fromkeys(ignore)))
        problems += [*state._duplicates(), *state._former_name_conflicts(), *state._ignored_groups()]
        problems = [escape_control(problem) for problem in problems]
        if problems:
            raise DesiredStateError("\n".join(problems), problems=tuple(problems))
        return state

    def _duplicates(self) -> Iterator[str]:
        """Yield a problem for each name or id that two groups have; ids may tell groups of one name apart."""
        ids: dict[str, DesiredGroup] = {}
        names: dict[str, DesiredGroup] = {}
        for group in self.groups:
            first = names.setdefault(group.name, group) if group.name else group
            if first is not group and (group.id is None or first.id is None or group.id == first.id):
                yield f"{group.place}: duplicate name {group.name!r}, first at {first.place}"
            if group.id is not None and ids.setdefault(group.id, group) is not group:
                yield f"{group.place}: duplicate id {group.id}, first at {ids[group.id].place}"

    def _former_name_conflicts(self) -> Iterator[str]:
        """Yield a problem for each former name that is another group's name, or former name too."""
        names: dict[str, DesiredGroup] = {}
        for group in self.groups:
            if group.name:
                names.setdefault(group.name, group)
        formers: dict[str, DesiredGroup] = {}
        for group in self.groups:
            for former in dict.fromkeys(map(normalize, group.previously)):
                if former in names:
                    yield f"{group.place}: the former name {former!r} is the name of the group at {names[former].place}"
                elif formers.setdefault(former, group) is not group:
                    yield f"{group.place}: duplicate former name {former!r}, first at {formers[former].place}"

    def _ignored_groups(self) -> Iterator[str]:
        """Yield a problem for each group that has an ignored name."""
        scope = Scope(ignore=self.ignore)
        for group in self.groups if self.ignore else ():
            if problem := scope.ignored_problem((group.name, *group.previously)):
                yield f"{group.place}: {problem}"


def _desired_group(group: Group | DesiredGroup, place: str, names: Mapping[str, int]) -> DesiredGroup:
    """Return a group as a desired group, with its place; `names` counts the groups of each name."""
    if isinstance(group, DesiredGroup):
        return group if group.place else evolve(group, place=place)
    name = normalize(group.name)
    return DesiredGroup(
        name=group.name,
        id=group.id if not name or names[name] > 1 else None,
        icon=group.icon,
        description=group.description,
        members=group.users,
        place=place,
    )
