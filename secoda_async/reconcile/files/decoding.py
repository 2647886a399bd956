"""Decode the bytes of a file by their content: programs write text in more encodings than UTF-8."""

import codecs
import re
from collections.abc import Mapping
from typing import Final

from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import Lines

__all__ = ["decode_text"]

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose byte order mark is its start
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_OTHER_FORMATS: Final[Mapping[bytes, str]] = {
    b"PK\x03\x04": "is an Excel workbook (or another zip file): save it as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook: save it as 'CSV UTF-8'",
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"%PDF": "is a PDF: export the groups as CSV, YAML or JSON",
}
"""Problems of files that start with these bytes."""

_MARKUP: Final = re.compile(r"\s*<[!?a-zA-Z]")
"""The start of HTML or XML. A YAML merge key, `<<`, does not match."""

_SAMPLE: Final = 4096
"""Bytes that are examined to recognize UTF-16."""


def decode_text(content: bytes) -> str:
    """Return the text without byte order marks and without the end-of-file mark of DOS.

    UTF-8, UTF-16 and UTF-32 are read; a byte order mark or the content says which.

    Raises:
        InputError: When the bytes are another format, another encoding, or a web page.
    """
    for start, problem in _OTHER_FORMATS.items():
        if content.startswith(start):
            raise InputError(problem)
    encoding = next((name for bom, name in _BOMS if content.startswith(bom)), None) or _guess_encoding(content)
    try:
        text = content.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise _encoding_error(content, error) from None
    if _MARKUP.match(text):
        raise InputError("is a web page or XML, perhaps of a sign-in or an error: download the export again")
    if "\0" in text:
        location = Lines(text).location(text.index("\0"))
        raise InputError("contains a NUL character, perhaps of UTF-16: save it as UTF-8", location)
    return re.sub(r"\x1a\s*\Z", "", text)


def _guess_encoding(content: bytes) -> str:
    """Return UTF-16 for text with a NUL in nearly every second byte, else UTF-8."""
    sample = content[:_SAMPLE]
    half = len(sample) // 2
    for encoding, high, low in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if half and high.count(0) > half * 0.7 and not low.count(0):
            return encoding
    return "utf-8"


def _encoding_error(content: bytes, error: UnicodeDecodeError) -> InputError:
    if error.encoding != "utf-8":
        return InputError(f"is not valid {error.encoding.upper()} text, perhaps cut off: export it again as UTF-8")
    before = content[: error.start].decode("utf-8").lstrip("\ufeff")
    likely = content[error.start : error.start + 1].decode("cp1252", "replace")
    return InputError(
        f"is not UTF-8 text (byte 0x{content[error.start]:02X}, {likely!r} in Windows-1252): save it as UTF-8; "
        "in Excel, choose 'CSV UTF-8'",
        Lines(before).location(len(before)),
    )
