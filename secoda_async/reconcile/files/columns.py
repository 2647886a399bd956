"""The columns of a table: names given with `--columns`, the layout of a header, and advice for unknown columns."""

import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from attrs import frozen

from secoda_async.errors import InvalidArgumentError
from secoda_async.reconcile.wording import abbreviate

__all__ = ["COLUMNS", "Columns", "Condition", "Layout", "find_layout", "list_names", "unread_columns"]

COLUMNS: Final[tuple[str, ...]] = ("group", "icon", "description", "member", "id")

_WHERE: Final = "where:"

_LIKELY: Final = {
    "group": (r"group", r"(group|team)[ _-]?(display[ _-]?)?name", r"team", r"group(?!.*(id|source|s)$).*", r"role"),
    "member": (
        r"members?",
        r"((member|user)[ _-]?)?(e-?)?mail.*",
        r".*user[ _-]?principal[ _-]?name",
        r".*e-?mail.*",
        r".*(user[ _-]?name|login)",
        r"grantee_name",
    ),
}
"""Patterns of names that directories give to a column, the likeliest first."""

_LISTS_OF_GROUPS: Final = re.compile(r"(groups|teams|roles|member[ _-]?of)", re.IGNORECASE)
"""A column that holds all groups of a person."""

_MAX_NAMES: Final = 12

_EXAMPLE: Final = "group='Group name',member=Email,where:Status=ACTIVE"


@frozen
class Columns:
    """The columns of a table that has names of its own. All other columns are ignored."""

    names: Mapping[str, str]
    """The name of the column for each of `COLUMNS` that is read."""
    where: Mapping[str, str]
    """The value that a row must have in each of these columns, in any letter case, or several separated by `|`."""

    @staticmethod
    def parse(given: "str | Mapping[str, str] | Columns") -> "Columns":
        """Parse `group='Group name',member=Email,where:Status=ACTIVE`, or a mapping with the same keys.

        Raises:
            InvalidArgumentError: With the part that is wrong.
        """
        if isinstance(given, Columns):
            return given
        names: dict[str, str] = {}
        where: dict[str, str] = {}
        for key, value in _split(given) if isinstance(given, str) else given.items():
            is_condition = key.lower().startswith(_WHERE)
            target, name = (where, key[len(_WHERE) :].strip()) if is_condition else (names, key.strip().lower())
            _check_pair(name, value, is_condition=is_condition)
            if name in target:
                raise InvalidArgumentError(f"columns: {key!r} is given twice: keep one")
            target[name] = value
        if "group" not in names:
            raise InvalidArgumentError(f"columns: name the column of the group, such as {_EXAMPLE}")
        return Columns(names, where)


def _split(text: str) -> Iterable[tuple[str, str]]:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters, lexer.escape = ",", True, "", ""
    try:
        parts = list(lexer)
    except ValueError:
        raise InvalidArgumentError(f"columns: a quote in {text!r} is not closed") from None
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidArgumentError(f"columns: {part.strip()!r} has no '=': write it as in {_EXAMPLE}")
        yield key.strip(), value.strip()


def _check_pair(name: str, value: object, *, is_condition: bool) -> None:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"columns: {name!r} must be a string, not {type(value).__name__}")
    if is_condition and not name:
        raise InvalidArgumentError(f"columns: {_WHERE!r} names no column: write it as in {_EXAMPLE}")
    if not is_condition and name not in COLUMNS:
        raise InvalidArgumentError(f"columns: unknown key {name!r}: use {list_names(COLUMNS)} or 'where:...'")
    if not is_condition and not value.strip():
        raise InvalidArgumentError(f"columns: {name!r} names no column: write it as in {_EXAMPLE}")


@frozen
class Condition:
    """A value that a row must have to be read."""

    index: int
    column: str
    value: str
    keys: frozenset[str]
    """The value, and the values that `|` separates, as they are compared."""

    def accepts(self, cell: str) -> bool:
        """Return whether a cell has one of the values, in any letter case."""
        return _key(cell) in self.keys


@frozen
class Layout:
    """The indices of the columns that are read."""

    width: int
    fields: Mapping[str, int]
    conditions: Sequence[Condition] = ()
    unnamed: Sequence[int] = ()
    """The columns that must be empty, because they have no name."""


def find_layout(header: Sequence[str], columns: Columns | None) -> tuple[Layout, list[str]]:
    """Return the layout of a table, and the problems of its header."""
    return _standard_layout(header) if columns is None else _mapped_layout(header, columns)


