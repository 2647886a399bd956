"""One request out, one answer in, read whole: the only module that knows aiohttp.

Sessions are made when first needed, one set for each event loop, and closed only when they are ours. Every
failure of aiohttp leaves as a `TransportError` that says whether the server may have received the request.
"""

import asyncio
import codecs
import platform
import ssl as ssl_module
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from attrs import define, field
from yarl import URL

from secoda_async._engine.concurrency.connection_limit import ConnectionLimit
from secoda_async._engine.concurrency.per_loop import LoopAffinity, PerLoop
from secoda_async._engine.concurrency.timeouts import client_closed_error
from secoda_async._engine.wire.decoding import CutShortError, Decoder, UnusableBodyError
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async._engine.wire.proxies import environment_proxy
from secoda_async._version import __version__
from secoda_async.config import Secret
from secoda_async.errors import (
    ClientClosedError,
    ConfigurationError,
    RequestTimeoutError,
    ResponseError,
    TransportError,
)

_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)
"""The pipeline keeps the time: aiohttp's own total would count the wait for a free connection."""

_JSON: Final = {"Content-Type": "application/json"}
"""Said for each call: a session that was given may have another for all."""

_UNCACHED: Final = {"Cache-Control": "no-cache"}
"""Asks caches on the way to check with the server: a read often follows a write."""

_HEADER_LIMIT: Final = 2**16
"""Bytes of one header: aiohttp's own 8 KiB are less than some gateways send in a policy or cookie."""

_SMALL: Final = 2**20
"""Bytes of a body that needs no check while it is read."""

_READ_BUFFER: Final = 2**18
"""Bytes: a page of a hundred groups in one or two reads."""


@define(eq=False, repr=False)
class SendState:
    """What is known of a request while it is under way."""

    maybe_sent: bool = False
    """Whether any of the body was handed to a connection: without it the server can't have acted."""


class _Body(aiohttp.Payload):
    """A JSON body that notes the moment it is first written to a connection."""

    def __init__(self, body: bytes, wire: SendState) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._wire = wire

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return cast("bytes", self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self._wire.maybe_sent = True
        await writer.write(cast("bytes", self._value))


class _DroppedError(Exception):
    """A broken connection, in a type of our own: aiohttp repeats a request by itself when it sees one of its."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        super().__init__()
        self.reason = _reason(cause)


async def _no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        dropped = _DroppedError(error)
    raise dropped


class _Connector(aiohttp.TCPConnector):
    """Notes when a request without a body has a connection: from then on it may have been sent.

    A kept connection that has received bytes while it was idle, such as a 408, is closed: those bytes would be taken
    for the answer to the next request.
    """

    async def connect(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        connection = await super().connect(*arguments, **options)
        while connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super().connect(*arguments, **options)
        if (wire := _BODILESS.get()) is not None:
            wire.maybe_sent = True
        return connection

    def abandon(self) -> object:
        """Forget all connections without closing them; returns them."""
        connections = (dict(self._conns), set(self._acquired))
        self._conns.clear()
        self._acquired.clear()
        return connections


_BODILESS: Final[ContextVar[SendState | None]] = ContextVar("secoda_async_bodiless", default=None)
"""The request that this task is sending, when it has no body to tell."""


@define(eq=False, repr=False)
class _Sessions:
    """The sessions of one event loop."""

    reused: aiohttp.ClientSession
    """For everything that may be repeated: connections are kept and used again."""
    fresh: aiohttp.ClientSession
    """For POST: a connection of its own each time, so that none is sent just as the server hangs up."""
    slots: ConnectionLimit
    are_given: bool = False
    """Whether they are somebody else's."""

    def are_closed(self) -> bool:
        """Whether no request can be sent any more."""
        return self.reused.closed or self.fresh.closed

    def closed(self) -> ClientClosedError:
        """The error for a call on sessions that are closed."""
        return (
            ClientClosedError("the aiohttp session that the client was given is closed")
            if self.are_given
            else client_closed_error()
        )

    def abandon(self) -> object:
        """Forget the connections without closing them; returns them."""
        connectors = [cast("_Connector", session.connector) for session in (self.reused, self.fresh)]
        self.reused.detach()
        self.fresh.detach()
        return [(connector, connector.abandon()) for connector in connectors]

    async def close(self) -> None:
        """Close them both, even if the event loop ends meanwhile and cancels this."""
        try:
            await self.reused.close()
        finally:
            await self.fresh.close()


def _opened(max_connections: int, ssl: ssl_module.SSLContext | None, proxy: URL | None) -> _Sessions:
    """Sessions of our own."""
    # Our own slots do the queueing: the connector's limit is off.
    keep, close = (_Connector(limit=0, ssl=ssl or True, force_close=force) for force in (False, True))
    reused, fresh = (
        aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=_READ_BUFFER, proxy=proxy
        )
        for connector in (keep, close)
    )
    return _Sessions(reused, fresh, ConnectionLimit(max_connections))


