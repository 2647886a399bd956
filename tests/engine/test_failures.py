"""The retry table in full: each failure of each kind of call, with and without `Retry-After`, from the server's log."""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any, Literal

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import frozen

from secoda_async import (
    APIError,
    AutojumpClock,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    TransportError,
)
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.clients import Connect
from tests.support.raw_server import (
    DEEP,
    OK,
    assert_only_sdk_errors,
    never,
    respond_with_group,
    serve_with,
    sized,
)
from tests.support.waiting import drain_loop, wait_until

Json = dict[str, Any]
Method = Literal["GET", "PATCH", "DELETE", "POST"]
METHODS: tuple[Method, ...] = ("GET", "PATCH", "DELETE", "POST")
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WRONG_SHAPE: Json = {"body": {"id": 5, "name": None}}


Meaning = Literal["unclear", "later", "no", "broken", "unreceived"]


@frozen
class Failure:
    """A response, or the lack of one, and its meaning for the call."""

    name: str
    fault: Json
    meaning: Meaning
    """unclear: the server may have executed it; later: not executed, retry later; no: refused for good; broken: the
    response cannot be read; unreceived: the server got no complete request."""

    def __str__(self) -> str:
        return self.name


def answered(
    status: int, meaning: Literal["unclear", "later", "no", "unreceived"], body: object = None, **headers: str
) -> Failure:
    fault = {"status": status, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}
    return Failure(f"{status} {headers or ''}", fault | ({} if body is None else {"body": body}), meaning)


FAILURES = [
    Failure("dropped before it was read", {"drop": "before"}, "unclear"),
    Failure("dropped after it was carried out", {"drop": "after"}, "unclear"),
    Failure("timed out, unread", {"stall": "unread"}, "unclear"),
    Failure("timed out, not carried out", {"stall": "before"}, "unclear"),
    Failure("timed out, carried out", {"stall": "after"}, "unclear"),
    Failure("cut body", {"raw": OK + b"Content-Length: 99\r\n\r\n{"}, "unclear"),
    Failure("bad chunk", {"raw": CHUNKED + b"xyz\r\n"}, "unclear"),
    Failure("cut chunk", {"raw": CHUNKED + b"ff\r\n{"}, "unclear"),
    Failure("bad gzip", {"raw": sized(b"not gzip", b"Content-Encoding: gzip")}, "unclear"),
    Failure("garbage for a status line", {"raw": b"\x16\x03\x01 who knows\r\n\r\n"}, "unclear"),
    Failure("oversized header", {"raw": OK + b"X-Large: " + b"a" * 100_000 + b"\r\n\r\n"}, "unclear"),
    Failure("200 with HTML", {"body": "<html>Log in</html>"}, "broken"),
    Failure("200 of the wrong shape", WRONG_SHAPE, "broken"),
    Failure("bad UTF-8", {"body": b'{"id": "\xff"}'}, "broken"),
    Failure("absurdly deep JSON", {"body": DEEP}, "broken"),
    *(answered(status, "no", **after) for status in (400, 409, 425) for after in ({}, {"Retry_After": "5"})),
    *(answered(408, "unreceived", **after) for after in ({}, {"Retry_After": "5"})),
    *(answered(status, "unclear", "<html>") for status in (500, 502, 503, 504, 520)),
    *(answered(status, "unclear", Retry_After="5") for status in (500, 502, 504)),
    *(answered(status, "unclear", Retry_After="soon") for status in (500, 503)),
    answered(503, "unclear", Retry_After="5"),  # some gateways send it although the origin has executed the request
    answered(429, "later", Retry_After="5"),
    answered(429, "later"),
    answered(429, "later", "<html>", Retry_After="soon"),
]


def made(secoda: SecodaClient, method: Method, group_id: str) -> Awaitable[object]:
    match method:
        case "GET":
            return secoda.groups.get(group_id)
        case "PATCH":
            return secoda.groups.update(group_id, name="New")
        case "DELETE":
            return secoda.groups.delete(group_id)
        case "POST":
            return secoda.groups.create(name="New")


