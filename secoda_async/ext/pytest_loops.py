"""The clock and the emulator of the pytest fixtures. Both raise an error in a test that runs on another event loop.

The emulator responds only while its own event loop runs. On another event loop a call would wait for its timeout, and
the error would blame the network.
"""

import asyncio
from typing import Final

from secoda_async.clock import AutojumpClock
from secoda_async.emulator import Emulator
from secoda_async.errors import ConfigurationError

__all__ = ["LoopCheckedClock", "LoopCheckedEmulator"]

_ADVICE: Final = (
    "the fixtures secoda_emulator and secoda_client run on another event loop than this test: set "
    "asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope of pytest-asyncio to the same scope, and "
    "remove the test's own loop_scope and its anyio marker"
)


class _LoopCheck:
    """Checks that callers run on the event loop of a started emulator."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self) -> None:
        """Accept the running event loop only."""
        self._loop = asyncio.get_running_loop()

    def unbind(self) -> None:
        """Accept every event loop: the emulator is closed, and a limiter may still read its clock."""
        self._loop = None

    def check(self) -> None:
        """Accept a caller on another event loop only while the emulator's event loop runs as well.

        Raises:
            ConfigurationError: The emulator could not respond; the message names the settings to change.
        """
        try:
            current = asyncio.get_running_loop()
        except RuntimeError:  # a synchronous test or another thread, which makes no call here
            return
        if self._loop not in (None, current) and not self._loop.is_running():
            raise ConfigurationError(_ADVICE)


class LoopCheckedClock(AutojumpClock):
    """An `AutojumpClock` with a loop check: each call of `secoda_client` begins with a reading of its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.loop_check: Final = _LoopCheck()

    def now(self) -> float:
        """Return the time, on the emulator's event loop only."""
        self.loop_check.check()
        return super().now()


class LoopCheckedEmulator(Emulator):
    """An `Emulator` with a loop check of its `url`, for clients that a test makes itself."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._loop_check = self.clock.loop_check if isinstance(self.clock, LoopCheckedClock) else _LoopCheck()

    async def start(self) -> None:
        """Listen on the running event loop."""
        await super().start()
        self._loop_check.bind()

    async def close(self) -> None:
        """Stop listening."""
        self._loop_check.unbind()
        await super().close()

    @property
    def url(self) -> str:
        """The origin, on the emulator's event loop only."""
        self._loop_check.check()
        return super().url
