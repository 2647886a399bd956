"""One request out, one answer in, read whole: the only module that knows aiohttp.

Sessions are made when first needed, one set for each event loop, and closed only when they are ours. Every
failure of aiohttp leaves as a `TransportError` that says whether the server may have received the request.
"""

import asyncio
import contextlib
import platform
import ssl as ssl_module
import urllib.request
import weakref
from collections.abc import AsyncGenerator
from typing import Final, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from attrs import define
from yarl import URL

from secoda_async._engine.protocol import Reply, Request
from secoda_async._version import __version__
from secoda_async.config import Secret
from secoda_async.errors import ClientClosedError, ConfigurationError, RequestTimeoutError, TransportError

_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=None)
"""The pipeline keeps the time: aiohttp's own total would count the wait for a free connection."""

_READ_BUFFER: Final = 2**18
"""Bytes: a page of a hundred groups in one or two reads."""


@define(eq=False, repr=False)
class Wire:
    """What is known of a request while it is under way."""

    maybe_sent: bool = False
    """Whether any of the body was handed to a connection: without it the server can't have acted."""


class _Body(aiohttp.Payload):
    """A JSON body that notes the moment it is first written to a connection."""

    def __init__(self, body: bytes, wire: Wire) -> None:
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


@define(eq=False, repr=False)
class _Sessions:
    """The sessions of one event loop."""

    reused: aiohttp.ClientSession
    """For everything that may be repeated: connections are kept and used again."""
    fresh: aiohttp.ClientSession
    """For POST: a connection of its own each time, so that none is sent just as the server hangs up."""
    slots: asyncio.Semaphore
    """How many requests may be on the wire: aiohttp's own queue would be counted as time on the wire."""
    keeper: AsyncGenerator[None, None] | None = None
    """Closes sessions that are ours, when it is closed itself."""
    closing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close what is ours."""
        if self.keeper is not None:
            await self.keeper.aclose()

    def close_soon(self) -> None:
        """Close it in a task of this event loop."""
        self.closing = asyncio.ensure_future(self.close())


class Transport:
    """Where requests go, and over which connections."""

    def __init__(
        self,
        origin: str,
        *,
        max_connections: int,
        session: aiohttp.ClientSession | None,
        ssl: ssl_module.SSLContext | None,
        trust_env: bool,
    ) -> None:
        self.origin = origin
        self._max_connections = max_connections
        self._borrowed = session
        self._home: weakref.ref[asyncio.AbstractEventLoop] | None = None
        """The event loop of a borrowed session: the first it is used on."""
        self._ssl = ssl
        self._proxy = _environment_proxy(origin) if trust_env else None  # may hold a password, which aiohttp sends
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Sessions] = WeakKeyDictionary()
        agent = f"secoda-async/{__version__} aiohttp/{aiohttp.__version__} Python/{platform.python_version()}"
        self._headers = {"Accept": "application/json", "User-Agent": agent}

    def slots(self) -> asyncio.Semaphore:
        """The running event loop's places on the wire."""
        return self._open().slots

    async def exchange(self, request: Request, key: Secret, wire: Wire) -> Reply:
        """Send one request once and read its answer to the end; the connection is free again afterwards.

        Raises:
            TransportError: When no whole answer came. It has no cause: aiohttp's exceptions hold the headers.
        """
        sessions = self._open()
        headers = {**self._headers, "Authorization": Secret(f"Bearer {key}")}
        body = None
        if request.body is not None:
            body = _Body(request.body, wire)
        else:
            wire.maybe_sent = True  # nothing will tell: assume it
        session = sessions.fresh if request.method == "POST" else sessions.reused
        if session.closed:
            raise ClientClosedError("the aiohttp session that the client was given is closed")
        try:
            async with session.request(
                request.method,
                URL(f"{self.origin}{request.path}{'?' if request.query else ''}{request.query}", encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                timeout=_NO_TIMEOUT,
                middlewares=(_no_hidden_resend,),
            ) as response:
                content = await response.read()
                return Reply(response.status, response.raw_headers, content)
        except (aiohttp.ClientError, _DroppedError, OSError, RuntimeError, ValueError) as error:
            failed = translated(error, wire)
        if isinstance(failed, TransportError):
            wire.maybe_sent = failed.maybe_sent  # the failure may know better
        raise failed

    def _open(self) -> _Sessions:
        loop = asyncio.get_running_loop()
        sessions = self._sessions.get(loop)
        if sessions is None:
            for ended in [known for known in self._sessions if known.is_closed()]:
                del self._sessions[ended]  # a session refers to its loop: by itself neither would go
            sessions = self._sessions[loop] = self._borrow() if self._borrowed else self._make()
        return sessions

    def _make(self) -> _Sessions:
        # Our own slots do the queueing: the connector's limit is off.
        context = self._ssl or True
        keep, close = (aiohttp.TCPConnector(limit=0, ssl=context, force_close=f) for f in (False, True))
        reused, fresh = (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_READ_BUFFER,
                proxy=self._proxy,
            )
            for connector in (keep, close)
        )
        keeper = _kept(reused, fresh)
        with contextlib.suppress(StopIteration):
            anext(keeper).send(None)  # from here on the loop knows of it
        return _Sessions(reused, fresh, asyncio.Semaphore(self._max_connections), keeper)

    def _borrow(self) -> _Sessions:
        session = cast("aiohttp.ClientSession", self._borrowed)
        loop = asyncio.get_running_loop()
        self._home = self._home or weakref.ref(loop)
        if self._home() is not loop:  # its connections would be used from two threads
            raise _elsewhere()
        limit = (session.connector.limit if session.connector else 0) or self._max_connections
        return _Sessions(session, session, asyncio.Semaphore(min(limit, self._max_connections)))

    async def close(self) -> None:
        """Close the sessions that are ours: the running event loop's now, those of other threads' loops soon."""
        for loop, sessions in tuple(self._sessions.items()):
            if loop is asyncio.get_running_loop():
                await sessions.close()
            else:
                with contextlib.suppress(RuntimeError):  # that loop has ended, and has closed them
                    loop.call_soon_threadsafe(sessions.close_soon)
        self._sessions.clear()


