"""Remove the API key and other secrets from responses, in every notation in which a server or a proxy may echo them."""

import re
from base64 import b64encode
from collections.abc import Generator, Iterable
from functools import cache, lru_cache
from typing import Final

from secoda_async.config import Secret

REDACTED: Final = "***"

_SHORTEST_WORD: Final = 8
"""Characters of a header's value that counts as a secret."""

_SHORTEST: Final = 6
"""Characters of base64: fewer occur in any text by chance."""


def redact(text: str, *secrets: str) -> str:
    """Replace each secret by `***`.

    A secret is found unchanged, with any characters escaped as in JSON (once or several times), in a URL or in HTML,
    between zero bytes as in UTF-16, and in base64 after any number of other bytes.
    """
    for secret in secrets:
        if len(text) >= len(secret):  # no notation is shorter, and a request id is rarely so long
            text = _pattern(secret).sub(REDACTED, text)
    return text


def redact_bytes(data: bytes, *secrets: str) -> bytes:
    """Replace each secret by `***` in text of any encoding that has ASCII's letters."""
    return redact(data.decode("latin-1"), *secrets).encode("latin-1")


_PARAMETER: Final = r"""=\s*"?([^\s;,"]+)"""
"""Matches a value inside the value of a header, as in `session=...` of a cookie."""


def secret_parts(values: Iterable[str]) -> tuple[Secret, ...]:
    """Return the texts to redact for values of headers: a value, and each long word of it, as in `Basic dXNlcjpwdw==`.

    Short words are left out: they would hide unrelated text.
    """
    words = {word for value in values for word in (value, *value.split(), *re.findall(_PARAMETER, value))}
    words |= {word.rstrip("=") for word in words}  # base64, which may be echoed without its padding
    return tuple(map(Secret, sorted((word for word in words if len(word) >= _SHORTEST_WORD), key=len, reverse=True)))


@lru_cache(maxsize=128)  # 60 KB each; compiling one takes longer than a call
def _pattern(key: str) -> re.Pattern[str]:
    forms = ["\0?".join(map(_character, key))]
    # Nothing escapes the letters and digits of base64; to look for it would take long to compile.
    forms += ["".join(part if part.isalnum() else _character(part) for part in form) for form in _base64(key)]
    return re.compile("|".join(forms))


def _base64(key: str) -> Generator[str, None, None]:
    """Yield the section of base64 that is the same in every text with 3n, 3n + 1 or 3n + 2 bytes before the key."""
    for before in range(3):
        data = bytes(before) + key.encode()
        encoded = b64encode(data).decode()
        form = encoded[-(-before * 8 // 6) : len(data) * 8 // 6]
        if len(form) >= _SHORTEST:
            yield form
            if (url_safe := form.translate(_URL_SAFE)) != form:
                yield url_safe


_URL_SAFE: Final = str.maketrans("+/", "-_")


@cache
def _names() -> dict[str, list[str]]:
    """Return the HTML names of each ASCII character."""
    from html.entities import html5  # noqa: PLC0415 - 2,000 names, rarely needed

    names: dict[str, list[str]] = {}
    for name, value in sorted(html5.items(), reverse=True):  # `lt;` before `lt`, so that no `;` is left
        if len(value) == 1 and value.isascii():
            names.setdefault(value, []).append(re.escape(name))
    return names


def _character(character: str) -> str:
    """Return a pattern for one character.

    Each alternative begins with a literal, which makes the search fast; repetitions are bounded, which keeps it so.
    """
    code = ord(character)
    digits = "".join(f"[{digit.lower()}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:02x}")
    entities = "|".join([f"#0{{0,7}}{code};?", f"#[xX]0{{0,7}}{digits};?", *_names().get(character, ())])
    alternatives = [
        rf"\\\\{{0,7}}(?:u00{digits}|x{digits}|{re.escape(character)})",
        f"%(?:25){{0,7}}{digits}",
        f"&(?:amp;){{0,7}}(?:{entities})",
        re.escape(character),  # last: an escape may begin with the character itself
    ]
    return f"(?:{'|'.join(alternatives)})"
