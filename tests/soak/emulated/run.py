"""The soak: thousands of operations against an emulator with a fault in one request of five, compared with a model.

    python -m tests.soak emulator [--seed N]... [--operations 6000] [--json]

Scenarios run concurrently, on one client and over real sockets: a group is created, changed by several callers and
another program, and mostly deleted; a bulk does the same with a dozen groups, and is stopped or left; a reader lists
while all of that changes. Every five minutes the server's conditions change: the lag of its lists and reads, its clock,
the fields and the members that it shows. The clock is shared and jumps, so that hours pass in seconds.

Scenarios, conditions and the fault of the n-th request of a method about a group (or of a page of the list) follow from
the seed. The order in which scenarios interleave depends on the sockets of this machine. As there is one event loop,
seeded backoffs and no real time, a run is nearly always repeatable.
"""

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from math import inf
from typing import Any, Final, Literal, cast, get_args

from attrs import asdict, define, field

from secoda_async import (
    AttemptEvent,
    AutojumpClock,
    Event,
    Group,
    LimitState,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    SecodaClient,
)
from secoda_async.clock import sleep
from secoda_async.emulator import Emulator
from tests.soak.emulated.expected_state import (
    WRITES,
    Expected,
    ExpectedStore,
    Finding,
    is_unknown,
    mislabeled,
    parts_of,
    parts_seen,
    unjustified,
)
from tests.soak.emulated.faults import GRACE, LONGEST_LAG, START, FaultInjector
from tests.soak.emulated.invocation import CURRENT, BulkSource, Counters, Invocation
from tests.soak.emulated.leaks import PERMITS, Footprint, Memory, grown, left_over
from tests.soak.emulated.report import Report
from tests.soak.emulated.scenarios import (
    LISTS,
    OUTSIDERS,
    PENDING_USERS,
    TEAM,
    USERS,
    End,
    Job,
    Kind,
    Scenario,
    scenario,
)

SUMMARY: Final = "Run thousands of operations on the emulator; one request in five is faulted."
CONCURRENT_SCENARIOS: Final = 40
SETTLING: Final = 180.0
"""Seconds after which no request can still change the store, and every permit is free."""

TURNS: Final = 60
"""Turns of the event loop that the clock waits before it jumps; an exchange over loopback takes about ten."""

NOT_RECEIVED: Final = 408


