"""Operations at several sizes: the memory of a snapshot (m), the time of a plan (k), and the scaling table."""

import gc
import time
from collections.abc import Awaitable, Callable
from typing import Final

from secoda_async import DesiredState, Group, SecodaClient, UpdateGroup, User
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.plan import Plan
from secoda_async.reconcile.safety import Rules
from tests.bench.canned import CHANGE, MEMBERS, TOKEN, group_id, user_ids
from tests.bench.meters import FAR, Case, resident


async def snapshot(case: Case) -> dict[str, float]:
    """Read all groups, and keep them."""
    async with _client(case) as secoda:
        return await _measure(case.size, secoda.groups.snapshot)


async def listing(case: Case) -> dict[str, float]:
    """Iterate over all groups, and keep none."""
    async with _client(case) as secoda:

        async def read() -> None:
            groups = 0
            async for _group in secoda.groups.list():
                groups += 1
            assert groups == case.size

        return await _measure(case.size, read)


async def bulk(case: Case) -> dict[str, float]:
    """Update all groups, and keep no outcome."""
    async with _client(case) as secoda:

        async def update() -> None:
            async for outcome in secoda.bulk(UpdateGroup(group_id(each), **CHANGE) for each in range(case.size)):
                assert outcome.status == "applied"

        return await _measure(case.size, update)


async def plan(case: Case) -> dict[str, float]:
    """Make a plan, and keep it; one group in ten has to change."""
    desired, present, users = workspace(case.size)

    async def make() -> Plan:
        return diff(desired, present, users, Rules(max_remove="100%"))

    return await _measure(case.size, make)


async def plans(case: Case) -> dict[str, float]:
    """k: a plan for many groups, beside one for a tenth of them."""
    whole = await plan(case)
    tenth = await plan(Case(size=max(1, case.size // 10)))
    return {**whole, "times_a_tenth": whole["seconds"] / tenth["seconds"]}


def workspace(number: int) -> tuple[DesiredState, list[Group], list[User]]:
    """Return groups of 50 members, one in ten of which has to change, and users."""
    ids = user_ids(5000)
    users = [User(id=each, email=f"{each}@example.com") for each in ids]
    present = [
        Group(id=group_id(each), name=f"Group {each}", users=tuple(ids[each % 4900 :][:MEMBERS]))
        for each in range(number)
    ]
    wanted = [
        Group(id=group.id, name=group.name, users=group.users[1:] if index % 10 == 0 else group.users)
        for index, group in enumerate(present)
    ]
    return DesiredState.from_groups(wanted), present, users


def _client(case: Case) -> SecodaClient:
    return SecodaClient(TOKEN, base_url=case.bases[0], write_limit=FAR)


async def _measure(size: int, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    gc.collect()
    before, began = resident(), time.process_time()
    kept = await work()
    seconds = time.process_time() - began
    gc.collect()
    gained = resident() - before
    del kept
    return {"groups": size, "seconds": seconds, "megabytes": gained / 2**20}


OPERATIONS: Final[dict[str, Callable[[Case], Awaitable[dict[str, float]]]]] = {
    "snapshot": snapshot,
    "list": listing,
    "plan": plan,
    "bulk": bulk,
}
"""Rows of the scaling table."""
