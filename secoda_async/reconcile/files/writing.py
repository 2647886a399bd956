"""Dump the groups of a workspace to a file that `DesiredState.load` reads; a plan of that file is empty."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from secoda_async.models import Group, User, normalize
from secoda_async.reconcile.desired_group import has_unsendable_characters
from secoda_async.reconcile.files import yaml_nodes
from secoda_async.reconcile.files.cells import damage_of, quote_cell
from secoda_async.reconcile.files.columns import COLUMNS
from secoda_async.reconcile.files.members import MemberError, parse_member
from secoda_async.reconcile.files.validation import has_variable
from secoda_async.reconcile.wording import natural_key
from secoda_async.user_index import UserIndex

__all__ = ["Format", "dump_groups"]

Format = Literal["yaml", "json", "csv"]


def dump_groups(
    groups: Sequence[Group], users: Iterable[User], file_format: Format, members: Literal["emails", "ids"]
) -> str:
    """Return the groups sorted by name; members by address where it is unique, else by id."""
    emails: Mapping[str, str] = _unique_emails(groups, users) if members == "emails" else {}
    names = Counter(normalize(group.name) for group in groups)
    entries = [
        _entry(
            group,
            emails,
            is_pinned=names[normalize(group.name)] > 1
            or not normalize(group.name)
            or has_variable(group.name)
            or (file_format == "csv" and _is_damaged(group)),
        )
        for group in sorted(groups, key=lambda group: (natural_key(normalize(group.name)), group.id))
    ]
    if file_format == "csv":
        return _csv(entries)
    if file_format == "json":
        return json.dumps({"groups": entries}, ensure_ascii=False, indent=2) + "\n"
    return yaml_nodes.dump({"groups": entries})


def _unique_emails(groups: Iterable[Group], users: Iterable[User]) -> Mapping[str, str]:
    index = UserIndex(users, (user for group in groups for user in group.users))
    return {user.id: user.email for user in index.by_id.values() if user.email and _is_unambiguous(user.email, index)}


def _is_unambiguous(email: str, index: UserIndex) -> bool:
    """Return whether an address, when read again, names exactly one user."""
    is_unique = len(index.with_address(email)) == 1 and email not in index.ids
    return "@" in email and is_unique and not has_unsendable_characters(email) and _is_read_back(email)


def _is_read_back(email: str) -> bool:
    try:
        return parse_member(email) == [email]
    except MemberError:
        return False


def _is_damaged(group: Group) -> bool:
    """Return whether a text looks damaged: a table is refused for such a text unless an id says which group it is."""
    texts = {"name": normalize(group.name), "icon": group.icon, "description": group.description}
    return any(damage_of(key, text.strip()) for key, text in texts.items() if text)


def _entry(group: Group, emails: Mapping[str, str], *, is_pinned: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": group.name}
    if is_pinned:
        entry["id"] = group.id
    if group.icon:
        entry["icon"] = group.icon
    if group.description:
        entry["description"] = group.description
    return entry | {"members": sorted(emails.get(user, user) for user in group.users)}


def _csv(entries: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(COLUMNS)
    for entry in entries:
        for member in entry["members"] or [""]:
            texts = (entry["name"], entry.get("icon", ""), entry.get("description", ""), member, entry.get("id", ""))
            row = [quote_cell(text.strip()) for text in texts]
            (quoting if any("\r" in cell for cell in row) else table).writerow(row)
    return text.getvalue()
