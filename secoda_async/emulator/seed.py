"""The initial groups and users: given by the caller, or generated from a seed."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice, product
from typing import Any
from uuid import UUID

import attrs

from secoda_async.emulator.clock import timestamp
from secoda_async.emulator.exceptions import ValidationError
from secoda_async.emulator.validation import clean_group

AREAS = (
    "Data", "Finance", "Marketing", "Sales", "Platform", "Risk", "Logistics", "Support", "Growth", "People",
    "Security", "Research", "Procurement", "Legal", "Pricing", "Warehouse", "Mobile", "Partner", "Tax", "Ops",
)  # fmt: skip
ROLES = (
    "Stewards", "Analysts", "Engineers", "Leads", "Reviewers", "Owners", "Council", "On-Call", "Readers",
    "Champions", "EMEA", "APAC", "Americas", "Admins", "Guild", "Auditors",
)  # fmt: skip
ICONS = ("🧪", "📊", "🚚", "🔐", "🛠️", "🌍", "🧭", "💶", "📚", None)
FIRST_NAMES = ("Ada", "Bao", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jun", "Kaja", "Lior", "Mei")
LAST_NAMES = ("Okafor", "Lindqvist", "Tanaka", "Moreau", "Haddad", "Kowalska", "Silva", "Nguyen", "Weber", "Iyer")
# The creation time of the vendor's example group.
FIRST_CREATED = datetime.fromisoformat("2023-05-10T14:27:23.797657Z")
MAX_MEMBERS = 12
WORKSPACE_ID = "f71585fa-251c-4102-8d81-c97c57c8d435"
GROUP_FIELDS = {"id", "name", "icon", "description", "users"}


@attrs.define
class SeedFactory:
    """Creates ids, users and groups; the same seed gives the same results."""

    stamp: Callable[[], str]
    """Returns the time as the API writes it."""
    seed: int | None = 0
    """None: unpredictable ids, for a workspace that already has ids of an earlier run."""
    _random: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - reproducible, no secrets

    def new_id(self) -> str:
        """Return an unused id."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def users(self, wanted: int | Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return users by id.

        Raises:
            ValueError: The number is below 0, or a user has no e-mail address, an unknown field, or
                the id of another user.
        """
        _require_count(wanted, "users")
        given = self._generate_users(wanted) if isinstance(wanted, int) else wanted
        users: dict[str, dict[str, Any]] = {}
        for values in given:
            user = self._user(values)
            _add(users, user, "user")
        return users

    def groups(self, wanted: int | Iterable[Mapping[str, Any]], users: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return groups by id, their members among `users`.

        Raises:
            ValueError: The number is below 0, or a group has a field that the API would refuse, an
                unknown field, or the id of another group.
        """
        _require_count(wanted, "groups")
        if isinstance(wanted, int):
            return {group["id"]: group for group in self._generate_groups(wanted, users)}
        groups: dict[str, dict[str, Any]] = {}
        for values in wanted:
            if unknown := values.keys() - GROUP_FIELDS:
                raise ValueError(f"unknown field of a group: {', '.join(sorted(unknown))}")
            try:
                cleaned = clean_group(dict(values), frozenset(users))
            except ValidationError as error:
                raise ValueError(f"group {values.get('name')!r}: {error.payload}") from None
            _add(groups, self.group(cleaned, group_id=values.get("id")), "group")
        return groups

    def group(self, cleaned: Mapping[str, Any], *, group_id: str | None = None) -> dict[str, Any]:
        """Return a new group as the API returns it."""
        created = self.stamp()
        return {
            "id": group_id or self.new_id(),
            "created_at": created,
            "updated_at": created,
            "users": cleaned.get("users", []),
            "name": cleaned.get("name", ""),
            "icon": cleaned.get("icon"),
            "description": cleaned.get("description"),
            "workspace_id": WORKSPACE_ID,
            "snowflake_role": None,
        }

    def _user(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a user as the API returns it, without `user_groups`, which is derived from the groups."""
        _require_text(values.get("email"), f"the email of the user {dict(values)!r}")
        user: dict[str, Any] = {
            "id": None,
            "first_name": "",
            "last_name": "",
            "email": "",
            "role": "viewer",
            "workspace_id": WORKSPACE_ID,
            "workspace": WORKSPACE_ID,
            "profile_picture": None,
            "pending": False,
            "bookmarks": [],
            "is_service_account": False,
            "service_account_count_popularity": False,
            "last_login": None,
            "new_feature_acknowledged": True,
            "disabled": False,
        }
        values = {name: value for name, value in values.items() if name != "user_groups"}
        if unknown := values.keys() - user.keys():
            raise ValueError(f"unknown field of a user: {', '.join(sorted(unknown))}")
        return user | values | {"id": values.get("id") or self.new_id()}

    def _generate_users(self, number: int) -> Iterable[dict[str, Any]]:
        for index in range(number):
            first, last = FIRST_NAMES[index % len(FIRST_NAMES)], self._random.choice(LAST_NAMES)
            yield {
                "first_name": first,
                "last_name": last,
                "email": f"{first}.{last}.{index + 1}@example.com".lower(),
                "role": self._random.choice(("admin", "editor", "viewer", "viewer", "guest")),
                "last_login": timestamp(FIRST_CREATED + timedelta(minutes=self._random.randrange(500_000))),
            }

    def _generate_groups(self, number: int, users: Sequence[str]) -> Iterable[dict[str, Any]]:
        names = [f"{area} {role}" for area, role in product(AREAS, ROLES)]
        self._random.shuffle(names)
        endless = (f"{name} {cycle}" if cycle else name for cycle in range(number) for name in names)
        created = FIRST_CREATED
        for name in islice(endless, number):
            created += timedelta(seconds=self._random.randrange(60, 9_000), microseconds=7_919)
            size = self._random.randint(0, min(MAX_MEMBERS, len(users)))
            yield self.group(
                {
                    "name": name,
                    "icon": self._random.choice(ICONS),
                    "description": f"{name} of the whole company.",
                    "users": sorted(self._random.sample(users, size)),
                }
            ) | {
                "created_at": timestamp(created),
                "updated_at": timestamp(created + timedelta(minutes=self._random.randrange(90_000))),
            }


def _add(store: dict[str, dict[str, Any]], entry: dict[str, Any], kind: str) -> None:
    """Add a group or user under its id.

    Raises:
        ValueError: The id is already in the store, or is not a string.
    """
    _require_text(entry["id"], f"the id of a {kind}")
    if entry["id"] in store:
        raise ValueError(f"two {kind}s have the id {entry['id']}")
    store[entry["id"]] = entry


def _require_count(wanted: object, name: str) -> None:
    if isinstance(wanted, int) and wanted < 0:
        raise ValueError(f"{name} must not be below 0, not {wanted}")


def _require_text(value: object, subject: str) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{subject} must be a string, not {value!r}")  # noqa: TRY004 - documented as ValueError
