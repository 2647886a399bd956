"""Stretches of a call that end early: when their time is up, or when the client is closed."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

from secoda_async.clock import Clock
from secoda_async.errors import ClientClosedError

T = TypeVar("T")


class TimeUpError(Exception):
    """A stretch took as long as it may; the pipeline says what that means."""


class Lifetime:
    """What a client has under way, and whether it is still open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._under_way: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}
        self.is_closed = False

    async def bounded(self, work: Awaitable[T], seconds: float | None) -> T:
        """Await `work` for at most `seconds` (None: as long as it takes), or until the client is closed.

        Raises:
            TimeUpError: When the seconds are over; `work` has been cancelled.
            ClientClosedError: When the client was closed meanwhile; likewise.
        """
        if self.is_closed:
            if asyncio.iscoroutine(work):
                work.close()
            raise closed()
        timeout = asyncio.timeout(None)
        try:
            async with timeout:
                self._under_way[timeout] = asyncio.get_running_loop()
                timer = None if seconds is None else self._clock.call_later(seconds, lambda: self._end(timeout))
                try:
                    return await work
                finally:
                    if timer is not None:
                        timer.cancel()
                    del self._under_way[timeout]
        except TimeoutError as error:
            if type(error) is not TimeoutError or not timeout.expired():
                raise  # one of ours, from inside
        # Raised out here, so that the error has no context: that would hold the frames of what was cancelled.
        if self.is_closed:
            raise closed()
        raise TimeUpError

    def close(self) -> None:
        """End everything that is under way, on other event loops too."""
        self.is_closed = True
        for timeout, loop in tuple(self._under_way.items()):
            if loop is asyncio.get_running_loop():
                self._end(timeout)
            else:
                with contextlib.suppress(RuntimeError):  # that loop has ended, and all on it
                    loop.call_soon_threadsafe(self._end, timeout)

    def _end(self, timeout: asyncio.Timeout) -> None:
        if timeout in self._under_way and not timeout.expired():
            timeout.reschedule(asyncio.get_running_loop().time())


def closed() -> ClientClosedError:
    """The error for a call on a client that is closed."""
    return ClientClosedError("the client is closed: make the call inside `async with SecodaClient(...)`")
