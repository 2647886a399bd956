"""Advice for a table whose columns have other names: which ones they may be, and the option that reads them."""

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["list_names", "unread_columns"]

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


def list_names(names: Iterable[object]) -> str:
    """Return names in quotes, or numbers, at most twelve of them."""
    quoted = [repr(name) for name in names]
    more = len(quoted) - _MAX_NAMES
    return ", ".join(quoted[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def unread_columns(header: Sequence[str], columns: Sequence[str]) -> str:
    """Return the problem of a header that has columns with other names, or no column `group`."""
    known = [name for name in header if name.lower() in columns]
    has_group = any(name.lower() == "group" for name in known)
    others = [name for name in header if name and name not in known]
    for name in others:
        if not has_group and _LISTS_OF_GROUPS.fullmatch(name):
            return (
                f"has a row for each person, with groups in the column {name!r}: write a row for each membership, "
                "with the columns 'group' and 'member'"
            )
    if not others:
        return "has no column 'group': the first line names the columns"
    verb = "column {} is" if len(others) == 1 else "columns {} are"
    unread = f"the {verb.format(list_names(others))} not read"
    group, member = (_likely(field, header) for field in ("group", "member"))
    if group is None:
        return (
            f"{unread}, and 'group' is missing: use {list_names(columns)}, or say which columns these are: "
            "--columns group=...,member=..."
        )
    option = f"group={_quote(group)}" + (f",member={_quote(member)}" if member else "")
    advice = f"ename or delete columns, or read these with --columns {option}"
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
