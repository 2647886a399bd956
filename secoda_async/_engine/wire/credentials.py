"""The API key: fixed, or from an async callable. No error or log line shows it."""

import asyncio
import logging
from inspect import isawaitable
from typing import Any, Final

from secoda_async._engine.concurrency.keyed_locks import KeyedLocks
from secoda_async.config import ApiKeyProvider, Secret, key_problem
from secoda_async.errors import ConfigurationError, SecodaError, TransportError

_log: Final = logging.getLogger("secoda_async")

_OWN_CLIENT: Final = (
    "the api_key callable makes a call with the client that needs its key: give the callable a client of its own"
)


class Credentials:
    """The fixed key, or the callable that returns it."""

    def __init__(self, source: Secret | ApiKeyProvider) -> None:
        self._provider: Final = None if isinstance(source, Secret) else source
        self.known: Secret | None = source if isinstance(source, Secret) else None
        """The key, once it is known."""
        self._locks = KeyedLocks()
        self._provider_task: asyncio.Task[Any] | None = None
        """The task that runs the callable."""
        self._is_reentered = False
        """Whether the callable, while it ran, asked for the key itself."""
        self._runs = 0
        """The number of times that the callable has ended, with a key or without."""
        self._failure: tuple[type[SecodaError], str] | None = None
        """The reason why the callable returned no key the last time."""

    async def key(self) -> Secret:
        """Return the key to send.

        Concurrent calls share one run of the callable, and its key or its failure.

        Raises:
            TransportError: When the callable fails. Nothing was sent, and another attempt may succeed.
            ConfigurationError: When the callable is not async, returns no key, or needs the key itself.
        """
        if self._provider_task is not None and self._provider_task is asyncio.current_task():  # waiting would never end
            self._is_reentered = True
            raise ConfigurationError(_OWN_CLIENT)
        runs = self._runs
        with await self._locks.acquire("key"):
            if self.known is None and (self._failure is None or self._runs == runs):
                await self._run_provider()
            if self.known is not None:
                return self.known
            kind, message = self._failure or (TransportError, "the api_key callable gave no key")
        raise kind(message, maybe_sent=False) if issubclass(kind, TransportError) else kind(message)

    async def refresh(self, refused: Secret) -> bool:
        """Get the key again after a 401; return True if it differs from the one that was refused."""
        if self._provider is None:
            return False
        if self.known == refused:  # else a concurrent call has refreshed the key already
            self.known = None
        return await self.key() != refused

    async def _run_provider(self) -> None:
        """Run the callable, and remember the key or the failure. A cancelled run counts as neither."""
        returned: object = None
        problem: str | None = None
        kind: type[SecodaError] = ConfigurationError
        self._provider_task, self._is_reentered = asyncio.current_task(), False
        try:
            returned = self._provider() if self._provider else None
            if isawaitable(returned):
                returned = await returned
            else:
                problem = f"the api_key callable must be async: it returned {type(returned).__name__}, not an awaitable"
        except Exception as error:  # noqa: BLE001 - a callable of the user's may raise anything
            kind, problem = self._failed(error)
        finally:
            self._provider_task = None
        problem = problem or key_problem(returned)
        if problem is None:
            self.known = Secret(str(returned).strip())
        del returned  # a traceback with locals must not show it
        self._failure = None if problem is None else (kind, problem)
        self._runs += 1

    def _failed(self, error: Exception) -> tuple[type[SecodaError], str]:
        """Describe a failure of the callable by its type alone, because its text may contain the key."""
        if self._is_reentered:
            return ConfigurationError, _OWN_CLIENT
        name, frame = type(error).__name__, error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = "" if frame is None else f" in {frame.tb_frame.f_code.co_filename}, line {frame.tb_lineno}"
        _log.warning("the api_key callable raised %s%s", name, where)
        return TransportError, f"the api_key callable raised {name}"
