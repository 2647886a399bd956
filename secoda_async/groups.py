"""The calls on groups: the five of the API, lists, and adding and removing members."""

from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Literal

from secoda_async._engine.call import Scope
from secoda_async._engine.group_names import find_by_name, validate_name
from secoda_async._engine.group_responses import COLLECTION, group_of
from secoda_async._engine.group_store import GroupStore, validate_fields
from secoda_async._engine.hints import add_hint
from secoda_async._engine.pagination import OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.ids import validate_id, validate_users
from secoda_async._engine.wire.protocol import request_to
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError
from secoda_async.models import UNSET, Group, Page, Unset, ids_missing_in

__all__ = ["Groups"]


def _validate_group_id(group_id: object) -> str:
    try:
        return validate_id(group_id)
    except InvalidArgumentError:
        if isinstance(group_id, str) and " " in group_id.strip():
            hint = f"{group_id!r} is not a group id: find the group with groups.find(name=...)"
            raise InvalidArgumentError(hint) from None
        raise


class Groups:
    """The groups of a workspace: `SecodaClient.groups`.

    Every method can also raise `APIError` (rejected by the server), `TransportError` (server not reached),
    `ResponseError` (unexpected response), and `RateLimitError` or `DeadlineExceededError` (a wait would be too long).
    """

    def __init__(self, pipeline: Pipeline, options: CallOptions, scope: Scope = Scope()) -> None:
        self._pipeline = pipeline
        self._store = GroupStore(pipeline, options, scope)

    async def create(
        self,
        *,
        name: str | Unset = UNSET,
        icon: str | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        users: Iterable[str] | Unset = UNSET,
        on_unknown: Literal["raise", "reconcile"] = "raise",
    ) -> Group:
        """Create a group (`POST /auth/group`), with one rate-limited write.

        The request is never sent again while the server may have executed the first one: names are not unique, so a
        second request could create a second group.

        Example:
            >>> group = await secoda.groups.create(name="Analysts", icon="🧪", users=[ana.id])
            >>> group.name
            'Analysts'

        Args:
            name: The name of the group.
            icon: An emoji.
            description: The purpose of the group.
            users: Ids of the members.
            on_unknown: Behavior when the outcome is unclear. "raise" raises an error. "reconcile" reads all groups
                before the create and, after an unclear response, for at least 30 seconds (or `timeout`, if longer). If
                the group appears, it is returned; otherwise the create is sent once more.

        Raises:
            OutcomeUnknownError: When the group may have been created; `.candidates` holds the ids of possible groups.
            InvalidArgumentError: When an argument can't be sent.
        """
        if on_unknown not in ("raise", "reconcile"):
            raise InvalidArgumentError(f"on_unknown must be 'raise' or 'reconcile', not {on_unknown!r}")
        fields = validate_fields(name, icon, description, users)
        return await self._store.create(fields, reconcile=on_unknown == "reconcile")

    async def find(self, *, name: str) -> Group | None:
        """Return the group with a name, or None. All groups are read.

        Names are compared after trimming and in Unicode's form NFC; letter case counts. Groups that this client created
        within the last minute are found although a list may not show them yet.

        Example:
            >>> group = await secoda.groups.find(name="Data Stewards")
            >>> None if group is None else group.name
            'Data Stewards'

        Raises:
            AmbiguousNameError: When several groups have the name; `.candidates` holds their ids.
            InvalidArgumentError: When the name is empty or not a string.
            PaginationError: When the groups could not be read completely.
        """
        wanted = validate_name(name)
        return find_by_name(await self._store.snapshot_with_own_writes(), wanted)

    async def ensure(
        self,
        *,
        name: str,
        icon: str | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        users: Iterable[str] | Unset = UNSET,
    ) -> Group:
        """Find the group with a name and set these fields, or create the group. Equal groups cost no write, others one.

        Names match as in `find`, or if they differ in white space only. Omitted fields keep their values. The create is
        that of `create(on_unknown="reconcile")`.

        Example:
            >>> group = await secoda.groups.ensure(name="Analysts", users=[ana.id])
            >>> same = await secoda.groups.ensure(name="Analysts", users=[ana.id])  # writes nothing
            >>> same.id == group.id
            True

        Raises:
            AmbiguousNameError: When several groups have the name, or one has a confusable name (other letter case,
                dashes, look-alike or invisible characters); nothing was written.
            OutcomeUnknownError: When the write may have been executed.
            InvalidArgumentError: When an argument can't be sent.
            PaginationError: When the groups could not be read completely; nothing was written.
        """
        return await self._store.ensure(validate_fields(validate_name(name), icon, description, users), name)

    async def get(self, group_id: str) -> Group:
        """Read one group (`GET /auth/group/{id}`).

        Example:
            >>> group = await secoda.groups.get(group.id)

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When the id is malformed.
        """
        request = request_to("GET", COLLECTION, _validate_group_id(group_id))
        return await self._pipeline.send(self._store.call(request), partial(group_of, group_id=group_id))

    async def update(
        self,
        group_id: str,
        *,
        name: str | Unset = UNSET,
        icon: str | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        users: Iterable[str] | Unset = UNSET,
    ) -> Group:
        """Change the given fields of a group (`PATCH /auth/group/{id}`), with one rate-limited write.

        Omitted fields keep their values, None is sent as null, and `users` replaces the whole membership: `[]` removes
        all members. The request is retried after an unclear failure, because it is idempotent.

        Example:
            >>> group = await secoda.groups.update(group.id, name="Stewards", description=None)
            >>> group.name, group.description
            ('Stewards', None)

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When there is nothing to change, or an argument can't be sent.
        """
        return await self._store.update(_validate_group_id(group_id), validate_fields(name, icon, description, users))

    async def add_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Add members: read the group, and write the whole membership if any of them is new.

        The group is read again just before each attempt, and calls on one group through one client run in turn. The API
        replaces whole memberships: a change by another program between the last read and the write is lost. The letter
        case of ids does not matter.

        Example:
            >>> group = await secoda.groups.add_users(group.id, [ben.id])
            >>> ben.id in group.users
            True

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When an id is malformed.
        """
        wanted = validate_users(users)
        return await self._store.change_members(
            _validate_group_id(group_id), lambda present: (*present, *ids_missing_in(present, wanted))
        )

    async def remove_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Remove members; the group is read and written as by `add_users`.

        Example:
            >>> group = await secoda.groups.remove_users(group.id, [ana.id])
            >>> ana.id in group.users
            False

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When an id is malformed.
        """
        unwanted = frozenset(map(str.casefold, validate_users(users)))
        return await self._store.change_members(
            _validate_group_id(group_id),
            lambda present: tuple(user for user in present if user.casefold() not in unwanted),
        )

    async def delete(self, group_id: str, *, missing_ok: bool = False) -> bool:
        """Delete a group (`DELETE /auth/group/{id}`).

        Example:
            >>> await secoda.groups.delete(group.id)
            True
            >>> await secoda.groups.delete(group.id, missing_ok=True)
            False

        Returns:
            True if this call deleted the group; False if the group was already absent: with `missing_ok`, or because
            an earlier attempt of this call, whose response was lost, deleted it.

        Raises:
            NotFoundError: When no group has this id, unless `missing_ok`.
            InvalidArgumentError: When the id is malformed.
        """
        call = self._store.write_call(request_to("DELETE", COLLECTION, _validate_group_id(group_id)))
        try:
            is_deleted = await self._pipeline.send(call, protocol.confirm_deletion, already_gone=False)
        except NotFoundError as error:
            if not missing_ok or not protocol.is_absence(error):
                raise
            is_deleted = False
        self._pipeline.ledger.note_deleted(group_id)
        return is_deleted

    def pages(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Page[Group], None]:
        """Yield the groups page by page, in the server's order.

        A group that moves to a later page during the read, and so comes twice, is left out of the later page.

        Example:
            >>> async for page in secoda.groups.pages():
            ...     print(page.number, len(page.items), page.count)
            1 2 2

        Args:
            concurrency: Maximum number of pages in flight. Cursor lists are read one page after the other.
            on_invalid: With "skip", a group that can't be read is left out and reported in `Page.invalid`.
            max_pages: Maximum length of the list. A longer list is an error.

        Raises:
            PaginationError: When the list contradicts itself or does not end, when a page is gone because the list
                shrank, or, after the last page, when fewer groups came than the server counts.
        """
        pages = self._store.lister.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)
        return add_hint(pages, "groups", "page", "pages")

    async def snapshot(self, *, concurrency: int = 4) -> list[Group]:
        """Return every group once, or raise an error; the result is never incomplete.

        A list of several pages is read twice, and again while the reads differ: one read can miss a group that moves to
        another page. No clock is compared, and reads cost no rate-limited write. A group without the key `users` is an
        error, because the members are unknown.

        Example:
            >>> groups = await secoda.groups.snapshot()
            >>> sorted(group.name for group in groups)
            ['Data Stewards', 'Finance']

        Raises:
            PaginationError: When the list changed during each of five reads, contradicts itself, or has no count.
        """
        return await self._store.lister.snapshot(concurrency=concurrency)

    # The last method: below it, `list` in an annotation would mean this method.
    def list(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Group, None]:
        """Yield every group, page after page; the arguments are those of `pages`.

        A group that moves to another page during the read is yielded once, and can be missed; `snapshot` misses none.

        Example:
            >>> async for group in secoda.groups.list():
            ...     print(group.name, len(group.users))
            Data Stewards 1
            Finance 0

        Raises:
            PaginationError: As in `pages`.
        """
        items = self._store.lister.items(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)
        return add_hint(items, "groups", "group", "list")


class ScopedGroups(Groups):
    """The calls on groups for `bulk` and `apply`, which need the calls behind them too."""

    @property
    def store(self) -> GroupStore:
        """The calls behind the public ones."""
        return self._store
