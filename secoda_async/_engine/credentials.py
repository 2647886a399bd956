"""The API key: checked early, asked for when it comes from a callable, and never shown."""

from inspect import isawaitable
from typing import Final

from secoda_async._engine.locks import KeyedLocks
from secoda_async.config import ApiKeyProvider, Secret, key_problem
from secoda_async.errors import ConfigurationError


class Credentials:
    """Where the key comes from."""

    def __init__(self, source: Secret | ApiKeyProvider) -> None:
        self._provider: Final = None if isinstance(source, Secret) else source
        self.known: Secret | None = source if isinstance(source, Secret) else None
        """The key, as soon as there is one."""
        self._locks = KeyedLocks()

    async def key(self) -> Secret:
        """The key to send.

        Raises:
            ConfigurationError: When the callable fails, or returns what is no key.
        """
        with await self._locks.acquire("key"):  # many calls may want it at once; it is asked for once
            return self.known or await self._ask()

    async def renew(self, refused: Secret) -> bool:
        """Ask for the key again after a 401; True when there is another one than the one that was refused."""
        if self._provider is None:
            return False
        if self.known == refused:  # else a concurrent call has asked already
            self.known = None
        return await self.key() != refused

    async def _ask(self) -> Secret:
        answer: object = None
        problem: str | None = None
        try:
            answer = self._provider() if self._provider else None
            if isawaitable(answer):
                answer = await answer
            else:
                problem = f"the api_key callable must be async: it returned {type(answer).__name__}, not an awaitable"
        except Exception as error:  # noqa: BLE001 - a callable of the user's may raise anything
            problem = f"the api_key callable raised {type(error).__name__}"
        problem = problem or key_problem(answer)
        if problem is None:
            self.known = Secret(str(answer).strip())
            return self.known
        del answer  # a traceback with locals must not show it
        raise ConfigurationError(problem)
