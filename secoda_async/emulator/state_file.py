"""A file that keeps the workspace over restarts: its key, users and groups."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = "secoda-async emulator"
VERSION: Final = 1
GROUP_TEXTS: Final = ("id", "name", "created_at", "updated_at")
USER_TEXTS: Final = ("id", "email")


class StateFileError(OSError):
    """Raised when a state file can't be used."""


@attrs.frozen
class SavedWorkspace:
    """The content of a state file."""

    api_key: str
    users: dict[str, dict[str, Any]]
    """Users by id, as the store keeps them."""
    groups: dict[str, dict[str, Any]]
    """Groups by id, as the store keeps them."""


@attrs.define(eq=False)
class StateFile:
    """A state file. It is replaced as a whole, so that a crash leaves the former or the new content."""

    path: Path
    _written: tuple[int, int, int] | None = attrs.field(init=False, default=None)
    """Identifies the content that was loaded or saved last; None: there was no file."""

    def load(self) -> SavedWorkspace | None:
        """Return the saved workspace, or None if there is no file.

        Raises:
            StateFileError: The file can't be read, or is no saved workspace. The file is left as it is.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateFileError(f"{self.path} can't be read: {error.strerror or type(error).__name__}") from None
        try:
            saved = _parse(content)
        except ValueError as error:
            raise StateFileError(
                f"{self.path} is not a saved workspace: {error}. Restore it, or start with another file"
            ) from None
        self._written = self._identity()
        return saved

    def save(self, workspace: SavedWorkspace) -> None:
        """Replace the file.

        Raises:
            StateFileError: The file can't be written, or another program has changed it. The file is left as it is.
        """
        if self._identity() != self._written:
            raise StateFileError(f"{self.path} is not written any more: another program has changed it")
        try:
            self._replace(workspace)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StateFileError(f"{self.path} can't be written: {reason}") from None
        self._written = self._identity()

    def _replace(self, workspace: SavedWorkspace) -> None:
        document = {
            "format": FORMAT,
            "version": VERSION,
            "api_key": workspace.api_key,
            "users": list(workspace.users.values()),
            "groups": list(workspace.groups.values()),
        }
        content = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _identity(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _parse(content: bytes) -> SavedWorkspace:
    """Return the workspace that a file holds.

    Raises:
        ValueError: The content is no saved workspace; the message is the predicate of a sentence.
    """
    try:
        document: object = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else None
    if fields is None:
        raise ValueError("it is not a JSON object")
    if fields.get("format") != FORMAT or fields.get("version") != VERSION:
        raise ValueError(f'it lacks "format": "{FORMAT}" and "version": {VERSION}')
    api_key = fields.get("api_key")
    if not isinstance(api_key, str) or not api_key:
        raise ValueError('"api_key" is not a string')
    users = _objects(fields.get("users"), "users", USER_TEXTS)
    groups = _objects(fields.get("groups"), "groups", GROUP_TEXTS)
    for number, group in enumerate(groups.values()):
        if not _is_list_of_strings(group.get("users")):
            raise ValueError(f'groups[{number}] has no "users", a list of strings')
    return SavedWorkspace(api_key, users, groups)


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in cast("list[object]", value))


def _objects(value: object, name: str, texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return a list of objects by id.

    Raises:
        ValueError: The list lacks something.
    """
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None:
        raise ValueError(f'"{name}" is not a list')
    found: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(items):
        entry: Mapping[str, object] = cast("Mapping[str, object]", item) if isinstance(item, dict) else {}
        missing = [text for text in texts if not isinstance(entry.get(text), str)]
        if missing:
            raise ValueError(f'{name}[{number}] has no "{missing[0]}", a string')
        if entry["id"] in found:
            raise ValueError(f"{name}[{number}] has the id of another one")
        found[cast("str", entry["id"])] = dict(entry)
    return found
