"""The calls on groups: five of the API's own, their pages, and adding and removing members."""

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from functools import partial
from typing import Literal

from attrs import evolve

from secoda_async._engine.call import Call, CallState, Scope
from secoda_async._engine.creation import GroupCreator, KnownIds
from secoda_async._engine.group_answers import COLLECTION, confirm_members, group_of, written_group_of
from secoda_async._engine.membership import MembershipChange, change_membership, noting_unclear_update, patch_of
from secoda_async._engine.operation import NotSentError
from secoda_async._engine.pagination import Lister, OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire import codec, protocol
from secoda_async._engine.wire.protocol import Request, request_to, validate_id, validate_ids
from secoda_async.config import CallOptions
from secoda_async.errors import AmbiguousNameError, InvalidArgumentError, NotFoundError, ResponseError
from secoda_async.models import UNSET, Group, GroupFields, Page, Unset, collapse_spaces, confusable_key, normalize

__all__ = ["Groups"]


class _FoundError(NotSentError):
    """The group has appeared just before it was to be created."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group


class Groups:
    """The groups of a workspace: `SecodaClient.groups`.

    Besides the errors that a method names, each raises what `secoda_async.errors` draws: `APIError` and its kinds
    when the server says no, `TransportError` when it can't be reached, `ResponseError` when its answer makes no
    sense, `RateLimitError` and `DeadlineExceededError` when a wait would be too long.
    """

    def __init__(self, pipeline: Pipeline, options: CallOptions, scope: Scope | None = None) -> None:
        self._pipeline = pipeline
        self._options = options
        self._scope = scope or Scope()
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
        """Create a group (`POST /auth/group`); takes one place in the write limit.

        The request is never sent again while the first may have been executed: names are not unique, and there
        would be two groups.

        Args:
            name: The name of the group.
            icon: An emoji.
            description: The purpose of the group.
            users: Ids of its members.
            on_unknown: What to do when no clear answer comes. "raise" raises. "reconcile" reads all groups before
                the create; after an unclear answer it reads them again for at least 30 seconds (or `timeout`, if
                that is longer), returns the group if it appears, and sends the create once more if it does not.

        Raises:
            OutcomeUnknownError: When it may have been created; `.candidates` names the groups that may be it.
            InvalidArgumentError: When an argument can't be sent.
        """
        if on_unknown not in ("raise", "reconcile"):
            raise InvalidArgumentError(f"on_unknown must be 'raise' or 'reconcile', not {on_unknown!r}")
        fields = _checked(name, icon, description, users)
        return await self._create(fields, reconcile=on_unknown == "reconcile", known_ids=self._scope.known_ids)

    async def _create_missing(self, fields: GroupFields, name: str, listed: Collection[Group]) -> Group:
        """Create a group that a list does not show, unless another program has created it during a wait.

        Raises:
            _FoundError: When it has.
        """
        ids = frozenset(group.id for group in listed)

        async def known_ids() -> Collection[str]:
            return ids

        async def look_again(state: CallState) -> None:
            if state.waited and (found := _found(await self.snapshot_with_own_writes(), name)) is not None:
                raise _FoundError(found)

        groups = Groups(self._pipeline, self._options, evolve(self._scope, precondition=look_again))
        return await groups._create(fields, reconcile=True, known_ids=known_ids, is_locked=True)

    async def _create(
        self, fields: GroupFields, *, reconcile: bool, known_ids: KnownIds | None, is_locked: bool = False
    ) -> Group:
        body = codec.dump(codec.to_dict(fields))
        request = request_to("POST", COLLECTION, body=body, name=fields.name or None)
        call = self._pipeline.call(request, self._options, self._scope, is_write=True)
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
        """Return the group of a name, or None; all groups are read.

        Names match after trimming, in Unicode's form NFC, with letter case. Groups that this client created within the
        last minute are found although a list may not show them yet.

        Raises:
            AmbiguousNameError: When several groups have the name; `.candidates` holds their ids.
            InvalidArgumentError: When the name is empty or not a string.
            PaginationError: When the groups could not be read completely.
        """
        wanted = _checked_name(name)
        return _only(await self.snapshot_with_own_writes(), wanted)

    async def ensure(
        self,
        *,
        name: str,
        icon: str | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        users: Iterable[str] | Unset = UNSET,
    ) -> Group:
        """Find the group of a name and give it these fields, or create it: at most one write, none if it is equal.

        Names match as in `find`, or if they differ in blanks only. Fields that are left out stay as they are. A create
        whose outcome is unclear is searched for, as by `create(on_unknown="reconcile")`.

        Raises:
            AmbiguousNameError: When several groups have the name, or one has a name that looks alike (other letter
                case, full-width or invisible characters); nothing was written.
            OutcomeUnknownError: When the write may have been executed.
            InvalidArgumentError: When an argument can't be sent.
            PaginationError: When the groups could not be read completely; nothing was written.
        """
        fields = _checked(_checked_name(name), icon, description, users)
        scope = evolve(
            self._scope, began=self._pipeline.clock.now() if self._scope.began is None else self._scope.began
        )
        groups = Groups(self._pipeline, self._options, scope)
        waiting = self._pipeline.call(request_to("GET", COLLECTION), self._options, scope)
        async with self._creator.lock(name, waiting):
            listed = await groups.snapshot_with_own_writes()
            found = _found(listed, name)
            if found is None and await groups.settle(name):
                listed = await groups.snapshot_with_own_writes()
                found = _found(listed, name)
            if found is None:
                try:
                    return await groups._create_missing(fields, name, listed)
                except _FoundError as error:
                    found = error.group
            if evolve(fields, name=UNSET).matches(found):
                return found
            return await groups.update(found.id, icon=icon, description=description, users=fields.users)

    async def get(self, group_id: str) -> Group:
        """Read one group (`GET /auth/group/{id}`).

        Raises:
            NotFoundError: When there is none with this id.
            InvalidArgumentError: When the id can't be one.
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
        """Change what is given and nothing else (`PATCH /auth/group/{id}`); takes one place in the write limit.

        What is left out is untouched, None is null, and `users` replaces the whole membership: `[]` empties it. It
        is repeated after an unclear failure, because the same request again has the same effect.

        Raises:
            NotFoundError: When there is none with this id.
            InvalidArgumentError: When there is nothing to change, or an argument can't be sent.
        """
        fields = _checked(name, icon, description, users)
        if fields == GroupFields():
            raise InvalidArgumentError("update has nothing to change: give name, icon, description or users")
        call = self._write(patch_of(validate_id(group_id), fields))
        if fields.users is UNSET:
            return await self._send_update(call, group_id, fields)
        async with self._pipeline.lock(_lock_key(group_id), call):  # or it could slip into an add_users
            return await self._send_update(call, group_id, fields)

    async def add_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Add members: read the group, and write its whole membership if any of them is new.

        The group is read again just before each attempt, after every wait. Calls on one group through one client
        run one after the other. The API replaces whole memberships and has no versions, so a change that another
        program makes between the last read and the write, a network round trip, is lost.

        Raises:
            NotFoundError: When there is no such group.
            InvalidArgumentError: When an id can't be one.
        """
        wanted = _ids(users)
        return await self._change_users(group_id, lambda present: tuple(dict.fromkeys((*present, *wanted))))

    async def remove_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Remove members; the group is read and written as by `add_users`.

        Raises:
            NotFoundError: When there is no such group.
            InvalidArgumentError: When an id can't be one.
        """
        unwanted = frozenset(_ids(users))
        return await self._change_users(
            group_id, lambda present: tuple(user for user in present if user not in unwanted)
        )

    async def delete(self, group_id: str, *, missing_ok: bool = False) -> bool:
        """Delete a group (`DELETE /auth/group/{id}`).

        Returns:
            True when it was deleted now; False when it was already absent: with `missing_ok`, or because an earlier
            attempt of this call whose answer was lost had deleted it.

        Raises:
            NotFoundError: When there is none with this id, unless `missing_ok`.
            InvalidArgumentError: When the id can't be one.
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

        A group that moves over the edge of a page meanwhile, and comes again, is left out of the later page.

        Args:
            concurrency: Pages that may be under way at a time; on cursor lists they come one by one.
            on_invalid: With "skip", a group that can't be read is left out and reported in `Page.invalid`.
            max_pages: A list that goes on after so many pages is an error.

        Raises:
            PaginationError: When the list contradicts itself or does not end, when a page is gone because the list
                shrank meanwhile, or, after the last page, when fewer groups came than the server counts.
        """
        return self._lister.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)

    async def snapshot(self, *, concurrency: int = 4) -> list[Group]:
        """Return every group once, or raise: never a part.

        A list of several pages is read twice, and again while the reads differ: one read can miss a group that moves to
        another page, and no clock is relied on. Reads take no place in the write limit. A group that comes without its
        members is an error: it is not taken for empty.

        Raises:
            PaginationError: When the list changed during each of five reads, contradicts itself, or has no count.
        """
        return await self._lister.snapshot(concurrency=concurrency)

    async def listed_ids(self) -> Collection[str] | None:
        """Return the ids of all groups, or None when they can't be read."""
        return await self._creator.ids()

    async def snapshot_with_own_writes(self) -> list[Group]:
        """Return a snapshot that shows this client's own writes of the last minute, where the list lags behind them."""
        return self._pipeline.ledger.corrected(await self._lister.snapshot())

    async def observed_with_own_writes(self) -> list[Group]:
        """Return the groups that a few reads show, with this client's own writes; see `Lister.observed_items`."""
        return self._pipeline.ledger.corrected(await self._lister.observed_items())

    async def settle(self, name: str) -> bool:
        """Wait until a list shows what an unclear create of a name has made; return whether there was one."""
        pause = self._pipeline.ledger.settles_in(confusable_key(name))
        call = self._pipeline.call(request_to("POST", COLLECTION), self._options, self._scope)
        await self._pipeline.pause(call, pause)
        return pause > 0

    def _write(self, request: Request) -> Call:
        return self._pipeline.call(request, self._options, self._scope, is_write=True)

    async def _send_update(self, call: Call, group_id: str, fields: GroupFields) -> Group:
        with noting_unclear_update(self._pipeline, group_id):
            group = await self._pipeline.send(call, partial(written_group_of, fields=fields, group_id=group_id))
        self._pipeline.ledger.note_updated(group, is_whole_membership=fields.users is not UNSET)
        await confirm_members(self._pipeline, call, group, fields)
        return group

    async def _change_users(self, group_id: str, change: MembershipChange) -> Group:
        call = self._write(request_to("PATCH", COLLECTION, validate_id(group_id)))
        async with self._pipeline.lock(_lock_key(group_id), call):
            return await change_membership(self._pipeline, call, group_id, change)

    # Last, because after it `list` means this method to whatever reads the class body.
    def list(
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Group, None]:
        """Yield every group, page after page; the arguments are those of `pages`.

        A group that moves from one page to another meanwhile is yielded once; one can be missed. Where that matters,
        use `snapshot`.

        Raises:
            PaginationError: As in `pages`.
        """
        return self._lister.items(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)


