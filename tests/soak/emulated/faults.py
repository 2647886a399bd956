"""The faults of the soak and the conditions of its server, all of them drawn from the seed."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, Literal, cast

from attrs import asdict, define, field, frozen

from secoda_async.emulator import Emulator, Fault, Faults, RecordedRequest
from tests.soak.emulated.scenarios import HASTY

FAULT_RATE: Final = 0.2
TIMEOUT: Final = 30.0  # the client's default, in seconds
START: Final = 2.0**20
"""Seconds on the clock at the start: so far from any power of two ahead that a minute is added without rounding. An
answer here takes no time, and half a last bit is enough for the server to see a write before its time."""

LONGEST_LAG: Final = 20.0
"""Seconds by which lists and reads lag behind the store, at most."""
LATEST: Final = 20.0
"""Seconds after its arrival until a request is executed whose client has lost the answer, at most."""
SEARCHED: Final = 28.0
"""Seconds in which a search must find a group: late execution and lag add up."""
PHASE: Final = 300.0
"""Seconds after which other conditions are drawn."""
GRACE: Final = 1.0
"""Seconds between a read of a group and the write that rests on it, at most."""

PAGE: Final = "<!doctype html><title>Bad gateway</title><h1>Bad gateway</h1>"
DETAIL: Final = {"detail": "A server error occurred."}
EVERY: Final = frozenset({"GET", "POST", "PATCH", "DELETE"})
READ: Final = frozenset({"GET"})
WITH_BODY: Final = EVERY - {"DELETE"}
WRITES: Final = EVERY - READ
SLOW_READS: Final = frozenset({"GET", "DELETE"})
"""The methods that may be executed after the timeout. The server would count a late POST or PATCH after the client
has released its permit; see `FaultKind.is_late` for writes that the server counts on arrival."""


@frozen
class FaultKind:
    """A kind of fault, and its relative frequency."""

    name: str
    weight: int
    make: Callable[[], Fault]
    methods: frozenset[str] = EVERY
    pause: float = 0.0
    """Seconds for which the client must start nothing of its class."""
    is_late: bool = False
    """Whether the request is executed later than it is answered."""
    on: Literal["all", "lists", "objects"] = "all"
    """The paths: lists, single groups and users, or both."""


def _another(body: Any) -> Any:
    """Return the body of another group, as a confused cache does."""
    return {**body, "id": "00000000-0000-4000-8000-000000000000", "name": f"Not {body.get('name')}"}


def _without_next(body: Any) -> Any:
    return {**body, "links": {**body.get("links", {}), "next": None}, "next": None}


def _short(body: Any) -> Any:
    return {**body, "results": body["results"][:-1]}


NOT_RECEIVED: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
EMPTY: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
NO_LENGTH: Final = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"id": "'
RETRY_AFTER: Final = {"Retry-After": "3"}

FAULT_KINDS: Final = (
    # Few of those that start a cooldown: after each, the writes start one by one for a minute and more.
    FaultKind("429 with Retry-After", 2, lambda: Fault(status=429, headers={"Retry-After": "7"}, body=DETAIL), pause=7),
    FaultKind("429 without a word", 1, lambda: Fault(status=429), pause=60),
    FaultKind("503 with Retry-After", 2, lambda: Fault(status=503, headers=RETRY_AFTER, body=PAGE), pause=3),
    FaultKind(
        "503 Retry-After, executed",
        2,
        lambda: Fault(status=503, headers=RETRY_AFTER, body=PAGE, carry_out=True),
        WRITES,
        pause=3,
    ),
    FaultKind("500 JSON", 10, lambda: Fault(status=500, body=DETAIL)),
    FaultKind("500, executed", 10, lambda: Fault(status=500, body=DETAIL, carry_out=True)),
    FaultKind("502 HTML", 10, lambda: Fault(status=502, body=PAGE)),
    FaultKind("503 JSON", 10, lambda: Fault(status=503, body=DETAIL)),
    FaultKind("504 HTML, executed", 10, lambda: Fault(status=504, body=PAGE, carry_out=True)),
    FaultKind("504 HTML, executed later", 8, lambda: Fault(status=504, body=PAGE), WRITES, is_late=True),
    FaultKind("dropped unread", 10, lambda: Fault(drop="before")),
    FaultKind("dropped, executed", 15, lambda: Fault(drop="after")),
    FaultKind("dropped, executed later", 5, lambda: Fault(drop="after"), WRITES, is_late=True),
    FaultKind("cut short", 10, lambda: Fault(cut=9), WITH_BODY),
    FaultKind("cut short, no length", 4, lambda: Fault(raw=NO_LENGTH), WITH_BODY),
    FaultKind("empty 200", 4, lambda: Fault(raw=EMPTY), WITH_BODY),
    FaultKind("not HTTP", 5, lambda: Fault(raw=b"garbage\r\n\r\n")),
    FaultKind("408", 5, lambda: Fault(raw=NOT_RECEIVED, carry_out=False)),
    # Few of those that a read does not survive: a search for a lost create is made of many reads.
    FaultKind("404 HTML", 1, lambda: Fault(status=404, body=PAGE)),
    FaultKind("HTML for JSON", 3, lambda: Fault(body=PAGE), WITH_BODY),
    FaultKind("JSON of another shape", 3, lambda: Fault(transform=lambda _: {"fine": [1]}), WITH_BODY),
    FaultKind("another group's body", 5, lambda: Fault(transform=_another), WITH_BODY, on="objects"),
    FaultKind("200 HTML for a 204", 3, lambda: Fault(status=200, body=PAGE), frozenset({"DELETE"})),
    FaultKind("202 for a 204", 3, lambda: Fault(status=202, carry_out=True), frozenset({"DELETE"})),
    FaultKind("page without its next", 1, lambda: Fault(transform=_without_next), READ, on="lists"),
    FaultKind("page short of an item", 1, lambda: Fault(transform=_short), READ, on="lists"),
    FaultKind("results alone", 1, lambda: Fault(transform=lambda b: {"results": b["results"]}), READ, on="lists"),
    FaultKind("slow", 10, lambda: Fault(delay=TIMEOUT / 3)),
    FaultKind("later than the timeout", 5, lambda: Fault(delay=TIMEOUT + 2), SLOW_READS),
    FaultKind("stalled unread", 4, lambda: Fault(stall="unread")),
    FaultKind("stalled", 4, lambda: Fault(stall="before")),
    FaultKind("stalled, executed", 6, lambda: Fault(stall="after")),
    FaultKind("stalled, executed later", 3, lambda: Fault(stall="before"), WRITES, is_late=True),
)


@frozen
class Draw:
    """The fault and the latency of one request."""

    fault: FaultKind | None = None
    latency: float = 0.0
    """Seconds from the execution to the answer: time for other requests to come in between."""
    delay: float = 0.0
    """Seconds until a late execution."""


def draw(seed: int, method: str, subject: str, number: int, *, is_list: bool = False) -> Draw:
    """Draw for the `number`-th request of a method about a subject."""
    rng = random.Random(f"{seed}/{method}/{subject}/{number}")
    kind = "lists" if is_list else "objects"
    possible = [fault for fault in FAULT_KINDS if method in fault.methods and fault.on in ("all", kind)]
    share = FAULT_RATE
    if method == "POST" and subject.startswith(HASTY):  # so that it is in flight when its caller cancels
        possible, share = [fault for fault in possible if fault.name.startswith("stalled")], 3 * FAULT_RATE
    if rng.random() < share:
        fault = rng.choices(possible, [fault.weight for fault in possible])[0]
        return Draw(fault, delay=rng.choice((3.0, 8.0, LATEST)) if fault.is_late else 0.0)
    return Draw(latency=rng.uniform(0, 3) if method != "GET" and rng.random() < 0.2 else 0.0)


@frozen
class Conditions:
    """The state of the server for one phase; the fields are switches of the emulator."""

    date_skew: float | None
    lists_lag: float
    reads_lag: float
    visible_after: float
    created_at_shown: Literal["full", "null", "absent", "local"]
    hide_pending: bool
    next_link: Literal["links", "top"]
    collapse_names: bool
    idle_408: float | None

    def set_on(self, emulator: Emulator) -> None:
        """Switch the emulator to these conditions."""
        for name, value in asdict(self).items():
            setattr(emulator, name, value)

    @property
    def lag(self) -> float:
        """The most by which a list is behind."""
        return max(self.lists_lag, self.visible_after)


def conditions(seed: int, phase: int) -> Conditions:
    """Draw the conditions of a phase; every other one has a server whose clock and lists are right."""
    rng = random.Random(f"{seed}/conditions/{phase}")
    calm = rng.random() < 0.3
    lags = (0.0,) if calm else (0.0, 3.0, 8.0, LONGEST_LAG)
    return Conditions(
        date_skew=0.0 if calm else rng.choice((0.0, 3.0, -3.0, 5.0, -5.0, 60.0, -60.0, None)),
        lists_lag=rng.choice(lags),
        reads_lag=rng.choice(lags),
        visible_after=rng.choice((0.0, *lags)),
        created_at_shown=rng.choice(("full", "full", "null", "absent", "local")),
        hide_pending=rng.random() < 0.3,
        next_link=rng.choice(("links", "top")),
        collapse_names=rng.random() < 0.5,
        idle_408=rng.choice((None, 5.0)),
    )


@define(eq=False, kw_only=True)
class FaultInjector(Faults):
    """The emulator's faults and conditions, drawn from the seed."""

    seed: int
    emulator: Emulator
    requests: Counter[str] = field(init=False, factory=Counter[str])
    """Requests by method."""
    not_received: Counter[str] = field(init=False, factory=Counter[str])
    """Requests that were answered with 408, by method."""
    injected: Counter[str] = field(init=False, factory=Counter[str])
    """Faults by kind."""
    breaches: int = field(init=False, default=0)
    """Requests that came in a pause."""
    late_until: dict[str, float] = field(init=False, factory=dict[str, float])
    """For each group, the time until which a PATCH may still be executed."""
    deleting: set[str] = field(init=False, factory=set[str])
    """Groups that callers delete at the moment."""
    replacing: Counter[str] = field(init=False, factory=Counter[str])
    """Groups whose members callers replace at the moment."""
    joined: dict[str, dict[str, float]] = field(init=False, factory=dict[str, dict[str, float]])
    """For each group, the members whom another program added, with the time."""
    losses: list[str] = field(init=False, factory=list[str])
    """Writes that take away what a fresh read shows."""
    conditions: Conditions = field(init=False)
    _phase: int = field(init=False, default=-1)
    _pauses: dict[str, tuple[float, float]] = field(init=False, factory=dict[str, tuple[float, float]])
    """For each class of calls, the time of the Retry-After and the end of its pause."""
    _subjects: dict[str, str] = field(init=False, factory=dict[str, str])
    _numbers: dict[str, Counter[str]] = field(init=False, factory=dict[str, Counter[str]])

    def register(self, group_id: str, subject: str) -> None:
        """Name a group as its scenario does: ids depend on the order of the requests."""
        self._subjects[group_id] = subject

    def forget(self, group_id: str) -> None:
        """Forget a group that no more requests are about."""
        self._numbers.pop(self._subjects.pop(group_id, ""), None)
        self.late_until.pop(group_id, None)
        self.joined.pop(group_id, None)
        self.deleting.discard(group_id)

    def arrived(self, method: str, group_id: str) -> int:
        """Return how many requests of a method about a group (or for creates about a name) have arrived."""
        return self._numbers.get(self._subjects.get(group_id, group_id), Counter())[method]

    def join(self, group_id: str, user: str, at: float) -> None:
        """Add a member, as another program does."""
        group = self.emulator.groups.get(group_id)
        if group is not None and user not in group["users"]:
            group["users"] = [*group["users"], user]
            self.joined.setdefault(group_id, {})[user] = at

    def choose(self, record: RecordedRequest) -> Fault | None:
        """Draw the fault of a request."""
        self._set_conditions(record.at)
        self._check(record)
        self.requests[record.method] += 1
        subject = self._subject(record)
        numbers = self._numbers.setdefault(subject, Counter())
        numbers[record.method] += 1
        is_list = record.method == "GET" and record.path.rstrip("/").endswith("/auth/group")
        drawn = draw(self.seed, record.method, subject, numbers[record.method], is_list=is_list)
        self.emulator.latency = drawn.latency  # of this request: the next one comes later
        kind = drawn.fault
        if kind is not None and kind.is_late and "users" in (record.json or {}) and record.method == "PATCH":
            kind = None  # a membership that is written late undoes later ones: no client can help that
        self._watch(record, 0.0 if kind is None else kind.pause)
        return None if kind is None else self._inject(kind, drawn.delay, record)

    def _inject(self, kind: FaultKind, delay: float, record: RecordedRequest) -> Fault:
        self.injected[kind.name] += 1
        self.not_received[record.method] += kind.name == "408"
        fault = kind.make()
        if kind.is_late:
            following = conditions(self.seed, self._phase + 1)
            fault.execute_after = min(delay, SEARCHED - max(self.conditions.lag, following.lag))
        if record.method == "PATCH":
            until = record.at + fault.delay + (fault.execute_after or 0.0)
            group_id = _tail(record)
            self.late_until[group_id] = max(self.late_until.get(group_id, 0.0), until)
        return fault

    def _set_conditions(self, now: float) -> None:
        phase = int((now - START) // PHASE)
        if phase != self._phase:
            self._phase = phase
            self.conditions = conditions(self.seed, phase)
            self.conditions.set_on(self.emulator)

    def _check(self, record: RecordedRequest) -> None:
        """Check that a write takes nothing away that nobody asked for."""
        group_id = _tail(record)
        if record.method == "DELETE" and group_id not in self.deleting:
            self.losses.append(f"group {group_id} was deleted, and nobody asked for that")
        body = cast("Mapping[str, Any]", record.json or {})
        if record.method != "PATCH" or "users" not in body or self.replacing[group_id]:
            return
        present = self.emulator.groups.get(group_id, {}).get("users", ())
        latest = record.at - GRACE - (LONGEST_LAG if self.conditions.reads_lag else 0.0)
        for user, at in self.joined.get(group_id, {}).items():
            if user in present and user not in body["users"] and at < latest:
                self.losses.append(f"{user}, whom another program added to group {group_id}, was removed")

    def _watch(self, record: RecordedRequest, pause: float) -> None:
        """Count the requests that come in a pause, and begin one; requests in flight arrive in the same moment.

        Reads are left out: the caller of a list may have left, and then nobody received the Retry-After.
        """
        kind = {"POST": "write", "PATCH": "write"}.get(record.method, record.method)
        announced, until = self._pauses.get(kind, (inf, -inf))
        self.breaches += announced < record.at < until
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


def _tail(record: RecordedRequest) -> str:
    return record.path.rstrip("/").rpartition("/")[2]
