"""The hostile soak: many short scenarios against a hostile server, each checked for violated invariants.

    python -m tests.soak hostile [--seed 1] [--runs 200] [--run 17]

Each run draws a server (`server.py`), a scenario and a client from the seed and the number of the run. Scenarios are a
bulk, single calls, creates whose outcome is unclear, members that several callers and a third party change, and a plan
that is applied, interrupted and applied again. Afterwards the record of the server is checked (`invariants.py`): no
group twice, no member lost, no write based on a partial read, no false outcome, no untyped error, no hang, and an
outcome for each operation. The clock is injected and jumps. The order in which sockets are ready is not part of the
seed, so a run is repeatable nearly always.
"""

import argparse
import asyncio
import copy
import random
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast

from attrs import define, field

from secoda_async import (
    AutojumpClock,
    CreateGroup,
    DeleteGroup,
    DesiredGroup,
    DesiredState,
    Operation,
    Outcome,
    OutcomeUnknownError,
    Plan,
    RateLimit,
    Report,
    ResponseError,
    SecodaClient,
    SecodaError,
    UpdateGroup,
)
from secoda_async.clock import sleep
from tests.soak.hostile.conditions import Conditions, conditions
from tests.soak.hostile.endings import bulk_ending, call_ending, change_ending
from tests.soak.hostile.invariants import CHECKS, Ending, Kind, Record, duplicates, violations
from tests.soak.hostile.server import KEY, LATEST, USERS, HostileServer
from tests.soak.hostile.store import Group
from tests.soak.hostile.third_party import ThirdParty

SUMMARY: Final = "Run short scenarios against a hostile server, and check the invariants of each."
SETTLING: Final = LATEST + 5.0
"""Seconds after which no request can change the store, and lists show every write."""
RUN_TIMEOUT: Final = 120.0
"""Real seconds after which a run counts as hanging; a run takes a fraction of a second."""
TURNS: Final = 100
ADDED: Final = USERS[6:12]  # members that the client adds
REMOVED: Final = USERS[12:]  # members that the client removes

Violation = tuple[str, str]


