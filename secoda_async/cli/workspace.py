"""The files that an emulated workspace starts from: groups, and the users that they name."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

from attrs import frozen

from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.reconcile import DesiredGroup, DesiredState
from secoda_async.reconcile.files.input_file import FileTooLargeError, read_bytes

_SHOWN: Final = 5
"""Strangers that are named; the rest are counted."""


@frozen
class Workspace:
    """The groups of some files, and everybody whom they name."""

    dates: Sequence[DesiredState]
    users: Sequence[Mapping[str, str]]

    @classmethod
    def read(cls, files: Iterable[Path], users_file: Path | None = None) -> Self:
        """Read the groups of each file, and the users; without a file of users, make up one for each member.

        Raises:
            DesiredStateError: When a file of groups can't be used.
            CommandError: When the users' can't, or a member is not among them.
        """
        files = tuple(files)
        dates = [DesiredState.load(file) for file in files]
        if users_file is None:
            members = dict.fromkeys(member for state in dates for member in _members(state))
            return cls(dates, [_made_up(member) for member in members])
        users = _read_users(users_file)
        known = {name for user in users for name in user.values()}
        for file, state in zip(files, dates, strict=True):
            strangers = list(dict.fromkeys(member for member in _members(state) if member not in known))
            if strangers:
                shown = ", ".join(strangers[:_SHOWN]) + (", ..." if len(strangers) > _SHOWN else "")
                raise CommandError(
                    f"{file}: {len(strangers)} members are not in {users_file}: {shown}. Add them there or remove them",
                    Exit.BAD_INPUT,
                )
        return cls(dates, users)

    def seeds(self) -> list[dict[str, Any]]:
        """The groups of the first file as the emulator takes them, to start with them."""
        return [
            {
                "name": group.name,
                "icon": group.icon or None,
                "description": group.description or None,
                "users": sorted(self.ids_of(group)),
            }
            for group in self.dates[0].groups
        ]

    def ids_of(self, group: DesiredGroup) -> set[str]:
        """The ids of a group's members."""
        ids = {user["email"]: user["id"] for user in self.users}
        return {ids.get(member, member) for member in group.members or ()}


def _members(state: DesiredState) -> Iterable[str]:
    return (member for group in state.groups for member in group.members or ())


def _made_up(member: str) -> dict[str, str]:
    """A user for somebody of whom only the e-mail address, or only the id, is known."""
    if "@" in member:
        return {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{member}")), "email": member}
    return {"id": member, "email": f"{member}@users.example"}


def _read_users(path: Path) -> list[dict[str, str]]:
    try:
        users: object = json.loads(read_bytes(str(path)))
    except OSError as error:
        raise CommandError(f"{path}: can't be read: {error.strerror}", Exit.BAD_INPUT) from None
    except FileTooLargeError as error:
        raise CommandError(f"{path}: {error}", Exit.BAD_INPUT) from None
    except ValueError as error:
        raise CommandError(f"{path}: is not JSON: {error}", Exit.BAD_INPUT) from None
    entries = cast("list[object]", users if isinstance(users, list) else [None])
    for index, entry in enumerate(entries):
        fields = cast("dict[object, object]", entry if isinstance(entry, dict) else {})
        if not isinstance(fields.get("email"), str) or not isinstance(fields.get("id", ""), str):
            where = f"[{index}]" if isinstance(users, list) else ""
            raise CommandError(
                f'{path}: {where} must be a list of {{"id": "...", "email": "..."}}, both text', Exit.BAD_INPUT
            )
    found = cast("list[dict[str, str]]", entries)
    return [{"email": user["email"], "id": user.get("id") or _made_up(user["email"])["id"]} for user in found]
