"""SIGINT, SIGTERM and SIGHUP: the first lets in-flight writes finish, the second aborts them."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

from attrs import define, field

from secoda_async.cli.exit_codes import CommandError, Exit

T = TypeVar("T")

_SIGNALS: Final[tuple[signal.Signals, ...]] = tuple(
    _number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if isinstance(_number := getattr(signal, name, None), signal.Signals)
)


def _signals_to_handle() -> tuple[signal.Signals, ...]:
    """Return the signals to handle. A signal that the parent process set to be ignored (nohup) stays ignored."""
    if not can_be_handled():
        return ()
    return tuple(number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)


def can_be_handled() -> bool:
    """Return whether signals can be handled: Python allows it in the main thread only."""
    return threading.current_thread() is threading.main_thread()


async def until_terminated(command: Coroutine[Any, Any, T]) -> T:
    """Run a command; SIGTERM ends it as Ctrl-C does.

    Raises:
        CommandError: If a signal ended the command.
    """
    task = asyncio.ensure_future(command)
    with _installed_handlers({number: task.cancel for number in _SIGNALS if number is not signal.SIGINT}):
        try:
            return await task
        except asyncio.CancelledError:
            if (this := asyncio.current_task()) is not None and this.cancelling():
                raise  # Ctrl-C cancelled this task: asyncio.run turns that into KeyboardInterrupt
    raise CommandError("interrupted", Exit.INTERRUPTED)


@define
class StopController:
    """Decides what a signal, the deadline or a lost lock does to the running command."""

    warn: Callable[[str], None]
    task: "asyncio.Task[Any] | None"
    event: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when no further write may start."""
    has_begun_writing: bool = field(default=False, init=False)
    """Whether writes may be in flight: then the first signal lets them finish."""
    is_finished: bool = field(default=False, init=False)
    """Whether every write has ended: then there is nothing to abort."""
    reason: str = field(default="interrupted", init=False)
    code: Exit = field(default=Exit.INTERRUPTED, init=False)
    """The exit code of a stopped command."""

    advice: str = field(default="Run the command again: it reads the workspace first", init=False)
    """The advice after writes were aborted."""

    def request(self, reason: str, code: Exit = Exit.INTERRUPTED, *, abort_by: str = "Ctrl-C") -> None:
        """Stop after the in-flight writes. Only the first request counts."""
        if self.is_finished or self.event.is_set():
            return
        self.reason, self.code = reason, code
        self.event.set()
        if self.has_begun_writing:
            self.warn(f"{reason}: finishing in-flight writes; press {abort_by} to abort")
        else:
            self._abort()

    def on_signal(self) -> None:
        """Stop; if a stop was requested before, abort in-flight writes."""
        if self.event.is_set() and not self.is_finished:
            self._abort()
        else:
            self.request("interrupted", abort_by="Ctrl-C again")

    def _abort(self) -> None:
        if self.task is not None:
            self.task.cancel()


@contextmanager
def handle_signals(warn: Callable[[str], None], seconds: float | None) -> Generator[StopController, None, None]:
    """Let signals, and the deadline after `seconds`, stop the body.

    Raises:
        CommandError: If the body was aborted, or stopped before it wrote anything.
    """
    stops = StopController(warn, asyncio.current_task())
    timer = None
    if seconds is not None:
        timer = asyncio.get_running_loop().call_later(seconds, stops.request, "deadline reached")
    try:
        with _installed_handlers(dict.fromkeys(_SIGNALS, stops.on_signal)):
            yield stops
    except asyncio.CancelledError:
        if not stops.event.is_set():
            raise
    else:
        return
    finally:
        if timer is not None:
            timer.cancel()
    if stops.has_begun_writing:
        raise CommandError(f"aborted: some writes may have been applied. {stops.advice}", stops.code)
    raise CommandError(f"{stops.reason}: nothing was written", stops.code)


@contextmanager
def _installed_handlers(handlers: Mapping[signal.Signals, Callable[[], object]]) -> Generator[None, None, None]:
    """Have the event loop call these handlers; on Windows, where it cannot, Python's own handlers stay."""
    loop = asyncio.get_running_loop()
    installed: list[signal.Signals] = []
    for number in _signals_to_handle():
        if number not in handlers:
            continue
        try:
            loop.add_signal_handler(number, handlers[number])
        except NotImplementedError:  # Windows
            break
        installed.append(number)
    try:
        yield
    finally:
        for number in installed:
            loop.remove_signal_handler(number)


@contextmanager
def interrupt_on_signal() -> Generator[None, None, None]:
    """Raise KeyboardInterrupt on a signal, during a blocking read or prompt that keeps the event loop from running."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in _signals_to_handle()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
