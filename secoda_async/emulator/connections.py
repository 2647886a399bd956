"""TCP connections: clients that close their sending side before they have the response, and malformed requests."""

import asyncio
import logging
from typing import Final

import attrs
from aiohttp.http import HttpProcessingError

ITERATIONS_AFTER_EOF: Final = 20
"""Iterations of the event loop after the end of the input, in which aiohttp writes the response to the last request."""

LOGGER: Final = logging.getLogger("secoda_async.emulator")


class _WithoutBadRequests(logging.Filter):
    """Drops what aiohttp logs about malformed requests: they are the client's, and they get a 400."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


LOGGER.addFilter(_WithoutBadRequests())


@attrs.define(eq=False)
class HalfClosableProtocol(asyncio.Protocol):
    """Passes the events of a connection to aiohttp's protocol, which by itself aborts a response at the client's EOF.

    A client may close its sending side after its request. The connection stays open for some iterations of the loop,
    and `close` sends what is written by then. A response that has to wait longer (`latency`, a fault) is not sent.
    """

    _inner: asyncio.Protocol = attrs.field(alias="inner")
    _transport: asyncio.BaseTransport | None = attrs.field(init=False, default=None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass on that the connection is open."""
        self._transport = transport
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection is closed."""
        self._transport = None
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on data."""
        self._inner.data_received(data)

    def eof_received(self) -> bool:
        """Keep the connection open for a few iterations of the event loop."""
        self._close_after(ITERATIONS_AFTER_EOF)
        return True

    def pause_writing(self) -> None:
        """Pass on that the write buffer is full."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the write buffer has room."""
        self._inner.resume_writing()

    def _close_after(self, iterations: int) -> None:
        if iterations:
            asyncio.get_running_loop().call_soon(self._close_after, iterations - 1)
        elif self._transport is not None:
            self._transport.close()