@define(eq=False, repr=False)
class _Borrowed:
    """The session that the client was given: it stays on the event loop where it is used first."""

    session: aiohttp.ClientSession
    max_connections: int
    home: LoopAffinity = field(factory=LoopAffinity)

    def sessions(self) -> _Sessions:
        if not self.home.is_current():  # its connections would be used from two threads
            raise ConfigurationError(_ELSEWHERE)
        limit = (self.session.connector.limit if self.session.connector else 0) or self.max_connections
        return _Sessions(self.session, self.session, ConnectionLimit(min(limit, self.max_connections)), are_given=True)


async def _left_open(_: _Sessions) -> None:
    """What was borrowed is its owner's to close."""


class Transport:
    """Where requests go, and over which connections."""

    def __init__(
        self,
        origin: str,
        *,
        max_connections: int,
        session: object,
        ssl: ssl_module.SSLContext | None,
        trust_env: bool,
    ) -> None:
        self.origin = origin
        if session is None:
            # With `trust_env` on its sessions aiohttp would read it, and `.netrc`, in a thread for every call.
            named = environment_proxy(origin) if trust_env else None
            proxy = None if named is None else URL(named)  # may hold a password, which aiohttp sends
            self._sessions = PerLoop(
                partial(_opened, max_connections, ssl, proxy), _Sessions.close, client_closed_error, _Sessions.abandon
            )
        else:
            if not isinstance(session, aiohttp.ClientSession):
                raise ConfigurationError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
            self._sessions = PerLoop(_Borrowed(session, max_connections).sessions, _left_open, client_closed_error)
        self._url = URL(origin)
        agent = f"secoda-async/{__version__} aiohttp/{aiohttp.__version__} Python/{platform.python_version()}"
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": agent}
        self._key: Secret | None = None
        self._headers_with_key: dict[str, str] = self._headers

    def slots(self) -> ConnectionLimit:
        """The running event loop's places on the wire."""
        return self._sessions.current().slots

    async def exchange(self, request: Request, key: Secret, wire: SendState) -> Reply:
        """Send one request once and read its answer to the end; the connection is free again afterwards.

        Raises:
            TransportError: When no whole answer came. It has no cause: aiohttp's exceptions hold the headers.
        """
        sessions = self._sessions.current()
        headers = self._headers_for(key)
        body = None
        if request.body is not None:
            body = _Body(request.body, wire)
            headers = headers | _JSON
        else:
            wire.maybe_sent = sessions.are_given  # nothing will tell: assume it
            if request.method == "GET":
                headers = headers | _UNCACHED
        _BODILESS.set(wire if body is None else None)
        session = sessions.fresh if request.method == "POST" else sessions.reused
        if sessions.are_closed():
            raise sessions.closed()
        try:
            response = await session.request(
                request.method,
                self._url_of(request),
                data=body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=_NO_TIMEOUT,
                middlewares=(_no_hidden_resend,),
                auto_decompress=False,
                max_line_size=_HEADER_LIMIT,
                max_field_size=_HEADER_LIMIT,
            )
            content = await _body_of(response)  # read to the end, which releases the connection, or closes it
            return Reply(response.status, response.raw_headers, content.removeprefix(codecs.BOM_UTF8))
        except _FAILURES as error:
            was_closed = isinstance(error, RuntimeError) and sessions.are_closed()
            failed = sessions.closed() if was_closed else translated(error, wire)
        if isinstance(failed, TransportError):
            wire.maybe_sent = failed.maybe_sent  # the failure may know better
        raise failed

    def _headers_for(self, key: Secret) -> dict[str, str]:
        if key is not self._key:
            self._headers_with_key = {**self._headers, "Authorization": Secret(f"Bearer {key}")}
            self._key = key
        return self._headers_with_key

    def _url_of(self, request: Request) -> URL:
        url = self._url
        return URL.build(
            scheme=url.scheme,
            authority=url.raw_authority,
            path=request.path,
            query_string=request.query,
            encoded=True,
        )

    async def close(self) -> None:
        """Close the sessions that are ours: the running event loop's now, those of other threads' loops soon."""
        await self._sessions.close()


