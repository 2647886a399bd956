"""Keys that names share if people can mistake one for the other.

Theory of operation. `confusable_key` of `models` makes equal what a server may normalize: letter case, blanks,
compatibility characters and invisible ones. `similarity_key` also makes equal what only people mistake: dashes,
quotation marks, and letters of two scripts that have one shape. A false match costs an approval. Yet a word of one
script stays as it is, so that ordinary words of two languages never match.
"""

import re
import unicodedata
from typing import Final

from secoda_async.models import confusable_key

__all__ = ["similarity_key"]

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


_REPLACEABLE: Final = re.compile(f"[{''.join(map(chr, [*_TO_ASCII, *_TO_LATIN]))}]")

_LATIN: Final = re.compile("[a-z]")

_WORD: Final = re.compile(r"\w+")


def similarity_key(name: str) -> str:
    """Return the confusable key of a name, with look-alike letters of other scripts as Latin letters, and dashes alike.

    Only a word that contains Latin letters too is replaced: words of one script are ordinary words.
    """
    key = confusable_key(name)
    if key.isascii() or not _REPLACEABLE.search(key):  # fast path: most names
        return key
    key = key.translate(_TO_ASCII)
    return _WORD.sub(lambda word: _as_latin(word[0]), key)


def _as_latin(word: str) -> str:
    return word.translate(_TO_LATIN) if _LATIN.search(word) else word
