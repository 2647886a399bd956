"""The files that an emulated workspace starts from: groups, and the users that are their members."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

from attrs import frozen

from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.inputs import DEFAULT_INPUTS, Inputs
from secoda_async.reconcile import DesiredGroup, DesiredState
from secoda_async.reconcile.files.input_file import InputError, read_bytes
from secoda_async.reconcile.wording import abbreviate

_MAX_NAMED: Final = 5
"""Unknown members that an error names."""


@frozen
class SeedFiles:
    """The groups of one or more files, and all their members as users."""

    states: Sequence[DesiredState]
    users: Sequence[Mapping[str, str]]

    @classmethod
    def read(cls, files: Iterable[Path], users_file: Path | None = None, inputs: Inputs = DEFAULT_INPUTS) -> Self:
        """Read the groups of each file, and the users; without a file of users, generate a user for each member.

        Raises:
            DesiredStateError: If a file of groups can't be used.
            CommandError: If the file of users can't be used, or lacks a member.
        """
        files = tuple(files)
        states = [inputs.load([file]) for file in files]
        if users_file is None:
            members = dict.fromkeys(member for state in states for member in _members(state))
            return cls(states, [_generated_user(member) for member in members])
        users = _read_users(users_file)
        known = {name for user in users for name in user.values()}
        for file, state in zip(files, states, strict=True):
            _reject_unknown_users(file, state, users_file, known)
        return cls(states, users)

    def groups(self) -> list[dict[str, Any]]:
        """Return the groups of the first file as the emulator takes them."""
        return [
            {
                "name": group.name,
                "icon": group.icon or None,
                "description": group.description or None,
                "users": sorted(self.ids_of(group)),
            }
            for group in self.states[0].groups
        ]

    def ids_of(self, group: DesiredGroup) -> set[str]:
        """Return the ids of a group's members."""
        ids = {user["email"]: user["id"] for user in self.users}
        return {ids.get(member, member) for member in group.members or ()}


def _members(state: DesiredState) -> Iterable[str]:
    return (member for group in state.groups for member in group.members or ())


def _generated_user(member: str) -> dict[str, str]:
    """Return a user for a member whose e-mail address, or id, is all that is known."""
    if "@" in member:
        return {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{member}")), "email": member}
    return {"id": member, "email": f"{member}@users.example"}


def _reject_unknown_users(file: Path, state: DesiredState, users_file: Path, known: set[str]) -> None:
    unknown = list(dict.fromkeys(member for member in _members(state) if member not in known))
    if unknown:
        names = abbreviate(unknown, _MAX_NAMED)
        raise CommandError(
            f"{file}: {len(unknown)} members are not in {users_file}: {names}. Add them there or remove them here",
            Exit.BAD_INPUT,
        )


def _read_users(path: Path) -> list[dict[str, str]]:
    try:
        users: object = json.loads(read_bytes(str(path)))
    except InputError as error:
        raise CommandError(f"{path}: {error.problem}", Exit.BAD_INPUT) from None
    except ValueError as error:
        raise CommandError(f"{path}: is not JSON: {error}", Exit.BAD_INPUT) from None
    if not isinstance(users, list):
        raise _wrong_users(str(path))
    entries = cast("list[dict[str, str]]", users)
    for index, entry in enumerate(entries):
        if not _is_user(entry):
            raise _wrong_users(f"{path}: [{index}]")
    return [{"email": user["email"], "id": user.get("id") or _generated_user(user["email"])["id"]} for user in entries]


def _is_user(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    fields = cast("dict[str, object]", entry)
    return isinstance(fields.get("email"), str) and isinstance(fields.get("id", ""), str)


def _wrong_users(location: str) -> CommandError:
    return CommandError(
        f'{location}: users must be a list of {{"id": "...", "email": "..."}}, both strings', Exit.BAD_INPUT
    )