@define(eq=False, kw_only=True)
class Soak:
    """One run with one seed."""

    seed: int
    operations: int
    damage: Callable[["Soak"], Awaitable[object]] | None = None
    """Damages something before the check: for the tests of the check."""
    seconds: float = 0.0
    """Real seconds that the run may take; 0: by the number of operations."""

    clock: AutojumpClock = field(init=False, factory=lambda: AutojumpClock(start=START, patience=TURNS))
    injector: FaultInjector = field(init=False)
    model: ExpectedStore = field(init=False, factory=ExpectedStore)
    counters: Counters = field(init=False, factory=Counters)
    emulator: Emulator = field(init=False)
    secoda: SecodaClient = field(init=False)
    findings: list[Finding] = field(init=False, factory=list[Finding])
    in_flight: set[Invocation] = field(init=False, factory=set[Invocation])
    _memory: list[Memory] = field(init=False, factory=list[Memory])

    async def run(self) -> Report:
        """Run all scenarios, check the invariants, and return the report."""
        began = time.perf_counter()
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        state = random.getstate()
        random.seed(self.seed)  # the backoffs
        before = Footprint.now()
        try:
            limit, connections = await self._run_client()
            await _settled()
            self.findings += left_over(before, Footprint.now(), limit, connections)
        except Exception as error:  # noqa: BLE001 - the report is wanted all the same
            traceback.print_exception(error)
            self._wrong(f"it broke off: {error!r}")
        random.setstate(state)
        self.findings += self.model.check(self.emulator.groups)
        self.findings += [Finding("lost", text) for text in self.injector.losses]
        self._check_counts()
        return self._report(time.perf_counter() - began)

    async def _run_client(self) -> tuple[LimitState, int]:
        users = [
            {"id": user, "email": f"{user}@example.com", "pending": user in PENDING_USERS}
            for user in (*USERS, *OUTSIDERS, *PENDING_USERS)
        ]
        async with Emulator(users=users, clock=self.clock, seed=self.seed, page_size=40) as self.emulator:
            self.injector = self.emulator.faults = FaultInjector(seed=self.seed, emulator=self.emulator)
            async with SecodaClient(
                self.emulator.api_key, base_url=self.emulator.url, clock=self.clock, on_event=self._on_event
            ) as self.secoda:
                await self._run_scenarios()
                await sleep(self.clock, SETTLING)
                self._drain(keep=0)
                if self.damage is not None:
                    await self.damage(self)
                limit = self.secoda.limiter.state
            await _settled()
            return limit, self.emulator.open_connections

    async def _run_scenarios(self) -> None:
        numbers = iter(range(sys.maxsize))

        async def one_after_the_other() -> None:
            while self.counters.operations < self.operations:
                await self._run_scenario(scenario(self.seed, next(numbers)))

        try:
            async with asyncio.timeout(self.seconds or 200 + self.operations / 5), asyncio.TaskGroup() as group:
                for _ in range(min(CONCURRENT_SCENARIOS, 1 + self.operations // 20)):
                    group.create_task(one_after_the_other())
        except TimeoutError:
            jobs = "; ".join(str(invocation.job) for invocation in self.in_flight)
            self.findings.append(Finding("hung", f"in flight after {self.counters.operations} operations: {jobs}"))
            for invocation in tuple(self.in_flight):
                self._end(invocation, "given up")

    async def _run_scenario(self, scenario: Scenario) -> None:
        groups: dict[int, str] = {}
        for step in scenario.steps:
            invocations = [self._invocation(job, groups) for job in step if self._is_possible(job, groups)]
            if scenario.is_bulk:
                await self._run_bulk(scenario, invocations)
            else:
                await asyncio.gather(*map(self._run_call, invocations))
            for one in invocations:
                if one.job.kind == "create" and one.group_id:
                    groups[one.job.place] = one.group_id
                    self.injector.register(one.group_id, f"{scenario.number}.{one.job.place}")
            await self._settle(invocations, groups)
        for group_id in groups.values():
            self.injector.forget(group_id)

    async def _settle(self, invocations: Sequence[Invocation], groups: Mapping[int, str]) -> None:
        """Wait until no PATCH is executed any more, as a caller must, and check that unknown writes were sent."""
        until = max((self.injector.late_until.get(group_id, 0.0) for group_id in groups.values()), default=0.0)
        await sleep(self.clock, max(0.0, until + GRACE - self.clock.now()))
        for one in invocations:
            arrived = self.injector.arrived(WRITES.get(one.job.kind, ""), one.subject)
            if one.is_reported_unknown and arrived == one.arrived_before:
                self.findings.append(Finding("false outcome", f"{one.job} is reported unknown and was never sent"))

    def _is_possible(self, job: Job, groups: Mapping[int, str]) -> bool:
        """Return whether the group of an operation certainly exists, or is certainly deleted."""
        if job.kind == "create" or job.kind in LISTS:
            return True
        group_id = groups.get(job.place, "")
        if job.kind == "ensure" and group_id in self.model.groups:
            names = self.model.groups[group_id].counts["name"]
            return len(names) == 1 and str(next(iter(names))).startswith(TEAM)
        return group_id in (self.model.deleted if job.is_missing else self.model.certain())

    def _invocation(self, job: Job, groups: Mapping[int, str]) -> Invocation:
        group_id = groups.get(job.place, "") if job.kind != "create" else ""
        return Invocation(job, group_id, self.model.groups.get(group_id))

    # --- one operation -------------------------------------------------------------------------------------------

    def _begin(self, invocation: Invocation) -> None:
        job, expected = invocation.job, invocation.expected
        invocation.is_begun, invocation.began = True, self.clock.now()
        self.in_flight.add(invocation)
        CURRENT.set(invocation)
        if job.kind in WRITES:
            invocation.arrived_before = self.injector.arrived(WRITES[job.kind], invocation.subject)
        if job.kind == "delete":
            self.injector.deleting.add(invocation.group_id)
        self.injector.replacing[invocation.group_id] += job.kind == "update" and "users" in job.fields
        if expected is not None:
            invocation.before = expected.possible() if job.kind == "update" else expected.shown(invocation.began)
            expected.begin(job.change())
            expected.may_be_gone |= job.kind == "delete"
        elif job.kind in LISTS:
            latest = invocation.began - LONGEST_LAG - GRACE
            invocation.certain = self.model.certain(latest)
            invocation.deleted = {group_id for group_id, at in self.model.deleted.items() if at < latest}

    async def _run_call(self, invocation: Invocation) -> None:
        """Run one operation by itself."""
        self._begin(invocation)
        task = asyncio.create_task(self._call(invocation))
        patience = invocation.job.cancel_after
        timer = None if patience is None else self.clock.call_later(patience, task.cancel)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # for a cancellation of the whole soak; otherwise it is done
            if timer is not None:
                timer.cancel()
        if task.cancelled():
            self._fail(invocation, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self._fail(invocation, error)
        else:
            self._succeed(invocation, task.result())

    def _call(self, invocation: Invocation) -> Coroutine[Any, Any, object]:  # noqa: PLR0911 - a table
        job = invocation.job
        secoda = self.secoda.with_options(
            deadline=job.deadline, priority="interactive" if job.is_urgent else "background"
        )
        groups = secoda.groups
        match job.kind:
            case "create":
                return groups.create(**job.fields, on_unknown="reconcile")
            case "get":
                return groups.get(invocation.group_id)
            case "update":
                return groups.update(invocation.group_id, **job.fields)
            case "add_users":
                return groups.add_users(invocation.group_id, job.users)
            case "remove_users":
                return groups.remove_users(invocation.group_id, job.users)
            case "delete":
                return groups.delete(invocation.group_id)
            case "ensure":
                return groups.ensure(name=self.emulator.groups[invocation.group_id]["name"])
            case "join":
                return self._join(invocation)
            case _:
                return _listed(secoda, job)

    async def _join(self, invocation: Invocation) -> None:
        """Add a member, as another program does."""
        await sleep(self.clock, invocation.job.delay)
        self.injector.join(invocation.group_id, invocation.job.users[0], self.clock.now())

    async def _run_bulk(self, scenario: Scenario, invocations: Sequence[Invocation]) -> None:
        """Run many operations in a bulk, and check that each has one outcome."""
        stop = asyncio.Event()
        seconds = scenario.stop_after
        timer = None if seconds is None else self.clock.call_later(seconds, stop.set)
        feed = BulkSource(invocations, self._begin)
        bulk = self.secoda.bulk(feed, concurrency=5, fail_fast=scenario.fail_fast, stop=stop)
        seen: Counter[int] = Counter()
        async with aclosing(bulk):
            async for outcome in bulk:
                self._take(invocations[outcome.index], outcome, seen)
                if seen.total() == scenario.leave_after:
                    break
        for outcome in bulk.rest:
            self._take(invocations[outcome.index], outcome, seen, is_left=True)
        if timer is not None:
            timer.cancel()
        if seen != Counter(range(len(invocations))):
            self._wrong(f"the outcomes of a bulk of {len(invocations)} have the indexes {sorted(seen.elements())}")

    def _take(self, invocation: Invocation, outcome: Outcome, seen: Counter[int], *, is_left: bool = False) -> None:
        """Check the outcome of an operation in a bulk."""
        seen[outcome.index] += 1
        self.findings += mislabeled(invocation.job, outcome)
        if not invocation.is_begun:
            self._begin(invocation)
        invocation.is_reported_unknown = outcome.status == "unknown" and not is_left
        if outcome.error is not None:
            self._fail(invocation, outcome.error)
        elif outcome.status == "unknown":
            self._end(invocation, "given up" if is_left else "unknown")
        elif outcome.status == "not_attempted":
            self._deny(invocation)
            self._end(invocation, "not_attempted")
        else:
            self._succeed(invocation, outcome.group)

    # --- its end -------------------------------------------------------------------------------------------------

    def _succeed(self, invocation: Invocation, result: object) -> None:
        """Compare a result with the model, and add it there."""
        job, now = invocation.job, self.clock.now()
        if job.is_missing:
            self._check_missing(invocation, result)
        elif job.kind == "create":
            self._created(invocation, cast("Group", result))
        elif job.kind == "delete":
            self.model.gone(invocation.group_id, now)
        elif job.kind == "ensure" and cast("Group", result).id != invocation.group_id:
            self.findings.append(Finding("duplicate", f"ensure returned another group than {invocation.group_id}"))
        elif invocation.expected is not None and job.kind != "join":
            invocation.expected.confirm(job.change(), now)
            seen = parts_seen(cast("Group", result))
            text = invocation.expected.against(seen, invocation.before) or Expected.of(job.change()).against(seen)
            if text:
                text = f"{job} of group {invocation.group_id} was answered with another: {text}"
                kind: Literal["false outcome", "wrong"] = (
                    "false outcome" if invocation.expected.is_denied(seen) else "wrong"
                )
                self.findings.append(Finding(kind, text))
        elif job.kind in LISTS:
            self._listed(invocation, cast("list[str]", result))
        self._end(invocation, "done")

    def _check_missing(self, invocation: Invocation, result: object) -> None:
        """Check a result that only an unclear attempt (False), or a read that lags, can have."""
        latest = invocation.began - LONGEST_LAG - GRACE
        lags = invocation.job.kind == "get" and self.model.deleted.get(invocation.group_id, -inf) > latest
        if result is not False and not lags:
            self._wrong(f"{invocation.job} succeeded although group {invocation.group_id} is deleted: {result!r}")

    def _created(self, invocation: Invocation, group: Group) -> None:
        invocation.group_id = group.id
        expected = self.model.created(group.id, parts_of(invocation.job.fields), self.clock.now())
        if text := expected.against(parts_seen(group)):
            self._wrong(f"{invocation.job} was answered with another group: {text}")

    def _listed(self, invocation: Invocation, ids: list[str]) -> None:
        seen = set(ids)
        if len(seen) < len(ids):
            self._wrong(f"{invocation.job} showed a group twice")
        if ghosts := seen & invocation.deleted:
            self._wrong(f"{invocation.job} showed deleted groups: {ghosts}")
        missed = (invocation.certain & self.model.certain()) - seen
        if invocation.job.kind == "snapshot" and missed:
            self._wrong(f"{invocation.job} left out {missed}")

    def _fail(self, invocation: Invocation, error: BaseException) -> None:
        """Check the error of an operation."""
        job = invocation.job
        invocation.is_reported_unknown |= isinstance(error, OutcomeUnknownError)
        if isinstance(error, NotFoundError) and not error.is_missing_route and self._may_miss(invocation):
            self._end(invocation, "missing")
            return
        if text := unjustified(job, error):
            self._wrong(text)
        if isinstance(error, asyncio.CancelledError):
            self._end(invocation, "given up")
            return
        self.counters.failures[type(error).__name__] += 1
        if is_unknown(job, error):
            self._end(invocation, "unknown")
        else:
            self._deny(invocation)
            self._end(invocation, "failed")

    def _may_miss(self, invocation: Invocation) -> bool:
        """Return whether an operation may find its group missing."""
        if invocation.job.is_missing:
            return True
        since = 0.0 if invocation.expected is None else invocation.expected.since
        return invocation.job.kind == "get" and since > invocation.began - LONGEST_LAG - GRACE

    def _deny(self, invocation: Invocation) -> None:
        """Record that an operation was not executed."""
        job, expected = invocation.job, invocation.expected
        if job.kind == "create":
            self.model.not_created(parts_of(job.fields))
        elif expected is not None:
            expected.deny(job.change())
            if job.kind == "delete":
                expected.may_be_gone, expected.has_failed_delete = False, True

    def _end(self, invocation: Invocation, end: End) -> None:
        job = invocation.job
        self.in_flight.discard(invocation)
        self.injector.replacing[invocation.group_id] -= job.kind == "update" and "users" in job.fields
        if not self.injector.replacing[invocation.group_id]:
            del self.injector.replacing[invocation.group_id]
        if job.kind == "create" and end in ("unknown", "given up"):
            self.model.may_be_created(parts_of(job.fields))
        if invocation.has_searched:
            self.counters.searches[end] += 1
        self.counters.ends[job.kind, end] += 1
        if self.counters.operations in (self.operations // 5, self.operations):
            self._memory.append(Memory.now())

    def _wrong(self, text: str) -> None:
        self.findings.append(Finding("wrong", text))

    # --- the numbers ---------------------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, AttemptEvent):
            self.counters.attempts[event.method] += event.status != NOT_RECEIVED
            self.counters.answered[event.method] += event.status not in (None, NOT_RECEIVED)
            self.counters.retries += event.attempt > 1
            invocation = CURRENT.get()
            if invocation is not None and invocation.job.kind == "create":
                is_list = event.path.rstrip("/").endswith("/auth/group")
                invocation.has_searched |= invocation.has_posted and event.method == "GET" and is_list
                invocation.has_posted |= event.method == "POST"
            self._drain(keep=500)

    def _drain(self, *, keep: int) -> None:
        """Forget old requests; otherwise the emulator's log would be most of the memory."""
        log = self.emulator.requests
        if len(log) > 2 * keep:
            old = log[: len(log) - keep]
            del log[: len(old)]
            self.counters.refused += sum(record.status == 429 and record.fault is None for record in old)

    def _on_loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.findings.append(Finding("left over", f"{context['message']}: {context.get('exception')!r}"))

    def _check_counts(self) -> None:
        busiest = self.emulator.busiest_window()
        if self.counters.refused or busiest > PERMITS:
            text = f"{self.counters.refused} genuine 429, {busiest} writes in the busiest minute"
            self.findings.append(Finding("limit", text))
        if self.injector.breaches:
            self.findings.append(Finding("limit", f"{self.injector.breaches} requests came during a pause"))
        given_up = sum(count for (_, end), count in self.counters.ends.items() if end == "given up")
        for method in ("POST", "PATCH", "DELETE"):
            came = self.injector.requests[method] - self.injector.not_received[method]
            reported = self.counters.attempts[method]
            # A request on a connection that the server has just closed does not come, and one that is cancelled in
            # flight is not reported.
            if not self.counters.answered[method] <= came <= reported + given_up:
                self._wrong(f"{came} {method} requests came, and the client reports {reported}")
        if len(self._memory) == 2:
            early, late = self._memory
            self.findings += grown(early, late, self.operations)

    def _report(self, seconds: float) -> Report:
        kinds = Counter(finding.kind for finding in self.findings)
        searches, ends = self.counters.searches, self.counters.ends
        return Report(
            seed=self.seed,
            wanted=self.operations,
            operations=self.counters.operations,
            ends={kind: {end: ends[kind, end] for end in get_args(End)} for kind in get_args(Kind)},
            failures=dict(self.counters.failures.most_common()),
            requests=dict(self.injector.requests.most_common()),
            faulted=self.injector.injected.total(),
            faults=dict(self.injector.injected.most_common()),
            retries=self.counters.retries,
            searches={"all": searches.total(), "done": searches["done"], "unknown": searches["unknown"]},
            groups=len(self.emulator.groups),
            memory=self._memory,
            duplicates=kinds["duplicate"],
            lost=kinds["lost"],
            false_outcomes=kinds["false outcome"],
            findings=[str(finding) for finding in self.findings],
            seconds=round(seconds, 1),
            emulated_seconds=round(self.clock.now() - START),
        )


async def _settled() -> None:
    """Let the event loop finish its callbacks."""
    for _ in range(100):
        await asyncio.sleep(0)


async def _listed(secoda: SecodaClient, job: Job) -> list[str]:
    """Return the ids of a list; of one that is left early, the first few."""
    if job.kind == "snapshot":
        return [group.id for group in await secoda.groups.snapshot(concurrency=job.place)]
    ids: list[str] = []
    async with aclosing(secoda.groups.list(concurrency=job.place)) as groups:
        async for group in groups:
            ids.append(group.id)
            if job.kind == "peek" and len(ids) == 50:
                break
    return ids


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `python -m tests.soak emulator`."""
    parser.add_argument("--seed", type=int, action="append", help="seed of all draws; can be repeated (default: 1)")
    parser.add_argument("--operations", type=int, default=6_000, help="minimum operations (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run_command(options: argparse.Namespace) -> int:
    """Run each seed, print the reports, and return 1 if there was a finding."""
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
