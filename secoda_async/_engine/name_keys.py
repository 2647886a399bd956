"""Keys that names share if a server may make them equal, or if people can mistake one for the other.

Theory of operation. A key makes equal what a server may normalize: letter case, blanks, compatibility characters and
invisible ones. It also makes equal what only people mistake: dashes, quotation marks, and letters of two scripts that
have one shape. A false match costs an approval, or `create` in place of `ensure`. Yet a word of one script stays as it
is, so that ordinary words of two languages never match.
"""

import re
import unicodedata
from typing import Final

from secoda_async.models import Unset

__all__ = ["INVISIBLE_PATTERN", "confusable_key"]

_BLANK_PATTERN: Final = "[\u115f\u1160\u2800\u3164\uffa0]"
"""Matches the blanks that Unicode does not count as white space: Hangul fillers and the empty braille pattern."""

INVISIBLE_PATTERN: Final = (
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffe\uffff\U000e0000-\U000e0fff]"
)
"""Matches what shows nothing although Unicode counts it as a letter, mark or symbol, such as an emoji selector.

The patterns are compiled when first used: sets of distant characters take long to compile.
"""

_LATIN_LOOKALIKES: Final = {
    "CYRILLIC": {"A": "a", "VE": "b", "IE": "e", "KA": "k", "EM": "m", "EN": "h", "O": "o", "ER": "p", "ES": "c"}
    | {"TE": "t", "U": "y", "HA": "x", "DZE": "s", "JE": "j", "BYELORUSSIAN-UKRAINIAN I": "i", "PALOCHKA": "l"}
    | {"SHHA": "h", "KOMI DE": "d", "QA": "q", "WE": "w"},
    "GREEK": {"ALPHA": "a", "BETA": "b", "EPSILON": "e", "ZETA": "z", "ETA": "h", "IOTA": "i", "KAPPA": "k", "NU": "n"}
    | {"OMICRON": "o", "RHO": "p", "TAU": "t", "UPSILON": "y", "CHI": "x"},
}
"""Letters of other scripts that look like a Latin letter, in one of their cases."""

_TO_ASCII: Final = {
    ord(character): sign
    for sign, characters in (
        ("-", "\u2010\u2012\u2013\u2014\u2015\u2212"),
        ("'", "\u2018\u2019\u02bc\u2032"),
        ('"', "\u201c\u201d"),
    )
    for character in characters
}
"""Dashes and quotation marks that office programs write in place of the ASCII ones."""

_TO_LATIN: Final = {
    ord(unicodedata.lookup(f"{script} SMALL LETTER {name}")): latin
    for script, letters in _LATIN_LOOKALIKES.items()
    for name, latin in letters.items()
}

_REPLACEABLE: Final = f"[{''.join(map(chr, [*_TO_ASCII, *_TO_LATIN]))}]"


def confusable_key(name: str | Unset | None) -> str:
    """Return a form of a name that all confusable names share, as servers may normalize names and people misread them.

    Compatibility characters are replaced, invisible ones removed, white space collapsed, and letter case is ignored.
    Dashes and quotation marks are ASCII's. In a word with Latin letters, look-alike letters of other scripts are Latin.
    """
    name = name or ""
    if name.isascii() and name.isprintable():  # fast path: most names
        return " ".join(name.split()).casefold()
    visible = unicodedata.normalize("NFKC", re.sub(_BLANK_PATTERN, " ", name))
    if not visible.isprintable() or re.search(INVISIBLE_PATTERN, visible):
        visible = "".join(character for character in visible if character.isspace() or not _is_invisible(character))
    key = unicodedata.normalize("NFKC", " ".join(visible.split()).casefold())
    if key.isascii() or not re.search(_REPLACEABLE, key):
        return key
    return re.sub(r"\w+", lambda word: _as_latin(word[0]), key.translate(_TO_ASCII))


def _as_latin(word: str) -> str:
    return word.translate(_TO_LATIN) if re.search("[a-z]", word) else word


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cf", "Cc") or re.match(INVISIBLE_PATTERN, character) is not None
