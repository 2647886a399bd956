"""One at a time for each key, on whatever event loop: for writes that read first."""

import asyncio
import contextlib
import threading
from collections import deque

from attrs import define, field


@define(eq=False, repr=False)
class Turn:
    """Somebody who holds a key's lock, or waits for it, on an event loop; `with` releases it in the end."""

    locks: "KeyedLocks"
    key: str
    loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop)
    is_ready: asyncio.Event = field(factory=asyncio.Event)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.locks.release(self)


class KeyedLocks:
    """Locks that several event loops, in several threads, can share; who asked first is served first."""

    def __init__(self) -> None:
        self._turns: dict[str, deque[Turn]] = {}
        """Who holds each lock, and after them who waits for it."""
        self._guard = threading.RLock()  # entered again when the garbage collector, in here, throws a task away

    def take(self, key: str) -> Turn | None:
        """Hold the lock of `key`, if it is free."""
        with self._guard:
            turns = self._turns.get(key)
            if turns is None:
                self._turns[key] = turns = deque((Turn(self, key),))
                return turns[0]
            if turns[0].loop.is_closed():  # thrown away with its event loop
                turns[0] = Turn(self, key)
                return turns[0]
        return None

    async def acquire(self, key: str) -> Turn:
        """Wait until the lock of `key` is free, and hold it: `with await locks.acquire(key):`."""
        with self._guard:
            if (turn := self.take(key)) is not None:
                return turn
            turn = Turn(self, key)
            self._turns[key].append(turn)
        try:
            await turn.is_ready.wait()
        except BaseException:
            self.release(turn)
            raise
        return turn

    def release(self, turn: Turn) -> None:
        """Stop holding the lock, which goes to the next who waits, or waiting for it; does no harm afterwards."""
        with self._guard:
            turns = self._turns.get(turn.key, deque())
            if turn not in turns:
                return
            was_held = turns[0] is turn
            turns.remove(turn)
            while was_held and turns:
                with contextlib.suppress(RuntimeError):  # its event loop has ended: the one after it
                    turns[0].loop.call_soon_threadsafe(turns[0].is_ready.set)
                    return
                turns.popleft()
            if not turns:
                del self._turns[turn.key]