def effects(emulator: Emulator, method: Method, group_id: str) -> int:
    """Return how often the server executed the call."""
    if method == "DELETE":
        return int(group_id not in emulator.groups)
    return sum(group["name"] == "New" for group in emulator.groups.values())


@pytest.mark.requirement("RT-1", "RT-3", "RT-4", "RT-11", "ER-1", "ER-4")
@pytest.mark.parametrize(
    ("failure", "method"),
    [
        (failure, method)
        for failure in FAILURES
        for method in METHODS
        if not (method == "DELETE" and failure.meaning == "broken")  # it promises no body: see the next test
    ],
    ids=str,
)
async def test_failure_has_the_outcome_of_the_decision_table(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, group_id: str, failure: Failure, method: Method
) -> None:
    emulator.faults.add(**failure.fault)
    (end,) = await asyncio.gather(made(secoda, method, group_id), return_exceptions=True)
    sent = emulator.requests
    assert {record.method for record in sent} == {method}
    assert len({record.body for record in sent if record.body}) <= 1  # one that was dropped unread is not known
    if failure.meaning == "later" or (failure.meaning in ("unclear", "unreceived") and method != "POST"):
        assert not isinstance(end, BaseException)
        assert len(sent) == 2
        assert effects(emulator, method, group_id) == (method != "GET")
        asked = failure.fault.get("headers", {}).get("Retry-After")
        if asked == "5" or failure.meaning == "later":
            assert clock.now() >= (5 if asked == "5" else 60)
    else:
        assert isinstance(end, SecodaError)
        assert_only_sdk_errors(end)
        assert end.attempts == len(sent) == 1
        assert effects(emulator, method, group_id) <= 1
        if failure.meaning in ("no", "unreceived"):
            assert isinstance(end, APIError)
        else:
            assert isinstance(end, OutcomeUnknownError if method == "POST" else ResponseError)


@pytest.mark.requirement("ER-4", "RT-13")
@pytest.mark.parametrize("status", [200, 204])
async def test_delete_succeeds_with_an_empty_body(
    emulator: Emulator, secoda: SecodaClient, group_id: str, status: int
) -> None:
    emulator.faults.add(status=status, carry_out=True)
    assert await secoda.groups.delete(group_id) is True
    assert len(emulator.requests) == 1


NOT_DELETED: list[Json] = [
    {"status": 200, "body": "<html>Log in</html>"},
    {"status": 200, "body": b"\xff"},
    {"status": 200, "body": {"error": "no"}},
    {"status": 200, "body": {"detail": "gone"}},
    {"status": 200, "body": []},
    {"status": 201},
    {"status": 202},
    {"status": 202, "body": {"task": "t"}},
    {"status": 206},
]


@pytest.mark.requirement("ER-4", "RT-13")
@pytest.mark.parametrize("fault", NOT_DELETED, ids=repr)
async def test_delete_with_any_other_success_response_raises(
    emulator: Emulator, secoda: SecodaClient, group_id: str, fault: Json
) -> None:
    emulator.faults.add(**fault)
    with pytest.raises(ResponseError, match="it may not be deleted") as caught:
        await secoda.groups.delete(group_id, missing_ok=True)
    assert (caught.value.status, len(emulator.requests)) == (fault["status"], 1)
    assert group_id in emulator.groups


# --- where the emulator can't go -------------------------------------------------------------------------------


class NoNames(AbstractResolver):
    """A resolver that finds nothing."""

    asked = 0

    async def resolve(self, *_: object, **__: object) -> list[ResolveResult]:
        self.asked += 1
        raise OSError(-2, "Name or service not known")

    async def close(self) -> None: ...


