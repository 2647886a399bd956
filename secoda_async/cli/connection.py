"""The options of commands that call the API, and the client made from them."""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from math import inf
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Final, Literal

from attrs import define
from cyclopts import Group, Parameter

from secoda_async import Event, SecodaClient, SlidingWindowLimiter, TransportError
from secoda_async._engine.limits.window_file import share_window
from secoda_async._engine.settings import key_source
from secoda_async.cli.exit_codes import CommandError, Exit, with_options
from secoda_async.cli.options import Flag, Output
from secoda_async.cli.signals import StopController, interrupt_on_signal
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.input_file import InputError, read_bytes

if TYPE_CHECKING:
    from secoda_async.ext.redis import RedisLock


_WAIT_INTERVAL: Final = 10.0
"""Seconds between two printed waits for one cause."""


@Parameter(name="*", group=Group("Workspace and output", sort_key=8))
@define(kw_only=True)
class Connection(Output):
    """The workspace of a command. There is no option for the key itself: other users can see arguments."""

    base_url: Annotated[str | None, Parameter(help="API origin (default: SECODA_BASE_URL).")] = None
    region: Annotated[
        Literal["us", "eu", "apac"] | None, Parameter(help="Region of the workspace (default: SECODA_REGION).")
    ] = None
    api_key_file: Annotated[
        Path | None,
        Parameter(
            allow_leading_hyphen=True, help="File with the API key; - is standard input (default: SECODA_API_KEY)."
        ),
    ] = None
    trust_env: Annotated[Flag, Parameter(help="Use the proxy in HTTPS_PROXY and NO_PROXY.")] = False
    redis: Annotated[
        str | None,
        Parameter(
            env_var="SECODA_REDIS_URL",
            help="Redis URL, for several machines: they share the write limit, and only one applies at a time.",
        ),
    ] = None
    workspace: Annotated[
        str | None,
        Parameter(env_var="SECODA_WORKSPACE", help="Name of the workspace in Redis; use the same on every machine."),
    ] = None

    @asynccontextmanager
    async def client(self, on_event: Callable[[Event], object] | None = None) -> AsyncGenerator[SecodaClient, None]:
        """Connect to the workspace.

        Raises:
            CommandError: If the key file can't be read, or only one of --redis and --workspace is given.
            ConfigurationError: If a setting is invalid.
        """
        if not self.debug:
            _print_waits(logging.WARNING if self.quiet else logging.INFO)
        key = None if self.api_key_file is None else _read_key(self.api_key_file)
        if self.workspace is not None and self.redis is None:
            raise CommandError("--workspace is a name in Redis: pass --redis too", Exit.USAGE)
        async with AsyncExitStack() as stack:
            limiter = None
            if self.redis is not None:
                limiter = await stack.enter_async_context(_redis().RedisRateLimiter(self.redis, name=self._name()))
                with suppress(TransportError):  # the limiter logs it; a write raises it again
                    await limiter.look()
            client = SecodaClient(
                key,
                base_url=self.base_url,
                region=self.region,
                limiter=limiter,
                on_event=on_event,
                trust_env=self.trust_env,
            )
            if isinstance(client.limiter, SlidingWindowLimiter):
                share_window(client.limiter, client.origin, key_source(key))
            yield await stack.enter_async_context(client)

    def client_without_key(self) -> SecodaClient:
        """Return a client that sends a placeholder in place of the API key, for calls that need none."""
        return SecodaClient("placeholder", base_url=self.base_url, region=self.region, trust_env=self.trust_env)

    @asynccontextmanager
    async def exclusive(self, stops: StopController) -> AsyncGenerator[None, None]:
        """Hold the workspace's lock in Redis, if --redis is given; stop if the lock is lost.

        Raises:
            LockedError: If another run holds the lock.
        """
        if self.redis is None:
            yield
            return
        async with self.lock() as lock:

            async def stop_when_lost() -> None:
                await lock.lost.wait()
                stops.request("the lock was lost", Exit.LOCKED)

            watcher = asyncio.create_task(stop_when_lost())
            try:
                yield
            finally:
                watcher.cancel()

    def lock(self) -> "RedisLock":
        """Return the workspace's lock in Redis, not acquired."""
        lock: RedisLock = _redis().RedisLock(self.redis, name=self._name())
        return lock

    def _name(self) -> str:
        if self.workspace is None:
            raise CommandError("--redis needs --workspace: a name that is the same on every machine", Exit.USAGE)
        return self.workspace


class _WaitLogHandler(logging.Handler):
    """Prints warnings and long waits to stderr; --debug shows the rest of the log."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._printed_at: dict[object, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record that a person needs."""
        if record.levelno >= logging.WARNING or (str(record.msg).startswith("waiting") and self._is_new(record)):
            with suppress(OSError, ValueError):  # a closed stderr must not end the call
                sys.stderr.write(f"{escape_control(with_options(record.getMessage()))}\n")

    def _is_new(self, record: logging.LogRecord) -> bool:
        """Return whether no wait for this cause was printed a moment ago: many calls may wait in turn."""
        cause = record.args[1] if isinstance(record.args, tuple) and len(record.args) > 1 else record.msg
        is_new = record.created - self._printed_at.get(cause, -inf) >= _WAIT_INTERVAL
        if is_new:
            self._printed_at[cause] = record.created
        return is_new


def _print_waits(level: int) -> None:
    log = logging.getLogger("secoda_async")
    if not any(isinstance(handler, _WaitLogHandler) for handler in log.handlers):
        log.addHandler(_WaitLogHandler(level))
        log.setLevel(level)


def _redis() -> ModuleType:
    try:
        return import_module("secoda_async.ext.redis")
    except ModuleNotFoundError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _read_key(path: Path) -> str:
    """Read the API key; a signal ends the wait for standard input or a FIFO."""
    try:
        with interrupt_on_signal():
            key = read_bytes(str(path)).decode("utf-8")
        if str(path) != "-":
            _check_mode(path)
    except InputError as error:
        problem = error.problem
    except UnicodeDecodeError:
        problem = "can't be read: not text"
    else:
        return key
    raise CommandError(f"the key file {path} {problem}", Exit.USAGE)


def _check_mode(path: Path) -> None:
    """Warn if every user of this machine can read the key. Windows has no such modes."""
    with suppress(OSError, ValueError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & stat.S_IROTH:
            text = f"every user of this machine can read the key file {path} (mode {mode:03o}): run chmod 600 on it"
            sys.stderr.write(f"{escape_control(text)}\n")