def _standard_layout(header: Sequence[str]) -> tuple[Layout, list[str]]:
    keys = [_key(name) for name in header]
    fields = {name: keys.index(name) for name in COLUMNS if name in keys}
    unnamed = [index for index, key in enumerate(keys) if not key]
    return Layout(len(header), fields, unnamed=unnamed), _standard_problems(header, keys)


def _standard_problems(header: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return the problems of a header that must have the names of `COLUMNS`; `keys` are its names as compared."""
    problems = [f"there are two columns {name!r}: keep one" for name in COLUMNS if keys.count(name) > 1]
    if "group" not in keys or any(key and key not in COLUMNS for key in keys):
        problems.append(unread_columns([name.strip() for name in header]))
    return problems


def _mapped_layout(header: Sequence[str], columns: Columns) -> tuple[Layout, list[str]]:
    problems: list[str] = []
    fields = {field: _index(header, name, problems) for field, name in columns.names.items()}
    conditions = [
        Condition(_index(header, name, problems), name, value, frozenset(map(_key, (value, *value.split("|")))))
        for name, value in columns.where.items()
    ]
    return Layout(len(header), fields, conditions), problems


def _index(header: Sequence[str], name: str, problems: list[str]) -> int:
    """Return the index of a column; the same letter case wins. A missing or ambiguous one is a problem."""
    exact = [index for index, found in enumerate(header) if found.strip() == name.strip()]
    indices = exact or [index for index, found in enumerate(header) if _key(found) == _key(name)]
    if not indices:
        problems.append(_missing_column(header, name))
        return -1
    if len(indices) > 1:
        problems.append(f"there are two columns {name!r}: rename one")
    return indices[0]


def _missing_column(header: Sequence[str], name: str) -> str:
    """Return the problem of a header without a column, with the most similar name."""
    names = [found.strip() for found in header if found.strip()]
    likely = get_close_matches(name, names, n=1, cutoff=0.5)
    question = f"is it {likely[0]!r}? The" if likely else "the"
    return f"there is no column {name!r}: {question} columns are {list_names(names)}"


def _key(name: str) -> str:
    """Return the form in which names of columns and values of conditions are compared."""
    return unicodedata.normalize("NFC", name.strip()).casefold()


def list_names(names: Iterable[object]) -> str:
    """Return names in quotes, or numbers, at most twelve of them."""
    return abbreviate([repr(name) for name in names], _MAX_NAMES)


def unread_columns(header: Sequence[str]) -> str:
    """Return the problem of a header that has columns with other names, or no column `group`."""
    others = [name for name in header if name and name.lower() not in COLUMNS]
    if not others:
        return "has no column 'group': the first line names the columns"
    has_group = any(name.lower() == "group" for name in header)
    lists = [name for name in others if _LISTS_OF_GROUPS.fullmatch(name)]
    if lists and not has_group:
        return (
            f"has a row for each person, with groups in the column {lists[0]!r}: write a row for each membership, "
            "with the columns 'group' and 'member'"
        )
    return _advise_names(header, others, has_group=has_group)


def _advise_names(header: Sequence[str], others: Sequence[str], *, has_group: bool) -> str:
    """Return the problem of columns with other names, with the `--columns` that may read them."""
    verb = "column {} is" if len(others) == 1 else "columns {} are"
    unread = f"the {verb.format(list_names(others))} not read"
    group, member = (_likely(field, header) for field in ("group", "member"))
    if group is None:
        return (
            f"{unread}, and 'group' is missing: use {list_names(COLUMNS)}, or say which columns these are: "
            "--columns group=...,member=..."
        )
    option = f"group={_quote(group)},member={_quote(member) if member else '...'}"
    advice = f"ename or delete columns, or read it with --columns {option}"
    return f"{unread}: r{advice}" if has_group else f"{unread}; 'group' is missing: is it {group!r}? R{advice}"


def _likely(field: str, header: Sequence[str]) -> str | None:
    """Return the column that is the likeliest for a field."""
    for pattern in _LIKELY[field]:
        for name in header:
            if re.fullmatch(pattern, name, re.IGNORECASE | re.DOTALL):
                return name
    return None


def _quote(name: str) -> str:
    """Return a name as `--columns` reads it, quoted for the shell."""
    quote = "'" if '"' in name else '"'
    return shlex.quote(f"{quote}{name}{quote}" if re.search(r"[,\"']", name) else name)
