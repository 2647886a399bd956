"""The scenarios of the soak: groups and their operations, all of them drawn from the seed."""

import random
from collections.abc import Mapping
from typing import Any, Final, Literal

from attrs import asdict, evolve, field, frozen

USERS: Final = tuple(f"user-{number}" for number in range(20))
"""Members whom the operations add and remove, and the expected state knows."""
PENDING_USERS: Final = ("pending-1", "pending-2")
"""Members with a pending invitation: creates and updates send them, and answers may hide them."""
OUTSIDERS: Final = tuple(f"outsider-{number}" for number in range(6))
"""Members whom another program adds."""
TEXTS: Final = ("name", "icon", "description")
ICONS: Final = ("🧪", "📊", "🔐", "", None)
HASTY: Final = "Hasty"
"""The beginning of the names of groups whose creators cancel or have a deadline."""
TEAM: Final = "Team"
"""The beginning of the names that only one group has."""

Kind = Literal[
    "create", "get", "update", "add_users", "remove_users", "delete", "ensure", "join", "list", "peek", "snapshot"
]
End = Literal["done", "unknown", "failed", "not_attempted", "given up", "missing"]
Value = str | bool | None
READS: Final = frozenset({"get", "list", "peek", "snapshot"})
LISTS: Final = frozenset({"list", "peek", "snapshot"})


@frozen(kw_only=True)
class Job:
    """One operation."""

    kind: Kind
    fields: Mapping[str, Any] = field(factory=dict[str, Any])
    """The fields of a create and an update."""
    users: tuple[str, ...] = ()
    """The members to add or remove."""
    place: int = 0
    """The number of the group among those of the scenario; for a list the concurrency."""
    is_urgent: bool = False
    """Goes first at the write limit."""
    delay: float = 0.0
    """Seconds until another program adds its member."""
    deadline: float | None = None
    cancel_after: float | None = None
    """Seconds until the caller cancels the call."""
    is_missing: bool = False
    """The group is deleted, and the answer must say so."""

    def __str__(self) -> str:
        given = asdict(self, filter=lambda _, value: bool(value))
        return f"{given.pop('kind')}{given or ''}"

    def change(self) -> dict[str, Value]:
        """Return the parts of a group that the operation sets, and their values."""
        if self.kind == "join":
            return {}
        changed: dict[str, Value] = {name: self.fields[name] for name in TEXTS if name in self.fields}
        if "name" in changed:
            changed["name"] = collapsed(self.fields["name"])
        if "users" in self.fields:
            changed |= {user: user in self.fields["users"] for user in USERS}
        return changed | dict.fromkeys(self.users, self.kind == "add_users")


@frozen
class Scenario:
    """Operations that belong together: one step after the other, those of a step concurrently."""

    number: int
    steps: tuple[tuple[Job, ...], ...]
    is_bulk: bool = False
    stop_after: float | None = None
    """Seconds until a bulk is stopped."""
    leave_after: int | None = None
    """Outcomes after which a bulk is left."""
    fail_fast: bool = False


def collapsed(name: str) -> str:
    """Return a name with one space for each run of white space, as some servers store it."""
    return " ".join(name.split())


def scenario(seed: int, number: int) -> Scenario:
    """Draw a scenario: for one seed and number always the same."""
    rng = random.Random(f"{seed}/{number}")
    share = rng.random()
    if share < 0.1:
        steps = _bulk_steps(rng, number)
        stop_after = rng.uniform(1, 90) if rng.random() < 0.3 else None
        leave_after = rng.randint(1, 4) if rng.random() < 0.2 else None
        fail_fast = rng.random() < 0.2
        return Scenario(
            number, steps, is_bulk=True, stop_after=stop_after, leave_after=leave_after, fail_fast=fail_fast
        )
    return Scenario(number, _reads(rng) if share < 0.2 else _group_steps(rng, number))


def _group_steps(rng: random.Random, number: int) -> tuple[tuple[Job, ...], ...]:
    create = Job(kind="create", fields=_fields(rng, f"{TEAM} {number}"), is_urgent=rng.random() < 0.2)
    share = rng.random()
    if share < 0.25:  # names are not unique: several groups of one name and no difference, created concurrently
        twin = {"name": f"Twins {number // 12}", "icon": "👯", "description": f"of {number // 12}"}
        create = evolve(create, fields=twin)
    elif share < 0.4:
        create = evolve(_hasty(rng, create, 40), fields={**create.fields, "name": f"{HASTY} {number}"}, is_urgent=True)
    elif share < 0.5:  # a server may collapse the blanks
        create = evolve(create, fields={**create.fields, "name": f"{TEAM}  {number}   of  blanks"})
    steps: list[tuple[Job, ...]] = [(create,)]
    if rng.random() < 0.3:
        steps.append((Job(kind="ensure"),))
    steps += [_step(rng, number) for _ in range(rng.randint(1, 7))]
    if rng.random() < 0.9:
        delete = Job(kind="delete")
        steps.append((_hasty(rng, delete, 40) if rng.random() < 0.05 else delete,))
        if rng.random() < 0.2:
            kind: Kind = "get" if rng.random() < 0.5 else "delete"
            steps.append((Job(kind=kind, is_missing=True),))
    return tuple(steps)


