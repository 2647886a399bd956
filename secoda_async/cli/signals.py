"""SIGINT, SIGTERM and their like: writes on the wire are finished, a second one cuts them off, a prompt is left."""

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

_SIGNALS: Final = tuple(
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if isinstance(number := getattr(signal, name, None), signal.Signals)
)


def _heeded() -> tuple[signal.Signals, ...]:
    """Return the signals to handle: one that is ignored from the start (nohup, a background job) stays ignored."""
    if not can_be_handled():
        return ()
    return tuple(number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)


def can_be_handled() -> bool:
    """Whether signals can be handled here: in the main thread only."""
    return threading.current_thread() is threading.main_thread()


async def until_terminated(command: Coroutine[Any, Any, T]) -> T:
    """Run a command; SIGTERM ends it as Ctrl-C does.

    Raises:
        CommandError: When it was ended.
    """
    task = asyncio.ensure_future(command)
    with _handled({number: task.cancel for number in _SIGNALS if number is not signal.SIGINT}):
        try:
            return await task
        except asyncio.CancelledError:
            if (this := asyncio.current_task()) is not None and this.cancelling():
                raise  # by Ctrl-C: asyncio.run makes an interrupt of it
    raise CommandError("interrupted", Exit.INTERRUPTED)


@define
class Stops:
    """What a signal, or the end of the time, does at the moment."""

    note: Callable[[str], None]
    task: "asyncio.Task[Any] | None"
    event: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set when nothing more is to be written."""
    finishes_writes: bool = field(default=False, init=False)
    """Whether writes may be under way: then the first signal lets them end."""
    is_over: bool = field(default=False, init=False)
    """Whether all is written: then there is nothing to cut off."""
    why: str = field(default="interrupted", init=False)
    code: Exit = field(default=Exit.INTERRUPTED, init=False)
    """What the command exits with when it was stopped."""

    def ask(self, why: str, code: Exit = Exit.INTERRUPTED) -> None:
        """Stop: what is on the wire may end. Asked again, for whatever reason, nothing more happens."""
        if self.is_over or self.event.is_set():
            return
        self.why, self.code = why, code
        self.event.set()
        if self.finishes_writes:
            self.note(f"{why}: finishing what is on the wire; Ctrl-C once more to cut it off")
        else:
            self._cut_off()

    def signalled(self) -> None:
        """Stop; when it has been asked to stop before, cut off what is under way."""
        if self.event.is_set() and not self.is_over:
            self._cut_off()
        else:
            self.ask("interrupted")

    def _cut_off(self) -> None:
        if self.task is not None:
            self.task.cancel()


@contextmanager
def stopped_by_signals(note: Callable[[str], None], seconds: float | None) -> Generator[Stops, None, None]:
    """Let signals stop what is done here, and the time when `seconds` are over.

    Raises:
        CommandError: When it was cut off, or stopped before it wrote anything.
    """
    stops = Stops(note, asyncio.current_task())
    timer = None
    if seconds is not None:
        timer = asyncio.get_running_loop().call_later(seconds, stops.ask, "the deadline has come")
    try:
        with _handled(dict.fromkeys(_SIGNALS, stops.signalled)):
            yield stops
    except asyncio.CancelledError:
        if not stops.event.is_set():
            raise
    else:
        return
    finally:
        if timer is not None:
            timer.cancel()
    if stops.finishes_writes:
        raise CommandError("cut off: writes may have been carried out. Run it again: it looks first", stops.code)
    raise CommandError(f"{stops.why}: nothing was written", stops.code)


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Any]) -> Generator[None, None, None]:
    """Have the event loop call these."""
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []
    for number in _heeded():
        if number not in handlers:
            continue
        try:
            loop.add_signal_handler(number, handlers[number])
        except NotImplementedError:  # Windows
            break
        handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


@contextmanager
def raised_at_once() -> Generator[None, None, None]:
    """While a person is asked or a file is read, nothing else runs: a signal raises KeyboardInterrupt immediately."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
