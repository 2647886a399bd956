"""Sample data: made-up groups in the form of the API, the same in each run."""

import json
import random
from typing import Any, Final

COLLECTION: Final = "/api/v1/auth/group"

PAGE_SIZE: Final = 100
"""Groups a page (documented)."""

MEMBERS: Final = 50
"""Members of each group of `page_with_members`."""

TOKEN: Final = "bench-" + "x" * 34

_DESCRIPTION: Final = "People who own the quality, the lineage and the documentation of the certified tables."

_PLACEHOLDER: Final = "00000000-aaaa-4000-a000-000000000000"
"""Placeholder of an id."""


def group_id(number: int) -> str:
    """Return the id of a group by its position in the list."""
    return f"{number:08x}-0f1e-4d2c-a3b4-{number * 2_654_435_761 % 2**48:012x}"


def user_ids(number: int) -> list[str]:
    """Return a number of user ids."""
    return [f"{user:08x}-7a6b-4c5d-9e8f-0123456789ab" for user in range(number)]


CHANGE: Final[dict[str, Any]] = {
    "name": "Data Stewards (renamed)",
    "icon": "🧪",
    "description": _DESCRIPTION,
    "users": user_ids(25),
}
"""Body of a PATCH."""


def _group(chance: random.Random, members: int) -> dict[str, Any]:
    return {
        "id": _PLACEHOLDER,
        "created_at": f"2023-05-{chance.randint(1, 28):02d}T14:27:23.{chance.randint(0, 999_999):06d}Z",
        "updated_at": f"2023-10-{chance.randint(1, 28):02d}T13:53:06.{chance.randint(0, 999_999):06d}Z",
        "users": [f"{chance.getrandbits(32):08x}-7a6b-4c5d-9e8f-0123456789ab" for _ in range(members)],
        "name": chance.choice(["Data Stewards", "Finance Analysts", "Платформа", "Growth — EMEA", "Ops"]),
        "icon": chance.choice(["🧪", "💼", "📊", "🚀", None]),
        "description": _DESCRIPTION,
        "workspace_id": "b3f0b1a4-8a1e-4a53-9b55-6f0f3d1f6a11",
        "snowflake_role": None,
    }


def _json(value: object) -> bytes:
    """JSON as the server's framework writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _split(value: object) -> list[bytes]:
    """JSON in pieces between the ids."""
    return _json(value).split(_PLACEHOLDER.encode())


_CHANCE: Final = random.Random(1)
_ONE: Final = _split(_group(_CHANCE, 25) | CHANGE)  # also what the server returns after the change
_PAGES: Final = [_split([_group(_CHANCE, _CHANCE.randint(10, 50)) for _ in range(PAGE_SIZE)]) for _ in range(4)]
_EMPTY: Final = _group(_CHANCE, 0)
_USERS: Final = user_ids(10_000)


def one_group(identity: str) -> bytes:
    """A group with 25 members, as JSON."""
    before, after = _ONE
    return before + identity.encode() + after


def page_of_groups(number: int, pages: int, base: str) -> bytes:
    """A page of the list as JSON: no two pages have an id in common.

    Args:
        number: Which page, from 1.
        pages: How many there are.
        base: What comes before the path in links to other pages.
    """
    pieces = _PAGES[number % len(_PAGES)]
    parts = [_head(number, pages, base), pieces[0]]
    first = number * PAGE_SIZE
    for index, piece in enumerate(pieces[1:]):
        parts += (group_id(first + index).encode(), piece)
    return b"".join((*parts, b"}"))


def page_with_members(number: int, pages: int, base: str) -> bytes:
    """A page of the list as JSON whose groups have 50 members each, out of 10,000 users."""
    first = number * PAGE_SIZE
    groups = [
        {**_EMPTY, "id": group_id(each), "users": _USERS[each * 37 % (len(_USERS) - MEMBERS) :][:MEMBERS]}
        for each in range(first, first + PAGE_SIZE)
    ]
    return b"".join((_head(number, pages, base), _json(groups), b"}"))


def with_new_field(page: bytes) -> bytes:
    """Add a field that no client knows to each group."""
    return page.replace(b'"snowflake_role":', b'"cost_center":"4711","snowflake_role":')


def _head(number: int, pages: int, base: str) -> bytes:
    """The start of a page, up to its results."""
    head = {
        "links": {
            "next": f"{base}/auth/group?page={number + 1}" if number < pages else None,
            "previous": f"{base}/auth/group?page={number - 1}" if number > 1 else None,
        },
        "meta": {
            "page": number,
            "previous_page": number - 1 or None,
            "next_page": number + 1 if number < pages else None,
        },
        "count": pages * PAGE_SIZE,
        "total_pages": pages,
    }
    return _json(head)[:-1] + b',"results":'