def _step(rng: random.Random, number: int) -> tuple[Job, ...]:
    share = rng.random()
    if share < 0.2:
        return _crowd(rng)
    if share < 0.3:
        return _replacement(rng)
    return (Job(kind="ensure"),) if share < 0.35 else _changes(rng, number)


def _changes(rng: random.Random, number: int) -> tuple[Job, ...]:
    """Draw one to three operations on different parts of one group, so that their order makes no difference."""
    texts, users = list[str](TEXTS), list(USERS)
    rng.shuffle(texts)
    rng.shuffle(users)
    jobs: list[Job] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        job = Job(kind="get")
        share = rng.random()
        if share < 0.25:
            job = _hasty(rng, job, 40) if rng.random() < 0.1 else job
        elif share < 0.45:
            kind: Kind = "add_users" if rng.random() < 0.6 else "remove_users"
            job = Job(kind=kind, users=_taken(rng, users, 4))
        elif share < 0.55 and len(users) == len(USERS):
            job = Job(kind="update", fields={"users": _members(rng)})
            users.clear()
        elif texts:
            values = _fields(rng, rng.choice((f"{TEAM} {number}, renamed", f"Twins {number // 12}")))
            job = Job(kind="update", fields={name: values.get(name) for name in _taken(rng, texts, 2)})
            job = _hasty(rng, job, 40) if rng.random() < 0.1 else job
        jobs.append(evolve(job, is_urgent=rng.random() < 0.2))
    return tuple(jobs)


def _crowd(rng: random.Random) -> tuple[Job, ...]:
    """Draw many callers who change the members of one group concurrently, and another program that adds some."""
    users = rng.sample(USERS, 12)
    kinds: tuple[Kind, ...] = ("add_users", "add_users", "remove_users")
    jobs = [Job(kind=rng.choice(kinds), users=_taken(rng, users, 2)) for _ in range(rng.randint(3, 6))]
    joining = rng.sample(OUTSIDERS, rng.randint(0, 3))
    joins = [Job(kind="join", users=(user,), delay=rng.uniform(0, 90)) for user in joining]
    return (*jobs, *joins)


def _replacement(rng: random.Random) -> tuple[Job, ...]:
    """Draw a replacement of all members while other callers add and remove some of them, to the same end."""
    users = rng.sample(USERS, len(USERS))
    members, others = users[:8], users[8:]
    replace = Job(kind="update", fields={"users": sorted(members)})
    adds = [Job(kind="add_users", users=_taken(rng, members, 3)) for _ in range(2)]
    jobs = [replace, *adds, Job(kind="remove_users", users=_taken(rng, others, 3))]
    return tuple(rng.sample(jobs, len(jobs)))


def _bulk_steps(rng: random.Random, number: int) -> tuple[tuple[Job, ...], ...]:
    size = rng.randint(6, 14)
    places = list(range(size))
    creates = tuple(Job(kind="create", fields=_fields(rng, f"Bulk {number}.{place}"), place=place) for place in places)
    changed = rng.sample(places, size // 2)
    changes = tuple(
        Job(kind="update", fields=_fields(rng, f"Bulk {number}.{place}, changed"), place=place) for place in changed
    )
    deletes = tuple(Job(kind="delete", place=place) for place in places if rng.random() < 0.85)
    return creates, changes, deletes


def _reads(rng: random.Random) -> tuple[tuple[Job, ...], ...]:
    kinds: tuple[Kind, ...] = ("list", "peek", "snapshot")
    jobs = (Job(kind=rng.choice(kinds), place=rng.choice((1, 4))) for _ in range(rng.randint(2, 5)))
    return tuple((_hasty(rng, job, 60) if rng.random() < 0.1 else job,) for job in jobs)


def _hasty(rng: random.Random, job: Job, seconds: float) -> Job:
    """Return the same operation with a deadline or a cancellation."""
    patience = rng.uniform(1, seconds)
    return evolve(job, deadline=patience) if rng.random() < 0.5 else evolve(job, cancel_after=patience)


def _fields(rng: random.Random, name: str) -> dict[str, Any]:
    """Draw the fields: the name, and some of the others."""
    fields: dict[str, Any] = {"name": name}
    if rng.random() < 0.6:
        fields["icon"] = rng.choice(ICONS)
    if rng.random() < 0.6:
        fields["description"] = rng.choice((f"The purpose of {name}, {rng.random():.6f}.", "", None))
    if rng.random() < 0.6:
        fields["users"] = _members(rng)
    return fields


def _members(rng: random.Random) -> list[str]:
    pending = rng.sample(PENDING_USERS, rng.randint(1, 2)) if rng.random() < 0.2 else []
    return rng.sample(USERS, rng.randint(0, 6)) + pending


def _taken(rng: random.Random, rest: list[str], most: int) -> tuple[str, ...]:
    """Take some of the rest, at least one; none when nothing is left."""
    return tuple(rest.pop() for _ in range(min(rng.randint(1, most), len(rest))))
