"""The state that the store must have after the operations of the soak, by what the client has reported."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import Any, Final, Literal

from attrs import define, field, frozen

from secoda_async import (
    APIError,
    DeadlineExceededError,
    Group,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from tests.soak.emulated.faults import GRACE, LONGEST_LAG
from tests.soak.emulated.scenarios import TEXTS, USERS, Job, Value, collapsed

ATTEMPTS: Final = 5  # the client's default
WRITES: Final[Mapping[str, str]] = {
    "create": "POST",
    "update": "PATCH",
    "add_users": "PATCH",
    "remove_users": "PATCH",
    "delete": "DELETE",
}
"""The operations that write, and their methods."""

Parts = Mapping[str, Value]
Values = Mapping[str, frozenset[Value]]


@frozen
class Finding:
    """A violated invariant."""

    kind: Literal["duplicate", "lost", "false outcome", "wrong", "left over", "limit", "memory", "hung"]
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def parts_of(group: Mapping[str, Any]) -> dict[str, Value]:
    """Return the parts of a group: its texts, and whether each user is a member."""
    members = group.get("users", ())
    texts: dict[str, Value] = {name: group.get(name) for name in TEXTS}
    return texts | {"name": collapsed(group["name"])} | {user: user in members for user in USERS}


def parts_seen(group: Group) -> dict[str, Value]:
    """Return the same for a group as the client shows it."""
    return parts_of({name: getattr(group, name) for name in (*TEXTS, "users")})


@define(eq=False)
class Expected:
    """The expected state of a group: for each part every value that it may have, one once its write is confirmed."""

    counts: dict[str, dict[Value, float]]
    """For each part its possible values, each with the number of its writes in flight or unclear; inf when certain."""
    since: float = 0.0
    """The time from which the group is certainly there."""
    may_be_gone: bool = False
    """A delete was sent, and its outcome is not known."""
    denied: set[tuple[str, Value]] = field(factory=set[tuple[str, Value]])
    """Values of writes that failed, so that nobody may see them."""
    has_failed_delete: bool = False
    _past: list[tuple[float, str, Value]] = field(factory=list[tuple[float, str, Value]])
    """Values that confirmed writes have replaced, with the time: a replica may show them for a while."""

    @classmethod
    def of(cls, parts: Parts, since: float = 0.0) -> "Expected":
        """Return a group that certainly has these parts."""
        return cls({part: {value: inf} for part, value in parts.items()}, since)

    def possible(self) -> dict[str, frozenset[Value]]:
        """Return the possible values of each part."""
        return {part: frozenset(values) for part, values in self.counts.items()}

    def shown(self, now: float) -> dict[str, frozenset[Value]]:
        """Return the values that a replica may show."""
        self._past = [past for past in self._past if past[0] > now - LONGEST_LAG - GRACE]
        values = self.possible()
        for _, part, value in self._past:
            values[part] |= {value}
        return values

    def begin(self, change: Parts) -> None:
        """Begin a write: from now on it may have been executed."""
        for part, value in change.items():
            self.counts[part][value] = self.counts[part].get(value, 0) + 1
            self.denied.discard((part, value))

    def confirm(self, change: Parts, now: float = 0.0) -> None:
        """Confirm a write: from now on it has been executed."""
        for part, value in change.items():
            self._past += [(now, part, old) for old in self.counts[part] if old != value]
            self.counts[part] = {value: inf}

    def deny(self, change: Parts) -> None:
        """Record that a write failed: it was not executed."""
        for part, value in change.items():
            left = self.counts[part].get(value, 0) - 1
            if left > 0:
                self.counts[part][value] = left
            else:
                self.counts[part].pop(value, None)
                self.denied.add((part, value))

    def against(self, seen: Parts, before: Values | None = None) -> str:
        """Return in words what contradicts the expected state; nothing, when nothing does.

        Args:
            seen: The group.
            before: Values that were possible when the read began, if they count too.
        """
        nothing = frozenset[Value]()
        return ", ".join(
            f"{part} is {seen[part]!r}, not {' or '.join(sorted(map(repr, values)))}"
            for part, values in self.possible().items()
            if seen[part] not in values | (before or {}).get(part, nothing)
        )

    def is_denied(self, seen: Parts) -> bool:
        """Return whether a group shows a write that failed."""
        return any(
            (part, seen[part]) in self.denied and seen[part] not in values for part, values in self.counts.items()
        )


@define(eq=False)
class ExpectedStore:
    """The state that the store must have, by what the client has reported."""

    groups: dict[str, Expected] = field(factory=dict[str, Expected])
    deleted: dict[str, float] = field(factory=dict[str, float])
    """The deleted groups, each with the time of its confirmation."""
    unknown: Counter[frozenset[tuple[str, Value]]] = field(factory=Counter[frozenset[tuple[str, Value]]])
    """The content of creates whose outcome is unknown: each may be there once."""
    denied: set[frozenset[tuple[str, Value]]] = field(factory=set[frozenset[tuple[str, Value]]])
    """The content of creates that failed: none of them may be there."""
    findings: list[Finding] = field(factory=list[Finding])

    def created(self, group_id: str, parts: Parts, now: float = 0.0) -> Expected:
        """Record a create that was confirmed."""
        if group_id in self.groups or group_id in self.deleted:
            self.findings.append(Finding("lost", f"two creates returned one group, {group_id}"))
        expected = self.groups[group_id] = Expected.of(parts, now)
        return expected

    def may_be_created(self, parts: Parts) -> None:
        """Record a create whose outcome is not known."""
        self.unknown[frozenset(parts.items())] += 1

    def not_created(self, parts: Parts) -> None:
        """Record a create that failed."""
        self.denied.add(frozenset(parts.items()))

    def gone(self, group_id: str, now: float = 0.0) -> None:
        """Record a delete that was confirmed."""
        self.groups.pop(group_id, None)  # a delete that finds nothing after an unclear attempt succeeds again
        self.deleted.setdefault(group_id, now)

    def certain(self, before: float = inf) -> set[str]:
        """Return the groups that are certainly there, since before a time."""
        return {id_ for id_, expected in self.groups.items() if not expected.may_be_gone and expected.since <= before}

    def check(self, store: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
        """Compare the store with the expected state."""
        found = list(self.findings)
        for group_id, expected in self.groups.items():
            if group_id not in store:
                if not expected.may_be_gone:
                    kind: Literal["false outcome", "lost"] = "false outcome" if expected.has_failed_delete else "lost"
                    found.append(Finding(kind, f"group {group_id} was created and does not exist"))
            elif text := expected.against(seen := parts_of(store[group_id])):
                kind = "false outcome" if expected.is_denied(seen) else "lost"
                found.append(Finding(kind, f"group {group_id}: {text}"))
        unknown = self.unknown.copy()
        for group_id in store.keys() - self.groups.keys():
            parts = parts_of(store[group_id])
            content = frozenset(parts.items())
            if group_id in self.deleted:
                found.append(Finding("lost", f"group {group_id} was deleted and is there"))
            elif unknown[content]:
                unknown[content] -= 1
            elif content in self.denied:
                found.append(Finding("false outcome", f"group {group_id}, {parts['name']!r}, is there, and failed"))
            else:
                found.append(Finding("duplicate", f"group {group_id}, {parts['name']!r}, is there once too often"))
        return found


def is_unknown(job: Job, error: BaseException) -> bool:
    """Return whether an operation that ended with an error may have been executed, as far as its caller knows."""
    if isinstance(error, OutcomeUnknownError | asyncio.CancelledError):
        return True
    return job.kind in WRITES and isinstance(error, ResponseError)


def unjustified(job: Job, error: BaseException) -> str | None:
    """Return why an operation must not end with this error; None when the faults explain it."""
    match error:
        case OutcomeUnknownError():
            fits = job.kind in WRITES
        case DeadlineExceededError():
            fits = job.deadline is not None
        case asyncio.CancelledError():
            fits = job.cancel_after is not None
        case ResponseError():
            fits = job.kind != "create"
        case NotFoundError():
            fits = error.is_missing_route
        case RateLimitError() | ServerError() | TransportError():
            fits = error.attempts == ATTEMPTS
        case APIError(status=408):
            fits = job.kind == "create" or error.attempts == ATTEMPTS
        case _:
            fits = False
    return None if fits else f"{job} ended with {error!r}"


def mislabeled(job: Job, outcome: Outcome) -> list[Finding]:
    """Return a finding when the status of an outcome in a bulk contradicts its error."""
    allowed: tuple[str, ...] = ("applied", "not_attempted", "unknown")
    if outcome.error is not None:
        allowed = ("unknown",) if is_unknown(job, outcome.error) else ("failed",)
    if outcome.status in allowed:
        return []
    text = f"{outcome.operation} in a bulk is {outcome.status}, not {allowed[0]}: {outcome.error!r}"
    return [Finding("false outcome", text)]
