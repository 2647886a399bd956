"""The calls on users. They are read only, and resolve e-mail addresses to ids."""

from collections.abc import AsyncGenerator, Collection, Sequence

from secoda_async._engine.call import Scope
from secoda_async._engine.hints import add_hint
from secoda_async._engine.pagination import Lister, OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.responses import model_of
from secoda_async._engine.wire.ids import validate_id
from secoda_async._engine.wire.protocol import request_to
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError
from secoda_async.models import Page, User
from secoda_async.user_index import UserIndex

__all__ = ["Users"]

_COLLECTION = "user"


class Users:
    """The users of a workspace: `SecodaClient.users`. The errors are those of `Groups`."""

    def __init__(self, pipeline: Pipeline, options: CallOptions, scope: Scope = Scope()) -> None:
        self._pipeline = pipeline
        self._options = options
        self._lister = Lister(pipeline, options, _COLLECTION, User, scope=scope)

    async def get(self, user_id: str) -> User:
        """Read one user (`GET /user/{id}`).

        Example:
            >>> user = await secoda.users.get(ana.id)
            >>> user.email
            'ana@example.com'

        Raises:
            NotFoundError: When the id is unknown.
            InvalidArgumentError: When the id is malformed.
        """
        request = request_to("GET", _COLLECTION, validate_id(user_id, "user"))
        return await self._pipeline.send(
            self._pipeline.call(request, self._options), lambda reply: model_of(reply, User)
        )

    def pages(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Page[User], None]:
        """Yield the users page by page; as `Groups.pages`.

        Example:
            >>> async for page in secoda.users.pages():
            ...     print(page.number, len(page.items), page.count)
            1 2 2
        """
        pages = self._lister.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)
        return add_hint(pages, "users", "page", "pages")

    async def snapshot(self, *, concurrency: int = 4) -> list[User]:
        """Return every user once, or raise; as `Groups.snapshot`.

        Example:
            >>> users = await secoda.users.snapshot()
            >>> len(users)
            2
        """
        return await self._lister.snapshot(concurrency=concurrency)

    async def find(self, *, email: str) -> User | None:
        """Return the user with an e-mail address, or None. All users are read.

        Letter case counts only if several users have the address: then the only enabled user with exactly this address
        is returned.

        Example:
            >>> user = await secoda.users.find(email="ana@example.com")
            >>> user == ana
            True

        Raises:
            AmbiguousNameError: When the address fits several users in another way; `candidates` holds their ids.
            InvalidArgumentError: When the address is empty or not text.
        """
        _check_texts([email], "email")
        return UserIndex(await self.snapshot()).find(email)

    async def resolve(self, members: Sequence[str]) -> list[str]:
        """Return the id of each user, in order, for ids and e-mail addresses. All users are read.

        Addresses match as in `find`. An empty list reads nothing.

        Example:
            >>> ids = await secoda.users.resolve(["ana@example.com", ben.id])
            >>> ids == [ana.id, ben.id]
            True

        Raises:
            AmbiguousNameError: When addresses fit several users; `candidates` holds the ids of all of them.
            InvalidArgumentError: When an id or address is unknown. The message names every unknown or ambiguous one.
        """
        _check_texts(members, "each user")
        return UserIndex(await self.snapshot()).ids_of(members) if members else []

    # The last method: below it, `list` in an annotation would mean this method.
    def list(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[User, None]:
        """Yield every user, page after page; as `Groups.list`.

        Example:
            >>> async for user in secoda.users.list():
            ...     print(user.email)
            ana@example.com
            ben@example.com
        """
        items = self._lister.items(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)
        return add_hint(items, "users", "user", "list")


def _check_texts(values: Sequence[object], what: str) -> None:
    if isinstance(values, str) or not isinstance(values, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = ": put one address in a list" if type(values) is str else ""
        raise InvalidArgumentError(f"users must be a list of ids and addresses, not {type(values).__name__}{hint}")
    for value in values:
        if not isinstance(value, str):
            hint = ": pass its id" if isinstance(value, User) else ""
            raise InvalidArgumentError(f"{what} must be text that is not empty, not {type(value).__name__}{hint}")
        if not value.strip():
            raise InvalidArgumentError(f"{what} must be text that is not empty, not {value!r}")
