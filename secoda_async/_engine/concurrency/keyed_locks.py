"""One at a time for each key, on whatever event loop: for writes that read first."""

import asyncio
import contextlib
import threading
from collections import deque

from attrs import define, field


@define(eq=False, repr=False)
class LockHandle:
    """Somebody who holds a key's lock, or waits for it, on an event loop; `with` releases it in the end."""

    locks: "KeyedLocks"
    key: str
    loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop)
    ready: asyncio.Event = field(factory=asyncio.Event)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.locks.release(self)


class KeyedLocks:
    """Locks that several event loops, in several threads, can share; who asked first is served first."""

    def __init__(self) -> None:
        self._handles: dict[str, deque[LockHandle]] = {}
        """Who holds each lock, and after them who waits for it."""
        self._guard = threading.RLock()  # entered again when the garbage collector, in here, throws a task away

    def acquire_nowait(self, key: str) -> LockHandle | None:
        """Hold the lock of `key`, if it is free."""
        with self._guard:
            handles = self._handles.get(key)
            if handles is None:
                self._handles[key] = handles = deque((LockHandle(self, key),))
                return handles[0]
            if handles[0].loop.is_closed():  # thrown away with its event loop
                handles[0] = LockHandle(self, key)
                return handles[0]
        return None

    async def acquire(self, key: str) -> LockHandle:
        """Wait until the lock of `key` is free, and hold it: `with await locks.acquire(key):`."""
        with self._guard:
            if (handle := self.acquire_nowait(key)) is not None:
                return handle
            handle = LockHandle(self, key)
            self._handles[key].append(handle)
        try:
            await handle.ready.wait()
        except BaseException:
            self.release(handle)
            raise
        return handle

    def release(self, handle: LockHandle) -> None:
        """Stop holding the lock, which goes to the next who waits, or waiting for it; does no harm afterwards."""
        with self._guard:
            handles = self._handles.get(handle.key, deque())
            if handle not in handles:
                return
            was_held = handles[0] is handle
            handles.remove(handle)
            while was_held and handles:
                with contextlib.suppress(RuntimeError):  # its event loop has ended: the one after it
                    handles[0].loop.call_soon_threadsafe(handles[0].ready.set)
                    return
                handles.popleft()
            if not handles:
                del self._handles[handle.key]
