"""The calls on groups: the five of the API, lists, and adding and removing members."""

from collections.abc import AsyncGenerator, Collection, Iterable
from functools import partial
from typing import Literal

from attrs import evolve

from secoda_async._engine.call import Call, CallState, Scope
from secoda_async._engine.creation import GroupCreator, GroupExistsError, KnownIds
from secoda_async._engine.group_names import find_by_name, find_by_similar_name, validate_name
from secoda_async._engine.group_responses import COLLECTION, confirm_members, group_of, written_group_of
from secoda_async._engine.group_updates import MembershipChange, change_membership, patch_of, send_update
from secoda_async._engine.pagination import Lister, OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire import codec, protocol
from secoda_async._engine.wire.protocol import Request, request_to, validate_id, validate_ids
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError, ResponseError
from secoda_async.models import UNSET, Group, GroupFields, Page, Unset, confusable_key

__all__ = ["Groups"]


class Groups:
    """The groups of a workspace: `SecodaClient.groups`.

    Every method can also raise `APIError` (rejected by the server), `TransportError` (server not reached),
    `ResponseError` (unexpected response), and `RateLimitError` or `DeadlineExceededError` (a wait would be too long).
    """

    def __init__(self, pipeline: Pipeline, options: CallOptions, scope: Scope = Scope()) -> None:
        self._pipeline = pipeline
        self._options = options
        self._scope = scope
        self._lister = Lister(pipeline, options, COLLECTION, Group, needed=("users",), scope=self._scope)
        self._creator = GroupCreator(pipeline, self._lister)

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

        Args:
            name: The name of the group.
            icon: An emoji.
            description: The purpose of the group.
            users: Ids of the members.
            on_unknown: Behaviour when the outcome is unclear. "raise" raises an error. "reconcile" reads all groups
                before the create and, after an unclear response, for at least 30 seconds (or `timeout`, if longer). If
                the group appears, it is returned; otherwise the create is sent once more.

        Raises:
            OutcomeUnknownError: When the group may have been created; `.candidates` holds the ids of possible groups.
            InvalidArgumentError: When an argument can't be sent.
        """
        if on_unknown not in ("raise", "reconcile"):
            raise InvalidArgumentError(f"on_unknown must be 'raise' or 'reconcile', not {on_unknown!r}")
        fields = _validate_fields(name, icon, description, users)
        return await self._create(fields, reconcile=on_unknown == "reconcile", known_ids=self._scope.known_ids)

    async def _create_missing(self, fields: GroupFields, name: str, listed: Collection[Group]) -> Group:
        """Create a group that a list does not show, unless another program creates it while this call waits.

        Raises:
            GroupExistsError: When another program created the group.
        """
        ids = frozenset(group.id for group in listed)

        async def known_ids() -> Collection[str]:
            return ids

        async def read_again(state: CallState) -> None:
            found = find_by_similar_name(await self.snapshot_with_own_writes(), name) if state.waited else None
            if found is not None:
                raise GroupExistsError(found)

        groups = Groups(self._pipeline, self._options, evolve(self._scope, precondition=read_again))
        return await groups._create(fields, reconcile=True, known_ids=known_ids, is_locked=True)

    async def _create(
        self, fields: GroupFields, *, reconcile: bool, known_ids: KnownIds | None, is_locked: bool = False
    ) -> Group:
        request = request_to("POST", COLLECTION, body=codec.dump(fields.to_dict()), name=fields.name or None)
        call = self._write(request)
        read = partial(written_group_of, fields=fields)
        if reconcile:
            group = await self._creator.create(call, fields, read, known_ids=known_ids, is_locked=is_locked)
        else:
            with self._pipeline.ledger.creating(fields.name, call.operation):
                group = await self._pipeline.send(call, read)
        self._pipeline.ledger.note_created(group)
        try:
            await confirm_members(self._pipeline, call, group, fields)
        except ResponseError as error:
            raise outcome_unknown(call.request, error, "its response was checked", candidates=(group.id,)) from error
        return group

    async def find(self, *, name: str) -> Group | None:
        """Return the group with a name, or None. All groups are read.

        Names are compared after trimming and in Unicode's form NFC; letter case counts. Groups that this client created
        within the last minute are found although a list may not show them yet.

        Raises:
            AmbiguousNameError: When several groups have the name; `.candidates` holds their ids.
            InvalidArgumentError: When the name is empty or not a string.
            PaginationError: When the groups could not be read completely.
        """
        wanted = validate_name(name)
        return find_by_name(await self.snapshot_with_own_writes(), wanted)

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

        Raises:
            AmbiguousNameError: When several groups have the name, or one has a confusable name (other letter case,
                full-width or invisible characters); nothing was written.
            OutcomeUnknownError: When the write may have been executed.
            InvalidArgumentError: When an argument can't be sent.
            PaginationError: When the groups could not be read completely; nothing was written.
        """
        fields = _validate_fields(validate_name(name), icon, description, users)
        began = self._pipeline.clock.now() if self._scope.began is None else self._scope.began
        scope = evolve(self._scope, began=began)
        groups = Groups(self._pipeline, self._options, scope)
        waiting = self._pipeline.call(request_to("GET", COLLECTION), self._options, scope)
        async with self._creator.lock(name, waiting):
            listed = await groups.snapshot_with_own_writes()
            found = find_by_similar_name(listed, name)
            if found is None and await groups.settle(name):
                listed = await groups.snapshot_with_own_writes()
                found = find_by_similar_name(listed, name)
            if found is None:
                try:
                    return await groups._create_missing(fields, name, listed)
                except GroupExistsError as error:
                    found = error.group
            if evolve(fields, name=UNSET).matches(found):
                return found
            return await groups.update(found.id, icon=icon, description=description, users=fields.users)

    async def get(self, group_id: str) -> Group:
        """Read one group (`GET /auth/group/{id}`).

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When the id is malformed.
        """
        request = request_to("GET", COLLECTION, validate_id(group_id))
        call = self._pipeline.call(request, self._options, self._scope)
        return await self._pipeline.send(call, partial(group_of, group_id=group_id))

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

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When there is nothing to change, or an argument can't be sent.
        """
        fields = _validate_fields(name, icon, description, users)
        if fields == GroupFields():
            raise InvalidArgumentError("update has nothing to change: give name, icon, description or users")
        call = self._write(patch_of(validate_id(group_id), fields))
        return await send_update(self._pipeline, call, group_id, fields)

    async def add_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Add members: read the group, and write the whole membership if any of them is new.

        The group is read again just before each attempt, and calls on one group through one client run in turn. The API
        replaces whole memberships: a change by another program between the last read and the write is lost.

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When an id is malformed.
        """
        wanted = _validate_users(users)
        return await self._change_users(group_id, lambda present: tuple(dict.fromkeys((*present, *wanted))))

    async def remove_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Remove members; the group is read and written as by `add_users`.

        Raises:
            NotFoundError: When no group has this id.
            InvalidArgumentError: When an id is malformed.
        """
        unwanted = frozenset(_validate_users(users))
        return await self._change_users(group_id, lambda ids: tuple(user for user in ids if user not in unwanted))

    async def delete(self, group_id: str, *, missing_ok: bool = False) -> bool:
        """Delete a group (`DELETE /auth/group/{id}`).

        Returns:
            True if this call deleted the group; False if the group was already absent: with `missing_ok`, or because
            an earlier attempt of this call, whose response was lost, deleted it.

        Raises:
            NotFoundError: When no group has this id, unless `missing_ok`.
            InvalidArgumentError: When the id is malformed.
        """
        call = self._write(request_to("DELETE", COLLECTION, validate_id(group_id)))
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

        Args:
            concurrency: Maximum number of pages in flight. Cursor lists are read one page after the other.
            on_invalid: With "skip", a group that can't be read is left out and reported in `Page.invalid`.
            max_pages: Maximum length of the list. A longer list is an error.

        Raises:
            PaginationError: When the list contradicts itself or does not end, when a page is gone because the list
                shrank, or, after the last page, when fewer groups came than the server counts.
        """
        return self._lister.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)

    async def snapshot(self, *, concurrency: int = 4) -> list[Group]:
        """Return every group once, or raise an error; the result is never incomplete.

        A list of several pages is read twice, and again while the reads differ: one read can miss a group that moves to
        another page. No clock is compared, and reads cost no rate-limited write. A group without the key `users` is an
        error, because the members are unknown.

        Raises:
            PaginationError: When the list changed during each of five reads, contradicts itself, or has no count.
        """
        return await self._lister.snapshot(concurrency=concurrency)

    async def listed_ids(self) -> Collection[str] | None:
        """Return the ids of all groups, or None when they can't be read."""
        return await self._creator.ids()

    async def snapshot_with_own_writes(self) -> list[Group]:
        """Return a snapshot, corrected by this client's own writes of the last minute, which the list may not show."""
        return self._pipeline.ledger.with_own_writes(await self._lister.snapshot())

    async def observed_with_own_writes(self) -> list[Group]:
        """Return the groups of `Lister.observed_items`, with this client's own writes of the last minute."""
        return self._pipeline.ledger.with_own_writes(await self._lister.observed_items())

    async def settle(self, name: str) -> bool:
        """Wait until a list shows the group of an unclear create with this name; return whether there was one."""
        pause = self._pipeline.ledger.settles_in(confusable_key(name))
        await self._pipeline.pause(
            self._pipeline.call(request_to("POST", COLLECTION), self._options, self._scope), pause
        )
        return pause > 0

    def _write(self, request: Request) -> Call:
        return self._pipeline.call(request, self._options, self._scope, is_write=True)

    async def _change_users(self, group_id: str, change: MembershipChange) -> Group:
        call = self._write(request_to("PATCH", COLLECTION, validate_id(group_id)))
        return await change_membership(self._pipeline, call, group_id, change)

    # The last method: below it, `list` in an annotation would mean this method.
    def list(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Group, None]:
        """Yield every group, page after page; the arguments are those of `pages`.

        A group that moves to another page during the read is yielded once, and can be missed; `snapshot` misses none.

        Raises:
            PaginationError: As in `pages`.
        """
        return self._lister.items(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)


def _validate_users(users: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of members, each once, in the order given."""
    if isinstance(users, str) or not isinstance(users, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"users must be a list of ids, not {type(users).__name__}: put one id in a list")
    return tuple(dict.fromkeys(validate_ids(users, "user")))


def _validate_fields(
    name: str | Unset, icon: str | Unset | None, description: str | Unset | None, users: Iterable[str] | Unset
) -> GroupFields:
    """Return the fields of a write; an invalid argument costs no rate-limited write."""
    if name is not UNSET and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"name must be a string, not {type(name).__name__}")
    for field, value in (("icon", icon), ("description", description)):
        if not (value is None or isinstance(value, (str, Unset))):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"{field} must be a string or None, not {type(value).__name__}")
    ids = UNSET if users is UNSET else _validate_users(users)
    return GroupFields(name=name, icon=icon, description=description, users=ids)
