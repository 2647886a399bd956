"""One request out, one complete response in. This package is the only one that knows aiohttp.

Sessions are opened when first needed, one set for each event loop; a borrowed session is never closed. `failures.py`
turns every failure of aiohttp into an error that says whether the server may have received the request.
"""

import asyncio
import codecs
import platform
import ssl as ssl_module
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from attrs import define, field
from multidict import CIMultiDict
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


_BODILESS: Final = ContextVar[SendState | None]("secoda_async_bodiless", default=None)
"""The state of the request that the present task sends, if the request has no body to record the send."""


class _Connector(aiohttp.TCPConnector):
    """Records that a request without a body is about to be written to a connection.

    A kept connection that received bytes while it was idle, such as a 408, is closed: those bytes would be taken for
    the response to the next request.
    """

    async def connect(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        connection = await super().connect(*arguments, **options)
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(*arguments, **options)
        state = _BODILESS.get()
        if state is not None:
            state.maybe_sent = True
        return connection

    def abandon(self) -> object:
        """Forget all connections without closing them; returns them."""
        connections = (dict(self._conns), set(self._acquired))
        self._conns.clear()
        self._acquired.clear()
        return connections


@define(eq=False, repr=False)
class Sessions:
    """The sessions of one event loop."""

    keep_alive: aiohttp.ClientSession
    """For everything that may be repeated: connections are kept and used again."""
    one_shot: aiohttp.ClientSession
    """For POST: a new connection each time, so that no create is sent just as the server closes a kept one."""
    limit: ConnectionLimit
    is_borrowed: bool = False
    """Whether the sessions belong to the caller."""
    loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.get_running_loop)

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
        sessions = (self.keep_alive, self.one_shot)
        connectors = [cast("_Connector", session.connector) for session in sessions if not session.closed]
        self.keep_alive.detach()
        self.one_shot.detach()
        return [(connector, connector.abandon()) for connector in connectors]

    async def close(self) -> None:
        """Close both, even if the event loop ends meanwhile and cancels this."""
        try:
            await self.keep_alive.close()
        finally:
            await self.one_shot.close()


def _open_sessions(max_connections: int, ssl: ssl_module.SSLContext | None, proxy: URL | None) -> Sessions:
    # The queue is our own connection limit: the connector's is off.
    keep_alive, one_shot = (
        aiohttp.ClientSession(
            connector=_Connector(limit=0, ssl=ssl or True, force_close=force_close),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER,
            proxy=proxy,
        )
        for force_close in (False, True)
    )
    return Sessions(keep_alive, one_shot, ConnectionLimit(max_connections))


@define(eq=False, repr=False)
class _BorrowedSession:
    """The session that the caller passed: it stays on the event loop that uses it first."""

    session: aiohttp.ClientSession
    max_connections: int
    affinity: LoopAffinity = field(factory=LoopAffinity)

    def sessions(self) -> Sessions:
        if not self.affinity.is_current():  # two threads would use its connections
            raise ConfigurationError(OTHER_LOOP)
        limit = (self.session.connector.limit if self.session.connector else 0) or self.max_connections
        connections = ConnectionLimit(min(limit, self.max_connections))
        return Sessions(self.session, self.session, connections, is_borrowed=True)


async def _leave_open(_: Sessions) -> None:
    """Do nothing: the owner closes a borrowed session."""


class _Headers:
    """The headers of all requests with one key."""

    def __init__(self, own: CIMultiDict[str], key: Secret) -> None:
        self.key = key
        self.plain = CIMultiDict(own, Authorization=Secret(f"Bearer {key}"))
        # Caches on the way shall revalidate: a read often follows a write.
        self.read = CIMultiDict(self.plain, **{"Cache-Control": "no-cache"})
        # A borrowed session may have another default.
        self.with_body = CIMultiDict(self.plain, **{"Content-Type": "application/json"})


_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"secoda-async/{__version__} aiohttp/{aiohttp.__version__} Python/{platform.python_version()}",
}


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
        self.secrets: tuple[Secret, ...] = secret_parts(headers.values())
        """Parts of the extra headers, which no error may show."""
        if session is None:
            # With trust_env on its sessions, aiohttp would read the environment and `.netrc` for each call.
            named = environment_proxy(origin) if trust_env else None
            proxy = None if named is None else URL(named)  # may hold a password, which aiohttp sends
            open_sessions = partial(_open_sessions, max_connections, ssl, proxy)
            self._sessions = PerLoop(open_sessions, Sessions.close, client_closed_error, Sessions.abandon)
        else:
            if not isinstance(session, aiohttp.ClientSession):
                raise ConfigurationError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
            borrow = _BorrowedSession(session, max_connections).sessions
            self._sessions = PerLoop(borrow, _leave_open, client_closed_error)
        self._url = URL(origin)
        self._own_headers = CIMultiDict(_HEADERS)
        self._own_headers.update(headers)
        self._headers: _Headers | None = None

    def sessions(self) -> Sessions:
        """Return the sessions of the running event loop."""
        return self._sessions.current()

    async def exchange(self, sessions: Sessions, request: Request, key: Secret, state: SendState) -> Reply:
        """Send one request once and read the response to its end, which releases or closes the connection.

        Raises:
            TransportError: When no complete response came. It has no cause: aiohttp's exceptions hold the headers.
        """
        if request.body is None:
            body = None
            _BODILESS.set(state)
            # The connector of a borrowed session records nothing: assume the send, unless the session is closed.
            state.maybe_sent = sessions.is_borrowed and not sessions.keep_alive.closed
        else:
            body = _Body(request.body, state)
            _BODILESS.set(None)
        session = sessions.one_shot if request.method == "POST" else sessions.keep_alive
        try:
            response = await session.request(
                request.method,
                self._url_of(request),
                data=body,
                headers=self._headers_of(request, key),
                allow_redirects=False,
                raise_for_status=False,
                timeout=_NO_TIMEOUT,
                middlewares=() if request.method == "PATCH" else (_no_hidden_resend,),  # aiohttp repeats no PATCH
                auto_decompress=False,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
            )
            length = response.content_length
            is_plain = "Content-Encoding" not in response.headers and length is not None and length <= LARGE
            content = await (response.read() if is_plain else _decoded_body_of(response))
            return Reply(response.status, response.raw_headers, content.removeprefix(codecs.BOM_UTF8))
        except FAILURES as error:
            failed = sessions.error_for(error, state)
        raise failed

    def _headers_of(self, request: Request, key: Secret) -> CIMultiDict[str]:
        headers = self._headers
        if headers is None or headers.key is not key:
            headers = self._headers = _Headers(self._own_headers, key)
        if request.body is not None:
            return headers.with_body
        return headers.read if request.method == "GET" else headers.plain

    def _url_of(self, request: Request) -> URL:
        if request.query:
            return URL(f"{self.origin}{request.path}?{request.query}", encoded=True)
        return self._url.with_path(request.path, encoded=True)

    async def close(self) -> None:
        """Close our own sessions: those of the running event loop now, those of other threads' loops soon."""
        await self._sessions.close()


async def _decoded_body_of(response: aiohttp.ClientResponse) -> bytes:
    """Read and decode any body, with bounded memory and without blocking the event loop for long.

    Raises:
        CutShortError, UnusableBodyError: When a success can't be decoded. The status is enough to know a failure.
    """
    try:
        encodings = response.headers.getall("Content-Encoding", ())
        decoder = Decoder(", ".join(encodings), response.content_length)
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
