"""One lock per key, shared by event loops: for writes that read first."""

import asyncio
import contextlib
import threading
from collections import deque
from typing import cast

from attrs import define, field

from secoda_async._engine.concurrency.per_loop import running_loop


@define(eq=False, repr=False)
class LockHandle:
    """The holder of one key's lock. A context manager that releases the lock."""

    locks: "KeyedLocks"
    key: str
    loop: asyncio.AbstractEventLoop = field(init=False, factory=running_loop)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.locks.release(self)


class _Waiter(LockHandle):
    """A waiter for the lock, which becomes the holder."""

    def __init__(self, locks: "KeyedLocks", key: str) -> None:
        super().__init__(locks, key)
        self.ready = asyncio.Event()


class KeyedLocks:
    """Locks that several event loops, in several threads, share; first in, first out."""

    def __init__(self) -> None:
        self._holders: dict[str, LockHandle] = {}
        self._waiters: dict[str, deque[_Waiter]] = {}
        """The waiters of each key that has any."""
        self._guard = threading.RLock()  # re-entered when garbage collection closes a task that holds a lock

    def acquire_nowait(self, key: str) -> LockHandle | None:
        """Take the lock of `key` if it is free."""
        with self._guard:
            holder = self._holders.get(key)
            if holder is None or holder.loop.is_closed():  # its event loop can't release it
                holder = self._holders[key] = LockHandle(self, key)
                return holder
        return None

    async def acquire(self, key: str) -> LockHandle:
        """Wait until the lock of `key` is free and take it: `with await locks.acquire(key):`."""
        with self._guard:
            if (handle := self.acquire_nowait(key)) is not None:
                return handle
            waiter = _Waiter(self, key)
            waiters = self._waiters.get(key) or deque()
            waiters.append(waiter)
            self._waiters[key] = waiters
            self._grant(key)  # in case that garbage collection has released the lock meanwhile
        try:
            await waiter.ready.wait()
        except BaseException:
            self.release(waiter)
            raise
        return waiter

    def release(self, handle: LockHandle) -> None:
        """Release the lock to the next waiter, or stop waiting for it. A second release does nothing."""
        with self._guard:
            waiters = self._waiters.get(handle.key)
            if waiters is not None:
                with contextlib.suppress(ValueError):  # it holds the lock, or was released before
                    waiters.remove(cast("_Waiter", handle))
            # Checked after the removal: until then, a garbage-collected holder may pass the lock to this handle.
            if self._holders.get(handle.key) is handle:
                del self._holders[handle.key]
            if waiters is not None:
                self._grant(handle.key)

    def _grant(self, key: str) -> None:
        """Give the lock of `key`, if it is free, to the first waiter whose event loop is open."""
        waiters = self._waiters.get(key)
        while waiters and key not in self._holders:
            # Stored before any call, in which garbage collection could release another handle and come here.
            waiter = self._holders[key] = waiters[0]
            with contextlib.suppress(ValueError):
                waiters.remove(waiter)
            try:
                waiter.loop.call_soon_threadsafe(waiter.ready.set)
            except RuntimeError:  # its event loop is closed
                self._holders.pop(key, None)
        if not waiters:
            self._waiters.pop(key, None)
