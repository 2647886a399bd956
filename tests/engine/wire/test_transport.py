"""The transport: every network failure becomes one of the SDK's errors, and aiohttp resends nothing."""

import asyncio
import gzip
import itertools
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import aiohttp
import pytest

from secoda_async import (
    APIError,
    AutojumpClock,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    TransportError,
)
from secoda_async._engine.wire import decoding
from secoda_async._engine.wire.failures import translate
from secoda_async.emulator import Emulator
from secoda_async.events import AttemptEvent, Event
from tests.support.clients import Connect
from tests.support.raw_server import (
    DEEP,
    OK,
    assert_only_sdk_errors,
    respond_once,
    serve_with,
    sized,
)
from tests.support.waiting import drain_loop

Json = dict[str, Any]
ONCE = RetryPolicy(attempts=1)
GROUP = gzip.compress(b'{"id": "g", "name": "G"}')


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # bound, and nobody listens
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@asynccontextmanager
async def idle_server(
    second: bytes = sized(b"{}"),
) -> AsyncGenerator[tuple[int, asyncio.Event], None]:
    """A server that answers once on its first connection, then writes 408 there: when asked to, or to a request."""
    idle = asyncio.Event()
    connections = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_first = next(connections) == 0
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sized(b"{}") if is_first else second)
        await writer.drain()
        if is_first:
            waits = [asyncio.ensure_future(wait) for wait in (idle.wait(), reader.read(1))]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await asyncio.wait(waits[1:])
            waits[0].cancel()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1], idle


def note_statuses(statuses: list[int | None]) -> Callable[[Event], None]:
    def note(event: Event) -> None:
        if isinstance(event, AttemptEvent):
            statuses.append(event.status)

    return note


def client_of(port: int, **settings: Any) -> SecodaClient:
    return SecodaClient("key", base_url=f"http://127.0.0.1:{port}", clock=AutojumpClock(), **settings)


