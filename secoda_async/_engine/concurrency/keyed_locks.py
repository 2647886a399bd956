"""One lock per key, shared by event loops: for writes that read first."""

import asyncio
import contextlib
import threading
from collections import deque

from attrs import define, field


@define(eq=False, repr=False)
class LockHandle:
    """The holder of one key's lock, or a waiter for it. A context manager that releases the lock."""

    locks: "KeyedLocks"
    key: str
    loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop)
    ready: asyncio.Event | None = None
    """Set when a waiter becomes the holder."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.locks.release(self)


class KeyedLocks:
    """Locks that several event loops, in several threads, share; first in, first out."""

    def __init__(self) -> None:
        self._handles: dict[str, deque[LockHandle]] = {}
        """For each key the holder, then the waiters. A key without a holder has no entry."""
        self._guard = threading.RLock()  # re-entered when garbage collection closes a task that holds a lock

    def acquire_nowait(self, key: str) -> LockHandle | None:
        """Take the lock of `key` if it is free."""
        with self._guard:
            handles = self._handles.get(key)
            if handles is None:
                self._handles[key] = handles = deque((LockHandle(self, key),))
                return handles[0]
            if handles[0].loop.is_closed():  # the holder was garbage-collected with its event loop
                handles[0] = LockHandle(self, key)
                return handles[0]
        return None

    async def acquire(self, key: str) -> LockHandle:
        """Wait until the lock of `key` is free and take it: `with await locks.acquire(key):`."""
        with self._guard:
            if (handle := self.acquire_nowait(key)) is not None:
                return handle
            handle = LockHandle(self, key, ready=(ready := asyncio.Event()))
            self._handles[key].append(handle)
        try:
            await ready.wait()
        except BaseException:
            self.release(handle)
            raise
        return handle

    def release(self, handle: LockHandle) -> None:
        """Release the lock to the next waiter, or stop waiting for it. A second release does nothing."""
        with self._guard:
            handles = self._handles.get(handle.key)
            if handles is None or handle not in handles:
                return
            was_held = handles[0] is handle
            handles.remove(handle)
            while was_held and handles and handles[0].ready is not None:
                with contextlib.suppress(RuntimeError):  # the waiter's event loop is closed: try the next one
                    handles[0].loop.call_soon_threadsafe(handles[0].ready.set)
                    return
                handles.popleft()
            if not handles:
                del self._handles[handle.key]
