"""The store: groups and users, and the effect of each call on them. Independent of HTTP."""

from typing import Any

import attrs

from secoda_async.emulator.clock import Calendar
from secoda_async.emulator.history import History
from secoda_async.emulator.seed import SeedFactory
from secoda_async.emulator.validation import clean_group


@attrs.define(eq=False, kw_only=True)
class Store:
    """Groups and users by id, in order of creation."""

    groups: dict[str, dict[str, Any]]
    """Each group as the API returns it."""
    users: dict[str, dict[str, Any]]
    """Each user as the API returns it, without `user_groups`, which is derived from the groups."""
    _calendar: Calendar = attrs.field(alias="calendar")
    _factory: SeedFactory = attrs.field(alias="factory")
    _created_at: dict[str, float] = attrs.field(init=False, factory=dict[str, float])
    _history: History = attrs.field(init=False)
    _initial: tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._history = History(self._calendar.clock)
        self._initial = _copies(self.groups), _copies(self.users)

    def reset(self) -> None:
        """Restore the groups and users of the start."""
        groups, users = self._initial
        self.groups.clear()
        self.groups.update(_copies(groups))
        self.users.clear()
        self.users.update(_copies(users))
        self._created_at.clear()
        self._history.clear()

    def visible_groups(self, *, after: float, lag: float) -> list[dict[str, Any]]:
        """Return the groups that a list shows.

        Args:
            after: Seconds from its creation until a group is visible.
            lag: Seconds that the list is behind the store.
        """
        groups = self._history.groups_before(self.groups, lag)
        if not after:
            return list(groups.values())
        return [group for group_id, group in groups.items() if self._is_visible(group_id, after)]

    def visible_group(self, group_id: str, *, after: float, lag: float) -> dict[str, Any] | None:
        """Return the group if a GET of it shows it; the arguments are those of `visible_groups`."""
        groups = self._history.groups_before(self.groups, lag)
        return groups.get(group_id) if self._is_visible(group_id, after) else None

    def _is_visible(self, group_id: str, after: float) -> bool:
        created = self._created_at.get(group_id)
        return created is None or self._calendar.clock.now() - created >= after

    def create(self, payload: object, *, collapse: bool) -> dict[str, Any]:
        """Store a new group and return it.

        Args:
            payload: The parsed body.
            collapse: Replace each run of white space inside the name by one space.

        Raises:
            ValidationError: The API refuses the body.
        """
        group = self._factory.group(clean_group(payload, self.users, collapse=collapse))
        self._history.record(group["id"], None)
        self.groups[group["id"]] = group
        self._created_at[group["id"]] = self._calendar.clock.now()
        return group

    def update(self, group_id: str, payload: object, *, collapse: bool) -> dict[str, Any]:
        """Change the given fields of a group and, in any case, its `updated_at`; return the group.

        Args:
            group_id: A group that is in the store.
            payload: The parsed body.
            collapse: Replace each run of white space inside the name by one space.

        Raises:
            ValidationError: The API refuses the body.
        """
        group = self.groups[group_id]
        cleaned = clean_group(payload, self.users, collapse=collapse)
        self._history.record(group_id, group)
        group |= cleaned
        group["updated_at"] = self._calendar.next_timestamp()
        return group

    def delete(self, group_id: str) -> None:
        """Remove a group that is in the store."""
        self._history.record(group_id, self.groups[group_id], list(self.groups).index(group_id))
        del self.groups[group_id]

    def user_objects(self, *, literals: bool) -> list[dict[str, Any]]:
        """Return all users as the API returns them.

        Args:
            literals: Use the strings "False" and "None" where the vendor's example does.
        """
        memberships: dict[str, list[str]] = {user_id: [] for user_id in self.users}
        for group_id, group in self.groups.items():
            for user_id in group["users"]:
                memberships.setdefault(user_id, []).append(group_id)
        strings = {"pending": "False", "last_login": "None"} if literals else {}
        return [user | {"user_groups": memberships[user_id]} | strings for user_id, user in self.users.items()]


def _copies(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return copies of groups or users, with lists of their own."""
    return {
        key: entry | ({"users": list(entry["users"])} if "users" in entry else {}) for key, entry in entries.items()
    }
