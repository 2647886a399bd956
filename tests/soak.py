"""The soak: thousands of operations against an emulator that hurts one request in five, held against a model.

    python tests/soak.py [--seed N]... [--operations 10000] [--json]

The work is made of lives: a group is created, changed by several callers at a time, and as a rule deleted; a bulk
does so with a dozen; a reader lists while all of that moves. Forty lives run at once, on one client, over a real
socket. The clock is shared and jumps, so that hours pass in seconds.

What follows from the seed alone: each life with its operations; and for the n-th request of a method about a group
(or for the n-th of a page of the list) whether it is hurt, and how. What does not: how the lives interleave, which
depends on when the sockets of this machine are ready. As all is on one event loop, the backoffs are seeded and no
time is real, a seed nearly always runs the same way twice; a failing one is worth running again as it is.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import resource
import stat
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from math import inf
from typing import Any, Final, Literal, cast, get_args

from attrs import asdict, define, evolve, field, frozen

from secoda_async import (
    AttemptEvent,
    AutojumpClock,
    CreateGroup,
    DeadlineExceededError,
    DeleteGroup,
    Event,
    Group,
    LimitState,
    NotFoundError,
    Operation,
    Outcome,
    OutcomeUnknownError,
    RateLimitError,
    ResponseError,
    SecodaClient,
    ServerError,
    TransportError,
    UpdateGroup,
)
from secoda_async.clock import sleep
from secoda_async.emulator import Emulator, Fault, Faults, RecordedRequest

USERS: Final = tuple(f"user-{number}" for number in range(20))
TEXTS: Final = ("name", "icon", "description")
ICONS: Final = ("🧪", "📊", "🔐", "", None)
HASTY: Final = "Hasty"
"""How the names begin of groups whose creators do not wait for ever."""

HURT: Final = 0.2
LIVES_AT_ONCE: Final = 40
ATTEMPTS: Final = 5  # the client's default
TIMEOUT: Final = 30.0  # the client's default, in seconds
PLACES: Final = 30
SETTLING: Final = 180.0
"""Seconds after which nothing that was sent can still change the store, and every place of the limit is free."""

TURNS: Final = 60
"""Turns of the event loop that the clock waits before it jumps; an exchange over loopback takes about ten."""

START: Final = 2.0**20
"""Seconds on the clock at the start: so far from any power of two ahead that a minute is added without rounding. An
answer here takes no time, and half a last bit is enough for the server to see a write before its time."""

GROWTH: Final = 3.0
"""Blocks of memory that may stay in use for each operation. The model and the emulator keep about two: the ids of what
was created and deleted, the times of the writes. A call or a task that stays would be a dozen and more."""

GRACE: Final = 30_000
"""Blocks that may come on top: the groups that stay, what happens to be under way, caches that fill at first."""

PEAK_GROWTH: Final = 16.0
"""MiB by which the most that the process has ever used may grow: blocks are small, large buffers are not of them."""

Kind = Literal["create", "get", "update", "add_users", "remove_users", "delete", "list", "peek", "snapshot"]
End = Literal["done", "unknown", "failed", "given up", "missing"]
Value = str | bool | None
Parts = Mapping[str, Value]


# --- what is asked for: all of it from the seed ------------------------------------------------------------------


@frozen(kw_only=True)
class Job:
    """One operation."""

    kind: Kind
    fields: Mapping[str, Any] = field(factory=dict[str, Any])
    """For a create and an update."""
    users: tuple[str, ...] = ()
    """For adding and removing members."""
    place: int = 0
    """Which of the groups that its life created it is about."""
    is_urgent: bool = False
    """Goes first at the write limit."""
    deadline: float | None = None
    cancel_after: float | None = None
    """Seconds until the caller gives it up."""
    is_missing: bool = False
    """The group is gone, and the answer must say so."""

    def __str__(self) -> str:
        given = asdict(self, filter=lambda _, value: bool(value))
        return f"{given.pop('kind')}{given or ''}"

    def change(self) -> dict[str, Value]:
        """The parts of a group that it sets, and to what."""
        changed: dict[str, Value] = {name: self.fields[name] for name in TEXTS if name in self.fields}
        if "users" in self.fields:
            changed |= {user: user in self.fields["users"] for user in USERS}
        return changed | dict.fromkeys(self.users, self.kind == "add_users")


@frozen
class Life:
    """Operations that belong together: the steps one after the other, those of a step at the same time."""

    number: int
    steps: tuple[tuple[Job, ...], ...]
    is_bulk: bool = False


def life(seed: int, number: int) -> Life:
    """Make up a life: for one seed and number always the same."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - the same again; no secret
    share = rng.random()
    if share < 0.1:
        return Life(number, _bulk_steps(rng, number), is_bulk=True)
    return Life(number, _reads(rng) if share < 0.2 else _group_steps(rng, number))


