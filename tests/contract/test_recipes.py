"""The scripts in docs/examples that read a directory, against stub servers: whole reads, and reads that break off."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field
from yarl import URL

from secoda_async import UNSET, DesiredState
from secoda_async.emulator import Emulator
from tests.support.examples import load_example

TOKEN = "directory-token"
Item = dict[str, Any]

OKTA_USERS: list[Item] = [
    {"status": "ACTIVE", "profile": {"email": "ana@example.com"}},
    {"status": "DEPROVISIONED", "profile": {"email": "old@example.com"}},
    {"status": "LOCKED_OUT", "profile": {"email": "ben@example.com"}},
]
GRAPH_USERS: list[Item] = [
    {"mail": "ana@example.com", "userPrincipalName": "ana@corp.example", "accountEnabled": True},
    {"mail": "old@example.com", "userPrincipalName": "old@corp.example", "accountEnabled": False},
    {"mail": None, "userPrincipalName": "ben@example.com", "accountEnabled": True},
]
GOOGLE_USERS: list[Item] = [
    {"email": "ana@example.com", "type": "USER", "status": "ACTIVE"},
    {"email": "old@example.com", "type": "USER", "status": "SUSPENDED"},
    {"email": "ben@example.com", "type": "USER", "status": "ACTIVE"},
    {"email": "all@example.com", "type": "GROUP"},
]
SCIM_USERS: list[Item] = [
    {"id": "a", "userName": "ana@example.com", "active": True},
    {"id": "o", "userName": "old@example.com", "active": False},
    {"id": "b", "userName": "ben@example.com"},
]
NAMES = ("Stewards", "Finance", "Empty")

LISTS: dict[str, dict[str, list[Item]]] = {
    "okta": {
        "/api/v1/groups": [{"id": name, "profile": {"name": name, "description": None}} for name in NAMES],
        "/api/v1/groups/Stewards/users": OKTA_USERS,
        "/api/v1/groups/Finance/users": OKTA_USERS[:1],
        "/api/v1/groups/Empty/users": [],
    },
    "microsoft_graph": {
        "/v1.0/groups": [{"id": name, "displayName": name, "description": None} for name in NAMES],
        "/v1.0/groups/Stewards/members/microsoft.graph.user": GRAPH_USERS,
        "/v1.0/groups/Finance/members/microsoft.graph.user": GRAPH_USERS[:1],
        "/v1.0/groups/Empty/members/microsoft.graph.user": [],
    },
    "google_workspace": {
        "/admin/directory/v1/groups": [
            {"id": name, "email": f"{name}@example.com", "name": name, "directMembersCount": count}
            for name, count in zip(NAMES, ("3", "1", "0"), strict=True)
        ],
        "/admin/directory/v1/groups/Stewards/members": GOOGLE_USERS,
        "/admin/directory/v1/groups/Finance/members": GOOGLE_USERS[:1],
        "/admin/directory/v1/groups/Empty/members": [],
    },
    "scim": {
        "/Users": SCIM_USERS,
        "/Groups": [
            {"id": "1", "displayName": "Stewards", "members": [{"value": each} for each in "aob"]},
            {"id": "2", "displayName": "Finance", "members": [{"value": "a"}]},
            {"id": "3", "displayName": "Empty"},
        ],
    },
}
"""Each provider's lists, which the stub serves in pages of two items."""