@define
class Run:
    """One scenario, with everything that it draws."""

    seed: int
    number: int
    rng: random.Random = field(init=False)
    clock: AutojumpClock = field(init=False, factory=lambda: AutojumpClock(start=2.0**20, patience=TURNS))
    conditions: Conditions = field(init=False)
    server: HostileServer = field(init=False)
    third_party: ThirdParty = field(init=False)
    scenario: str = ""
    """One of bulk, calls, creates, members and apply; drawn unless given."""
    records: list[Record] = field(init=False, factory=list[Record])
    found: list[Violation] = field(init=False, factory=list[Violation])
    _untyped: list[str] = field(init=False, factory=list[str])
    _clients: list[SecodaClient] = field(init=False, factory=list[SecodaClient])

    def __attrs_post_init__(self) -> None:
        self.rng = random.Random(f"{self.seed}/{self.number}")
        self.conditions = conditions(self.rng)
        rng = random.Random(f"server {self.seed}/{self.number}")
        self.server = HostileServer(self.conditions, rng, self.clock)
        self.third_party = ThirdParty(self.server, rng)
        self.server.edit = self.third_party

    async def play(self) -> list[Violation]:
        """Play the scenario, and return what it violates."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._untyped.append(f"left over: {context['message']}"))
        scenarios: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "bulk": self._bulk,
            "calls": self._calls,
            "creates": self._creates,
            "members": self._members,
            "apply": self._apply,
        }
        self.scenario = self.scenario or self.rng.choice(tuple(scenarios))
        state = random.getstate()
        random.seed(f"{self.seed}/{self.number}")  # the backoffs
        task = asyncio.create_task(self._play(scenarios[self.scenario]))
        await asyncio.wait([task], timeout=RUN_TIMEOUT)
        random.setstate(state)
        if not task.done():
            where = [f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack()]
            self.found.append(("hangs", f"it did not end; it waits in {where}"))
            task.cancel()
            await asyncio.wait([task], timeout=RUN_TIMEOUT)
        elif (error := task.exception()) is not None:
            raise error  # a mistake of this soak
        loop.set_exception_handler(None)
        return self.found

    async def _play(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with self.server:
            if self.conditions.edits:
                for _ in range(self.rng.randint(0, 6)):
                    self.clock.call_later(self.rng.uniform(0.0, 60.0), self._edit_later)
            try:
                await scenario()
            finally:
                for client in self._clients:
                    await client.close()

    def _edit_later(self) -> None:
        if not self.server.is_calm:
            self.third_party()

    def client(self) -> SecodaClient:
        rng = self.rng
        limit = RateLimit(rng.choice((3, 30, 300)), per_seconds=rng.choice((5.0, 60.0)))
        client = SecodaClient(
            KEY, base_url=self.server.url, clock=self.clock, write_limit=limit, max_connections=rng.choice((1, 2, 20))
        )
        self._clients.append(client)
        return client

    async def settle(self) -> None:
        """Wait until every request has been executed, and lists show it."""
        await sleep(self.clock, SETTLING)

    # --- records

    def begin(self) -> Record:
        """Return a record that begins now."""
        store = self.server.store
        return Record(
            before=copy.deepcopy(store.groups), after={}, writes=store.writes[len(store.writes) :], arrivals=[],
            touched=self.third_party.touched, lists_lag=self.conditions.lists_lag, reads_lag=self.conditions.reads_lag,
        )  # fmt: skip

    def end(self, record: Record, since: int, arrived: int) -> None:
        """Complete a record and check it."""
        record.after = copy.deepcopy(self.server.store.groups)
        record.writes = self.server.store.writes[since:]
        record.arrivals = self.server.arrivals[arrived:]
        record.untyped = self._untyped
        self._untyped = []
        self.records.append(record)
        self.found += violations(record)

    async def recorded(self, record: Record, work: Awaitable[object], *, settle: bool = True) -> None:
        """Do the work of a record, and check the record when no request is in flight."""
        since, arrived = len(self.server.store.writes), len(self.server.arrivals)
        await work
        if settle:
            await self.settle()
        self.end(record, since, arrived)

    async def outcome_of(self, call: Awaitable[object]) -> tuple[str, object]:
        """Await a call, and return how it ended and its result or error."""
        try:
            return "applied", await call
        except OutcomeUnknownError as error:
            return "unknown", error
        except asyncio.CancelledError as error:
            return "cancelled", error
        except SecodaError as error:
            return "failed", error
        except Exception as error:  # noqa: BLE001 - untyped errors are a violation
            self._untyped.append("".join(traceback.format_exception(error)[-3:]).strip())
            return "untyped", error

    # --- scenarios

    def _old_groups(self, most: int = 9) -> list[str]:
        return [
            self.server.store.seed(f"Old {number}", users=self.rng.sample(USERS, self.rng.randint(0, 5)))
            for number in range(self.rng.randint(0, most))
        ]

    def _names(self, number: int) -> list[str]:
        """Return names, some of which the server may normalize."""
        patterns = ("Team {}", "Team {}", "Data  Team {}", " Team {} ")
        return [self.rng.choice(patterns).format(place) for place in range(number)]

    async def _bulk(self) -> None:
        rng = self.rng
        operations: list[Operation] = [
            CreateGroup(name=name, users=rng.sample(USERS, rng.randint(0, 3)), icon=rng.choice((None, "x")))
            for name in self._names(rng.randint(1, 10))
        ]
        for group_id in self._old_groups():
            draw = rng.random()
            if draw < 0.4:
                operations.append(UpdateGroup(group_id, users=rng.sample(USERS, 3), icon="new"))
            elif draw < 0.7:
                operations.append(DeleteGroup(group_id, missing_ok=rng.random() < 0.5))
        rng.shuffle(operations)
        record = self.begin()
        record.expected = len(operations)
        await self.recorded(record, self._run_bulk(operations, record))

    async def _run_bulk(self, operations: Sequence[Operation], record: Record) -> None:
        rng, client, stop = self.rng, self.client(), asyncio.Event()
        bulk = client.bulk(
            operations, concurrency=rng.choice((1, 3, 20)), fail_fast=rng.random() < 0.1, stop=stop
        )  # fmt: skip
        outcomes: list[Outcome] = []

        async def consume() -> None:
            try:
                async for outcome in bulk:
                    outcomes.append(outcome)  # noqa: PERF401 - they must be there when this is cancelled
            finally:
                await bulk.aclose()

        task = asyncio.create_task(consume())
        action = rng.choice((None, None, None, stop.set, task.cancel, client.close))
        if action is not None:
            record.was_interrupted = True
            await self._interrupt(task, action)
        await self.outcome_of(task)
        record.endings += [bulk_ending(outcome) for outcome in (*outcomes, *bulk.rest)]

    async def _interrupt(self, task: "asyncio.Task[Any]", action: Callable[[], Any]) -> None:
        """Interrupt a task after a while, unless it has ended before."""
        timer = asyncio.ensure_future(sleep(self.clock, self.rng.choice((0.0, 1.0, self.rng.uniform(0.0, 60.0)))))
        await asyncio.wait([task, timer], return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        ended = action()
        if asyncio.iscoroutine(ended):
            await ended

    async def _creates(self) -> None:
        self._old_groups()
        names = self._names(self.rng.randint(1, 6))
        record = self.begin()
        record.expected = len(names)
        client = self.client()
        calls = [self.rng.choice((self._create, self._ensure))(client, name, record) for name in names]
        await self.recorded(record, asyncio.gather(*calls))

    async def _ensure(self, client: SecodaClient, name: str, record: Record) -> None:
        """Ensure a group, and once more right afterwards: lists may not show it yet."""
        users = self.rng.sample(USERS, self.rng.randint(0, 3))
        groups = self._options(client).groups
        status, result = await self._end_of(groups.ensure(name=name, users=users), record)
        group_id = cast("Any", result).id if status == "applied" else ""
        fields = {"name": name, "users": users}
        record.endings.append(call_ending("create", status, result, name=name, group_id=group_id, fields=fields))
        if status == "applied":
            await self.outcome_of(client.groups.ensure(name=name, users=users))

    async def _calls(self) -> None:
        """Change and delete groups by single calls, and create some without `on_unknown`."""
        old, names = self._old_groups(), self._names(self.rng.randint(1, 3))
        record = self.begin()
        record.expected = len(old) + len(names)
        client = self.client()
        calls = [self._create(client, name, record, on_unknown="raise") for name in names]
        calls += [self._change(client, group_id, record) for group_id in old]
        if self.rng.random() < 0.2:
            record.was_interrupted = True
            self.clock.call_later(self.rng.uniform(0.0, 30.0), lambda: asyncio.ensure_future(client.close()))
        await self.recorded(record, asyncio.gather(*calls))

    async def _create(
        self,
        client: SecodaClient,
        name: str,
        record: Record,
        *,
        on_unknown: Literal["raise", "reconcile"] = "reconcile",
    ) -> None:
        fields: dict[str, Any] = {"name": name, "users": self.rng.sample(USERS, self.rng.randint(0, 3))}
        call = self._options(client).groups.create(**fields, on_unknown=on_unknown)
        status, result = await self._end_of(call, record)
        group_id = cast("Any", result).id if status == "applied" else ""
        record.endings.append(call_ending("create", status, result, name=name, group_id=group_id, fields=fields))

    async def _change(self, client: SecodaClient, group_id: str, record: Record) -> None:
        groups, fields, call = self._options(client).groups, dict[str, Any](), None
        if self.rng.random() < 0.6:
            users = self.rng.sample(USERS, 3)
            fields, call = {"icon": "new", "users": users}, groups.update(group_id, icon="new", users=users)
        status, result = await self._end_of(call or groups.delete(group_id), record)
        if isinstance(result, ResponseError):
            status = "unknown"  # the response is invalid, but the write may have been executed
        kind: Kind = "update" if fields else "delete"
        record.endings.append(call_ending(kind, status, result, group_id=group_id, fields=fields))

    def _options(self, client: SecodaClient) -> SecodaClient:
        return client.with_options(deadline=self.rng.choice((None, None, None, self.rng.uniform(0.5, 100.0))))

    async def _end_of(self, call: Coroutine[Any, Any, object], record: Record) -> tuple[str, object]:
        """Await a call that may be cancelled meanwhile, and return how it ended."""
        task = asyncio.create_task(call)
        if self.rng.random() < 0.15:
            record.was_interrupted = True
            await self._interrupt(task, task.cancel)
        return await self.outcome_of(task)

    async def _members(self) -> None:
        rng = self.rng
        shared = [
            self.server.store.seed(f"Shared {place}", users=rng.sample(USERS, rng.randint(1, 8)))
            for place in range(rng.randint(1, 3))
        ]
        self.third_party.shared = shared
        record = self.begin()
        record.shared = set(shared)
        client = self.client()
        callers = [self._member_calls(client, rng.choice(shared), record) for _ in range(rng.randint(1, 5))]
        await self.recorded(record, asyncio.gather(*callers))

    async def _member_calls(self, client: SecodaClient, group_id: str, record: Record) -> None:
        """Add or remove members, a few times in a row."""
        for _ in range(self.rng.randint(1, 4)):
            is_add = self.rng.random() < 0.7
            users = self.rng.sample(ADDED if is_add else REMOVED, self.rng.randint(1, 2))
            record.expected += 1
            if not is_add:
                record.removed |= {(group_id, user) for user in users}
            call = client.groups.add_users if is_add else client.groups.remove_users
            status, result = await self.outcome_of(call(group_id, users))
            fields = {"users": users}
            kind: Kind = "add" if is_add else "remove"
            record.endings.append(call_ending(kind, status, result, group_id=group_id, fields=fields))
            if self.rng.random() < 0.3:
                await sleep(self.clock, self.rng.uniform(0.0, 20.0))

    # --- plan and apply

    async def _apply(self) -> None:
        rng = self.rng
        old = self._old_groups(8)
        self.third_party.planned_groups = rng.sample(old, len(old) // 3)
        groups = [self._desired(self.server.store.groups[group_id]) for group_id in old if rng.random() < 0.8]
        names = self._names(rng.randint(0 if groups else 1, 5))
        groups += [DesiredGroup(name=name, members=tuple(rng.sample(USERS, 2))) for name in names]
        desired, prune = DesiredState.from_groups(groups), rng.random() < 0.5
        client, is_immediate = self.client(), False
        if names and rng.random() < 0.3:
            record, is_immediate = self.begin(), rng.random() < 0.5
            record.expected = 1
            await self.recorded(record, self._create(client, names[0], record), settle=not is_immediate)
            if is_immediate and record.endings[0].status != "applied":
                await self.settle()
        for _ in range(rng.choice((1, 2, 3))):
            if not is_immediate and rng.random() < 0.5:
                client = self.client()
            is_immediate = await self._apply_once(client, desired, prune=prune)
        whole = self.begin()
        whole.writes = self.server.store.writes
        self.found += [("duplicates", text) for text in duplicates(whole)]

    def _desired(self, group: Group) -> DesiredGroup:
        members = self.rng.choice((tuple(group["users"]), tuple(self.rng.sample(USERS, 3))))
        return DesiredGroup(name=group["name"], members=members, icon=self.rng.choice(("n", None)))

    async def _apply_once(self, client: SecodaClient, desired: DesiredState, *, prune: bool) -> bool:
        """Plan and apply, and return whether that may be repeated immediately with the same client."""
        status, result = await self.outcome_of(client.plan(desired, prune=prune, max_delete=100, max_remove=1000))
        if status != "applied":
            await self.settle()  # another client may be next, and knows nothing of this one's writes
            return False
        plan = cast("Plan", result)
        record = self.begin()
        record.expected = len(plan.changes)
        is_settled = self.rng.random() < 0.5
        await self.recorded(record, self._run_apply(client, plan, record), settle=is_settled)
        is_clean = not record.was_interrupted and all(e.status in ("applied", "unchanged") for e in record.endings)
        if not is_settled and not is_clean:
            await self.settle()
        return is_clean

    async def _run_apply(self, client: SecodaClient, plan: Plan, record: Record) -> None:
        stop = asyncio.Event()
        drift: tuple[Literal["raise", "skip"], ...] = ("raise", "skip", "skip")
        # Only numbers are approved: a name that looks like another one's must stop the plan.
        approve = plan.digest if {breach.kind for breach in plan.breaches} <= {"deletes", "removals"} else None
        task = asyncio.ensure_future(client.apply(plan, approve=approve, on_drift=self.rng.choice(drift), stop=stop))
        action = self.rng.choice((None, None, stop.set, task.cancel, client.close))
        if action is not None:
            record.was_interrupted = True
            await self._interrupt(task, action)
        status, result = await self.outcome_of(task)
        if status == "applied":
            outcomes = cast("Report", result).outcomes
            for outcome in outcomes:
                change = plan.changes[outcome.index]
                group_id = change.id or (outcome.group.id if outcome.group else "")
                record.endings.append(change_ending(outcome, change.kind, group_id))
        else:  # no report: what was done is not known, and all that the plan says was asked for
            record.endings += [
                Ending(kind=change.kind, status="cancelled", name=change.name, group_id=change.id or "")
                for change in plan.changes
            ]


async def soak(seed: int, numbers: Sequence[int], show: Callable[[str], object], *, verbose: bool = False) -> int:
    """Play runs, show each violation and a line with the numbers, and return the number of violations.

    Args:
        seed: The seed of all runs.
        numbers: The numbers of the runs.
        show: Called with each line.
        verbose: Show the conditions, and all requests and changes of the store, too.
    """
    counts, statuses = Counter[str](), Counter[str]()
    for number in numbers:
        run = Run(seed, number)
        found = await run.play()
        counts.update(name for name, _ in found)
        statuses.update(ending.status for record in run.records for ending in record.endings)
        if verbose:
            show(str(run.conditions))
            for line in (*run.server.store.log, *(str(e) for record in run.records for e in record.endings)):
                show(line)
        for name, text in found:
            show(f"{name}: seed {seed} run {number} ({run.scenario}): {text}")
    ends = _counted(statuses, sorted(statuses))
    show(f"{_counted(counts, CHECKS)}; seed {seed}, {len(numbers)} runs: {ends}")
    return counts.total()


def _counted(counts: Mapping[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {counts.get(name, 0)}" for name in names)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m tests.soak hostile`."""
    parser.add_argument("--seed", type=int, action="append", help="seed of all runs (default: 1)")
    parser.add_argument("--runs", type=int, default=200, help="number of runs (default: %(default)s)")
    parser.add_argument("--run", type=int, help="only the run with this number, in detail")


def run_command(options: argparse.Namespace) -> int:
    """Run the scenarios of each seed, print one line with the numbers, and return 1 if an invariant was violated."""
    is_single = options.run is not None
    numbers = [options.run] if is_single else range(options.runs)
    found = 0
    for seed in options.seed or [1]:
        found += asyncio.run(soak(seed, numbers, lambda line: sys.stdout.write(f"{line}\n"), verbose=is_single))
    return 1 if found else 0
