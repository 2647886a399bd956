"""Escape untrusted text, so that no name can control a terminal, forge a line or reverse the text direction."""

import re
import unicodedata
from typing import Final

__all__ = ["escape_control", "escape_json"]

_JOINERS: Final = "\u200c\u200d"
"""Zero-width characters that join letters and emoji: harmless."""

_CONTROL: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode categories: control and format characters, surrogates, line and paragraph separators."""


def escape_control(text: str) -> str:
    """Return text on one line, with each control character as an escape sequence."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if _is_control(character) else character
        for character in text
    )


def escape_json(text: str) -> str:
    """Return equivalent JSON with each control character as an escape; line breaks between values stay."""
    if text.replace("\n", "").isprintable():
        return text
    return re.sub(r"[^\n\x20-\x7e]", lambda found: _as_json(found[0]), text)


def _as_json(character: str) -> str:
    if not _is_control(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL and character not in _JOINERS
