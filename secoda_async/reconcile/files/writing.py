"""A workspace as a file that `DesiredState.load` reads: planning it again finds nothing to do."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from secoda_async.models import Group, User
from secoda_async.reconcile.desired_group import has_unsendable_characters, normalize
from secoda_async.reconcile.files import yaml_nodes
from secoda_async.reconcile.files.tables import quoted
from secoda_async.user_index import UserIndex

__all__ = ["Format", "dump_groups"]

Format = Literal["yaml", "json", "csv"]

_COLUMNS: Final = ("group", "icon", "description", "member", "id")


def dump_groups(
    groups: Sequence[Group], users: Iterable[User], file_format: Format, members: Literal["emails", "ids"]
) -> str:
    """The groups as text, sorted by name; members by address where they have one that nobody shares."""
    index = UserIndex.of(users, (user for group in groups for user in group.users))
    emails = {
        user.id: user.email
        for user in index.by_id.values()
        if members == "emails" and user.email and _is_address(user.email, index)
    }
    names = Counter(normalize(group.name) for group in groups)
    entries = [
        _entry(group, emails, pins=names[normalize(group.name)] > 1 or not normalize(group.name))
        for group in sorted(groups, key=lambda group: (normalize(group.name), group.id))
    ]
    if file_format == "csv":
        return _csv(entries)
    if file_format == "json":
        return json.dumps({"groups": entries}, ensure_ascii=False, indent=2) + "\n"
    return yaml_nodes.dump({"groups": entries})


def _is_address(email: str, index: UserIndex) -> bool:
    """Whether an address, read again, can only mean the one who has it."""
    is_alone = len(index.with_address(email)) == 1 and email not in index.ids
    return "@" in email and email == email.strip() and is_alone and not has_unsendable_characters(email)


def _entry(group: Group, emails: Mapping[str, str], *, pins: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": group.name}
    if pins:
        entry["id"] = group.id  # its name does not say which it is
    if group.icon:
        entry["icon"] = group.icon
    if group.description:
        entry["description"] = group.description
    return entry | {"members": sorted(emails.get(user, user) for user in group.users)}


def _csv(entries: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    careful = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(_COLUMNS)
    for entry in entries:
        for member in entry["members"] or [""]:
            row = (entry["name"], entry.get("icon", ""), entry.get("description", ""), member, entry.get("id", ""))
            (careful if any("\r" in cell for cell in row) else table).writerow(map(quoted, row))
    return text.getvalue()
