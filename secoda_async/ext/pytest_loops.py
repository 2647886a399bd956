"""The clock and the emulator of the pytest fixtures: both refuse a test that runs on another event loop.

The emulator answers only while its own event loop runs. On another loop a call would wait until its timeout, and the
error would blame the network.
"""

import asyncio
from typing import Final

from secoda_async.clock import AutojumpClock
from secoda_async.emulator import Emulator
from secoda_async.errors import ConfigurationError

__all__ = ["LoopCheckedClock", "LoopCheckedEmulator"]

_ADVICE: Final = (
    "the fixtures secoda_emulator and secoda_client run on another event loop than this test: set "
    "asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope of pytest-asyncio alike, and remove the "
    "test's own loop_scope and its anyio marker"
)


class _Home:
    """The event loop that the emulator was started on."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def settle(self) -> None:
        """Remember the running event loop."""
        self._loop = asyncio.get_running_loop()

    def leave(self) -> None:
        """Refuse nobody any more: the emulator is closed, and limits outlive it."""
        self._loop = None

    def check(self) -> None:
        """Refuse a caller on another event loop while this one stands still.

        Raises:
            ConfigurationError: With what to set.
        """
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # a synchronous test, or another thread: it may read, and awaits nothing here
            return
        if self._loop not in (None, here) and not self._loop.is_running():
            raise ConfigurationError(_ADVICE)


class LoopCheckedClock(AutojumpClock):
    """An `AutojumpClock` that every call of `secoda_client` reads first."""

    def __init__(self) -> None:
        super().__init__()
        self.home: Final = _Home()

    def now(self) -> float:
        """Return the time, on the emulator's event loop only."""
        self.home.check()
        return super().now()


class LoopCheckedEmulator(Emulator):
    """An `Emulator` whose address is refused on another event loop: a client of the test's own would wait in vain."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._home = self.clock.home if isinstance(self.clock, LoopCheckedClock) else _Home()

    async def start(self) -> None:
        """Listen, on the running event loop."""
        await super().start()
        self._home.settle()

    async def close(self) -> None:
        """Stop listening."""
        self._home.leave()
        await super().close()

    @property
    def url(self) -> str:
        """The origin, as `Emulator.url`."""
        self._home.check()
        return super().url
