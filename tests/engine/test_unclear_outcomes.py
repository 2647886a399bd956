"""A write that may have been executed is `unknown`, however the operation ends; an unsent one never is."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable
from contextlib import aclosing
from math import inf
from typing import Any

import anyio
import pytest

from secoda_async import (
    AttemptEvent,
    CreateGroup,
    DeleteGroup,
    DesiredGroup,
    DesiredState,
    NotFoundError,
    Operation,
    Outcome,
    OutcomeUnknownError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    TransportError,
    UpdateGroup,
)
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.clients import Connect
from tests.support.waiting import drain_loop, wait_until

Json = dict[str, Any]
WRITES: dict[str, Operation] = {
    "POST": CreateGroup(name="New"),
    "PATCH": UpdateGroup("group-0", name="New"),
    "DELETE": DeleteGroup("group-0"),
}
METHODS = list(WRITES)
OTHER = UpdateGroup("group-1", name="Other")
LOST: list[Json] = [{"status": 502, "carry_out": True}, {"drop": "after"}, {"status": 502}]


def call(secoda: SecodaClient, method: str) -> Awaitable[object]:
    if method == "POST":
        return secoda.groups.create(name="New")
    return secoda.groups.update("group-0", name="New") if method == "PATCH" else secoda.groups.delete("group-0")


def is_subject(record: RecordedRequest) -> bool:
    """Return whether a request is the write under test."""
    return record.method != "GET" and "group-1" not in record.target


def is_done(emulator: Emulator) -> bool:
    names = [group["name"] for group in emulator.groups.values()]
    return "New" in names or "group-0" not in emulator.groups


class Bulk:
    """A bulk in a task of its own, with every outcome."""

    def __init__(
        self,
        secoda: SecodaClient,
        operations: Iterable[Operation] | AsyncIterable[Operation],
        **options: Any,
    ) -> None:
        self.run = secoda.bulk(operations, **options)
        self.seen: list[Outcome] = []
        self.task = asyncio.create_task(self.iterate())

    async def iterate(self) -> None:
        async with aclosing(self.run) as outcomes:
            async for outcome in outcomes:
                self.seen.append(outcome)

    @property
    def outcomes(self) -> list[Outcome]:
        return sorted([*self.seen, *self.run.rest], key=lambda outcome: outcome.index)


class TestBulk:
    """The write was answered unclearly and waits for its next attempt or its next search, and the bulk ends."""

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("lost", LOST, ids=repr)
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("reason", ["stop", "fail_fast", "401", "close"])
    async def test_bulk_that_ends_during_a_backoff_reports_the_write_unknown(
        self, emulator: Emulator, connect: Connect, reason: str, method: str, lost: Json
    ) -> None:
        emulator.visible_after = 1000
        events: list[AttemptEvent] = []
        secoda = connect(
            on_event=lambda event: events.append(event) if isinstance(event, AttemptEvent) else None,
            retry=RetryPolicy(initial=1000, maximum=1000),  # the backoff outlasts the test
        )
        stop = asyncio.Event()
        emulator.faults.add(**lost, match=is_subject, times=None)
        emulator.faults.add(
            status=401 if reason == "401" else 400,
            body={"detail": "No."},
            path="group-1",
            times=None,
        )

        async def operations() -> AsyncGenerator[Operation, None]:
            yield WRITES[method]
            await wait_until(lambda: any(event.method == method for event in events))
            await drain_loop()
            if reason == "stop":
                stop.set()
            elif reason == "close":
                await secoda.close()
            else:
                yield OTHER

        bulk = Bulk(secoda, operations(), stop=stop, fail_fast=reason == "fail_fast")
        await bulk.task
        first = bulk.outcomes[0]
        assert first.status == "unknown"
        assert isinstance(first.error, SecodaError)
        assert sum(is_subject(record) for record in emulator.requests) == 1
        assert [outcome.status for outcome in bulk.outcomes[1:]] == ["failed"] * (reason in ("401", "fail_fast"))

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("ending", ["cancel", "cancel twice", "anyio cancel", "anyio timeout", "close"])
    @pytest.mark.parametrize("method", METHODS)
    async def test_bulk_that_ends_reports_a_write_in_flight_unknown(
        self, emulator: Emulator, connect: Connect, method: str, ending: str
    ) -> None:
        secoda = connect(timeout=1000)
        stalled = emulator.faults.add(stall="after", match=is_subject, times=None)
        queued: list[Operation] = [UpdateGroup("group-1", name=f"Other {index}") for index in range(40)]
        run = secoda.bulk([WRITES[method], *queued], concurrency=3)
        seen: list[Outcome] = []

        async def iterate() -> None:
            async with aclosing(run) as outcomes:
                async for outcome in outcomes:
                    seen.append(outcome)  # noqa: PERF401 - it is cancelled

        async def in_scope(scope: anyio.CancelScope) -> None:
            with scope:
                await iterate()

        scope = anyio.move_on_after(inf)
        task = asyncio.create_task(in_scope(scope) if ending.startswith("anyio") else iterate())
        await wait_until(lambda: stalled.used and is_done(emulator))
        await drain_loop()
        match ending:
            case "anyio cancel":
                scope.cancel()
            case "anyio timeout":
                scope.deadline = -inf
            case "close":
                await secoda.close()
            case _:
                task.cancel()
        if ending == "cancel twice":
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        outcomes = sorted([*seen, *run.rest], key=lambda outcome: outcome.index)
        assert [outcome.index for outcome in outcomes] == list(range(41))
        assert outcomes[0].status == "unknown"
        if ending != "close":
            assert outcomes[-1].status == "not_attempted"
            assert sum(outcome.status == "unknown" for outcome in outcomes) <= 3  # one for each worker


class TestCalls:
    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("lost", [*LOST, {"stall": "after"}], ids=repr)
    @pytest.mark.parametrize("method", METHODS)
    async def test_deadline_leaves_a_sent_write_unknown(
        self, emulator: Emulator, connect: Connect, method: str, lost: Json
    ) -> None:
        emulator.faults.add(**lost, match=is_subject, times=None)
        with pytest.raises(OutcomeUnknownError) as caught:
            await call(connect(deadline=1.5, retry=RetryPolicy(initial=1, attempts=9)), method)
        assert (caught.value.method, caught.value.__cause__ is not None) == (method, True)

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("lost", LOST, ids=repr)
    @pytest.mark.parametrize("method", METHODS)
    async def test_write_without_a_clear_response_is_unknown_after_all_attempts(
        self, emulator: Emulator, secoda: SecodaClient, method: str, lost: Json
    ) -> None:
        emulator.faults.add(**lost, match=is_subject, times=None)
        with pytest.raises(OutcomeUnknownError) as caught:
            await call(secoda, method)
        assert caught.value.attempts == (1 if method == "POST" else 5)

    @pytest.mark.requirement("RT-9", "RT-12")
    @pytest.mark.parametrize("verb", ["add_users", "ensure"])
    async def test_failed_read_before_a_write_is_not_repeated_by_the_write(
        self, emulator: Emulator, secoda: SecodaClient, verb: str
    ) -> None:
        emulator.faults.add(status=429, match=lambda record: record.method in ("PATCH", "POST"))
        emulator.faults.add(drop="before", match=lambda _: emulator.writes, times=None)
        call = secoda.groups.ensure(name="A") if verb == "ensure" else secoda.groups.add_users("group-0", ["user-1"])
        with pytest.raises(TransportError) as caught:
            await call
        assert (caught.value.maybe_sent, caught.value.attempts) == (False, 1)
        reads_after_the_write = itertools.dropwhile(lambda record: record.method == "GET", emulator.requests)
        assert sum(record.method == "GET" for record in reads_after_the_write) == 5

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("status", [401, 403, 409, 429])
    async def test_refusal_after_a_lost_response_leaves_the_write_unknown(
        self, emulator: Emulator, secoda: SecodaClient, method: str, status: int
    ) -> None:
        emulator.faults.add(drop="after", match=is_subject)
        emulator.faults.add(status=status, headers={"Retry-After": "999"}, match=is_subject, times=None)
        with pytest.raises(OutcomeUnknownError):
            await call(secoda, method)

    @pytest.mark.requirement("RT-12", "RT-13")
    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    @pytest.mark.parametrize("refusal", [{"status": 404}, {"status": 400}, {"status": 422}], ids=repr)
    @pytest.mark.parametrize("body", ["<html>nginx</html>", "", {"message": "Bad Request"}], ids=repr)
    async def test_refusal_by_a_gateway_proves_nothing_about_earlier_attempts(
        self, emulator: Emulator, secoda: SecodaClient, method: str, refusal: Json, body: object
    ) -> None:
        emulator.faults.add(drop="after", match=is_subject)
        emulator.faults.add(**refusal, body=body, match=is_subject)
        with pytest.raises(OutcomeUnknownError):
            await call(secoda, method)
        assert is_done(emulator)

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize(("status", "body"), [(400, {"name": ["Too long."]}), (404, {"detail": "Not found."})])
    async def test_refusal_by_the_api_covers_earlier_attempts(
        self, emulator: Emulator, secoda: SecodaClient, status: int, body: Json
    ) -> None:
        emulator.faults.add(drop="before", match=is_subject)
        emulator.faults.add(status=status, body=body, match=is_subject)
        (outcome,) = [outcome async for outcome in secoda.bulk([WRITES["PATCH"]])]
        assert (outcome.status, emulator.count("PATCH")) == ("failed", 2)

    @pytest.mark.requirement("RT-12")
    async def test_delete_with_a_404_after_a_lost_response_has_succeeded(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(drop="after", match=is_subject)
        assert await secoda.groups.delete("group-0") is False
        with pytest.raises(NotFoundError):
            await secoda.groups.delete("group-0")


class TestUnsent:
    """A request that was never sent is never `unknown`."""

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("ending", ["stop", "cancel", "close"])
    async def test_write_that_waits_for_a_cooldown_is_never_unknown(
        self, emulator: Emulator, connect: Connect, method: str, ending: str
    ) -> None:
        events: list[object] = []
        secoda, stop = connect(on_event=events.append), asyncio.Event()
        emulator.faults.add(status=429, headers={"Retry-After": "50"}, match=is_subject, times=None)
        bulk = Bulk(secoda, [WRITES[method]], stop=stop)
        await wait_until(lambda: any(isinstance(event, AttemptEvent) and event.method == method for event in events))
        await drain_loop()
        if ending == "stop":
            stop.set()
        elif ending == "cancel":
            bulk.task.cancel()
        else:
            await secoda.close()
        await asyncio.gather(bulk.task, return_exceptions=True)
        (outcome,) = bulk.outcomes
        assert outcome.status == ("failed" if ending == "close" else "not_attempted")
        assert not is_done(emulator)

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("method", METHODS)
    async def test_write_that_waits_for_a_connection_is_not_attempted(
        self, emulator: Emulator, connect: Connect, method: str
    ) -> None:
        stop = asyncio.Event()
        secoda = connect(max_connections=1, timeout=1000)
        emulator.faults.add(stall="before", method="GET", path="group-5")
        blocking = asyncio.create_task(secoda.groups.get("group-5"))
        await wait_until(lambda: emulator.requests)
        bulk = Bulk(secoda, [WRITES[method]], stop=stop)
        await drain_loop()
        bulk.task.cancel()
        blocking.cancel()
        await asyncio.gather(bulk.task, blocking, return_exceptions=True)
        assert [outcome.status for outcome in bulk.outcomes] == ["not_attempted"]

    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
    async def test_write_to_an_unreachable_server_has_failed(self, connect: Connect, method: str) -> None:
        secoda = connect(base_url="http://127.0.0.1:1", retry=RetryPolicy(attempts=2))
        (outcome,) = [outcome async for outcome in secoda.bulk([WRITES[method]])]
        assert (outcome.status, type(outcome.error)) == ("failed", TransportError)


class TestApply:
    @pytest.mark.requirement("RT-12")
    @pytest.mark.parametrize("lost", LOST[:2], ids=repr)
    @pytest.mark.parametrize("method", METHODS)
    async def test_apply_stopped_after_an_unclear_write_reports_it_unknown(
        self, emulator: Emulator, connect: Connect, method: str, lost: Json
    ) -> None:
        emulator.visible_after = 1000
        events: list[object] = []
        secoda, stop = connect(on_event=events.append), asyncio.Event()
        wanted = {
            "POST": [DesiredGroup(name="New")],
            "PATCH": [DesiredGroup(name="Group 0", icon="x")],
            "DELETE": [DesiredGroup(name=f"Group {index}") for index in range(1, 120)],
        }
        plan = await secoda.plan(DesiredState.from_groups(wanted[method]), prune=method == "DELETE")
        emulator.faults.add(**lost, match=is_subject, times=None)
        task = asyncio.create_task(secoda.apply(plan, approve=plan.digest, stop=stop))
        await wait_until(lambda: any(isinstance(event, AttemptEvent) and event.method == method for event in events))
        await drain_loop()
        stop.set()
        report = await task
        assert report.counts == {"unknown": 1}
        assert sum(is_subject(record) for record in emulator.requests) == 1


@pytest.mark.requirement("RT-12")
@pytest.mark.parametrize("status", [403, 500])
async def test_create_is_unknown_with_a_candidate_when_a_hidden_member_cannot_be_looked_up(
    emulator: Emulator, connect: Connect, status: int
) -> None:
    emulator.hide_pending = True
    emulator.users["user-1"]["pending"] = True
    emulator.faults.add(status=status, path="/user/", times=None)
    with pytest.raises(OutcomeUnknownError) as caught:
        await connect(retry=RetryPolicy(attempts=1)).groups.create(name="New", users=["user-1"])
    assert list(caught.value.candidates) == [id_ for id_, group in emulator.groups.items() if group["name"] == "New"]
    assert (caught.value.method, caught.value.path) == ("POST", "/api/v1/auth/group")


@pytest.mark.requirement("RT-12")
async def test_update_is_unknown_when_a_hidden_member_cannot_be_looked_up(emulator: Emulator, connect: Connect) -> None:
    emulator.hide_pending = True
    emulator.users["user-1"]["pending"] = True
    emulator.faults.add(status=403, path="/user/", times=None)
    with pytest.raises(OutcomeUnknownError) as caught:
        await connect().groups.update("group-0", users=["user-1"])
    assert caught.value.method == "PATCH"


@pytest.mark.requirement("RT-12")
@pytest.mark.parametrize("status", [101, 529, 561, 599, 999])
async def test_create_is_unknown_after_an_unassigned_status(
    emulator: Emulator, secoda: SecodaClient, status: int
) -> None:
    response = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    emulator.faults.add(raw=response, carry_out=True, method="POST")
    with pytest.raises(OutcomeUnknownError):
        await secoda.groups.create(name="New")
