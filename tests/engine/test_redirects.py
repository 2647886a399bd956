"""Redirects: only a trailing slash on the same origin is followed."""

import asyncio

import pytest

from secoda_async import (
    AutojumpClock,
    NotFoundError,
    OutcomeUnknownError,
    RedirectError,
    SecodaClient,
)
from secoda_async.emulator import Emulator
from tests.support.calls import (
    ALL,
    Call,
    create,
    delete,
    error_of,
    error_or_none,
    get,
    patch,
)
from tests.support.combinations import combinations

SLASHED = "/api/v1/auth/group/"
TARGETS = ["{other}/api/v1/auth/group/", "/api/v1/auth/groups", "/login?next=/", "//evil.example/", "http://[::1", ""]


@pytest.mark.requirement("SL-4")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_to_a_trailing_slash_keeps_method_and_body_and_is_remembered(
    emulator: Emulator, secoda: SecodaClient, status: int
) -> None:
    emulator.trailing_slash = True
    emulator.faults.add(status=status, redirect=SLASHED, match=lambda record: not record.path.endswith("/"))
    group = await secoda.groups.create(name="A")
    await secoda.groups.create(name="B")
    await secoda.groups.update(group.id, name="C")
    await secoda.groups.get(group.id)
    assert await secoda.groups.delete(group.id) is True
    assert [(record.method, record.path.endswith("/")) for record in emulator.requests] == [
        *(("POST", False), ("POST", True), ("POST", True)),
        *(("PATCH", False), ("PATCH", True), ("GET", True), ("DELETE", True)),
    ]
    assert [record.json for record in emulator.requests[:3]] == [{"name": "A"}, {"name": "A"}, {"name": "B"}]
    assert all(record.authorized for record in emulator.requests)


@pytest.mark.requirement("SL-4")
async def test_redirect_of_a_list_keeps_the_query(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.trailing_slash = True
    assert len(await secoda.groups.snapshot()) == 120
    first, *others = [record.target for record in emulator.requests]
    assert first == "/api/v1/auth/group"
    assert sorted(others) == sorted(2 * (SLASHED, f"{SLASHED}?page=2", f"{SLASHED}?page=3"))  # some concurrently


@pytest.mark.requirement("SL-4")
@pytest.mark.parametrize("call", ALL)
async def test_concurrent_redirects_to_a_trailing_slash_are_followed(
    emulator: Emulator, secoda: SecodaClient, group_id: str, call: Call
) -> None:
    emulator.trailing_slash = True
    errors = await asyncio.gather(*(error_or_none(call(secoda)) for _ in range(8)))
    assert {type(error) for error in errors} == {type(None) if call is create else NotFoundError}
    assert (await secoda.groups.get(group_id)).id == group_id


@pytest.mark.requirement("SL-4")
async def test_redirect_that_removes_the_trailing_slash_is_followed(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(redirect="/api/v1/user", path="/user/")
    assert await secoda.request("GET", "user/")
    assert await secoda.request("GET", "user/")
    assert [record.path for record in emulator.requests] == ["/api/v1/user/", "/api/v1/user", "/api/v1/user"]


@pytest.mark.requirement("SL-4")
@pytest.mark.parametrize("call", ALL)
async def test_redirect_loop_raises_redirect_error(emulator: Emulator, secoda: SecodaClient, call: Call) -> None:
    bare = "/api/v1/auth/group" + ("" if call is create else "/g")
    emulator.faults.add(redirect=f"{bare}/", match=lambda record: record.path == bare, times=None)
    emulator.faults.add(redirect=bare, match=lambda record: record.path == f"{bare}/", times=None)
    error = await error_of(call(secoda))
    assert isinstance(error, RedirectError)
    assert len(emulator.requests) == error.attempts == 2


@pytest.mark.requirement("SL-4")
@pytest.mark.parametrize(("target", "status", "call"), combinations(TARGETS, [301, 302, 307, 308], ALL))
async def test_redirect_to_another_target_raises_redirect_error(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, target: str, status: int, call: Call
) -> None:
    async with Emulator(api_key=emulator.api_key, clock=clock) as other:
        target = target.format(other=other.url)
        emulator.faults.add(status=status, redirect=target)
        error = await error_of(call(secoda))
        assert other.requests == []
    assert isinstance(error, RedirectError)
    assert (error.status, error.target) == (status, target)
    assert target in str(error)
    assert "base_url" in str(error)
    assert len(emulator.requests) == error.attempts == 1


@pytest.mark.requirement("SL-4", "RT-12")
@pytest.mark.parametrize("call", [create, patch, delete])
async def test_redirect_303_leaves_a_write_unknown(emulator: Emulator, secoda: SecodaClient, call: Call) -> None:
    path = SLASHED if call is create else f"{SLASHED}g/"
    emulator.faults.add(status=303, redirect=path, times=None)
    error = await error_of(call(secoda))
    assert isinstance(error, OutcomeUnknownError)
    assert isinstance(error.__cause__, RedirectError)
    assert path in str(error)
    assert len(emulator.requests) == 1


@pytest.mark.requirement("SL-4")
async def test_redirect_to_a_trailing_slash_of_another_origin_is_not_followed(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    async with Emulator(api_key=emulator.api_key, clock=clock) as other:
        for origin in (other.url, emulator.url.replace("http:", "https:"), "http://evil.example"):
            emulator.faults.add(status=308, redirect=f"{origin}{SLASHED}")
            assert isinstance(await error_of(create(secoda)), RedirectError)
        assert other.requests == []
    assert len(emulator.requests) == 3


@pytest.mark.requirement("SL-4")
async def test_redirect_without_location_raises_redirect_error(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(status=301)
    error = await error_of(get(secoda))
    assert isinstance(error, RedirectError)
    assert error.target == "(nowhere)"


@pytest.mark.requirement("RL-1")
async def test_followed_redirect_takes_a_permit_of_its_own(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.trailing_slash = True
    await create(secoda)
    assert secoda.limiter.state.free == 28
