"""The calls on users: read only, to turn e-mail addresses into ids."""

from collections.abc import AsyncGenerator

from secoda_async._engine import convert, protocol
from secoda_async._engine.journey import Scope
from secoda_async._engine.pages import Lister, OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.protocol import Reply, checked_id, request_to
from secoda_async.config import CallOptions
from secoda_async.models import Page, User

__all__ = ["Users"]

_COLLECTION = "user"


class Users:
    """The users of a workspace: `SecodaClient.users`. The errors are those of `Groups`."""

    def __init__(self, pipeline: Pipeline, options: CallOptions, scope: Scope | None = None) -> None:
        self._pipeline = pipeline
        self._options = options
        self._lister = Lister(pipeline, options, _COLLECTION, User, scope=scope or Scope())

    async def get(self, user_id: str) -> User:
        """Read one user (`GET /user/{id}`).

        Raises:
            NotFoundError: When there is none with this id.
            InvalidArgumentError: When the id can't be one.
        """
        request = request_to("GET", _COLLECTION, checked_id(user_id, "user"))
        return await self._pipeline.send(self._pipeline.call(request, self._options), user_of)

    def pages(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Page[User], None]:
        """Yield the users page by page; as `Groups.pages`."""
        return self._lister.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)

    async def snapshot(self, *, concurrency: int = 4) -> list[User]:
        """Return every user once, or raise; as `Groups.snapshot`."""
        return await self._lister.snapshot(concurrency=concurrency)

    # Last, because after it `list` means this method to whatever reads the class body.
    def list(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[User, None]:
        """Yield every user, page after page; as `Groups.list`."""
        return self._lister.items(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)


def user_of(reply: Reply) -> User:
    """Return the user of an answer."""
    user: User = convert.structure(protocol.json_of(reply), User)
    return user
