"""The state that the calls of one operation share: their cost, and whether more of them may be sent."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from attrs import define

T = TypeVar("T")


class NotSentError(Exception):
    """The call ended before its request was sent, and nothing failed."""


class OperationCancelledError(NotSentError):
    """The operation was cancelled while its request waited to be sent."""


@define(eq=False, repr=False)
class Operation:
    """The cost of one operation, and its cancellation. It is passed as an argument with each of its calls."""

    attempts: int = 0
    """Requests sent."""
    waited: float = 0.0
    """Seconds spent waiting for the write limit and between attempts."""
    may_have_written: bool = False
    """Whether the server may have executed a write of this operation."""
    is_cancelled: bool = False
    """Whether its unsent requests are cancelled."""
    _wait: asyncio.Timeout | None = None

    def cancel_unsent(self) -> None:
        """Cancel the present and later waits to send a write; requests in flight finish."""
        self.is_cancelled = True
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def run_unless_cancelled(self, work: Awaitable[T]) -> T:
        """Await something that precedes a send.

        Raises:
            OperationCancelledError: When the operation is cancelled.
        """
        if self.is_cancelled:
            if asyncio.iscoroutine(work):
                work.close()
            raise OperationCancelledError
        self._wait = wait = asyncio.timeout(None)
        try:
            async with wait:
                return await work
        except TimeoutError:
            if not wait.expired():
                raise  # a TimeoutError of the work itself
        finally:
            self._wait = None
        raise OperationCancelledError