UNREADABLE: list[tuple[str, Json, type[SecodaError], str]] = [
    ("reset before", {"drop": "before"}, TransportError, "closed the connection without a response"),
    ("reset after", {"drop": "after"}, TransportError, "closed the connection without a response"),
    ("cut body", {"cut": 20}, TransportError, "ended early"),
    ("no body", {"cut": 0}, TransportError, "ended early"),
    ("status line", {"raw": b"SSH-2.0-OpenSSH_9.6\r\n"}, TransportError, "not valid HTTP"),
    ("status", {"raw": b"HTTP/1.1 abc\r\n\r\n"}, TransportError, "not valid HTTP"),
    ("header", {"raw": OK + b"X-Large: " + b"a" * 100_000 + b"\r\n\r\n"}, TransportError, "a header .* is too long"),
    ("length", {"raw": OK + b"Content-Length: many\r\n\r\n"}, TransportError, "not valid HTTP"),
    ("chunk", {"raw": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"}, TransportError, "not valid HTTP|ended early"),
    ("cut chunk", {"raw": OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{"}, TransportError, "ended early"),
    ("gzip", {"raw": sized(b"not gzip", b"Content-Encoding: gzip")}, TransportError, "corrupt"),
    ("cut gzip", {"raw": sized(GROUP[:-9], b"Content-Encoding: gzip")}, TransportError, "ended early"),
    ("gzip without checksum", {"raw": sized(GROUP[:-6], b"Content-Encoding: gzip")}, TransportError, "ended early"),
    ("brotli", {"raw": sized(b"\x0b\x02\x80{}\x03", b"Content-Encoding: br")}, ResponseError, "encoding, 'br', is"),
    ("zstd", {"raw": sized(b"{}", b"Content-Encoding: zstd")}, ResponseError, "encoding, 'zstd', is"),
    ("cut, no length", {"raw": OK + b'\r\n{"id": "g", "na'}, TransportError, "ended early"),
    ("html", {"body": "<html>Log in</html>"}, ResponseError, "not JSON but text/html"),
    ("cut JSON", {"body": b'{"id": '}, TransportError, "ended early: the response is broken JSON"),
    ("broken JSON", {"body": b'{"id": }'}, ResponseError, "broken JSON"),
    ("no JSON", {"body": "hello"}, ResponseError, "not JSON but text/plain"),
    ("deep JSON", {"body": DEEP}, ResponseError, "broken JSON"),
    ("bad UTF-8", {"body": b'{"id": "\xff\xfe"}'}, ResponseError, "broken JSON"),
    ("NaN", {"body": b'{"id": NaN}'}, ResponseError, "broken JSON"),
    ("nothing", {"status": 200}, TransportError, "ended early: expected an object"),
    ("no content", {"status": 204}, ResponseError, "expected an object"),
    ("no type", {"raw": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!"}, ResponseError, "but no content type"),
]


class TestFailures:
    @pytest.mark.requirement("ER-1", "ER-4")
    @pytest.mark.parametrize(
        ("fault", "kind", "words"), [case[1:] for case in UNREADABLE], ids=[c[0] for c in UNREADABLE]
    )
    async def test_unusable_response_raises_an_sdk_error(
        self, emulator: Emulator, connect: Connect, group_id: str, fault: Json, kind: type[SecodaError], words: str
    ) -> None:
        emulator.faults.add(**fault)
        with pytest.raises(kind, match=words) as caught:
            await connect(retry=ONCE).groups.get(group_id)
        assert_only_sdk_errors(caught.value)
        assert (caught.value.method, caught.value.path) == ("GET", f"/api/v1/auth/group/{group_id}")
        assert caught.value.attempts == len(emulator.requests) == 1

    @pytest.mark.requirement("RT-1", "ER-1")
    @pytest.mark.parametrize("fault", [case[1] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
    async def test_unusable_response_to_a_create_leaves_the_outcome_unknown(
        self, emulator: Emulator, secoda: SecodaClient, fault: Json
    ) -> None:
        emulator.faults.add(**fault)
        with pytest.raises(OutcomeUnknownError) as caught:
            await secoda.groups.create(name="A")
        assert_only_sdk_errors(caught.value)
        assert isinstance(caught.value.__cause__, TransportError | ResponseError)
        assert (caught.value.name, caught.value.attempts, emulator.count("POST")) == ("A", 1, 1)

    @pytest.mark.requirement("ER-1", "RT-1")
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_refused_connection_is_retried_and_then_raised(
        self, connect: Connect, closed_port: int, method: str
    ) -> None:
        secoda = connect(base_url=f"http://127.0.0.1:{closed_port}", retry=RetryPolicy(attempts=3))
        with pytest.raises(TransportError, match=f"could not connect to 127.0.0.1:{closed_port}") as caught:
            await secoda.request(method, "tag")
        assert_only_sdk_errors(caught.value)
        assert (caught.value.attempts, caught.value.maybe_sent) == (3, False)
        assert secoda.limiter.state.free == 30

    @pytest.mark.requirement("ER-1")
    async def test_server_without_tls_raises_a_transport_error(self, connect: Connect) -> None:
        async with respond_once(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, _):
            secoda = connect(base_url=f"https://127.0.0.1:{port}", retry=ONCE)
            with pytest.raises(TransportError, match="no TLS connection to") as caught:
                await secoda.groups.create(name="A")
        assert_only_sdk_errors(caught.value)
        assert caught.value.maybe_sent is False

    @pytest.mark.requirement("ER-1")
    async def test_invalid_host_name_raises_a_configuration_error(self, connect: Connect) -> None:
        secoda = connect(base_url=f"https://{'a' * 70}.example")
        with pytest.raises(ConfigurationError, match="base_url") as caught:
            await secoda.groups.get("g")
        assert_only_sdk_errors(caught.value)

    @pytest.mark.requirement("RT-5")
    @pytest.mark.parametrize("stall", ["unread", "before", "after"])
    async def test_silent_server_raises_a_timeout_error(
        self, emulator: Emulator, connect: Connect, group_id: str, stall: Literal["unread", "before", "after"]
    ) -> None:
        emulator.faults.add(stall=stall)
        with pytest.raises(RequestTimeoutError, match=r"within 7 s") as caught:
            await connect(retry=ONCE, timeout=7).groups.get(group_id)
        assert isinstance(caught.value, TimeoutError)
        assert_only_sdk_errors(caught.value)

    async def test_body_larger_than_any_buffer_is_read_completely(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        description = "ü" * 3_000_000
        emulator.faults.add(transform=lambda group: group | {"description": description})
        assert (await secoda.groups.get(group_id)).description == description

    async def test_compressed_response_is_read(self, emulator: Emulator, secoda: SecodaClient) -> None:
        body = gzip.compress(b'{"id": "g", "name": "G"}')
        emulator.faults.add(raw=sized(body, b"Content-Encoding: gzip"))
        assert (await secoda.groups.get("g")).name == "G"


class TestIdleConnection:
    """A server writes 408 on an idle connection before it closes it: that is no answer to the next request."""

    @pytest.mark.requirement("RT-14")
    @pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
    @pytest.mark.parametrize("comes", ["before the request", "with the request"])
    async def test_408_on_an_idle_connection_is_retried_on_a_new_connection(self, method: str, comes: str) -> None:
        statuses: list[int | None] = []
        async with idle_server() as (port, idle), client_of(port, on_event=note_statuses(statuses)) as secoda:
            await secoda.request("GET", "tag")
            if comes == "before the request":
                idle.set()
                await drain_loop()
            assert await secoda.request(method, "tag", json=None if method in ("GET", "DELETE") else {}) == {}
        assert statuses == ([200, 200] if comes == "before the request" else [200, 408, 200])

    @pytest.mark.requirement("RT-14")
    async def test_delete_after_a_408_reports_a_missing_group(self) -> None:
        missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        async with idle_server(missing) as (port, _), client_of(port) as secoda:
            await secoda.request("GET", "tag")
            with pytest.raises(NotFoundError) as caught:
                await secoda.groups.delete("g")
        assert caught.value.attempts == 2

    @pytest.mark.requirement("RT-14")
    async def test_408_to_a_post_is_raised(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=408)
        with pytest.raises(APIError, match="408") as caught:
            await secoda.groups.create(name="A")
        assert (caught.value.attempts, emulator.count("POST")) == (1, 1)


class TestBodies:
    @pytest.mark.requirement("RT-14")
    @pytest.mark.parametrize("method", ["GET", "PATCH"])
    @pytest.mark.parametrize(
        "cut",
        [
            OK + b'\r\n{"id": "g", "name": "\xc3',
            OK + b"\r\n",
            sized(b""),
            sized(b'{"id": "g"'),
            sized(GROUP[:-1], b"Content-Encoding: gzip"),
            OK + b"Content-Encoding: gzip\r\n\r\n" + GROUP[:20],
            sized(zlib.compress(b'{"id": "g"}')[:-1], b"Content-Encoding: deflate"),
        ],
        ids=["no length", "empty, no length", "empty", "with length", "checksum", "half of gzip", "deflate"],
    )
    async def test_body_cut_short_is_retried(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, method: str, cut: bytes
    ) -> None:
        emulator.faults.add(raw=cut, method=method)
        group = secoda.groups.get(group_id) if method == "GET" else secoda.groups.update(group_id, name="New")
        assert (await group).id == group_id
        assert emulator.count(method) == 2

    @pytest.mark.requirement("RT-14")
    async def test_request_headers_accept_decodable_encodings_and_ask_caches_to_revalidate(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        await secoda.groups.get(group_id)
        await secoda.groups.update(group_id, name="New")
        get, patch = emulator.requests
        assert get.headers["Accept-Encoding"] == patch.headers["Accept-Encoding"] == "gzip, deflate"
        assert get.headers["Cache-Control"] == "no-cache"
        assert "Cache-Control" not in patch.headers

    @pytest.mark.requirement("RT-14")
    @pytest.mark.parametrize("coding", [b"br", b"gzip"])
    async def test_error_status_with_an_undecodable_body_raises_the_status_error(
        self, emulator: Emulator, secoda: SecodaClient, coding: bytes
    ) -> None:
        answer = b"HTTP/1.1 400 Bad\r\nContent-Encoding: %s\r\nContent-Length: 2\r\n\r\nxx"
        emulator.faults.add(raw=answer % coding)
        with pytest.raises(BadRequestError) as caught:
            await secoda.groups.create(name="A")
        assert (caught.value.status, caught.value.body) == (400, "")

    async def test_long_header_is_read(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(raw=sized(b'{"id": "g", "name": "G"}', b"X-Policy: " + b"a" * 20_000))
        assert (await secoda.groups.get("g")).name == "G"

    async def test_byte_order_mark_is_skipped(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(raw=sized(b'\xef\xbb\xbf{"id": "g", "name": "G"}'))
        assert (await secoda.groups.get("g")).name == "G"

    @pytest.mark.requirement("SEC-3")
    @pytest.mark.parametrize("fault", ["announced", "received", "decoded"])
    async def test_body_above_the_size_limit_raises_immediately(
        self, emulator: Emulator, secoda: SecodaClient, monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        monkeypatch.setattr(decoding, "MAX_RECEIVED", 2**21)
        monkeypatch.setattr(decoding, "MAX_DECODED", 2**22)
        bodies = {
            "announced": OK + b"Content-Length: 99999999\r\n\r\n",
            "received": OK + b"\r\n" + b" " * (2**21 + 1),
            "decoded": sized(gzip.compress(b" " * (2**22 + 1)), b"Content-Encoding: gzip"),
        }
        emulator.faults.add(raw=bodies[fault])
        with pytest.raises(ResponseError, match=f"larger than {4 if fault == 'decoded' else 2} MiB") as caught:
            await secoda.groups.get("g")
        assert (caught.value.attempts, len(emulator.requests)) == (1, 1)
        assert_only_sdk_errors(caught.value)

    @pytest.mark.requirement("SEC-3")
    async def test_event_loop_runs_while_a_large_body_is_decoded(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        body = b'{"id": "g", "name": "G"' + b" " * 2**24 + b"}"
        emulator.faults.add(raw=sized(gzip.compress(body), b"Content-Encoding: gzip"))
        counting = asyncio.create_task(count())
        with pytest.MonkeyPatch.context() as patch:
            first = 0

            def feed(decoder: decoding.Decoder, chunk: bytes) -> Iterator[None]:
                nonlocal first
                first = first or turns
                yield from whole(decoder, chunk)

            whole = decoding.Decoder.feed
            patch.setattr(decoding.Decoder, "feed", feed)
            await secoda.groups.get("g")
        counting.cancel()
        assert turns - first >= 15


class TestTranslation:
    """Failures that loopback cannot produce."""

    @pytest.mark.requirement("ER-1")
    @pytest.mark.parametrize(
        ("error", "kind", "words"),
        [
            (ConnectionResetError(104, "Connection reset by peer"), TransportError, "the connection broke: Connection"),
            (aiohttp.ClientConnectionError("secret"), TransportError, "the connection broke: ClientConnectionError"),
            (aiohttp.ServerTimeoutError("secret"), RequestTimeoutError, "closed the connection|no response in time"),
            (TimeoutError("secret"), RequestTimeoutError, "no response in time"),
            (RuntimeError("got Future attached to a different loop"), ConfigurationError, "another event loop"),
            (ValueError("secret"), ConfigurationError, "credentials of its own"),
        ],
    )
    @pytest.mark.parametrize("sent", [True, False])
    def test_every_aiohttp_error_becomes_an_sdk_error_with_its_send_state(
        self,
        error: Exception,
        kind: type[SecodaError],
        words: str,
        sent: bool,  # noqa: FBT001
    ) -> None:
        failed = translate(error, maybe_sent=sent)
        assert type(failed) is kind
        with pytest.raises(kind, match=words):
            raise failed
        assert "secret" not in str(failed)
        assert getattr(failed, "maybe_sent", sent) is sent

    @pytest.mark.requirement("ER-1")
    def test_translation_knows_every_error_of_aiohttp(self) -> None:
        errors = {
            error
            for error in vars(aiohttp).values()
            if isinstance(error, type) and issubclass(error, Exception) and not issubclass(error, Warning)
        }
        caught = (aiohttp.ClientError, OSError, RuntimeError, ValueError)
        others = {error.__name__ for error in errors if not issubclass(error, caught)}
        # Of websockets, multipart bodies and payloads by name: nothing that is used here.
        assert others <= {
            "WebSocketError",
            "WSMessageTypeError",
            "EofStream",
            "BadContentDispositionParam",
            "BadContentDispositionHeader",
            "LookupError",
        }


class TestNoHiddenResend:
    @pytest.mark.requirement("RT-3", "RT-9")
    @pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "PUT", "POST"])
    @pytest.mark.parametrize("drop", ["before", "after"])
    async def test_request_on_a_dropped_keep_alive_connection_is_sent_once(
        self, emulator: Emulator, connect: Connect, group_id: str, method: str, drop: Literal["before", "after"]
    ) -> None:
        secoda = connect(retry=ONCE)
        await secoda.groups.get(group_id)
        emulator.faults.add(drop=drop)
        with pytest.raises(SecodaError) as caught:
            await secoda.request(method, f"auth/group/{group_id}", json=None if method in ("GET", "DELETE") else {})
        assert [record.method for record in emulator.requests] == ["GET", method]
        assert caught.value.attempts == 1

    @pytest.mark.parametrize("is_borrowed", [False, True])
    @pytest.mark.parametrize("method", ["GET", "PUT"])
    async def test_error_of_an_idempotent_request_gives_the_reason_of_the_connection(
        self, method: str, *, is_borrowed: bool
    ) -> None:
        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async with AsyncExitStack() as stack:
            origin = await stack.enter_async_context(serve_with(reset))
            session = await stack.enter_async_context(aiohttp.ClientSession()) if is_borrowed else None
            secoda = await stack.enter_async_context(SecodaClient("key", base_url=origin, session=session, retry=ONCE))
            with pytest.raises(SecodaError, match="the connection broke:"):
                await secoda.request(method, "auth/group/g")

    @pytest.mark.requirement("RT-3")
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_attempts_equal_the_requests_that_the_server_saw(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str, method: str
    ) -> None:
        await secoda.groups.get(group_id)
        emulator.requests.clear()
        emulator.faults.add(drop="before", times=None)
        with pytest.raises(OutcomeUnknownError if method == "DELETE" else TransportError) as caught:
            await secoda.request(method, f"auth/group/{group_id}")
        assert caught.value.attempts == len(emulator.requests) == 5


@pytest.mark.requirement("SL-5")
async def test_ssl_context_of_the_caller_decides_which_certificates_are_trusted() -> None:
    context = ssl.create_default_context()
    async with SecodaClient("key", ssl=context) as secoda:
        connectors = [
            session.connector
            for sessions in (vars(secoda)["_pipeline"].transport._sessions.current(),)
            for session in (sessions.keep_alive, sessions.one_shot)
        ]
    assert all(getattr(connector, "_ssl", None) is context for connector in connectors)
