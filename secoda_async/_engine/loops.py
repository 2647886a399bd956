"""One thing for each event loop that needs it, closed with the loop at the latest."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from attrs import define

T = TypeVar("T")


@define(eq=False, repr=False)
class _Kept(Generic[T]):
    """The thing of one event loop."""

    thing: T
    keeper: AsyncGenerator[None, None]
    """Closes the thing, when it is closed itself."""
    closing: asyncio.Task[None] | None = None

    def close_soon(self) -> None:
        """Close it in a task of this event loop."""
        self.closing = asyncio.ensure_future(self.keeper.aclose())


class PerLoop(Generic[T]):
    """What can't be shared by event loops, such as connections: `here()` is that of the running one.

    Args:
        make: Makes one.
        close: Closes one: called on its own event loop by `close`, or at the end of the loop (`asyncio.run`
            closes all generators that are left). An owner that serves several loops, one after the other, can
            be closed in none but the last.
        closed: The error of `here()` after `close()`. Without it, one is made again.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        closed: Callable[[], Exception] | None = None,
    ) -> None:
        self._make = make
        self._close = close
        self._closed = closed
        self._is_closed = False
        self._kept: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept[T]] = WeakKeyDictionary()
        self._lock = threading.RLock()

    def here(self) -> T:
        """The running event loop's, made when first asked for."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        return (kept or self._new(loop)).thing

    def _new(self, loop: asyncio.AbstractEventLoop) -> _Kept[T]:
        with self._lock:  # `close` in another thread comes before it is made, or finds it
            if self._is_closed and self._closed is not None:
                raise self._closed()
            kept = _Kept(thing := self._make(), keeper := _keeper(thing, self._close))
            with contextlib.suppress(StopIteration):
                anext(keeper).send(None)  # from here on the loop knows of it
            for ended in [known for known in self._kept if known.is_closed()]:
                del self._kept[ended]  # it may refer to its loop: by itself neither would go
            self._kept[loop] = kept
        return kept

    async def close(self) -> None:
        """Close the running event loop's now, and those of other threads' loops soon."""
        with self._lock:
            self._is_closed = True
            everywhere = tuple(self._kept.items())
            self._kept.clear()
        for loop, kept in everywhere:
            if loop is asyncio.get_running_loop():
                await kept.keeper.aclose()
            else:
                with contextlib.suppress(RuntimeError):  # that loop has ended, and has closed it
                    loop.call_soon_threadsafe(kept.close_soon)


@define(eq=False, repr=False)
class Home:
    """The event loop that something borrowed stays on: the first it is used on."""

    _loop: ref[asyncio.AbstractEventLoop] | None = None

    def is_here(self) -> bool:
        """Whether it is the running one."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or ref(loop)
        return self._loop() is loop


async def _keeper(thing: T, close: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close(thing)