def _group_steps(rng: random.Random, number: int) -> tuple[tuple[Job, ...], ...]:
    create = Job(kind="create", fields=_fields(rng, f"Team {number}"), is_urgent=rng.random() < 0.2)
    share = rng.random()
    if share < 0.25:  # several groups of one name and no difference, made at the same time: names are not unique
        twin = {"name": f"Twins {number // 12}", "icon": "👯", "description": f"of {number // 12}"}
        create = evolve(create, fields=twin)
    elif share < 0.4:
        create = evolve(_hasty(rng, create, 40), fields={**create.fields, "name": f"{HASTY} {number}"}, is_urgent=True)
    steps: list[tuple[Job, ...]] = [(create,)]
    for _ in range(rng.randint(1, 7)):
        share = rng.random()
        steps += [_crowd(rng) if share < 0.2 else _replacement(rng) if share < 0.3 else _changes(rng, number)]
    if rng.random() < 0.9:
        delete = Job(kind="delete")
        steps.append((_hasty(rng, delete, 40) if rng.random() < 0.05 else delete,))
        if rng.random() < 0.2:
            kind: Kind = "get" if rng.random() < 0.5 else "delete"
            steps.append((Job(kind=kind, is_missing=True),))
    return tuple(steps)


def _changes(rng: random.Random, number: int) -> tuple[Job, ...]:
    """One to three operations on different parts of one group, so that their order makes no difference."""
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
            job = Job(kind="update", fields={"users": rng.sample(USERS, rng.randint(0, 6))})
            users.clear()
        elif texts:
            values = _fields(rng, rng.choice((f"Team {number}, renamed", f"Twins {number // 12}")))
            job = Job(kind="update", fields={name: values.get(name) for name in _taken(rng, texts, 2)})
        jobs.append(evolve(job, is_urgent=rng.random() < 0.2))
    return tuple(jobs)


def _crowd(rng: random.Random) -> tuple[Job, ...]:
    """Many who change the members of one group at once."""
    users = rng.sample(USERS, 12)
    kinds: tuple[Kind, ...] = ("add_users", "add_users", "remove_users")
    return tuple(Job(kind=rng.choice(kinds), users=_taken(rng, users, 2)) for _ in range(rng.randint(3, 6)))


def _replacement(rng: random.Random) -> tuple[Job, ...]:
    """One who replaces all members of a group while others add and remove some of them, to the same end."""
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
    """The same by a caller who does not wait for ever."""
    patience = rng.uniform(1, seconds)
    return evolve(job, deadline=patience) if rng.random() < 0.5 else evolve(job, cancel_after=patience)


def _fields(rng: random.Random, name: str) -> dict[str, Any]:
    """The name, and some of the other fields."""
    fields: dict[str, Any] = {"name": name}
    if rng.random() < 0.6:
        fields["icon"] = rng.choice(ICONS)
    if rng.random() < 0.6:
        fields["description"] = rng.choice((f"What {name} is for, {rng.random():.6f}.", "", None))
    if rng.random() < 0.6:
        fields["users"] = rng.sample(USERS, rng.randint(0, 6))
    return fields


def _taken(rng: random.Random, rest: list[str], most: int) -> tuple[str, ...]:
    """Some of the rest, at least one, which is then no longer there; none when nothing is."""
    return tuple(rest.pop() for _ in range(min(rng.randint(1, most), len(rest))))


# --- what goes wrong ---------------------------------------------------------------------------------------------

PAGE: Final = "<!doctype html><title>Bad gateway</title><h1>Bad gateway</h1>"
DETAIL: Final = {"detail": "A server error occurred."}
EVERY: Final = frozenset({"GET", "POST", "PATCH", "DELETE"})
WITH_BODY: Final = EVERY - {"DELETE"}
LATE: Final = frozenset({"GET", "DELETE"})
"""What may be carried out when its caller has long given it up. A write that is late would be counted by the server
after its place was free again, or undo a newer one: no client could help it."""


@frozen
class Hurt:
    """A kind of fault, and how often it comes in comparison."""

    name: str
    weight: int
    make: Callable[[], Fault]
    methods: frozenset[str] = EVERY
    pause: float = 0.0
    """Seconds that nothing of its class may start after it."""


