"""The cells of a table: text that spreadsheets convert, and the damage that they do to it."""

import re
from typing import Final

__all__ = ["damage_of", "quote_cell", "unquote_cell"]

_FORMULA: Final = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""The start of a formula in any spreadsheet, full-width signs included."""

_NUMBER: Final = r"[$€£¥(]?\d[\d.,]*(?:e[+-]?\d+)?[%)]?"
_DATE: Final = r"\d{1,4}(?:[-/.: ]\d{1,4}){1,2}(?: ?[ap]m)?"
_MONTH: Final = (
    r"(?:\d{1,4}[- /.]*)?(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?:[- /.,]*\d{1,4}){0,2}"
)

_CONVERTED: Final = re.compile(rf"{_FORMULA}|(?:{_NUMBER}|{_DATE}|(?=.*\d){_MONTH}|true|false)\Z", re.IGNORECASE)
"""A text that a spreadsheet runs as a formula or turns into a number, a date or a boolean: `007`, `MARCH1`."""

_TEXT_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')
"""A formula that is only a text, such as `="007"`: a way to keep spreadsheets from reading a number."""


def quote_cell(cell: str) -> str:
    """Return a cell that spreadsheets keep as text: a leading apostrophe prevents a formula, a number or a date."""
    return f"'{cell}" if _is_converted(cell) else cell


def unquote_cell(cell: str) -> str:
    """Return the text of a cell: without the apostrophe of `quote_cell`, and of `="text"` the text."""
    if cell.startswith("=") and (found := _TEXT_FORMULA.fullmatch(cell)):
        return found[1].replace('""', '"').strip()
    return cell[1:] if cell.startswith("'") and _is_converted(cell) else cell


def _is_converted(cell: str) -> bool:
    """Return whether a spreadsheet converts a text, or the text after any number of quoting apostrophes."""
    return _CONVERTED.match(cell.lstrip("'")) is not None


def damage_of(column: str, text: str) -> str | None:
    """Return what a program did to a text that it could not read or write, and what to do; None for sound text."""
    advice = "export it again as UTF-8; in Excel, choose 'CSV UTF-8'"
    if "\ufffd" in text:
        return f"{text!r} contains U+FFFD in place of a lost character: {advice}"
    if column == "icon" and text and not text.strip("?"):
        return f"the icon is {text!r}, as if an emoji was lost: {advice}; or delete the column"
    if not text.isascii() and (meant := _decode_again(text)):
        return f"{text!r} looks like {meant!r} read in a wrong encoding: {advice}"
    return None


def _decode_again(text: str) -> str | None:
    """Return the text whose UTF-8 bytes were read as Windows-1252, or None."""
    try:
        meant = b"".join(map(_byte, text)).decode("utf-8")
    except UnicodeError:
        return None
    return meant if meant.isprintable() else None


def _byte(character: str) -> bytes:
    """Return the byte in Windows-1252, or in Latin-1 for the five bytes that Windows-1252 lacks."""
    return character.encode("latin-1" if "\x80" <= character <= "\x9f" else "cp1252")