@define
class Directory:
    """A stub of one provider's API, and a host next to it that must receive nothing."""

    provider: str
    fault: str = ""
    lists: dict[str, list[Item]] = field(factory=dict[str, list[Item]])
    url: URL = field(factory=URL)
    elsewhere: URL = field(factory=URL)
    paths: list[str] = field(factory=list[str])
    stolen: list[str] = field(factory=list[str])

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Authorization"].endswith(f" {TOKEN}")
        self.paths.append(request.path)
        items = self.lists[request.path]
        query = request.query
        place = query.get("after") or query.get("$skiptoken") or query.get("pageToken") or query.get("startIndex", "1")
        start = int(place) - 1
        if start > 0 and (response := await self.faulty(request)) is not None:
            return response
        if self.fault == "repeat" and start > 0:
            start = 0 if self.provider == "scim" else start - 2
        is_last = start + 2 >= len(items)
        host = self.elsewhere if self.fault == "elsewhere" else self.url
        return self.page(request.path, items[start : start + 2], len(items), start, None if is_last else host)

    async def faulty(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """Respond to a second page, if there is a fault for it."""
        match self.fault:
            case "error":
                return web.json_response({"error": "no"}, status=500)
            case "throttled":
                return web.json_response([], status=429)
            case "html":
                return web.Response(text="<html>Sign in</html>", content_type="text/html")
            case "redirect":
                return web.Response(status=302, headers={"Location": str(self.elsewhere / "login")})
            case "cut":
                response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "99"})
                await response.prepare(request)
                await response.write(b'{"value": [')
                assert request.transport is not None
                request.transport.abort()
                return response
            case _:
                return None

    def page(self, path: str, items: list[Item], total: int, start: int, host: URL | None) -> web.Response:
        """Return a page in the provider's form; `host` is where its next link leads."""
        total += self.fault == "count"
        link = "" if host is None else str(host.with_path(path))
        match self.provider:
            case "okta":
                headers = {"Link": f'<{self.url}{path}>; rel="self"'}
                headers["Link"] += f', <{link}?after={start + 3}>; rel="next"' if link else ""
                return web.json_response(items, headers=headers)
            case "microsoft_graph":
                page: Item = {"value": items} | ({"@odata.count": total} if start == 0 else {})
                return web.json_response(page | ({"@odata.nextLink": f"{link}?$skiptoken={start + 3}"} if link else {}))
            case "google_workspace":
                name = path.rpartition("/")[2]
                page = {"kind": f"admin#directory#{name}"} | ({name: items} if items else {})
                return web.json_response(page | ({"nextPageToken": str(start + 3)} if link else {}))
            case _:
                return web.json_response({"totalResults": total, "startIndex": start + 1, "Resources": items})

    async def steal(self, request: web.BaseRequest) -> web.Response:
        self.stolen.append(str(request.url))
        return web.json_response([])


@asynccontextmanager
async def served(provider: str, fault: str = "") -> AsyncGenerator[Directory, None]:
    directory = Directory(provider, fault, dict(LISTS[provider]))
    runners: list[web.ServerRunner] = []
    for handler in (directory.serve, directory.steal):
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
    directory.url, directory.elsewhere = (URL(f"http://127.0.0.1:{runner.addresses[0][1]}") for runner in runners)
    try:
        yield directory
    finally:
        for runner in runners:
            await runner.cleanup()


async def read(directory: Directory) -> DesiredState:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        state: DesiredState = await load_example(directory.provider).read_groups(session, directory.url)
        return state


PROVIDERS = sorted(LISTS)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_all_pages_become_a_desired_state(provider: str) -> None:
    async with served(provider) as directory:
        state = await read(directory)
    members = {group.name: group.members for group in state.groups}
    nobody = UNSET if provider == "scim" else ()
    assert members == {
        "Stewards": ("ana@example.com", "ben@example.com"),
        "Finance": ("ana@example.com",),
        "Empty": nobody,
    }
    assert directory.paths.count(next(iter(directory.lists))) == 2
    assert directory.stolen == []


FAULTS = ("error", "throttled", "html", "redirect", "cut", "repeat")
BROKEN = [
    *((provider, fault) for provider in PROVIDERS for fault in FAULTS),
    *((provider, "elsewhere") for provider in ("okta", "microsoft_graph")),
    *((provider, "count") for provider in ("microsoft_graph", "scim")),
]


@pytest.mark.parametrize(("provider", "fault"), BROKEN, ids=[f"{provider}-{fault}" for provider, fault in BROKEN])
async def test_an_unfinished_read_is_refused(provider: str, fault: str) -> None:
    async with served(provider, fault) as directory:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of a class of the script
            await read(directory)
    assert type(caught.value).__name__ in (
        "UnfinishedReadError",
        "ContentTypeError",
        "ClientPayloadError",
        "JSONDecodeError",
    )
    assert directory.stolen == []


async def test_google_group_with_fewer_members_than_counted_is_refused() -> None:
    async with served("google_workspace") as directory:
        directory.lists["/admin/directory/v1/groups/Finance/members"] = []
        with pytest.raises(Exception, match="0 of 1 members of Finance"):
            await read(directory)


async def test_scim_member_that_is_not_a_user_is_refused() -> None:
    async with served("scim") as directory:
        directory.lists["/Users"] = SCIM_USERS[:1]
        with pytest.raises(Exception, match="members of 'Stewards' are not among the users"):
            await read(directory)


@pytest.mark.parametrize("option", [[], ["--apply"]], ids=["plan", "apply"])
async def test_script_plans_and_applies(
    option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users = [{"email": "ana@example.com"}, {"email": "ben@example.com"}]
    async with served("scim") as directory, Emulator(users=users) as workspace:
        monkeypatch.setattr(sys, "argv", ["scim.py", *option])
        monkeypatch.setenv("SCIM_URL", str(directory.url))
        monkeypatch.setenv("SCIM_TOKEN", TOKEN)
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        await load_example("scim").main()
    assert "3 to create" in capsys.readouterr().out
    assert len(workspace.groups) == (3 if option else 0)