HURTS: Final = (
    # Few of those that pause everybody: after each the writes go one by one for a minute and more.
    Hurt("429 with Retry-After", 2, lambda: Fault(status=429, headers={"Retry-After": "7"}, body=DETAIL), pause=7),
    Hurt("429 without a word", 1, lambda: Fault(status=429), pause=60),
    Hurt("503 with Retry-After", 2, lambda: Fault(status=503, headers={"Retry-After": "3"}, body=PAGE), pause=3),
    Hurt("500 JSON", 10, lambda: Fault(status=500, body=DETAIL)),
    Hurt("500, carried out", 10, lambda: Fault(status=500, body=DETAIL, carry_out=True)),
    Hurt("502 HTML", 10, lambda: Fault(status=502, body=PAGE)),
    Hurt("503 JSON", 10, lambda: Fault(status=503, body=DETAIL)),
    Hurt("504 HTML, carried out", 10, lambda: Fault(status=504, body=PAGE, carry_out=True)),
    Hurt("dropped unread", 10, lambda: Fault(drop="before")),
    Hurt("dropped, carried out", 15, lambda: Fault(drop="after")),
    Hurt("cut short", 10, lambda: Fault(cut=9), WITH_BODY),
    Hurt("not HTTP", 5, lambda: Fault(raw=b"garbage\r\n\r\n")),
    # Few of those that a read does not survive: a look for a lost create is made of many reads.
    Hurt("HTML for JSON", 3, lambda: Fault(body=PAGE), WITH_BODY),
    Hurt("JSON of another shape", 3, lambda: Fault(transform=lambda _: {"fine": [1]}), WITH_BODY),
    Hurt("slow", 10, lambda: Fault(delay=TIMEOUT / 3)),
    Hurt("later than the timeout", 5, lambda: Fault(delay=TIMEOUT + 2), LATE),
    Hurt("stalled unread", 4, lambda: Fault(stall="unread")),
    Hurt("stalled", 4, lambda: Fault(stall="before")),
    Hurt("stalled, carried out", 6, lambda: Fault(stall="after")),
)


@frozen
class Lot:
    """What is drawn for a request."""

    hurt: Hurt | None = None
    latency: float = 0.0
    """Seconds from its being carried out to its answer: time for others to come in between."""


def lot(seed: int, method: str, subject: str, number: int) -> Lot:
    """What the `number`-th request of a method about a subject meets with."""
    rng = random.Random(f"{seed}/{method}/{subject}/{number}")  # noqa: S311 - the same again; no secret
    possible = [kind for kind in HURTS if method in kind.methods]
    share = HURT
    if method == "POST" and subject.startswith(HASTY):  # so that it is on the wire when its caller gives it up
        possible, share = [kind for kind in possible if kind.name.startswith("stalled")], 3 * HURT
    if rng.random() < share:
        return Lot(rng.choices(possible, [kind.weight for kind in possible])[0])
    return Lot(latency=rng.uniform(0, 3) if method != "GET" and rng.random() < 0.2 else 0.0)


@define(eq=False, kw_only=True)
class Chaos(Faults):
    """The emulator's faults, drawn from the seed."""

    seed: int
    switches: Emulator
    requests: Counter[str] = field(init=False, factory=Counter[str])
    """By method."""
    struck: Counter[str] = field(init=False, factory=Counter[str])
    """By kind of fault."""
    breaches: int = field(init=False, default=0)
    """Requests that came in a pause."""
    _pauses: dict[str, tuple[float, float]] = field(init=False, factory=dict[str, tuple[float, float]])
    """For each class of calls, when it was told to wait, and until when."""
    _subjects: dict[str, str] = field(init=False, factory=dict[str, str])
    _numbers: dict[str, Counter[str]] = field(init=False, factory=dict[str, Counter[str]])

    def introduce(self, group_id: str, subject: str) -> None:
        """Ids depend on who was served first: call a group by what its life calls it."""
        self._subjects[group_id] = subject

    def forget(self, group_id: str) -> None:
        """No more will be asked about it."""
        self._numbers.pop(self._subjects.pop(group_id, ""), None)

    def choose(self, record: RecordedRequest) -> Fault | None:
        """Draw the lot of a request."""
        self.requests[record.method] += 1
        subject = self._subject(record)
        numbers = self._numbers.setdefault(subject, Counter())
        numbers[record.method] += 1
        drawn = lot(self.seed, record.method, subject, numbers[record.method])
        self.switches.latency = drawn.latency  # of this request: it is looked at before another one comes
        self._watch(record, 0.0 if drawn.hurt is None else drawn.hurt.pause)
        if drawn.hurt is None:
            return None
        self.struck[drawn.hurt.name] += 1
        return drawn.hurt.make()

    def _watch(self, record: RecordedRequest, pause: float) -> None:
        """Count what comes in a pause, and begin one; what was on its way is there in the same moment.

        Not for reads: who lists may have stopped listening, and then nobody was told.
        """
        kind = {"POST": "write", "PATCH": "write"}.get(record.method, record.method)
        told, until = self._pauses.get(kind, (inf, -inf))
        self.breaches += told < record.at < until
        if pause and kind != "GET":
            self._pauses[kind] = record.at, max(until, record.at + pause)

    @property
    def need_bodies(self) -> bool:
        """The name of a new group is in the body."""
        return True

    def _subject(self, record: RecordedRequest) -> str:
        if record.method == "POST":
            return str(record.json["name"])
        tail = record.target.rpartition("/")[2]
        return self._subjects.get(tail, tail)


# --- what must be: the model -------------------------------------------------------------------------------------


