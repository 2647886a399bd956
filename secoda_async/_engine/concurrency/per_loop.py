"""One value for each event loop that needs it, closed with the loop at the latest."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from attrs import define

from secoda_async.errors import ConfigurationError

T = TypeVar("T")


def check_event_loop() -> None:
    """Check that asyncio runs this code.

    Raises:
        ConfigurationError: When another library does, such as trio, or none.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        problem = (
            "the client needs a running asyncio event loop; trio is not supported, anyio is with its asyncio backend"
        )
    else:
        return
    raise ConfigurationError(problem)


@define(eq=False, repr=False)
class _Entry(Generic[T]):
    """The value of one event loop."""

    value: T
    finalizer: AsyncGenerator[None, None]
    """Closes the value, when it is closed itself."""
    closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Close it in a task of this event loop."""
        self.closing = asyncio.ensure_future(self.finalizer.aclose())


class PerLoop(Generic[T]):
    """What can't be shared by event loops, such as connections: `current()` is that of the running one.

    Args:
        make: Makes one.
        close: Closes one: called on its own event loop by `close`, or at the end of the loop (`asyncio.run`
            closes all generators that are left). An owner that serves several loops, one after the other, can
            be closed in none but the last.
        closed: The error of `current()` after `close()`. Without it, one is made again.
        abandon: Makes one harmless in a forked process, where the parent goes on using it: it is neither used nor
            closed there. Returns what must not be garbage-collected.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        closed: Callable[[], Exception] | None = None,
        abandon: Callable[[T], object] = id,
    ) -> None:
        self._make = make
        self._close = close
        self._closed = closed
        self._is_closed = False
        self._abandon = abandon
        self._process = os.getpid()
        self._entries: WeakKeyDictionary[asyncio.AbstractEventLoop, _Entry[T]] = WeakKeyDictionary()
        self._lock = threading.RLock()

    def current(self) -> T:
        """The running event loop's, made when first asked for."""
        loop = asyncio.get_running_loop()
        entry = self._entries.get(loop)
        if entry is None or self._process != os.getpid():
            entry = self._create(loop)
        return entry.value

    def _create(self, loop: asyncio.AbstractEventLoop) -> _Entry[T]:
        with self._lock:  # `close` in another thread comes before it is made, or finds it
            self._abandon_inherited()
            if self._is_closed and self._closed is not None:
                raise self._closed()
            entry = _Entry(value := self._make(), finalizer := _finalize(value, self._close))
            with contextlib.suppress(StopIteration):
                anext(finalizer).send(None)  # from here on the loop knows of it
            for ended in [known for known in self._entries if known.is_closed()]:
                del self._entries[ended]  # it may refer to its loop: by itself neither would go
            self._entries[loop] = entry
        return entry

    def _abandon_inherited(self) -> None:
        """In a forked process, keep everything that was inherited away from use and from the garbage collector."""
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        _INHERITED.extend((entry, self._abandon(entry.value)) for entry in self._entries.values())
        self._entries.clear()

    async def close(self) -> None:
        """Close the running event loop's now, and those of other threads' loops soon."""
        with self._lock:
            self._abandon_inherited()
            self._is_closed = True
            everywhere = tuple(self._entries.items())
            self._entries.clear()
        for loop, entry in everywhere:
            if loop is asyncio.get_running_loop():
                await entry.finalizer.aclose()
            else:
                with contextlib.suppress(RuntimeError):  # that loop has ended, and has closed it
                    loop.call_soon_threadsafe(entry.close_soon)


@define(eq=False, repr=False)
class LoopAffinity:
    """The event loop that something borrowed stays on: the first it is used on."""

    _loop: ref[asyncio.AbstractEventLoop] | None = None
    _process: int = 0

    def is_current(self) -> bool:
        """Whether it is the running one, in the same process."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._process = ref(loop), os.getpid()
        return self._loop() is loop and self._process == os.getpid()


_INHERITED: Final[list[object]] = []
"""What a forked process has got from its parent: to close it would tell the server, or the shared selector."""


async def _finalize(value: T, close: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None, None]:
    process = os.getpid()
    try:
        yield
    finally:
        if process == os.getpid():
            await close(value)
