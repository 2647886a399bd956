"""The options that commands share, and the client that they lead to."""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Literal

from attrs import define
from cyclopts import Group, Parameter

from secoda_async import Event, SecodaClient, SlidingWindowLimiter, TransportError
from secoda_async._engine.limits.window_file import share_window
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.signals import Stops, raised_at_once
from secoda_async.config import key_source
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.input_file import FileTooLargeError, read_bytes

if TYPE_CHECKING:
    from secoda_async.ext.redis import RedisLock


@Parameter(name="*", group=Group("Output", sort_key=9))
@define(kw_only=True)
class Output:
    """How a command tells what it did."""

    json: Annotated[bool, Parameter(negative=(), show_default=False, help="Print one JSON document, for programs.")] = (
        False
    )
    debug: Annotated[bool, Parameter(negative=(), show_default=False, help="Log to stderr, and show tracebacks.")] = (
        False
    )


@Parameter(name="*", group=Group("Workspace and output", sort_key=8))
@define(kw_only=True)
class Connection(Output):
    """Which workspace a command speaks to. The key comes from SECODA_API_KEY or a file: arguments can be seen."""

    base_url: Annotated[str | None, Parameter(help="The API's origin (or SECODA_BASE_URL).")] = None
    region: Annotated[
        Literal["us", "eu", "apac"] | None, Parameter(help="Where Secoda hosts the workspace (or SECODA_REGION).")
    ] = None
    api_key_file: Annotated[
        Path | None, Parameter(allow_leading_hyphen=True, help="A file that holds the key; - is standard input.")
    ] = None

    trust_env: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Use the proxy that HTTPS_PROXY and NO_PROXY name.")
    ] = False
    redis: Annotated[
        str | None,
        Parameter(
            env_var="SECODA_REDIS_URL",
            help="Redis, for several machines: they share the write limit there, and one at a time applies.",
        ),
    ] = None
    workspace: Annotated[
        str | None,
        Parameter(env_var="SECODA_WORKSPACE", help="The workspace's name in Redis, the same for all who write to it."),
    ] = None

    @asynccontextmanager
    async def client(self, on_event: Callable[[Event], object] | None = None) -> AsyncGenerator[SecodaClient, None]:
        """A client of that workspace.

        Raises:
            CommandError: When the key's file can't be read, or there is no name for what is in Redis.
            ConfigurationError: When a setting can't work.
        """
        log = logging.getLogger("secoda_async")
        if not self.debug and not any(isinstance(handler, _Waits) for handler in log.handlers):
            log.addHandler(_Waits(logging.INFO))
            log.setLevel(logging.INFO)
        key = None
        if self.api_key_file is not None:
            key = _read_key(self.api_key_file)
        if self.workspace is not None and self.redis is None:
            raise CommandError("--workspace is a name in Redis: say where that is with --redis", Exit.USAGE)
        async with AsyncExitStack() as opened:
            limiter = None
            if self.redis is not None:
                limiter = _redis().RedisRateLimiter(self.redis, name=self._name())
                await opened.enter_async_context(limiter)
                with suppress(TransportError):  # it is logged; and said again to who would write
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
            yield await opened.enter_async_context(client)

    @asynccontextmanager
    async def alone(self, stops: Stops) -> AsyncGenerator[None, None]:
        """Hold the workspace, when there is a Redis to ask for it, and stop when it can't be held any longer.

        Raises:
            LockedError: When another run holds it.
        """
        if self.redis is None:
            yield
            return
        async with self.lock() as lock:

            async def stop_when_lost() -> None:
                await lock.lost.wait()
                stops.ask("the lock is lost", Exit.LOCKED)

            watching = asyncio.create_task(stop_when_lost())
            try:
                yield
            finally:
                watching.cancel()

    def lock(self) -> "RedisLock":
        """The workspace's lock in Redis, not taken."""
        lock: RedisLock = _redis().RedisLock(self.redis, name=self._name())
        return lock

    def _name(self) -> str:
        if self.workspace is None:
            raise CommandError("--redis needs --workspace: a name that all who write there use", Exit.USAGE)
        return self.workspace


class _Waits(logging.Handler):
    """Tells a person why nothing happens, and what is not known; --debug shows the rest of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it to stderr."""
        if record.levelno >= logging.WARNING or str(record.msg).startswith("waiting"):
            with suppress(OSError, ValueError):  # nobody reads stderr: the call that waits goes on
                sys.stderr.write(f"{escape_control(record.getMessage())}\n")


def _redis() -> ModuleType:
    try:
        return import_module("secoda_async.ext.redis")
    except ModuleNotFoundError as error:
        raise CommandError(str(error), Exit.USAGE) from None


def _read_key(path: Path) -> str:
    """Read the key; a signal ends the wait for standard input or a FIFO."""
    try:
        with raised_at_once():
            key = read_bytes(str(path)).decode("utf-8")
        if str(path) != "-":
            _check_mode(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (
            str(error) if isinstance(error, FileTooLargeError) else "not text"
        )
    else:
        return key
    raise CommandError(f"the key's file {path} can't be read: {reason}", Exit.USAGE)


def _check_mode(path: Path) -> None:
    """Say when everybody on the machine can read the key. Windows has no such modes."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & stat.S_IROTH:
        text = f"everybody on this machine can read the key's file {path} (mode {mode:03o}): chmod 600 it"
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{escape_control(text)}\n")