@frozen
class Finding:
    """Something that is wrong."""

    kind: Literal["duplicate", "lost", "wrong", "left over", "limit", "memory", "hung"]
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def parts_of(group: Mapping[str, Any]) -> dict[str, Value]:
    """What a group is made of: its texts, and whether each user is a member."""
    members = group.get("users", ())
    return {name: group.get(name) for name in TEXTS} | {user: user in members for user in USERS}


def parts_seen(group: Group) -> dict[str, Value]:
    """The same for a group as the client shows it."""
    return parts_of({name: getattr(group, name) for name in (*TEXTS, "users")})


@define(eq=False)
class Belief:
    """What is known of a group: for each part every value that it may have, only one once its write is confirmed."""

    may_be: dict[str, frozenset[Value]]
    may_be_gone: bool = False
    """A delete has begun, and it is not known how it ended."""

    @classmethod
    def of(cls, parts: Parts) -> "Belief":
        """A group that is certainly so."""
        return cls({part: frozenset({value}) for part, value in parts.items()})

    def begin(self, change: Parts) -> None:
        """A write is under way: from now on it may have happened."""
        for part, value in change.items():
            self.may_be[part] |= {value}

    def confirm(self, change: Parts) -> None:
        """A write was acknowledged: from now on it has happened."""
        for part, value in change.items():
            self.may_be[part] = frozenset({value})

    def against(self, seen: Parts, before: "Mapping[str, frozenset[Value]] | None" = None) -> str:
        """What contradicts the belief, in words; nothing, when nothing does.

        Args:
            seen: The group.
            before: What was possible when it began to be read, if that counts too.
        """
        nothing = frozenset[Value]()
        return ", ".join(
            f"{part} is {seen[part]!r}, not {' or '.join(sorted(map(repr, values)))}"
            for part, values in self.may_be.items()
            if seen[part] not in values | (before or {}).get(part, nothing)
        )


@define(eq=False)
class Model:
    """What the store must hold, by what the client has said."""

    groups: dict[str, Belief] = field(factory=dict[str, Belief])
    deleted: set[str] = field(factory=set[str])
    unknown: Counter[frozenset[tuple[str, Value]]] = field(factory=Counter[frozenset[tuple[str, Value]]])
    """What was sent in creates whose end nobody knows: each may be there once."""
    findings: list[Finding] = field(factory=list[Finding])

    def created(self, group_id: str, parts: Parts) -> Belief:
        """A create was acknowledged."""
        if group_id in self.groups or group_id in self.deleted:
            self.findings.append(Finding("lost", f"two creates were told of one group, {group_id}"))
        belief = self.groups[group_id] = Belief.of(parts)
        return belief

    def may_be_created(self, parts: Parts) -> None:
        """The end of a create is not known."""
        self.unknown[frozenset(parts.items())] += 1

    def gone(self, group_id: str) -> None:
        """A delete was acknowledged."""
        self.groups.pop(group_id, None)  # a delete that finds nothing, after an unclear attempt, succeeds again
        self.deleted.add(group_id)

    def certain(self) -> set[str]:
        """The groups that are there."""
        return {group_id for group_id, belief in self.groups.items() if not belief.may_be_gone}

    def check(self, store: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
        """Hold the store against what must be in it."""
        found = list(self.findings)
        for group_id, belief in self.groups.items():
            if group_id not in store:
                if not belief.may_be_gone:
                    found.append(Finding("lost", f"group {group_id} was created and is not there"))
            elif text := belief.against(parts_of(store[group_id])):
                found.append(Finding("lost", f"group {group_id}: {text}"))
        unknown = self.unknown.copy()
        for group_id in store.keys() - self.groups.keys():
            parts = parts_of(store[group_id])
            content = frozenset(parts.items())
            if group_id in self.deleted:
                found.append(Finding("lost", f"group {group_id} was deleted and is there"))
            elif unknown[content]:
                unknown[content] -= 1
            else:
                found.append(Finding("duplicate", f"group {group_id}, {parts['name']!r}, is there once too often"))
        return found


def unjustified(job: Job, error: BaseException) -> str | None:
    """Why an operation should not have ended with this error; None when the faults explain it."""
    match error:
        case OutcomeUnknownError():
            fits = job.kind == "create"
        case DeadlineExceededError():
            fits = job.deadline is not None
        case asyncio.CancelledError():
            fits = job.cancel_after is not None
        case ResponseError():
            fits = job.kind not in ("create", "delete")
        case RateLimitError() | ServerError() | TransportError():
            fits = error.attempts == ATTEMPTS
        case _:
            fits = False
    return None if fits else f"{job} ended with {error!r}"


def mislabelled(outcome: Outcome) -> list[Finding]:
    """Whether a bulk gives an outcome another name than it has."""
    # A write whose answer makes no sense was sent: it may have been executed.
    is_unknown = isinstance(outcome.error, OutcomeUnknownError | ResponseError)
    name = "applied" if outcome.error is None else "unknown" if is_unknown else "failed"
    if outcome.status == name:
        return []
    return [Finding("wrong", f"{outcome.operation} in a bulk is {outcome.status}, not {name}: {outcome.error!r}")]


# --- what must not be left ---------------------------------------------------------------------------------------


@frozen
class Footprint:
    """What this process holds at a moment."""

    tasks: frozenset["asyncio.Task[Any]"]
    sockets: int

    @classmethod
    def now(cls) -> "Footprint":
        """Look at it."""
        return cls(frozenset(asyncio.all_tasks()), _sockets())


def _sockets() -> int:
    """How many sockets are open; where the system does not tell, 0."""
    count = 0
    with contextlib.suppress(OSError):
        for number in os.listdir("/dev/fd"):  # noqa: PTH208 - no paths, but numbers
            with contextlib.suppress(OSError):  # the directory's own is closed again
                count += stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    return count


def left_over(before: Footprint, after: Footprint, limit: LimitState, connections: int) -> list[Finding]:
    """What should be gone and is not."""
    texts = [f"the task {task!r}" for task in after.tasks - before.tasks]
    if after.sockets > before.sockets:
        texts.append(f"{after.sockets - before.sockets} sockets")
    if connections:
        texts.append(f"{connections} connections at the emulator")
    if limit.free != PLACES or limit.in_flight or limit.queued:
        texts.append(f"places of the limit: {limit}")
    return [Finding("left over", text) for text in texts]


@frozen
class Memory:
    """What this process uses of it."""

    blocks: int
    """Pieces of memory that objects hold."""
    peak: float
    """MiB: the most so far, as Linux counts it."""

    @classmethod
    def now(cls) -> "Memory":
        """Look at it, without what is garbage."""
        gc.collect()
        return cls(sys.getallocatedblocks(), round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))