_FAILURES: Final = (
    aiohttp.ClientError,
    _DroppedError,
    OSError,
    RuntimeError,
    ValueError,
    CutShortError,
    UnusableBodyError,
)
"""Everything that `translated` knows."""


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    """Read and decode a body, within bounds of memory and of time between two turns of the event loop.

    Raises:
        CutShortError, UnusableBodyError: When a success can't be decoded. A failure is known by its status alone.
    """
    encodings = response.headers.getall("Content-Encoding", ())
    length = response.content_length
    if not encodings and length is not None and length <= _SMALL:  # as most are
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


def translated(error: Exception, wire: SendState) -> TransportError | ClientClosedError | ConfigurationError | ResponseError:
    """Our error for one of aiohttp's: what happened, in words, and whether the request may have been sent."""
    if isinstance(error, UnusableBodyError):
        return ResponseError(f"the answer can't be read: {error}")
    if (problem := _problem_with_settings(error)) is not None:
        return ConfigurationError(problem)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)):
        failed = TransportError(_reason(error))
        failed.maybe_sent = False
        return failed
    kind = RequestTimeoutError if isinstance(error, TimeoutError) else TransportError
    failed = kind(error.reason if isinstance(error, _DroppedError) else _reason(error))
    # Headers that can't be read and bodies that end early are an answer: the request did arrive.
    failed.maybe_sent = wire.maybe_sent or isinstance(error, _ANSWERS)
    return failed


def _problem_with_settings(error: Exception) -> str | None:
    """Name the setting at fault, when another attempt would fail alike."""
    if isinstance(error, RuntimeError):
        return _ELSEWHERE
    if isinstance(error, UnicodeError):
        return "the host in base_url is not a name that can be looked up"
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status in _PROXY_REFUSALS:
        return f"the proxy answered {error.status}: {_PROXY_REFUSALS[error.status]}"
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return "the session has credentials of its own (auth=, or trust_env and a .netrc), and they exclude the API key"
    return None


_ELSEWHERE: Final = (
    "the aiohttp session that the client was given belongs to another event loop or process: "
    "leave session= out, and the client makes one for each"
)


def _reason(error: Exception) -> str:
    """What happened, without a URL, a header or another exception in it."""
    if isinstance(error, aiohttp.ClientResponseError) and error.message.startswith("Got more than"):
        return f"a header of the answer is too long: more than {_HEADER_LIMIT // 1024} KiB"
    for kind, words in _REASONS:
        if isinstance(error, kind):
            where = f"{error.host}:{error.port}" if isinstance(error, aiohttp.ClientConnectorError) else ""
            return words.format(where=where, why=_system_reason(error), status=getattr(error, "status", None))
    return f"the connection broke: {_system_reason(error)}"


_ANSWERS: Final = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, CutShortError)

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "the name of {where} could not be looked up: check base_url and the network"),
    (aiohttp.ClientConnectorCertificateError, "the certificate of {where} is not trusted: {why}"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection to {where}: {why}"),
    (aiohttp.ClientConnectorError, "could not connect to {where}: {why}"),
    (aiohttp.ClientHttpProxyError, "the proxy could not connect: it answered {status}"),
    (aiohttp.ClientResponseError, "the answer is not valid HTTP"),
    (aiohttp.ClientPayloadError, "the answer ended early or is corrupt"),
    (CutShortError, "the answer ended early or is corrupt"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (TimeoutError, "no answer in time"),
)
"""In words: the first that fits, the narrower before the wider."""


_PROXY_REFUSALS: Final = {
    403: "it does not allow connections to this host or port",
    407: "it wants a user and password in HTTPS_PROXY (http://user:password@host:port), or those there are wrong",
}
"""What does not change when it is tried again; a wrong password tried often may lock an account."""


def _system_reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", None) or type(error.certificate_error).__name__
    return getattr(error, "strerror", None) or type(error).__name__
