"""The calls on groups: five of the API's own, their pages, and adding and removing members."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from functools import partial
from typing import Final, Literal, cast

from attrs import define, evolve

from secoda_async._engine import convert, protocol
from secoda_async._engine.creation import GroupCreator
from secoda_async._engine.journey import Call, Journey, Scope
from secoda_async._engine.ledger import Write
from secoda_async._engine.operation import NotSentError
from secoda_async._engine.pages import Lister, OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.protocol import Reply, Request, checked_id, checked_ids, request_to
from secoda_async._engine.retry_table import outcome_unknown
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError, ResponseError
from secoda_async.models import UNSET, Group, GroupFields, Page, Unset, loosely
from secoda_async.users import user_of

__all__ = ["Groups"]

_COLLECTION = "auth/group"

_REREADS: Final = (0.25, 0.5, 1.0, 2.0)
"""Seconds before each repeated read of a group that the server shows as it was before this client's last write."""

_MOST_HIDDEN: Final = 20
"""Members missing from an answer who are looked up, to find out whether their invitation is pending."""


class _NothingToWriteError(NotSentError):
    """The membership is already as it should be."""

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
        self._lister = Lister(pipeline, options, _COLLECTION, Group, needed=("users",), scope=self._scope)
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
        body = convert.dump(convert.to_dict(fields))
        call = self._write(request_to("POST", _COLLECTION, body=body, name=fields.name or None))
        group = await self._creator.create(
            call,
            fields,
            partial(_written, fields=fields),
            reconcile=on_unknown == "reconcile",
            known_ids=self._scope.known_ids,
        )
        try:
            await self._confirm_members(group, fields, call)
        except ResponseError as error:
            unknown = outcome_unknown(call.request, error, "its answer was checked")
            unknown.candidates = (group.id,)
            raise unknown from error
        return group

    async def get(self, group_id: str) -> Group:
        """Read one group (`GET /auth/group/{id}`).

        Raises:
            NotFoundError: When there is none with this id.
            InvalidArgumentError: When the id can't be one.
        """
        call = self._call(request_to("GET", _COLLECTION, checked_id(group_id)))
        return await self._pipeline.send(call, partial(_group, group_id=group_id))

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
        call = self._write(self._patch(checked_id(group_id), fields))
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
        call = self._write(request_to("DELETE", _COLLECTION, checked_id(group_id)))
        try:
            was_there = await self._pipeline.send(call, _deleted)
        except NotFoundError as error:
            if not missing_ok or not protocol.is_absence(error):
                raise
            was_there = False
        self._pipeline.ledger.note_deleted(group_id)
        return was_there

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
            PaginationError: When the list leads nowhere, or a page is gone because it shrank meanwhile.
        """
        return self._lister.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)

    async def snapshot(self, *, concurrency: int = 4) -> list[Group]:
        """Return every group once, or raise: never a part.

        What came is held against the server's count; when the list moved meanwhile it is read again. A group that comes
        without its members is an error: it is not taken for empty.

        Raises:
            PaginationError: When it moved every time.
        """
        return await self._lister.snapshot(concurrency=concurrency)

    async def listed_ids(self) -> Collection[str] | None:
        """Return the ids of all groups, or None when they can't be read."""
        return await self._creator.ids()

    async def known(self) -> list[Group]:
        """Return a snapshot that shows this client's own writes of the last minute, where the list lags behind them."""
        return self._pipeline.ledger.corrected(await self._lister.snapshot())

    async def sightings(self) -> list[Group]:
        """Return the groups that a few reads show, with this client's own writes; see `Lister.sightings`."""
        return self._pipeline.ledger.corrected(await self._lister.sightings())

    def settles_in(self, name: str) -> float:
        """Return the seconds until a list shows whether an unclear create of this client has made a group."""
        return self._pipeline.ledger.settles_in(loosely(name))

    def _call(self, request: Request) -> Call:
        return self._pipeline.call(request, self._options, began=self._scope.began, operation=self._scope.operation)

    def _write(self, request: Request) -> Call:
        return evolve(self._call(request), precondition=self._scope.precondition)

    def _patch(self, group_id: str, fields: GroupFields) -> Request:
        return request_to("PATCH", _COLLECTION, group_id, body=convert.dump(convert.to_dict(fields)))

    async def _send_update(self, call: Call, group_id: str, fields: GroupFields) -> Group:
        group = await self._pipeline.send(call, partial(_written, fields=fields, group_id=group_id))
        await self._confirm_members(group, fields, call)
        self._pipeline.ledger.note_updated(group)
        return group

    async def _change_users(self, group_id: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Group:
        """Read a group, and write its membership if `change` makes another one of it."""
        call = self._write(request_to("PATCH", _COLLECTION, checked_id(group_id)))
        async with self._pipeline.lock(_lock_key(group_id), call):
            membership = _Membership(change, await self._read_members(call, group_id))

            async def refresh(state: Journey) -> Request | None:
                if state.waited or not membership.is_fresh:
                    membership.group = await self._read_members(call, group_id)
                membership.is_fresh = False  # the next check comes after a wait
                if not membership.is_changed:
                    raise _NothingToWriteError(membership.group)
                return self._patch(group_id, membership.fields)

            if not membership.is_changed:
                return membership.group
            try:
                group = await self._pipeline.send(
                    call.with_precondition(refresh), lambda reply: _written(reply, membership.fields, group_id)
                )
            except _NothingToWriteError as nothing:
                return nothing.group
            await self._confirm_members(group, membership.fields, call)
            self._pipeline.ledger.note_updated(group, before=membership.group.users)
            return group

    async def _read_members(self, call: Call, group_id: str) -> Group:
        """Read a group whose membership is to be written; a replica that lags behind our last write is read again."""
        request = request_to("GET", _COLLECTION, group_id)
        read = evolve(call, request=request, precondition=None)
        group, last = await self._read_unless_lagging(read, group_id)
        for pause in _REREADS if last is not None else ():
            await self._pipeline.pause(read, pause)
            group, last = await self._read_unless_lagging(read, group_id)
            if last is None:
                break
        if last is None or last.group is None:
            return cast("Group", group)
        # Nobody is lost: neither the members who were written nor those whom others have added.
        shown = group.users if group is not None else ()
        others = (user for user in shown if user not in last.removed and user not in last.group.users)
        return evolve(last.group, users=(*last.group.users, *others))

    async def _read_unless_lagging(self, read: Call, group_id: str) -> tuple[Group | None, Write | None]:
        """Read a group, and return with it this client's last write if the server does not show that yet."""
        last = self._pipeline.ledger.latest(group_id)
        try:
            group = await self._pipeline.send(read, partial(_group_with_users, group_id=group_id))
        except NotFoundError:
            if last is None or not last.is_created:
                raise
            return None, last
        return group, last if last is not None and last.is_missing_in(group) else None

    async def _confirm_members(self, group: Group, fields: GroupFields, call: Call) -> None:
        """Check members whom an answer does not show: only those with a pending invitation may be hidden.

        Raises:
            ResponseError: When another one is missing.
        """
        hidden = fields.hidden_users(group)
        for user_id in hidden[:_MOST_HIDDEN]:
            request = request_to("GET", "user", user_id)
            try:
                user = await self._pipeline.send(evolve(call, request=request, precondition=None), user_of)
            except NotFoundError:
                break
            if not user.pending:
                break
        else:
            if len(hidden) <= _MOST_HIDDEN:
                return
        error = ResponseError(f"the answer lacks {len(hidden)} of the members that were sent: {hidden[0]!r}, ...")
        error.location, error.item_id = "users", group.id
        error.method, error.path = call.request.method, call.request.path
        raise error

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


@define
class _Membership:
    """The membership of a group as it was read last, and as it should be."""

    change: Callable[[tuple[str, ...]], tuple[str, ...]]
    group: Group
    is_fresh: bool = True
    """Whether it was read just now."""

    @property
    def fields(self) -> GroupFields:
        return GroupFields(users=self.change(self.group.users))

    @property
    def is_changed(self) -> bool:
        return self.fields.users != self.group.users


def _lock_key(group_id: str) -> str:
    return f"group {group_id.casefold()}"


def _group(reply: Reply, group_id: str | None = None) -> Group:
    """Return the group of an answer; with an id, that group and no other."""
    group: Group = convert.structure(protocol.json_of(reply), Group)
    if group_id is not None and group.id.casefold() != group_id.casefold():
        error = ResponseError(f"the answer is about the group {group.id!r}, not about {group_id!r}: a cache's?")
        error.location, error.item_id = "id", group.id
        raise error
    return group


def _group_with_users(reply: Reply, group_id: str) -> Group:
    """Return a group whose membership is to be written: a membership that is not shown is not empty."""
    convert.check_shown([protocol.json_of(reply)], ("users",))
    return _group(reply, group_id)


def _written(reply: Reply, fields: GroupFields, group_id: str | None = None) -> Group:
    """Return the group of an answer to a write; it must show what was sent."""
    group = _group(reply, group_id)
    if wrong := fields.contradictions(group):
        error = ResponseError(f"the answer shows another {' and '.join(wrong)} than was sent, for {group.name!r}")
        error.location, error.item_id = wrong[0], group.id
        raise error
    return group


def _deleted(reply: Reply) -> bool:
    """Return whether the group was there; a 404 stands for one that an earlier attempt deleted."""
    if reply.status == 404:  # noqa: PLR2004
        return False
    protocol.check_deleted(reply)
    return True


def _ids(users: Iterable[str]) -> tuple[str, ...]:
    """The ids of members, each once, in the order given."""
    if isinstance(users, str) or not isinstance(users, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"users must be a list of ids, not {type(users).__name__}: put one id in a list")
    return tuple(dict.fromkeys(checked_ids(users, "user")))


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
