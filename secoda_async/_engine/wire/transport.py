"""One request out, one complete response in. This package is the only one that knows aiohttp.

Sessions are opened when first needed, one set for each event loop; a borrowed session is never closed. `failures.py`
turns every failure of aiohttp into an error that says whether the server may have received the request.
"""

import asyncio
import codecs
import platform
import ssl as ssl_module
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from attrs import define, field
from yarl import URL

from secoda_async._engine.concurrency.connection_limit import ConnectionLimit
from secoda_async._engine.concurrency.per_loop import LoopAffinity, PerLoop
from secoda_async._engine.concurrency.timeouts import client_closed_error
from secoda_async._engine.wire.decoding import LARGE, CutShortError, Decoder, UnusableBodyError
from secoda_async._engine.wire.failures import FAILURES, HEADER_LIMIT, OTHER_LOOP, DroppedError, translate
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async._engine.wire.proxies import environment_proxy
from secoda_async._engine.wire.redaction import secret_parts
from secoda_async._version import __version__
from secoda_async.config import Secret
from secoda_async.errors import ClientClosedError, ConfigurationError, SecodaError, TransportError

_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)
"""The pipeline measures the time: aiohttp's own total would count the wait for a free connection."""

_JSON: Final = {"Content-Type": "application/json"}
"""Sent with each call: a borrowed session may have another default."""

_UNCACHED: Final = {"Cache-Control": "no-cache"}
"""Asks caches on the way to revalidate: a read often follows a write."""

_READ_BUFFER: Final = 2**18
"""Bytes: a page of a hundred groups in one or two reads."""


@define(eq=False, repr=False)
class SendState:
    """The state of one request in flight."""

    maybe_sent: bool = False
    """Whether the request was handed to a connection: if not, the server can't have executed it."""


