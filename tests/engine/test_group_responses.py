"""Responses to calls on groups: another group, another name or a missing change is never a success."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from secoda_async import (
    AutojumpClock,
    CreateGroup,
    DeleteGroup,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    UpdateGroup,
)
from secoda_async._engine.group_responses import group_of, written_group_of
from secoda_async._engine.wire.protocol import Reply
from secoda_async.emulator import Emulator
from secoda_async.models import GroupFields
from tests.support.clients import Connect
from tests.support.raw_server import serve_with

Json = dict[str, Any]
ME: Json = {"id": "g", "name": "G", "icon": None, "description": None, "users": ["u1"]}
OTHER: Json = ME | {"id": "other"}
LIST: Json = {"results": [], "links": {"next": None}, "meta": {"page": 1}, "count": 0, "total_pages": 1}


def test_error_about_one_group_names_the_missing_field_alone() -> None:
    with pytest.raises(ResponseError, match=r"^users: missing") as caught:
        group_of(Reply(200, (), b'{"id": "g", "name": "G"}'), needed=("users",))
    assert caught.value.location == "users"


def http(status: int, body: object = b"", kind: str = "application/json") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(content)
    head = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nConnection: close\r\n" % (status, kind.encode())
    return head + length + b"\r\n" + content


class Raw:
    """A server of bytes: its answers by method, and the requests it got."""

    def __init__(self, origin: str, clock: AutojumpClock) -> None:
        self.answers: dict[str, bytes | Callable[[str], bytes]] = {"GET": http(200, LIST)}
        self.requests: list[str] = []
        self.secoda = SecodaClient("key", base_url=origin, clock=clock, retry=RetryPolicy(attempts=2))

    def answer(self, method: str, path: str) -> bytes:
        answer = self.answers[method]
        return answer if isinstance(answer, bytes) else answer(path)

    async def outcome(self, operation: CreateGroup | UpdateGroup | DeleteGroup) -> Outcome:
        (outcome,) = [outcome async for outcome in self.secoda.bulk([operation])]
        return outcome


def test_written_group_shares_the_values_that_were_sent() -> None:
    fields = GroupFields(name="Data Stewards", icon="icon", description="The owners", users=("u1", "u2"))
    group = written_group_of(Reply(200, [], json.dumps(ME | fields.to_dict()).encode()), fields)
    assert group.name is fields.name
    assert group.icon is fields.icon
    assert group.description is fields.description
    assert group.users is fields.users


def test_written_group_has_the_values_of_the_response_where_others_were_sent() -> None:
    class Name(str):
        __slots__ = ()

    group = written_group_of(
        Reply(200, [], json.dumps(ME).encode()), GroupFields(name=Name("G"), icon="", users=("U1",))
    )
    assert (type(group.name), group.icon, group.users) == (str, None, ("u1",))


@asynccontextmanager
async def raw_server(clock: AutojumpClock) -> AsyncGenerator[Raw, None]:
    server: Raw

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        length = next((int(line[16:]) for line in head.splitlines() if line.lower().startswith("content-length: ")), 0)
        await reader.readexactly(length)
        server.requests.append(f"{method} {path.removeprefix('/api/v1/')}")
        writer.write(server.answer(method, path))
        await writer.drain()

    async with serve_with(answer) as origin:
        server = Raw(origin, clock)
        async with server.secoda:
            yield server


@pytest.fixture
async def server(clock: AutojumpClock) -> AsyncGenerator[Raw, None]:
    async with raw_server(clock) as server:
        yield server


class TestReads:
    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("call", ["get", "add_users", "remove_users"])
    async def test_get_of_another_group_raises(self, server: Raw, call: str) -> None:
        server.answers["GET"] = http(200, OTHER)
        users = () if call == "get" else (["u2"],)
        with pytest.raises(ResponseError, match="about the group 'other', not about 'g'") as caught:
            await getattr(server.secoda.groups, call)("g", *users)
        assert (caught.value.location, caught.value.item_id, caught.value.status) == ("id", "other", 200)
        assert server.requests == ["GET auth/group/g"]

    @pytest.mark.requirement("RT-14")
    @pytest.mark.parametrize("cut", [b"", b'{"id": "g", "na'])
    async def test_get_with_a_body_cut_short_is_retried(self, server: Raw, cut: bytes) -> None:
        server.answers["GET"] = lambda _: http(200, cut) if len(server.requests) == 1 else http(200, ME)
        assert (await server.secoda.groups.get("g")).name == "G"
        assert server.requests == ["GET auth/group/g"] * 2

    @pytest.mark.requirement("RT-13", "SL-6")
    async def test_id_in_another_letter_case_is_the_same(self, server: Raw) -> None:
        server.answers["GET"] = http(200, ME | {"id": "G"})
        assert (await server.secoda.groups.get("g")).id == "G"


class TestUpdates:
    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize(
        "answer",
        [
            OTHER | {"name": "New", "icon": "i", "description": "d"},
            ME,
            ME | {"name": "New", "icon": "i"},
            ME | {"name": "New", "description": "d"},
            ME | {"name": "new", "icon": "i", "description": "d"},
        ],
        ids=repr,
    )
    async def test_update_with_a_contradicting_response_is_unknown(self, server: Raw, answer: Json) -> None:
        server.answers["PATCH"] = http(200, answer)
        update = UpdateGroup("g", name="New", icon="i", description="d")
        outcome = await server.outcome(update)
        assert (outcome.status, type(outcome.error)) == ("unknown", ResponseError)
        assert server.requests == ["PATCH auth/group/g"]

    @pytest.mark.requirement("RT-13")
    async def test_update_with_a_confirming_response_is_applied(self, server: Raw) -> None:
        server.answers["PATCH"] = http(200, ME | {"name": "A B", "icon": "", "users": ["U2", "u1"]})
        outcome = await server.outcome(UpdateGroup("g", name=" A  B ", icon=None, users=["u1", "u2"]))
        assert (outcome.status, server.requests) == ("applied", ["PATCH auth/group/g"])

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("users", [["u1", "u2", "u3"], ["u3"]])
    async def test_update_with_additional_members_in_the_response_is_unknown(
        self, server: Raw, users: list[str]
    ) -> None:
        server.answers["PATCH"] = http(200, ME | {"users": users})
        outcome = await server.outcome(UpdateGroup("g", users=["u1", "u2"]))
        assert (outcome.status, type(outcome.error)) == ("unknown", ResponseError)
        assert "another users than was sent" in str(outcome.error)

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize(
        ("user", "status"),
        [
            (http(200, {"id": "u2", "pending": True}), "applied"),
            (http(200, {"id": "u2", "pending": False}), "unknown"),
            (http(200, {"id": "u2"}), "unknown"),
            (http(404, {"detail": "Not found."}), "unknown"),
        ],
    )
    async def test_only_a_pending_member_may_be_missing_in_the_response(
        self, server: Raw, user: bytes, status: str
    ) -> None:
        server.answers |= {"PATCH": http(200, ME), "GET": user}
        outcome = await server.outcome(UpdateGroup("g", users=["u1", "u2"]))
        assert (outcome.status, server.requests) == (status, ["PATCH auth/group/g", "GET user/u2"])
        if status == "unknown":
            assert isinstance(outcome.error, ResponseError)
            assert "the response lacks 1 of the members that were sent: 'u2'" in str(outcome.error)

    @pytest.mark.requirement("RT-12", "RT-13")
    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    async def test_write_is_unknown_when_its_missing_member_cannot_be_read(self, server: Raw, method: str) -> None:
        server.answers |= {
            method: http(200, ME),
            "GET": lambda path: http(500, {"detail": "no"}) if "user/" in path else http(200, LIST),
        }
        groups = server.secoda.groups
        with pytest.raises(OutcomeUnknownError, match="the group is g; check its members") as failed:
            await (
                groups.create(name="G", users=["u1", "u2"])
                if method == "POST"
                else groups.update("g", users=["u1", "u2"])
            )
        assert (failed.value.method, failed.value.candidates) == (method, ("g",))

    @pytest.mark.requirement("RT-13")
    async def test_many_missing_members_raise_even_if_the_first_are_pending(self, server: Raw) -> None:
        server.answers |= {
            "PATCH": http(200, ME),
            "GET": lambda path: http(200, {"id": path.rpartition("/")[2], "pending": True}),
        }
        outcome = await server.outcome(UpdateGroup("g", users=["u1", *(f"v{index}" for index in range(21))]))
        assert (outcome.status, len(server.requests)) == ("unknown", 1 + 20)
        outcome = await server.outcome(UpdateGroup("g", users=["u1", *(f"v{index}" for index in range(20))]))
        assert (outcome.status, len(server.requests)) == ("applied", 21 + 21)

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("call", ["add_users", "remove_users"])
    async def test_change_of_members_with_a_contradicting_response_raises(self, server: Raw, call: str) -> None:
        change = "u2" if call == "add_users" else "u1"
        server.answers |= {
            "GET": lambda path: http(200, ME if "group" in path else {"id": "u2"}),
            "PATCH": http(200, ME),
        }
        with pytest.raises(ResponseError):
            await getattr(server.secoda.groups, call)("g", [change])
        server.answers["PATCH"] = http(200, OTHER | {"users": ["u1", "u2"] if call == "add_users" else []})
        with pytest.raises(ResponseError, match="about the group 'other'"):
            await getattr(server.secoda.groups, call)("g", [change])


class TestCreates:
    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize(
        "answer", [ME, ME | {"name": "NEW"}, {"error": "no"}, [], ME | {"name": "New", "users": ["u1", "x"]}], ids=repr
    )
    async def test_create_with_a_contradicting_response_is_unknown(self, server: Raw, answer: object) -> None:
        server.answers["POST"] = http(201, answer)
        with pytest.raises(OutcomeUnknownError) as caught:
            await server.secoda.groups.create(name="New", users=["u1"])
        assert (caught.value.name, server.requests) == ("New", ["POST auth/group"])
        assert isinstance(caught.value.__cause__, ResponseError)

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("on_unknown", ["raise", "reconcile"])
    async def test_create_with_a_missing_member_in_the_response_names_its_group(
        self, server: Raw, on_unknown: Literal["raise", "reconcile"]
    ) -> None:
        server.answers |= {
            "POST": http(201, ME | {"users": []}),
            "GET": lambda path: http(200, {"id": "u1"} if "user" in path else LIST),
        }
        with pytest.raises(OutcomeUnknownError) as caught:
            await server.secoda.groups.create(name="G", users=["u1"], on_unknown=on_unknown)
        assert caught.value.candidates == ("g",)
        assert server.requests.count("POST auth/group") == 1

    @pytest.mark.requirement("RT-13")
    async def test_bulk_create_with_another_name_in_the_response_is_never_applied(self, server: Raw) -> None:
        server.answers["POST"] = http(201, ME)
        outcome = await server.outcome(CreateGroup(name="New"))
        assert (outcome.status, outcome.group) == ("unknown", None)
        assert server.requests.count("POST auth/group") <= 2

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("transform", [lambda group: group | {"id": "other"}, lambda _: {"error": "no"}])
    async def test_altered_response_of_the_emulator_is_never_applied(
        self, emulator: Emulator, connect: Connect, transform: Callable[[Json], Json]
    ) -> None:
        emulator.faults.add(transform=transform, method="PATCH")
        (outcome,) = [outcome async for outcome in connect().bulk([UpdateGroup("group-0", name="New")])]
        assert (outcome.status, type(outcome.error)) == ("unknown", ResponseError)


DELETED = [http(200), http(204), http(200, b" \n"), b"HTTP/1.1 100 Continue\r\n\r\n" + http(204)]
NOT_DELETED = [
    http(200, b"<html>Log in</html>", "text/html"),
    http(200, {"error": "no"}),
    http(200, {"detail": "deleted"}),
    http(200, []),
    http(200, b"null"),
    http(200, b'{"detail": "cut'),
    http(201),
    http(202),
    http(202, {"task": 1}),
    http(205),
    http(299),
]
UNCLEAR = [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204", b""]
NO_ABSENCE = [
    http(404, b"<html>nginx</html>", "text/html"),
    http(404),
    http(404, []),
    http(404, {"error": "no such path"}),
    http(404, {"detail": 5}),
    http(404, b"Not found.", "text/plain"),
]


class TestDeletes:
    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("answer", DELETED, ids=range(len(DELETED)))
    async def test_delete_succeeds_with_an_empty_200_or_204(self, server: Raw, answer: bytes) -> None:
        server.answers["DELETE"] = answer
        assert await server.secoda.groups.delete("g") is True
        assert (await server.outcome(DeleteGroup("g"))).status == "applied"
        assert server.requests == ["DELETE auth/group/g"] * 2

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("answer", NOT_DELETED, ids=range(len(NOT_DELETED)))
    async def test_delete_with_any_other_success_response_raises(self, server: Raw, answer: bytes) -> None:
        server.answers["DELETE"] = answer
        with pytest.raises(ResponseError, match="it may not be deleted"):
            await server.secoda.groups.delete("g", missing_ok=True)
        outcome = await server.outcome(DeleteGroup("g", missing_ok=True))
        assert (outcome.status, len(server.requests)) == ("unknown", 2)

    @pytest.mark.requirement("RT-13", "RT-12")
    @pytest.mark.parametrize("answer", UNCLEAR, ids=range(len(UNCLEAR)))
    async def test_delete_with_only_an_interim_response_is_unknown(self, server: Raw, answer: bytes) -> None:
        server.answers["DELETE"] = answer
        with pytest.raises(OutcomeUnknownError):
            await server.secoda.groups.delete("g", missing_ok=True)
        assert (await server.outcome(DeleteGroup("g", missing_ok=True))).status == "unknown"

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize("answer", NO_ABSENCE, ids=range(len(NO_ABSENCE)))
    async def test_404_of_a_gateway_is_no_absence(self, server: Raw, answer: bytes) -> None:
        server.answers["DELETE"] = answer
        with pytest.raises(NotFoundError) as caught:
            await server.secoda.groups.delete("g", missing_ok=True)
        assert caught.value.is_missing_route
        assert (await server.outcome(DeleteGroup("g", missing_ok=True))).status == "failed"

    @pytest.mark.requirement("RT-13")
    async def test_404_of_the_api_is_an_absence(self, server: Raw) -> None:
        server.answers["DELETE"] = http(404, {"detail": "Not found."})
        assert await server.secoda.groups.delete("g", missing_ok=True) is False
        assert (await server.outcome(DeleteGroup("g", missing_ok=True))).status == "unchanged"
        assert (await server.outcome(DeleteGroup("g"))).status == "failed"
        with pytest.raises(NotFoundError) as caught:
            await server.secoda.groups.delete("g")
        assert not caught.value.is_missing_route

    @pytest.mark.requirement("RT-13", "RT-12")
    @pytest.mark.parametrize("answer", NO_ABSENCE, ids=range(len(NO_ABSENCE)))
    async def test_404_of_a_gateway_after_a_lost_response_is_unknown(self, server: Raw, answer: bytes) -> None:
        server.answers["DELETE"] = lambda _: b"" if len(server.requests) == 1 else answer
        with pytest.raises(SecodaError) as caught:
            await server.secoda.groups.delete("g", missing_ok=True)
        assert isinstance(caught.value, OutcomeUnknownError)
        assert len(server.requests) == 2
