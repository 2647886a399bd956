"""The public API as a user's type checker sees it: checked from the installed package, never run."""

from collections.abc import AsyncIterator, Sequence
from typing import assert_type

from secoda_async import (
    CreateGroup,
    DeleteGroup,
    Group,
    LimitState,
    Outcome,
    Page,
    RateLimit,
    RateLimitError,
    Region,
    RetryPolicy,
    SecodaClient,
    UpdateGroup,
    User,
    to_dict,
)
from secoda_async.emulator import Emulator


async def key_from_a_vault() -> str:
    """A key that is asked for when it is needed."""
    return "key"


async def use(secoda: SecodaClient) -> None:
    """Use each call once."""
    group = await secoda.groups.create(name="a", icon=None, users=["id"], on_unknown="reconcile")
    assert_type(group, Group)
    assert_type(group.users, tuple[str, ...])
    assert_type(await secoda.groups.update(group.id, description=None, users=()), Group)
    assert_type(await secoda.groups.add_users(group.id, {"id"}), Group)
    assert_type(await secoda.groups.delete(group.id, missing_ok=True), bool)
    assert_type(await secoda.groups.snapshot(), list[Group])
    async for page in secoda.groups.pages(concurrency=4):
        assert_type(page, Page[Group])
    async for user in secoda.users.list():
        assert_type(user, User)
    async for outcome in secoda.bulk(operations(), fail_fast=True):
        assert_type(outcome, Outcome)
    assert_type(await secoda.health(), str)
    assert_type(secoda.limiter.state, LimitState)
    assert_type(secoda.limiter.time_for(766), float)
    try:
        await secoda.with_options(deadline=None, max_wait=2.0, priority="background").groups.get(group.id)
    except RateLimitError as error:
        assert_type(error.retry_after, float | None)
    to_dict(group)


async def operations() -> AsyncIterator[CreateGroup | UpdateGroup | DeleteGroup]:
    """Operations that come one by one."""
    yield CreateGroup(name="a", users=["id"])
    yield UpdateGroup("id", icon=None)
    yield DeleteGroup("id", missing_ok=True)


async def main(names: Sequence[str]) -> None:
    """Make clients in every way."""
    async with (
        Emulator(groups=3, users=[{"email": "ana@example.com"}]) as workspace,
        SecodaClient(workspace.api_key, base_url=workspace.url, write_limit=RateLimit(30, share=0.5)) as secoda,
        SecodaClient(key_from_a_vault, region=Region.EU, retry=RetryPolicy(attempts=1)) as other,
    ):
        workspace.faults.add(status=503, times=None)
        await use(secoda)
        await use(other)
        print(names)
