"""The groups of the hostile server, with every write."""

import copy
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeAlias
from uuid import UUID

from attrs import define, field

Group: TypeAlias = dict[str, Any]
By: TypeAlias = Literal["us", "third_party"]

NOT_FOUND: Final = (404, {"detail": "Not found."})


class Timer(Protocol):
    def cancel(self) -> object: ...


class Clock(Protocol):
    def now(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer: ...


@define(kw_only=True)
class Write:
    """One change of the store."""

    method: str
    group_id: str
    by: By
    fields: Mapping[str, Any]
    """The fields that were sent."""
    before: Group | None
    after: Group | None
    at: float
    """Seconds at which it was executed."""
    arrived: float
    """Seconds at which its request arrived."""
    arrival: int = 0
    """The number of its request in the order of all arrivals and responses."""
    answered: int | None = None
    """The number of its response, if the response was sent completely."""


@define
class Store:
    """Groups and users, with their history."""

    clock: Clock
    rng: random.Random
    collapses: bool = False
    created_skew: float = 0.0
    groups: dict[str, Group] = field(init=False, factory=dict[str, Group])
    writes: list[Write] = field(init=False, factory=list[Write])
    past: list[tuple[float, dict[str, Group]]] = field(init=False, factory=list[tuple[float, dict[str, Group]]])
    """The groups after each write."""
    log: list[str] = field(init=False, factory=list[str])
    """Requests, faults and writes in order, for the detailed output."""
    begun: datetime = field(init=False, factory=lambda: datetime.now(UTC))
    _begun_at: float = field(init=False)
    _last: datetime = field(init=False, factory=lambda: datetime.now(UTC) - timedelta(hours=1))

    def __attrs_post_init__(self) -> None:
        self._begun_at = self.clock.now()

    def date(self, skew: float = 0.0) -> datetime:
        return self.begun + timedelta(seconds=self.clock.now() - self._begun_at + skew)

    def note(self, text: str) -> None:
        self.log.append(f"{self.clock.now() - self._begun_at:8.2f} {text}")

    def stamp(self) -> str:
        """Return the time of a write; two writes are never in one microsecond, though this clock stands still."""
        self._last = max(self.date(self.created_skew), self._last + timedelta(microseconds=1))
        return self._last.isoformat().replace("+00:00", "Z")

    def normal(self, name: str) -> str:
        return " ".join(name.split()) if self.collapses else name.strip()

    def seed(self, name: str, **fields: Any) -> str:
        """Store a group that was always there."""
        group_id = self._new_id()
        self.groups[group_id] = self._group(group_id, {"name": name, **fields})
        self.past[:] = [(-1e9, copy.deepcopy(self.groups))]
        return group_id

    def at(self, moment: float) -> dict[str, Group]:
        """The groups as they were at a moment."""
        return next((groups for at, groups in reversed(self.past) if at <= moment), {})

    def execute(
        self, method: str, group_id: str, fields: Mapping[str, Any], *, by: By, arrived: float, arrival: int = 0
    ) -> tuple[int, Group | None]:
        """Execute a write, record it, and return the status and body of the response."""
        if method != "POST" and group_id not in self.groups:
            return NOT_FOUND
        before = copy.deepcopy(self.groups.get(group_id))
        if method == "POST":
            group_id = self._new_id()
            self.groups[group_id] = self._group(group_id, fields)
        elif method == "PATCH":
            self.groups[group_id] |= self._clean(fields) | {"updated_at": self.stamp()}
        else:
            del self.groups[group_id]
        after = copy.deepcopy(self.groups.get(group_id))
        self.writes.append(
            Write(
                method=method,
                group_id=group_id,
                by=by,
                fields=dict(fields),
                before=before,
                after=after,
                at=self.clock.now(),
                arrived=arrived,
                arrival=arrival,
            )
        )
        self.past.append((self.clock.now(), copy.deepcopy(self.groups)))
        shown = {} if after is None else {name: after[name] for name in ("name", "users", "icon")}
        self.note(f"    {by} (#{arrival}) {method} {group_id} {shown}")
        return {"POST": 201, "PATCH": 200, "DELETE": 204}[method], after

    def _new_id(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def _clean(self, fields: Mapping[str, Any]) -> Group:
        cleaned: Group = {name: fields[name] for name in ("icon", "description") if name in fields}
        if "name" in fields:
            cleaned["name"] = self.normal(fields["name"])
        if "users" in fields:
            cleaned["users"] = sorted(set(fields["users"]))
        return cleaned

    def _group(self, group_id: str, fields: Mapping[str, Any]) -> Group:
        now = self.stamp()
        empty: Group = {"id": group_id, "name": "", "icon": None, "description": None, "users": []}
        rest = {"created_at": now, "updated_at": now, "workspace_id": "workspace-1", "snowflake_role": None}
        return empty | rest | self._clean(fields)