def _checked_name(name: object) -> str:
    """Return a name to find a group by."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(f"name must be a string that is not empty, not {name!r}")
    return normalize(name)


def _found(groups: Sequence[Group], name: str) -> Group | None:
    """Return the group that `ensure` takes for one of this name, or None."""
    return _only(groups, normalize(name)) or _only_similar(groups, name)


def _only(groups: Iterable[Group], name: str) -> Group | None:
    """Return the group of a name, or None."""
    found = [group for group in groups if normalize(group.name) == name]
    if len(found) > 1:
        ids = tuple(group.id for group in found)
        raise AmbiguousNameError(f"{len(found)} groups are called {name!r}: use an id", candidates=ids)
    return found[0] if found else None


def _only_similar(groups: Iterable[Group], name: str) -> Group | None:
    """Return the group whose name differs in blanks only, or None when no name looks alike."""
    similar = [group for group in groups if confusable_key(group.name) == confusable_key(name)]
    if len(similar) == 1 and collapse_spaces(similar[0].name) == collapse_spaces(name):
        return similar[0]
    if similar:
        names = ", ".join(f"{group.name!r} ({group.id})" for group in similar)
        raise AmbiguousNameError(
            f"{name!r} looks like another group's name: {names}. Use that name, or create()",
            candidates=tuple(group.id for group in similar),
        )
    return None


def _lock_key(group_id: str) -> str:
    return f"group {group_id.casefold()}"


def _ids(users: Iterable[str]) -> tuple[str, ...]:
    """The ids of members, each once, in the order given."""
    if isinstance(users, str) or not isinstance(users, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"users must be a list of ids, not {type(users).__name__}: put one id in a list")
    return tuple(dict.fromkeys(validate_ids(users, "user")))


def _checked(
    name: str | Unset, icon: str | Unset | None, description: str | Unset | None, users: Iterable[str] | Unset
) -> GroupFields:
    """Check what is to be written, so that a mistake costs no write."""
    if name is not UNSET and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"name must be a string, not {type(name).__name__}")
    for field, value in (("icon", icon), ("description", description)):
        if not (value is None or isinstance(value, (str, Unset))):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"{field} must be a string or None, not {type(value).__name__}")
    return GroupFields(name=name, icon=icon, description=description, users=UNSET if users is UNSET else _ids(users))
