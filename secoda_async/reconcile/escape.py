"""Escape untrusted text, so that no name can control a terminal, forge a line, reverse the text or hide a character."""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Final

from secoda_async._engine.name_keys import INVISIBLE_PATTERN

__all__ = ["escape_control", "escape_invisible", "escape_json", "quote_name", "spell_name"]

_CODED: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"))
"""Unicode categories: control and format characters, surrogates, line and paragraph separators, and blanks."""

_INVISIBLE: Final = re.compile(INVISIBLE_PATTERN)

_UNUSUAL: Final = re.compile(r"[^\x20-\x7e]")
"""Characters that may have to be escaped."""

_JOINERS: Final = "\u200c\u200d"
"""Zero-width characters that are ordinary inside an emoji, and inside words of the scripts that join letters."""

_EMOJI_STYLE: Final = "\ufe0f"
"""The variation selector that asks for the colored form of the symbol before it: ordinary in an emoji."""

_OTHER_SYMBOLS: Final = "\u203c\u2049\u2139\u2194\u25fd\u25fe\u3030"
"""Emoji that are letters, signs or punctuation by their Unicode category."""

_JOINING_SCRIPTS: Final = range(0x0600, 0x1800)
"""Code points of the scripts from Arabic to Khmer: they need joiners."""


def escape_control(text: str) -> str:
    """Return text on one line, with each invisible character, and each blank but a space, as an escape sequence.

    Emoji stay, although some contain invisible characters; `escape_invisible` escapes these too.
    """
    return _escape(text, _is_coded, _as_escape)


def escape_invisible(text: str) -> str:
    """Return text like `escape_control`, with the invisible characters of emoji escaped too.

    No two different texts look the same because of a character that shows nothing.
    """
    return _escape(text, lambda text, index: _is_odd(text[index]), _as_escape)


def spell_name(name: str) -> str:
    """Return a name in quotes, with each invisible character and each unusual blank as its code."""
    return escape_invisible(repr(name))


def quote_name(name: str) -> str:
    """Return a name as a YAML string in double quotes, spelled in the same way."""
    return escape_invisible(json.dumps(name, ensure_ascii=False))


def escape_json(text: str) -> str:
    """Return equivalent JSON with each invisible character as an escape; line breaks between values stay."""
    return _escape(text, lambda text, index: text[index] != "\n" and _is_coded(text, index), _as_json)


def _escape(text: str, is_coded: Callable[[str, int], bool], code: Callable[[str], str]) -> str:
    if text.isprintable() and not _INVISIBLE.search(text):  # fast path: most texts
        return text
    return _UNUSUAL.sub(lambda found: code(found[0]) if is_coded(text, found.start()) else found[0], text)


def _as_escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _is_coded(text: str, index: int) -> bool:
    """Return whether the character is escaped: it is odd, and does not belong to an emoji or a word."""
    character = text[index]
    if not _is_odd(character):
        return False
    before, after = text[index - 1 : index], text[index + 1 : index + 2]
    if character == _EMOJI_STYLE:
        return not _is_symbol(before) and after != "\u20e3"  # as in the keycap 1\ufe0f\u20e3
    if character in _JOINERS:
        in_emoji = _is_symbol(after) and (before == _EMOJI_STYLE or _is_symbol(before))
        return not in_emoji and not (before and ord(before) in _JOINING_SCRIPTS)
    return True


def _is_odd(character: str) -> bool:
    return unicodedata.category(character) in _CODED or _INVISIBLE.match(character) is not None


def _is_symbol(character: str) -> bool:
    """Return whether a character can be an emoji, or is the skin tone of one."""
    return character > "\u2000" and (unicodedata.category(character) in ("So", "Sk") or character in _OTHER_SYMBOLS)
