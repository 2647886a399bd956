"""One at a time for each key, on whatever event loop: for writes that read first."""

import asyncio
import contextlib
import threading
from collections import deque
from weakref import WeakValueDictionary

from attrs import define, field


@define(eq=False, repr=False)
class Turn:
    """Somebody who holds a lock, or waits for it, on an event loop; `with` releases it in the end."""

    lock: "KeyedLock"
    loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop)
    has_come: asyncio.Event = field(factory=asyncio.Event)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.lock.release(self)


@define(eq=False, repr=False, weakref_slot=True)
class KeyedLock:
    """An asyncio lock that several event loops, in several threads, can share; who asked first is served first."""

    _guard: threading.Lock = field(factory=threading.Lock, init=False)
    _holder: Turn | None = field(default=None, init=False)
    _waiting: deque[Turn] = field(factory=deque[Turn], init=False)

    def at_once(self) -> Turn | None:
        """Hold it, if it is free; what comes back releases it."""
        with self._guard:
            return self._taken()

    def _taken(self) -> Turn | None:
        if self._holder is None or self._holder.loop.is_closed():  # thrown away with its event loop
            self._holder = Turn(self)
            return self._holder
        return None

    async def acquire(self) -> Turn:
        """Wait until it is free, and hold it: `with await lock.acquire():`."""
        with self._guard:
            if (free := self._taken()) is not None:
                return free
            turn = Turn(self)
            self._waiting.append(turn)
        try:
            await turn.has_come.wait()
        except BaseException:
            with self._guard, contextlib.suppress(ValueError):
                self._waiting.remove(turn)
            self.release(turn)  # if it was handed over in the same moment
            raise
        return turn

    def release(self, turn: Turn) -> None:
        """Hand it to the next who waits, if any; does nothing when it is not held by this one."""
        with self._guard:
            if self._holder is not turn:
                return
            self._holder = None
            while self._waiting and self._holder is None:
                following = self._waiting.popleft()
                with contextlib.suppress(RuntimeError):  # its event loop has ended: the one after it
                    following.loop.call_soon_threadsafe(following.has_come.set)
                    self._holder = following


class KeyedLocks:
    """A lock for each key, kept for as long as somebody holds or wants it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, KeyedLock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def of(self, key: str) -> KeyedLock:
        """The lock of `key`."""
        with self._guard:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = KeyedLock()
            return lock
