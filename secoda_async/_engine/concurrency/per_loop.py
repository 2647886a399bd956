"""One value per event loop, for objects that event loops can't share; it is closed with its loop at the latest."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Generic, TypeVar
from weakref import ref

from secoda_async.errors import ConfigurationError

T = TypeVar("T")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    Raises:
        ConfigurationError: If no event loop of asyncio runs, for example because trio runs the coroutine.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "the client needs a running asyncio event loop; trio is not supported, anyio is with its asyncio backend"
        ) from None


class _Entry(Generic[T]):
    """The value of one event loop."""

    def __init__(self, value: T, finalizer: AsyncGenerator[None, None]) -> None:
        self.value = value
        self.finalizer = finalizer
        """Closes the value when it is closed itself."""
        self.closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Close the value in a task of the running event loop."""
        self.closing = asyncio.ensure_future(self.finalizer.aclose())


class PerLoop(Generic[T]):
    """A value that each event loop has its own of, such as connections: `current()` is the running loop's.

    Args:
        make: Makes a value.
        close: Closes a value, on its own event loop: when `close()` is called, or when the loop ends (`asyncio.run`
            closes all async generators that are left). An owner that was used on several event loops, one after the
            other, can only be closed on the last.
        closed_error: Makes the error of `current()` after `close()`. Without it, a new value is made.
        abandon: Makes a value harmless in a forked process, where the parent keeps using it: the child neither uses
            nor closes it. Returns the objects that must not be garbage-collected.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        closed_error: Callable[[], Exception] | None = None,
        abandon: Callable[[T], object] = lambda value: value,
    ) -> None:
        self._make = make
        self._close = close
        self._closed_error = closed_error
        self._is_closed = False
        self._abandon = abandon
        self._process = os.getpid()
        self._entries: dict[asyncio.AbstractEventLoop, _Entry[T]] = {}
        self._lock = threading.RLock()

    def current(self) -> T:
        """Return the running event loop's value; the first call makes it."""
        loop = running_loop()
        entry = self._entries.get(loop)
        if entry is None or self._process != os.getpid():
            entry = self._create(loop)
        return entry.value

    def _create(self, loop: asyncio.AbstractEventLoop) -> _Entry[T]:
        with self._lock:  # a `close` in another thread either precedes this or finds the new entry
            self._abandon_inherited()
            if self._is_closed and self._closed_error is not None:
                raise self._closed_error()
            value = self._make()
            finalizer = _finalize(value, self._close)
            # The first step registers the generator with the loop's hooks, so that `shutdown_asyncgens` closes it.
            with contextlib.suppress(StopIteration):
                anext(finalizer).send(None)
            for closed in [known for known in self._entries if known.is_closed()]:
                del self._entries[closed]
            entry = self._entries[loop] = _Entry(value, finalizer)
        return entry

    def _abandon_inherited(self) -> None:
        """In a forked process, keep all inherited values unused and away from the garbage collector."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        _INHERITED.extend((entry, self._abandon(entry.value)) for entry in self._entries.values())
        self._entries.clear()

    async def close(self) -> None:
        """Close the running event loop's value now, and the values of other threads' loops soon."""
        with self._lock:
            self._abandon_inherited()
            self._is_closed = True
            entries = tuple(self._entries.items())
            self._entries.clear()
        for loop, entry in entries:
            if loop is asyncio.get_running_loop():
                await entry.finalizer.aclose()
            else:
                with contextlib.suppress(RuntimeError):  # that loop is closed, and has closed the value
                    loop.call_soon_threadsafe(entry.close_soon)


class LoopAffinity:
    """The event loop that a borrowed object belongs to: the first it is used on."""

    def __init__(self) -> None:
        self._loop: ref[asyncio.AbstractEventLoop] | None = None
        self._process = 0

    def is_current(self) -> bool:
        """Return whether that loop is the running one, in the same process."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._process = ref(loop), os.getpid()
        return self._loop() is loop and self._process == os.getpid()


_INHERITED: Final[list[object]] = []
"""Objects that a forked process got from its parent: closing them would affect the parent's connections or selector."""


async def _finalize(value: T, close: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None, None]:
    process = os.getpid()
    try:
        yield
    finally:
        if process == os.getpid():
            await close(value)
