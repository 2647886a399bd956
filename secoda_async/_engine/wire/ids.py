"""The ids of groups and users, checked before they go into a path or a body."""

import re
from collections.abc import Iterable
from string import ascii_letters, digits
from typing import Final

from secoda_async.errors import InvalidArgumentError

_PLAIN: Final = f"{ascii_letters}{digits}-".encode()
"""The characters of UUIDs; ids are UUIDs (documented)."""

_PLAIN_ID: Final = re.compile("[a-zA-Z0-9-]+")

_NO_SEGMENT: Final = re.compile(r"[/\\ ]|\A\.{0,2}\Z")
"""A separator, white space, nothing, `.` or `..`: such an id is not one segment of a path."""


def is_plain_id(value: str) -> bool:
    """Return whether an id has the characters of UUIDs only, so that it needs no quoting."""
    return _PLAIN_ID.fullmatch(value) is not None


def validate_id(value: object, what: str = "group") -> str:
    """Check an id before it goes into a path.

    Raises:
        InvalidArgumentError: When it is not a string that can be one path segment.
    """
    if type(value) is str and is_plain_id(value):  # the usual case
        return value
    if not isinstance(value, str):
        hint = f": pass {what}.id" if hasattr(value, "id") else ""
        raise InvalidArgumentError(f"a {what} id must be a string, not {type(value).__name__}{hint}")
    if what == "user" and "@" in value:
        raise InvalidArgumentError(f"{value!r} is an e-mail address, not a user id: users.find(email=...) finds it")
    if not value.isprintable() or _NO_SEGMENT.search(value):
        raise InvalidArgumentError(
            f"{value!r} is not a {what} id: it must be one path segment, without slashes, white space or "
            "invisible characters"
        )
    return value


def validate_users(users: Iterable[str]) -> tuple[str, ...]:
    """Check the ids of members, and return each once, in the order given.

    Raises:
        InvalidArgumentError: When it is not a list, or an id is malformed.
    """
    if isinstance(users, str) or not hasattr(type(users), "__iter__"):
        hint = "put one id in a list" if type(users) is str else "[] means no members"
        raise InvalidArgumentError(f"users must be a list of ids, not {type(users).__name__}: {hint}")
    ids = tuple(users)
    if not _are_plain_ids(ids):
        for user_id in ids:
            validate_id(user_id, "user")
    if not {str}.issuperset(map(type, ids)):  # such as NumPy's strings
        ids = tuple(map(str.__str__, ids))
    return ids if len(set(ids)) == len(ids) else tuple(dict.fromkeys(ids))


def _are_plain_ids(values: tuple[str, ...]) -> bool:
    """Return whether all are plain ids. They are checked in one step, because a membership may have hundreds."""
    try:
        return all(values) and not "".join(values).encode().translate(None, _PLAIN)
    except (TypeError, UnicodeEncodeError):
        return False
