"""Members as people write them: an address, an id, a mail link, a name with an address, or several in one cell."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

__all__ = ["UUID", "MemberError", "parse_member"]

_QUOTED: Final = r'"[^"\r\n]*"'
_PIECE: Final = re.compile(rf"(?:{_QUOTED}|<[^<>]*>|[^;,\r\n])+")
"""The text between separators. A separator in quotes or angle brackets does not count."""

_NAME_AND_ADDRESS: Final = re.compile(rf"((?:{_QUOTED}|[^\"<>])*)<([^<>]*)>\s*")

_ADDRESS: Final = re.compile(r"[^@]+@(?:[^@.]+\.)+[^@.]+")
"""A dot in the domain, and none at its end: otherwise the address is cut off."""

UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""The form of the service's ids."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+|[A-Za-z0-9_-]+")
"""Matches most members, so that few need the other expressions: a file may have millions."""

_ODD: Final = re.compile(r"[\s\";,<>()\[\]\\]")

_MAX_SHOWN: Final = 100
"""Characters of a text in a message."""


class MemberError(ValueError):
    """Raised for text that is not certainly a member. The message starts with the text."""


def parse_member(text: str) -> list[str]:
    """Return the addresses and ids in a text, in order.

    Several are separated by `;`, `,` or line breaks; addresses and UUIDs by blanks too.

    Raises:
        MemberError: When a part is neither an address nor an id.
    """
    if _PLAIN.fullmatch(text):
        return [text]
    members = [member for piece in _PIECE.findall(text) for member in _split_blanks(_strip(piece))]
    if not members:
        raise MemberError(f"{_show(text)} names no member: write an e-mail address or id")
    if len(members) > 1 and (cut := _part_of_name(text, members)):
        raise MemberError(
            f"{_show(cut)} may be part of a name: put the name in double quotes, or leave only the address"
        )
    return [_check(member) for member in members]


def _strip(piece: str) -> str:
    """Return the address of `Name <address>`, and the piece itself otherwise; without `mailto:`."""
    found = _NAME_AND_ADDRESS.fullmatch(piece)
    address = (found[2] if found else piece).strip()
    if address[:7].lower() == "mailto:":
        address = unquote(address[7:].partition("?")[0])
    return address


def _split_blanks(piece: str) -> Iterator[str]:
    parts = piece.split()
    if all("@" in part or UUID.fullmatch(part) for part in parts):
        yield from parts
    else:
        yield piece


def _part_of_name(text: str, members: list[str]) -> str | None:
    """Return `Doe` of `Doe, Jane <jane@example.com>`: it looks like an id."""
    if "<" not in text:
        return None
    return next((member for member in members if "@" not in member and member.isalpha()), None)


def _check(member: str) -> str:
    """Return a member that can be one address or one id."""
    if member.startswith("#"):
        raise MemberError(f"{_show(member)} is an error value of a spreadsheet: write an e-mail address or id")
    if "@" in member and not _ADDRESS.fullmatch(member):
        raise MemberError(f"{_show(member)} is not an e-mail address, perhaps cut off: complete it")
    if _ODD.search(member):
        raise MemberError(f"{_show(member)} is neither an e-mail address nor an id: write one of them")
    if not member.isprintable():
        raise MemberError(f"{_show(member)} contains an invisible character: type it again")
    return member


def _show(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")
