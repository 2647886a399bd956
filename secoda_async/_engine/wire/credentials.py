"""The API key: checked early, asked for when it comes from a callable, and never shown."""

import asyncio
import logging
from inspect import isawaitable
from typing import Any, Final

from secoda_async._engine.concurrency.keyed_locks import KeyedLocks
from secoda_async.config import ApiKeyProvider, Secret, key_problem
from secoda_async.errors import ConfigurationError, SecodaError, TransportError

_log: Final = logging.getLogger("secoda_async")

_OWN_CLIENT: Final = (
    "the api_key callable makes a call with the client that asks it for the key: give it a client of its own"
)


class Credentials:
    """Where the key comes from."""

    def __init__(self, source: Secret | ApiKeyProvider) -> None:
        self._provider: Final = None if isinstance(source, Secret) else source
        self.known: Secret | None = source if isinstance(source, Secret) else None
        """The key, as soon as there is one."""
        self._locks = KeyedLocks()
        self._asker: asyncio.Task[Any] | None = None
        """The task that runs the callable."""
        self._is_reentered = False
        """Whether the callable, while it ran, asked for the key itself."""
        self._answers = 0
        """How often the callable has ended, with a key or without."""
        self._failure: tuple[type[SecodaError], str] | None = None
        """Why it ended without a key the last time."""

    async def key(self) -> Secret:
        """Return the key to send.

        Calls that need it at the same time ask once, and share the key or the failure.

        Raises:
            TransportError: When the callable fails. Nothing was sent, and another attempt may succeed.
            ConfigurationError: When the callable is not async, returns no key, or needs the key itself.
        """
        if self._asker is not None and self._asker is asyncio.current_task():  # waiting would never end
            self._is_reentered = True
            raise ConfigurationError(_OWN_CLIENT)
        answers = self._answers
        with await self._locks.acquire("key"):
            if self.known is None and (self._failure is None or self._answers == answers):
                await self._ask()
            if self.known is not None:
                return self.known
            kind, message = self._failure or (TransportError, "the api_key callable gave no key")
        raise _not_sent(kind(message))

    async def refresh(self, refused: Secret) -> bool:
        """Ask for the key again after a 401; True when there is another one than the one that was refused."""
        if self._provider is None:
            return False
        if self.known == refused:  # else a concurrent call has asked already
            self.known = None
        return await self.key() != refused

    async def _ask(self) -> None:
        """Run the callable, and remember the key or the failure; a cancelled question is no answer."""
        answer: object = None
        problem: str | None = None
        kind: type[SecodaError] = ConfigurationError
        self._asker, self._is_reentered = asyncio.current_task(), False
        try:
            answer = self._provider() if self._provider else None
            if isawaitable(answer):
                answer = await answer
            else:
                problem = f"the api_key callable must be async: it returned {type(answer).__name__}, not an awaitable"
        except Exception as error:  # noqa: BLE001 - a callable of the user's may raise anything
            kind, problem = self._failed(error)
        finally:
            self._asker = None
        problem = problem or key_problem(answer)
        if problem is None:
            self.known = Secret(str(answer).strip())
        del answer  # a traceback with locals must not show it
        self._failure = None if problem is None else (kind, problem)
        self._answers += 1

    def _failed(self, error: Exception) -> tuple[type[SecodaError], str]:
        """Name a failure of the callable by its type alone: its text may hold the key."""
        if self._is_reentered:
            return ConfigurationError, _OWN_CLIENT
        name, place = type(error).__name__, error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = "" if place is None else f" in {place.tb_frame.f_code.co_filename}, line {place.tb_lineno}"
        _log.warning("the api_key callable raised %s%s", name, where)
        return TransportError, f"the api_key callable raised {name}"


def _not_sent(error: SecodaError) -> SecodaError:
    if isinstance(error, TransportError):
        error.maybe_sent = False
    return error
