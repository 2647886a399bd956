"""Keys that names share if people can mistake one for the other, and names spelled so that their difference shows."""

import json
import re
import unicodedata
from typing import Final

from secoda_async.models import INVISIBLE, confusable_key

__all__ = ["quote_name", "similarity_key", "spell_name"]

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


def similarity_key(name: str) -> str:
    """Return the confusable key of a name, with look-alike letters of other scripts as Latin letters, and dashes alike.

    Only a word that contains Latin letters too is replaced: words of one script are ordinary words.
    """
    key = confusable_key(name).translate(_TO_ASCII)
    return key if key.isascii() else re.sub(r"\w+", lambda word: _as_latin(word[0]), key)


def _as_latin(word: str) -> str:
    return word.translate(_TO_LATIN) if re.search("[a-z]", word) else word


def spell_name(name: str) -> str:
    """Return a name in quotes, with each invisible character and each unusual blank as its code."""
    return INVISIBLE.sub(_code, repr(name))


def quote_name(name: str) -> str:
    """Return a name as a YAML string in double quotes, spelled in the same way."""
    quoted = json.dumps(name, ensure_ascii=False)
    return "".join(
        character if character.isprintable() and not INVISIBLE.match(character) else _code(character)
        for character in quoted
    )


def _code(character: str | re.Match[str]) -> str:
    text = character if isinstance(character, str) else character[0]
    return text.encode("unicode_escape").decode("ascii")