def grown(early: Memory, late: Memory, operations: int) -> list[Finding]:
    """Whether more memory is in use than so many operations account for."""
    most = round(GROWTH * operations + GRACE)
    texts: list[str] = []
    if late.blocks - early.blocks > most:
        texts.append(f"{late.blocks - early.blocks} blocks more after {operations} operations: more than {most}")
    if late.peak - early.peak > PEAK_GROWTH:
        texts.append(f"{late.peak - early.peak:.1f} MiB more at the peak: more than {PEAK_GROWTH}")
    return [Finding("memory", text) for text in texts]


# --- the run -----------------------------------------------------------------------------------------------------


@define(eq=False)
class Asked:
    """An operation under way."""

    job: Job
    group_id: str = ""
    belief: Belief | None = None
    before: dict[str, frozenset[Value]] = field(factory=dict[str, frozenset[Value]])
    """What was possible when it began."""
    certain: set[str] = field(factory=set[str])
    deleted: set[str] = field(factory=set[str])
    """What a list must show, and what it must not."""
    has_looked: bool = False
    """Whether a create looked for its group."""


CURRENT: Final[ContextVar[Asked | None]] = ContextVar("soak_current", default=None)
"""The operation that a request belongs to."""


@define(eq=False)
class Tally:
    """What is counted."""

    ends: Counter[tuple[Kind, End]] = field(factory=Counter[tuple[Kind, End]])
    failures: Counter[str] = field(factory=Counter[str])
    attempts: Counter[str] = field(factory=Counter[str])
    """Requests by method, as the client tells of them."""
    retries: int = 0
    looks: Counter[End] = field(factory=Counter[End])
    """How creates ended whose answer was lost."""
    refused: int = 0
    """429 that are the limit's own."""

    @property
    def operations(self) -> int:
        return self.ends.total()