@pytest.mark.requirement("RT-1", "ER-1")
@pytest.mark.parametrize("method", METHODS)
async def test_host_name_that_is_not_found_is_resolved_again(clock: AutojumpClock, method: Method) -> None:
    resolver = NoNames()
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        SecodaClient("key", base_url="https://secoda.example", session=session, clock=clock) as secoda,
    ):
        with pytest.raises(TransportError, match=r"secoda\.example:443 could not be looked up") as caught:
            await made(secoda, method, "g")
        assert_only_sdk_errors(caught.value)
        assert (caught.value.attempts, resolver.asked, caught.value.maybe_sent) == (5, 5, False)
        assert secoda.limiter.state.free == 30


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.mark.requirement("RT-1", "ER-1", "SL-5")
@pytest.mark.parametrize("method", METHODS)
async def test_untrusted_certificate_raises_before_any_request_is_sent(
    tls: ssl.SSLContext, clock: AutojumpClock, method: Method
) -> None:
    async with (
        serve_with(respond_with_group, tls) as origin,
        SecodaClient("key", base_url=origin, clock=clock, retry=RetryPolicy(attempts=3)) as secoda,
    ):
        with pytest.raises(TransportError, match=r"certificate of 127\.0\.0\.1:.* is not trusted") as caught:
            await made(secoda, method, "g")
        assert_only_sdk_errors(caught.value)
        assert (caught.value.attempts, caught.value.maybe_sent) == (3, False)
        assert secoda.limiter.state.free == 30


@pytest.mark.requirement("SL-5")
async def test_certificate_authority_of_the_caller_is_trusted(authority: trustme.CA, tls: ssl.SSLContext) -> None:
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    async with (
        serve_with(respond_with_group, tls) as origin,
        SecodaClient("key", base_url=origin, ssl=trusting) as secoda,
    ):
        assert (await secoda.groups.get("g")).name == "G"
        assert (await secoda.groups.create(name="G")).name == "G"
        await drain_loop()


async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK + b"Content-Length: 999\r\n\r\n{")
    await never(reader, writer)


@pytest.mark.requirement("RT-1", "RT-5", "RT-12")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", ["connecting", "sending", "waiting", "reading"])
async def test_attempt_times_out_at_any_stage(clock: AutojumpClock, method: Method, stage: str) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await (half_an_answer if stage == "reading" else never)(reader, writer)

    retry = RetryPolicy(attempts=3, initial=0)
    async with serve_with(answer) as origin:
        base_url = origin.replace("http:", "https:") if stage == "connecting" else origin  # nobody shakes hands
        async with SecodaClient("key", base_url=base_url, clock=clock, timeout=7, retry=retry) as secoda:
            name = "A" * 20_000_000 if stage == "sending" else "A"
            call = made(secoda, method, "g") if method in ("GET", "DELETE") else big(secoda, method, name)
            with pytest.raises(SecodaError) as caught:
                await call
            assert_only_sdk_errors(caught.value)
            is_unknown = method != "GET" and stage != "connecting"
            assert isinstance(caught.value, OutcomeUnknownError if is_unknown else RequestTimeoutError)
            assert isinstance(caught.value.__cause__ if is_unknown else caught.value, RequestTimeoutError)
            assert caught.value.attempts == connections == (1 if is_unknown and method == "POST" else 3)
            assert clock.now() == 7 * connections
            assert secoda.limiter.state.in_flight == 0


def big(secoda: SecodaClient, method: Method, name: str) -> Awaitable[object]:
    return secoda.groups.create(name=name) if method == "POST" else secoda.groups.update("g", name=name)


@pytest.mark.requirement("RT-2", "RT-9")
async def test_server_that_closes_idle_connections_loses_no_create(
    emulator: Emulator, connect: Connect, group_id: str
) -> None:
    secoda = connect(retry=RetryPolicy(attempts=1))

    def is_on_a_used_connection(record: RecordedRequest) -> bool:
        return any(other.connection == record.connection for other in emulator.requests if other is not record)

    emulator.faults.add(drop="before", match=is_on_a_used_connection, method="POST", times=None)
    for _ in range(3):
        await secoda.groups.get(group_id)
        await secoda.groups.create(name="A")
    assert emulator.count("POST") == 3
    await wait_until(lambda: emulator.open_connections == 1)
