"""Invariants of the hostile soak, checked on the record of one run.

A record is plain data: the writes that changed the store, the requests that arrived, and the end of each operation.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import define, field, frozen

from tests.soak.hostile.server import Arrival
from tests.soak.hostile.store import Group, Write

Kind: TypeAlias = Literal["create", "update", "delete", "add", "remove"]
METHODS: Final[Mapping[Kind, str]] = {"create": "POST", "update": "PATCH", "delete": "DELETE"}
GRACE: Final = 1.0
"""Seconds between a read and the write that rests on it, at most."""


@frozen(kw_only=True)
class Ending:
    """The end of one operation, as the client reports it."""

    kind: Kind
    status: str
    """One of `Outcome.status`, or "cancelled"."""
    name: str = ""
    """Of a create: the name that was asked for."""
    group_id: str = ""
    """The group that the operation is about; of a create that was applied, the one that was created."""
    fields: Mapping[str, Any] = field(factory=dict[str, Any])
    error: str = ""

    def __str__(self) -> str:
        return f"{self.kind} of {self.name or self.group_id!r} ended {self.status} ({self.error or 'no error'})"


@define(kw_only=True)
class Record:
    """The record of one run."""

    before: Mapping[str, Group]
    """The groups at the beginning."""
    after: Mapping[str, Group]
    """The groups at the end, when no request is in flight."""
    writes: list[Write]
    arrivals: list[Arrival]
    endings: list[Ending] = field(factory=list[Ending])
    expected: int = 0
    """Operations that must have ended."""
    touched: set[str] = field(factory=set[str])
    """Ids and names of groups that third parties changed: their state is not checked."""
    shared: set[str] = field(factory=set[str])
    """Ids of groups that several callers and people change by adding and removing members."""
    removed: set[tuple[str, str]] = field(factory=set[tuple[str, str]])
    """Members, with their groups, whose removal was requested."""
    lists_lag: float = 0.0
    reads_lag: float = 0.0
    was_interrupted: bool = False
    """Whether a request may have been cancelled before it reached the server."""
    untyped: list[str] = field(factory=list[str])
    hangs: list[str] = field(factory=list[str])

    def ours(self, method: str) -> list[Write]:
        return [write for write in self.writes if write.by == "us" and write.method == method]


def spelling(name: str) -> str:
    """Normalize a name, because the server may collapse white space."""
    return " ".join(name.split())


def duplicates(record: Record) -> Iterator[str]:
    """Find groups that were created twice, although nobody deleted or renamed the first."""
    created: dict[str, list[str]] = {}
    for write in record.ours("POST"):
        created.setdefault(spelling(write.fields.get("name", "")), []).append(write.group_id)
    for name, ids in created.items():
        if len(ids) > 1 and name not in record.touched and not record.touched & set(ids):
            endings = [str(ending) for ending in record.endings if spelling(ending.name) == name]
            yield f"{name!r} was created {len(ids)} times; {'; '.join(endings)}"


def partial_reads(record: Record) -> Iterator[str]:
    """Find creates of groups that existed from the beginning, and deletes that were not requested."""
    for write in record.ours("POST"):
        name = spelling(write.fields.get("name", ""))
        there = [group for group in record.before.values() if spelling(group["name"]) == name]
        if there and name not in record.touched:
            yield f"{name!r} was created although {there[0]['id']} has been there from the beginning"
    asked = {ending.group_id for ending in record.endings if ending.kind == "delete"}
    for write in record.ours("DELETE"):
        if write.group_id not in asked:
            yield f"{write.group_id} was deleted without a request"


def lost(record: Record) -> Iterator[str]:
    """Find members that adding or removing others took away, although a read just before had to show them."""
    for place, write in enumerate(record.writes):
        if write.by != "us" or write.method != "PATCH" or write.group_id not in record.shared:
            continue
        gone = set((write.before or {})["users"]) - set((write.after or {})["users"])
        for user in sorted(gone):
            if (write.group_id, user) not in record.removed and _had_to_be_known(record, place, user):
                yield f"{user} of {write.group_id} was lost by a PATCH that arrived at {write.arrived:.1f} s"


def _had_to_be_known(record: Record, place: int, user: str) -> bool:
    """Return whether the client must have known of a member that a write removes."""
    write = record.writes[place]
    for earlier in reversed(record.writes[:place]):
        if earlier.group_id == write.group_id and user not in (earlier.before or {})["users"]:
            if earlier.answered is not None and earlier.answered < write.arrival:
                return True
            return earlier.at < write.arrived - record.reads_lag - GRACE
    return True


def false_outcomes(record: Record) -> Iterator[str]:
    """Find operations whose reported end contradicts the workspace."""
    for ending in record.endings:
        if {ending.group_id, spelling(ending.name)} & record.touched:
            continue
        text = _false(record, ending) if ending.kind in METHODS else _false_membership(record, ending)
        if text:
            yield f"{ending}, but {text}"


def _false(record: Record, ending: Ending) -> str:
    """Return the truth about an operation that ended otherwise."""
    method = METHODS[ending.kind]
    if ending.status == "applied":
        return _not_there(record, ending)
    if ending.status == "unchanged":
        return "the group is there" if ending.kind == "delete" and ending.group_id in record.after else ""
    done = [write for write in record.ours(method) if _is_about(ending, write.group_id, write.fields)]
    if ending.status in ("failed", "not_attempted") and done:
        return f"it was executed at {done[0].at:.1f} s"
    came = any(a.method == method and _is_about(ending, a.group_id, a.fields) for a in record.arrivals)
    if ending.status == "unknown" and not came and not record.was_interrupted:
        return "it was never sent"
    return ""


def _is_about(ending: Ending, group_id: str, fields: Mapping[str, Any]) -> bool:
    if ending.kind == "create":
        return spelling(fields.get("name", "")) == spelling(ending.name)
    return group_id == ending.group_id


def _not_there(record: Record, ending: Ending) -> str:
    """Return what is missing of an operation that was applied."""
    group = record.after.get(ending.group_id)
    if ending.kind == "delete":
        return "" if group is None else "the group is there"
    if group is None:
        return f"there is no group {ending.group_id!r}"
    for name, value in ending.fields.items():
        stored = group[name]
        if name == "users":
            is_same = set(stored) == set(value)
        elif name == "name":
            is_same = spelling(stored) == spelling(value)
        else:
            is_same = stored == value
        if not is_same:
            return f"{name} is {stored!r}, not {value!r}"
    return ""


def _false_membership(record: Record, ending: Ending) -> str:
    """Return the truth about members that are said to be added or removed."""
    if ending.status != "applied" or ending.group_id not in record.before:
        return ""
    users = set(ending.fields["users"])
    states = [record.before[ending.group_id]]
    states += [write.after for write in record.writes if write.group_id == ending.group_id and write.after]
    held = [users & set(state["users"]) for state in states]
    if ending.kind == "add":
        return "" if users in held else "they were never members together"
    return "" if set[str]() in held else "they were never gone"


def unaccounted(record: Record) -> Iterator[str]:
    """Find operations without an outcome, or with two."""
    if len(record.endings) != record.expected:
        yield f"{record.expected} operations have {len(record.endings)} outcomes"


def untyped(record: Record) -> Iterator[str]:
    """Find errors that are not a `SecodaError`."""
    yield from record.untyped


def hangs(record: Record) -> Iterator[str]:
    """Find calls that did not end."""
    yield from record.hangs


CHECKS: Final[Mapping[str, Callable[[Record], Iterator[str]]]] = {
    "duplicates": duplicates,
    "lost": lost,
    "partial reads": partial_reads,
    "false outcomes": false_outcomes,
    "untyped": untyped,
    "unaccounted": unaccounted,
    "hangs": hangs,
}


def violations(record: Record) -> list[tuple[str, str]]:
    """Return each violation, with the name of its invariant."""
    return [(name, text) for name, check in CHECKS.items() for text in check(record)]