@define(eq=False, kw_only=True)
class Soak:
    """One run with one seed."""

    seed: int
    operations: int
    meddle: Callable[["Soak"], Awaitable[object]] | None = None
    """Damages something before the check: for the tests of the check."""
    seconds: float = 0.0
    """Real seconds it may take; 0: by the number of operations."""

    clock: AutojumpClock = field(init=False, factory=lambda: AutojumpClock(start=START, patience=TURNS))
    chaos: Chaos = field(init=False)
    model: Model = field(init=False, factory=Model)
    tally: Tally = field(init=False, factory=Tally)
    emulator: Emulator = field(init=False)
    secoda: SecodaClient = field(init=False)
    findings: list[Finding] = field(init=False, factory=list[Finding])
    under_way: set[Asked] = field(init=False, factory=set[Asked])
    _memory: list[Memory] = field(init=False, factory=list[Memory])

    async def run(self) -> "Report":
        """Do it all, and say how it went."""
        began = time.perf_counter()
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        state = random.getstate()
        random.seed(self.seed)  # the backoffs
        before = Footprint.now()
        try:
            limit, connections = await self._live()
            await _settled()
            self.findings += left_over(before, Footprint.now(), limit, connections)
        except Exception as error:  # noqa: BLE001 - the report is wanted all the same
            traceback.print_exception(error)
            self._wrong(f"it broke off: {error!r}")
        random.setstate(state)
        self.findings += self.model.check(self.emulator.groups)
        self._check_counts()
        return self._report(time.perf_counter() - began)

    async def _live(self) -> tuple[LimitState, int]:
        users = [{"id": user, "email": f"{user}@example.com"} for user in USERS]
        async with Emulator(users=users, clock=self.clock, seed=self.seed, page_size=40) as self.emulator:
            self.chaos = self.emulator.faults = Chaos(seed=self.seed, switches=self.emulator)
            async with SecodaClient(
                self.emulator.api_key, base_url=self.emulator.url, clock=self.clock, on_event=self._on_event
            ) as self.secoda:
                await self._all_lives()
                await sleep(self.clock, SETTLING)
                self._drain(keep=0)
                if self.meddle is not None:
                    await self.meddle(self)
                limit = self.secoda.limiter.state
            await _settled()
            return limit, self.emulator.open_connections

    async def _all_lives(self) -> None:
        numbers = iter(range(sys.maxsize))

        async def one_after_the_other() -> None:
            while self.tally.operations < self.operations:
                await self._live_through(life(self.seed, next(numbers)))

        try:
            async with asyncio.timeout(self.seconds or 120 + self.operations / 20), asyncio.TaskGroup() as group:
                for _ in range(min(LIVES_AT_ONCE, 1 + self.operations // 20)):
                    group.create_task(one_after_the_other())
        except TimeoutError:
            jobs = "; ".join(str(asked.job) for asked in self.under_way)
            self.findings.append(Finding("hung", f"under way after {self.tally.operations} operations: {jobs}"))
            for asked in tuple(self.under_way):
                self._end(asked, "given up")

    async def _live_through(self, life: Life) -> None:
        groups: dict[int, str] = {}
        for step in life.steps:
            asked = [self._asked(job, groups) for job in step if self._is_possible(job, groups)]
            if life.is_bulk:
                await self._in_bulk(asked)
            else:
                await asyncio.gather(*map(self._alone, asked))
            for one in asked:
                if one.job.kind == "create" and one.group_id:
                    groups[one.job.place] = one.group_id
                    self.chaos.introduce(one.group_id, f"{life.number}.{one.job.place}")
        for group_id in groups.values():
            self.chaos.forget(group_id)

    def _is_possible(self, job: Job, groups: Mapping[int, str]) -> bool:
        """Whether what it is about is there, or gone, for certain."""
        if job.kind in ("create", "list", "peek", "snapshot"):
            return True
        return groups.get(job.place) in (self.model.deleted if job.is_missing else self.model.certain())

    def _asked(self, job: Job, groups: Mapping[int, str]) -> Asked:
        group_id = groups.get(job.place, "") if job.kind != "create" else ""
        return Asked(job, group_id, self.model.groups.get(group_id))

    # --- one operation -------------------------------------------------------------------------------------------

    def _begin(self, asked: Asked) -> None:
        self.under_way.add(asked)
        CURRENT.set(asked)
        if asked.belief is not None:
            asked.before = dict(asked.belief.may_be)
            asked.belief.begin(asked.job.change())
            asked.belief.may_be_gone |= asked.job.kind == "delete"
        elif asked.job.kind in ("list", "snapshot", "peek"):
            asked.certain, asked.deleted = self.model.certain(), set(self.model.deleted)

    async def _alone(self, asked: Asked) -> None:
        """Ask for one operation by itself."""
        self._begin(asked)
        task = asyncio.create_task(self._call(asked))
        patience = asked.job.cancel_after
        timer = None if patience is None else self.clock.call_later(patience, task.cancel)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # for when the soak as a whole is cancelled; else it is over
            if timer is not None:
                timer.cancel()
        if task.cancelled():
            self._failed(asked, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._failed(asked, error)
        else:
            self._done(asked, task.result())

    def _call(self, asked: Asked) -> Coroutine[Any, Any, object]:  # noqa: PLR0911 - a table
        job = asked.job
        secoda = self.secoda.with_options(
            deadline=job.deadline, priority="interactive" if job.is_urgent else "background"
        )
        groups = secoda.groups
        match job.kind:
            case "create":
                return groups.create(**job.fields, on_unknown="reconcile")
            case "get":
                return groups.get(asked.group_id)
            case "update":
                return groups.update(asked.group_id, **job.fields)
            case "add_users":
                return groups.add_users(asked.group_id, job.users)
            case "remove_users":
                return groups.remove_users(asked.group_id, job.users)
            case "delete":
                return groups.delete(asked.group_id)
            case _:
                return _listed(secoda, job)

    async def _in_bulk(self, asked: Sequence[Asked]) -> None:
        """Ask for many operations together."""

        def feed() -> Iterator[Operation]:
            for one in asked:
                self._begin(one)  # in the task that takes it, so that its requests are known for this operation's
                yield _operation(one)

        async for outcome in self.secoda.bulk(feed(), concurrency=5):
            one = asked[outcome.index]
            self.findings += mislabelled(outcome)
            if outcome.error is not None:
                self._failed(one, outcome.error)
            else:
                self._done(one, outcome.group)

    # --- how it ended --------------------------------------------------------------------------------------------

    def _done(self, asked: Asked, result: object) -> None:
        """Hold a result against the model, and take it in."""
        job = asked.job
        if job.is_missing and result is not False:  # that is, after an unclear attempt: gone, whoever did it
            self._wrong(f"{job} was answered although group {asked.group_id} is deleted: {result!r}")
        elif job.kind == "create":
            self._created(asked, cast("Group", result))
        elif job.kind == "delete":
            self.model.gone(asked.group_id)
        elif asked.belief is not None:
            asked.belief.confirm(job.change())
            seen = parts_seen(cast("Group", result))
            if text := asked.belief.against(seen, asked.before) or Belief.of(job.change()).against(seen):
                self._wrong(f"{job} of group {asked.group_id} was answered with another: {text}")
        else:
            self._listed(asked, cast("list[str]", result))
        self._end(asked, "done")

    def _created(self, asked: Asked, group: Group) -> None:
        wanted = parts_of(asked.job.fields)
        asked.group_id = group.id
        belief = self.model.created(group.id, wanted)
        if text := belief.against(parts_seen(group)):
            self._wrong(f"{asked.job} was answered with another group: {text}")

    def _listed(self, asked: Asked, ids: list[str]) -> None:
        seen = set(ids)
        if len(seen) < len(ids):
            self._wrong(f"{asked.job} showed a group twice")
        if ghosts := seen & asked.deleted:
            self._wrong(f"{asked.job} showed deleted groups: {ghosts}")
        missed = (asked.certain & self.model.certain()) - seen
        if asked.job.kind == "snapshot" and missed:
            self._wrong(f"{asked.job} left out {missed}")

    def _failed(self, asked: Asked, error: BaseException) -> None:
        if asked.job.is_missing and isinstance(error, NotFoundError):
            self._end(asked, "missing")
            return
        if text := unjustified(asked.job, error):
            self._wrong(text)
        if isinstance(error, asyncio.CancelledError):
            self._end(asked, "given up")
            return
        self.tally.failures[type(error).__name__] += 1
        self._end(asked, "unknown" if isinstance(error, OutcomeUnknownError) else "failed")

    def _end(self, asked: Asked, end: End) -> None:
        self.under_way.discard(asked)
        if asked.job.kind == "create" and end in ("unknown", "given up"):
            self.model.may_be_created(parts_of(asked.job.fields))
        if asked.has_looked:
            self.tally.looks[end] += 1
        self.tally.ends[asked.job.kind, end] += 1
        if self.tally.operations in (self.operations // 5, self.operations):
            self._memory.append(Memory.now())

    def _wrong(self, text: str) -> None:
        self.findings.append(Finding("wrong", text))

    # --- what is counted -----------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, AttemptEvent):
            self.tally.attempts[event.method] += 1
            self.tally.retries += event.attempt > 1
            asked = CURRENT.get()
            if asked is not None and asked.job.kind == "create" and event.method == "GET":
                asked.has_looked = True
            self._drain(keep=500)

    def _drain(self, *, keep: int) -> None:
        """Forget old requests, else the emulator's log would be most of the memory."""
        log = self.emulator.requests
        if len(log) > 2 * keep:
            old = log[: len(log) - keep]
            del log[: len(old)]
            self.tally.refused += sum(record.status == 429 and record.fault is None for record in old)

    def _on_loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.findings.append(Finding("left over", f"{context['message']}: {context.get('exception')!r}"))

    def _check_counts(self) -> None:
        busiest = self.emulator.busiest_window()
        if self.tally.refused or busiest > PLACES:
            text = f"{self.tally.refused} genuine 429, {busiest} writes in the busiest minute"
            self.findings.append(Finding("limit", text))
        if self.chaos.breaches:
            self.findings.append(Finding("limit", f"{self.chaos.breaches} requests came while all were told to wait"))
        given_up = sum(count for (_, end), count in self.tally.ends.items() if end == "given up")
        for method in ("POST", "PATCH", "DELETE"):
            came, told = self.chaos.requests[method], self.tally.attempts[method]
            if not 0 <= came - told <= given_up:  # what is cancelled on the wire is not told of
                self._wrong(f"{came} {method} requests came, and the client tells of {told}")
        if len(self._memory) == 2:
            early, late = self._memory
            self.findings += grown(early, late, self.operations)

    def _report(self, seconds: float) -> "Report":
        kinds = Counter(finding.kind for finding in self.findings)
        looks, ends = self.tally.looks, self.tally.ends
        return Report(
            seed=self.seed,
            wanted=self.operations,
            operations=self.tally.operations,
            ends={kind: {end: ends[kind, end] for end in get_args(End)} for kind in get_args(Kind)},
            failures=dict(self.tally.failures.most_common()),
            requests=dict(self.chaos.requests.most_common()),
            hurt=self.chaos.struck.total(),
            faults=dict(self.chaos.struck.most_common()),
            retries=self.tally.retries,
            looks={"all": looks.total(), "done": looks["done"], "unknown": looks["unknown"]},
            groups=len(self.emulator.groups),
            memory=self._memory,
            duplicates=kinds["duplicate"],
            lost=kinds["lost"],
            findings=[str(finding) for finding in self.findings],
            seconds=round(seconds, 1),
            emulated_seconds=round(self.clock.now() - START),
        )


async def _settled() -> None:
    """Let the loop do what is left to do."""
    for _ in range(100):
        await asyncio.sleep(0)


async def _listed(secoda: SecodaClient, job: Job) -> list[str]:
    """The ids of a list; of one that is left early, the first few."""
    if job.kind == "snapshot":
        return [group.id for group in await secoda.groups.snapshot(concurrency=job.place)]
    ids: list[str] = []
    async with aclosing(secoda.groups.list(concurrency=job.place)) as groups:
        async for group in groups:
            ids.append(group.id)
            if job.kind == "peek" and len(ids) == 50:
                break
    return ids


def _operation(asked: Asked) -> Operation:
    """The same for a bulk."""
    match asked.job.kind:
        case "create":
            return CreateGroup(**asked.job.fields)
        case "update":
            return UpdateGroup(asked.group_id, **asked.job.fields)
        case _:
            return DeleteGroup(asked.group_id)


# --- the report --------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Report:
    """How a run went."""

    seed: int
    wanted: int
    """Operations that were asked for."""
    operations: int
    """Operations that were made: lives that have begun go on to their end."""
    ends: Mapping[str, Mapping[str, int]]
    """Operations by kind and end."""
    failures: Mapping[str, int]
    """Errors by class."""
    requests: Mapping[str, int]
    """Requests by method, as the emulator counts them."""
    hurt: int
    """Requests that a fault struck."""
    faults: Mapping[str, int]
    """Strikes by kind."""
    retries: int
    looks: Mapping[str, int]
    """Creates without a clear answer: all, those that ended well, those that stayed unknown."""
    groups: int
    """In the store at the end."""
    memory: Sequence[Memory]
    """What was in use after a fifth of the operations, and after all of them."""
    duplicates: int
    lost: int
    findings: Sequence[str]
    seconds: float
    emulated_seconds: int

    def __str__(self) -> str:
        requests = sum(self.requests.values())
        share = self.hurt / max(1, requests)
        looks = self.looks
        memory = [f"{moment.blocks} blocks, peak {moment.peak} MiB" for moment in self.memory]
        lines = [
            f"seed {self.seed}: {self.operations} operations in {self.seconds} s for {self.emulated_seconds} s",
            f"  requests {requests}, hurt {self.hurt} ({share:.1%}), retries {self.retries}",
            f"  creates without a clear answer {looks['all']}, reconciled {looks['done']}, unknown {looks['unknown']}",
            f"  duplicates {self.duplicates}, lost {self.lost}, groups at the end {self.groups}",
            f"  memory {' -> '.join(memory)}",
            f"  {'operations':<26}" + "".join(f"{end:>10}" for end in get_args(End)),
            *(
                f"{'':14}{kind:<12}" + "".join(f"{count:>10}" for count in ends.values())
                for kind, ends in self.ends.items()
            ),
            *_columns("errors", self.failures),
            *_columns("requests", self.requests),
            *_columns("faults", self.faults),
        ]
        if self.findings:
            lines += ["  WRONG:", *(f"    {finding}" for finding in self.findings)]
            lines.append(f"  again: python tests/soak.py --seed {self.seed} --operations {self.wanted}")
        return "\n".join(lines)


def _columns(title: str, counts: Mapping[str, int]) -> list[str]:
    cells = [f"{name:<27}{count:>6}" for name, count in counts.items()]
    rows = ["   ".join(cells[start : start + 3]) for start in range(0, len(cells), 3)]
    return [f"  {title if row is rows[0] else '':<11} {row}" for row in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it for each seed, print what happened, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description="Thousands of operations on an emulator that hurts 1 request in 5.")
    parser.add_argument("--seed", type=int, action="append", help="what all follows from; may be repeated (default: 1)")
    parser.add_argument("--operations", type=int, default=10_000, help="at least so many (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    logging.getLogger("secoda_async").addHandler(logging.NullHandler())  # moving lists are the rule here
    reports: list[Report] = []
    for seed in options.seed or [1]:
        reports.append(asyncio.run(Soak(seed=seed, operations=options.operations).run()))
        if not options.json:
            sys.stdout.write(f"{reports[-1]}\n")
            sys.stdout.flush()
    is_ok = not any(report.findings for report in reports)
    if options.json:
        sys.stdout.write(json.dumps({"ok": is_ok, "seeds": [asdict(report) for report in reports]}, indent=2) + "\n")
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
