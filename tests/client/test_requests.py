"""The shape of single calls: method, URL, body, headers; everything about the wire is tested over a real socket."""

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import aiohttp
import pytest
from aioresponses import aioresponses

from secoda_async import Group, NotFoundError, SecodaClient, User
from tests.support.aioresponses_shim import NEEDS_WRITER, MockedApi

API = "https://api.secoda.co/api/v1"
GROUP = {"id": "g1", "name": "Data Stewards", "users": ["u1"], "icon": None, "created_at": "2024-01-02T03:04:05Z"}
USER = {"id": "u1", "email": "ada@example.com"}
PAGE = {"results": [GROUP], "links": {"next": None}, "meta": {"page": 1}, "count": 1, "total_pages": 1}

Run = Callable[[SecodaClient], Awaitable[object]]


@pytest.fixture
def api() -> Iterator[MockedApi]:
    with MockedApi() as api:
        yield api


async def called(run: Run) -> object:
    async with SecodaClient("key-1") as secoda:
        return await run(secoda)


def body_of(data: Any) -> Any:
    return None if data is None else json.loads(data.decode())


CALLS: list[tuple[Run, str, str, object, int, object]] = [
    (
        lambda s: s.groups.create(name="Data Stewards", users=["u1"]),
        "POST",
        "auth/group",
        {"name": "Data Stewards", "users": ["u1"]},
        201,
        GROUP,
    ),
    (lambda s: s.groups.get("g1"), "GET", "auth/group/g1", None, 200, GROUP),
    (lambda s: s.groups.update("g1", icon=None), "PATCH", "auth/group/g1", {"icon": None}, 200, GROUP),
    (lambda s: s.groups.delete("g1"), "DELETE", "auth/group/g1", None, 204, None),
    (lambda s: s.groups.snapshot(), "GET", "auth/group", None, 200, PAGE),
    (lambda s: s.users.get("u1"), "GET", "user/u1", None, 200, USER),
    (lambda s: s.request("put", "tag/1", json=[1]), "PUT", "tag/1", [1], 200, {}),
    (
        lambda s: s.request("GET", "/api/v1/tag", params={"a": [1, 2], "b": True}),
        "GET",
        "tag?a=1&a=2&b=true",
        None,
        200,
        {},
    ),
]


@pytest.mark.parametrize(
    ("run", "method", "path", "body", "status", "answer"), CALLS, ids=[f"{call[1]}-{call[2]}" for call in CALLS]
)
async def test_a_call_is_one_request_of_its_shape(
    api: MockedApi, run: Run, method: str, path: str, body: object, status: int, answer: object
) -> None:
    api.add(f"{API}/{path}", method, status=status, payload=answer)
    await called(run)
    (sent,) = api.sent
    assert (sent.method, sent.url) == (method, f"{API}/{path}")
    assert body_of(sent.arguments["data"]) == body
    assert sent.arguments["headers"]["Authorization"] == "Bearer key-1"
    assert sent.arguments["headers"]["Accept"] == "application/json"
    assert sent.arguments["headers"]["User-Agent"].startswith("secoda-async/")
    assert sent.arguments["allow_redirects"] is False


async def test_answers_become_models(api: MockedApi) -> None:
    api.add(f"{API}/auth/group/g1", payload=GROUP)
    api.add(f"{API}/user/u1", payload=USER)
    group, user = await called(lambda s: s.groups.get("g1")), await called(lambda s: s.users.get("u1"))
    assert isinstance(group, Group)
    assert (group.id, group.name, group.users, group.icon) == ("g1", "Data Stewards", ("u1",), None)
    assert user == User("u1", "ada@example.com")


async def test_an_error_status_becomes_its_error(api: MockedApi) -> None:
    api.add(f"{API}/auth/group/g1", status=404, payload={"detail": "Not found."})
    with pytest.raises(NotFoundError, match="Not found"):
        await called(lambda s: s.groups.get("g1"))


async def test_a_call_without_a_mock_fails_the_test_at_once(api: MockedApi) -> None:
    with pytest.raises(AssertionError, match="no mock for GET"):
        await called(lambda s: s.groups.get("g1"))
    assert len(api.sent) == 1


@pytest.mark.skipif(not NEEDS_WRITER, reason="this aiohttp asks for no stream_writer")
@pytest.mark.requirement("TS-1")
async def test_the_shim_is_needed_still() -> None:
    with aioresponses() as api:
        cast("Any", api).get(f"{API}/tag", payload={})
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError, match="stream_writer"):  # if not: remove aioresponses_shim.py
                await session.get(f"{API}/tag")