class _Body(aiohttp.Payload):
    """A JSON body that records when it is first written to a connection."""

    def __init__(self, body: bytes, state: SendState) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._state = state

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return cast("bytes", self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._state.maybe_sent = True
        await writer.write(cast("bytes", self._value))


async def _no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        dropped = DroppedError(error)
    raise dropped


class _Connector(aiohttp.TCPConnector):
    """Closes a kept connection that received bytes while it was idle, such as a 408.

    Those bytes would be taken for the response to the next request.
    """

    async def connect(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        connection = await super().connect(*arguments, **options)
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(*arguments, **options)
        return connection

    def abandon(self) -> object:
        """Forget all connections without closing them; returns them."""
        connections = (dict(self._conns), set(self._acquired))
        self._conns.clear()
        self._acquired.clear()
        return connections


async def _on_headers_sent(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    """Record that a request without a body is about to be written to a connection."""
    state: SendState | None = context.trace_request_ctx
    if state is not None:
        state.maybe_sent = True


@define(eq=False, repr=False)
class _Sessions:
    """The sessions of one event loop."""

    keep_alive: aiohttp.ClientSession
    """For everything that may be repeated: connections are kept and used again."""
    one_shot: aiohttp.ClientSession
    """For POST: a new connection each time, so that no create is sent just as the server closes a kept one."""
    limit: ConnectionLimit
    is_borrowed: bool = False
    """Whether the sessions belong to the caller."""

    def error_for(self, error: Exception, state: SendState) -> SecodaError:
        """Return the SDK's error for a failed request, and record whether the request was sent if that is proved."""
        if isinstance(error, RuntimeError) and (self.keep_alive.closed or self.one_shot.closed):
            if self.is_borrowed:
                return ClientClosedError("the aiohttp session that was passed to the client is closed")
            return client_closed_error()
        failed = translate(error, maybe_sent=state.maybe_sent)
        if isinstance(failed, TransportError):
            state.maybe_sent = failed.maybe_sent  # a connect error proves that nothing was sent
        return failed

    def abandon(self) -> object:
        """Forget the connections without closing them; returns them."""
        connectors = [cast("_Connector", session.connector) for session in (self.keep_alive, self.one_shot)]
        self.keep_alive.detach()
        self.one_shot.detach()
        return [(connector, connector.abandon()) for connector in connectors]

    async def close(self) -> None:
        """Close both, even if the event loop ends meanwhile and cancels this."""
        try:
            await self.keep_alive.close()
        finally:
            await self.one_shot.close()


def _open_sessions(max_connections: int, ssl: ssl_module.SSLContext | None, proxy: URL | None) -> _Sessions:
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_on_headers_sent)
    # The queue is our own connection limit: the connector's is off.
    keep_alive, one_shot = (
        aiohttp.ClientSession(
            connector=_Connector(limit=0, ssl=ssl or True, force_close=force_close),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER,
            proxy=proxy,
            trace_configs=[trace],
        )
        for force_close in (False, True)
    )
    return _Sessions(keep_alive, one_shot, ConnectionLimit(max_connections))


@define(eq=False, repr=False)
class _BorrowedSession:
    """The session that the caller passed: it stays on the event loop that uses it first."""

    session: aiohttp.ClientSession
    max_connections: int
    affinity: LoopAffinity = field(factory=LoopAffinity)

    def sessions(self) -> _Sessions:
        if not self.affinity.is_current():  # two threads would use its connections
            raise ConfigurationError(OTHER_LOOP)
        limit = (self.session.connector.limit if self.session.connector else 0) or self.max_connections
        connections = ConnectionLimit(min(limit, self.max_connections))
        return _Sessions(self.session, self.session, connections, is_borrowed=True)


async def _leave_open(_: _Sessions) -> None:
    """Do nothing: the owner closes a borrowed session."""


class Transport:
    """Sends requests to one origin."""

    def __init__(
        self,
        origin: str,
        *,
        max_connections: int,
        session: object,
        ssl: ssl_module.SSLContext | None,
        trust_env: bool,
        headers: Mapping[str, str],
    ) -> None:
        self.origin = origin
        self.secrets: tuple[str, ...] = secret_parts(headers.values())
        """Parts of the extra headers, which no error may show."""
        if session is None:
            # With trust_env on its sessions, aiohttp would read the environment and `.netrc` for each call.
            named = environment_proxy(origin) if trust_env else None
            proxy = None if named is None else URL(named)  # may hold a password, which aiohttp sends
            open_sessions = partial(_open_sessions, max_connections, ssl, proxy)
            self._sessions = PerLoop(open_sessions, _Sessions.close, client_closed_error, _Sessions.abandon)
        else:
            if not isinstance(session, aiohttp.ClientSession):
                raise ConfigurationError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
            borrow = _BorrowedSession(session, max_connections).sessions
            self._sessions = PerLoop(borrow, _leave_open, client_closed_error)
        agent = f"secoda-async/{__version__} aiohttp/{aiohttp.__version__} Python/{platform.python_version()}"
        own = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": agent}
        replaced = {name.lower() for name in headers}
        self._headers = {name: value for name, value in own.items() if name.lower() not in replaced} | {**headers}
        self._key: Secret | None = None
        self._headers_with_key: dict[str, str] = self._headers

    def connection_limit(self) -> ConnectionLimit:
        """Return the connection limit of the running event loop."""
        return self._sessions.current().limit

    async def exchange(self, request: Request, key: Secret, state: SendState) -> Reply:
        """Send one request once and read the response to its end, which releases or closes the connection.

        Raises:
            TransportError: When no complete response came. It has no cause: aiohttp's exceptions hold the headers.
        """
        sessions = self._sessions.current()
        if key is not self._key:
            self._headers_with_key = {**self._headers, "Authorization": Secret(f"Bearer {key}")}
            self._key = key
        headers = self._headers_with_key
        body: _Body | None = None
        if request.body is not None:
            body = _Body(request.body, state)
            headers = headers | _JSON
        else:
            # No trace reports the send on a borrowed session, so assume it, unless aiohttp refuses its closed session.
            state.maybe_sent = sessions.is_borrowed and not sessions.keep_alive.closed
            if request.method == "GET":
                headers = headers | _UNCACHED
        session = sessions.one_shot if request.method == "POST" else sessions.keep_alive
        try:
            response = await session.request(
                request.method,
                URL(f"{self.origin}{request.path}{'?' if request.query else ''}{request.query}", encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=_NO_TIMEOUT,
                middlewares=(_no_hidden_resend,),
                auto_decompress=False,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                trace_request_ctx=None if body is not None or sessions.is_borrowed else state,
            )
            content = await _body_of(response)
            return Reply(response.status, response.raw_headers, content.removeprefix(codecs.BOM_UTF8))
        except FAILURES as error:
            failed = sessions.error_for(error, state)
        raise failed

    async def close(self) -> None:
        """Close our own sessions: those of the running event loop now, those of other threads' loops soon."""
        await self._sessions.close()


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    """Read and decode a body, with bounded memory and without blocking the event loop for long.

    Raises:
        CutShortError, UnusableBodyError: When a success can't be decoded. The status is enough to know a failure.
    """
    encodings = response.headers.getall("Content-Encoding", ())
    length = response.content_length
    if not encodings and length is not None and length <= LARGE:  # the usual case
        return await response.read()
    try:
        decoder = Decoder(", ".join(encodings), length)
        async for chunk in response.content.iter_any():
            for _ in decoder.feed(chunk):
                await asyncio.sleep(0)
        content = decoder.finish()
    except (CutShortError, UnusableBodyError):
        response.close()
        if response.status < 300:  # noqa: PLR2004
            raise
        return b""
    except BaseException:
        response.close()
        raise
    await response.read()  # waits until the connection is released
    return content
