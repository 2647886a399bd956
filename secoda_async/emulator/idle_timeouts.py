"""Idle connections that the server closes with a 408, as load balancers do."""

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from secoda_async.emulator.clock import Clock, Timer

if TYPE_CHECKING:
    from aiohttp import web

REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

# aiohttp has one task for each connection; unlike the transport, the task exists until the connection has ended.
_Timers = WeakKeyDictionary["asyncio.Task[None]", Timer]


@attrs.define(eq=False)
class IdleTimeouts:
    """One timer for each connection that waits for its next request."""

    _clock: Clock = attrs.field(alias="clock")
    _timers: _Timers = attrs.field(init=False, factory=_Timers)

    def start(self, request: "web.Request", seconds: float | None) -> None:
        """Start the timer of a connection after a response; None: no timeout."""
        transport = request.transport
        if seconds is not None and transport is not None:
            self._timers[request.task] = self._clock.call_later(seconds, lambda: _time_out(transport))

    def stop(self, request: "web.Request") -> bool:
        """Stop the timer of a request's connection.

        Returns:
            False if the 408 was sent while the request arrived: the request must not be executed.
        """
        timer = self._timers.pop(request.task, None)
        if timer is None:
            return True
        timer.cancel()
        transport = request.transport
        return transport is not None and not transport.is_closing()

    def cancel_all(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


def _time_out(transport: asyncio.WriteTransport) -> None:
    """Send the 408 and close the connection, unless the client has closed it."""
    if not transport.is_closing():
        transport.write(REQUEST_TIMEOUT)
        transport.close()