async def _kept(*sessions: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Close the sessions at the end: at the latest with the event loop, which closes all generators (`asyncio.run`).

    A client that serves several loops, one after the other, can be closed in none but the last.
    """
    try:
        yield
    finally:
        for session in sessions:
            await session.close()


def translated(error: Exception, wire: Wire) -> TransportError | ClientClosedError | ConfigurationError:
    """Our error for one of aiohttp's: what happened, in words, and whether the request may have been sent."""
    if isinstance(error, RuntimeError):
        return _elsewhere()
    if isinstance(error, UnicodeError):
        return ConfigurationError("the host in base_url is not a name that can be looked up")
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return ConfigurationError(
            "the session has credentials of its own (auth=, or trust_env and a .netrc), and they exclude the API key"
        )
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)):
        failed = TransportError(_reason(error))
        failed.maybe_sent = False
        return failed
    kind = RequestTimeoutError if isinstance(error, TimeoutError) else TransportError
    failed = kind(error.reason if isinstance(error, _DroppedError) else _reason(error))
    # Headers that can't be read and bodies that end early are an answer: the request did arrive.
    failed.maybe_sent = wire.maybe_sent or isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError))
    return failed


def _elsewhere() -> ConfigurationError:
    """The error for a session that is used on an event loop it was not made on."""
    return ConfigurationError(
        "the aiohttp session that the client was given belongs to another event loop: "
        "leave session= out, and the client makes one for each loop"
    )


def _reason(error: Exception) -> str:
    """What happened, without a URL, a header or another exception in it."""
    for kind, words in _REASONS:
        if isinstance(error, kind):
            where = f"{error.host}:{error.port}" if isinstance(error, aiohttp.ClientConnectorError) else ""
            return words.format(where=where, why=_system_reason(error))
    return f"the connection broke: {_system_reason(error)}"


_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "the name of {where} could not be looked up: check base_url and the network"),
    (aiohttp.ClientConnectorCertificateError, "the certificate of {where} is not trusted"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection to {where}: {why}"),
    (aiohttp.ClientConnectorError, "could not connect to {where}: {why}"),
    (aiohttp.ClientHttpProxyError, "the proxy refused to connect"),
    (aiohttp.ClientResponseError, "the answer is not valid HTTP"),
    (aiohttp.ClientPayloadError, "the answer ended early or is corrupt"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (TimeoutError, "no answer in time"),
)
"""In words: the first that fits, the narrower before the wider."""


def _system_reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _environment_proxy(origin: str) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for this origin, read once.

    With `trust_env` on its sessions aiohttp would read them, and `.netrc`, in a thread for every call.
    """
    parts = urlsplit(origin)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    try:
        url = URL(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"the environment's proxy for {parts.scheme} is not an http(s) URL")
    return url
