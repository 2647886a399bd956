"""Texts of other people, made safe to show: no name can steer a terminal, forge a line or turn text around."""

import re
import unicodedata
from typing import Final

__all__ = ["escape_control", "escape_json"]

_JOINERS: Final = "\u200c\u200d"
"""What joins letters and emoji: invisible, and harmless."""

_STEERING: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode's categories of what is no letter, sign or space: controls, bidi marks, surrogates, line breaks."""


def escape_control(text: str) -> str:
    """Return a text in one line: whatever would steer a terminal, or break the line, is shown as its code."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if _is_steering(character) else character
        for character in text
    )


def escape_json(text: str) -> str:
    """Return JSON that means the same, with such characters as their codes; its own line breaks stay."""
    if text.replace("\n", "").isprintable():
        return text
    return re.sub(r"[^\n\x20-\x7e]", lambda found: _as_json(found[0]), text)


def _as_json(character: str) -> str:
    if not _is_steering(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _is_steering(character: str) -> bool:
    return unicodedata.category(character) in _STEERING and character not in _JOINERS
