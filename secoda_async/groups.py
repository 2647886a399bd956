"""The calls on groups: five of the API's own, their pages, and adding and removing members."""

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Literal

from secoda_async._engine import convert, protocol
from secoda_async._engine.journey import Call, Check
from secoda_async._engine.pages import Lister, OnInvalid
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.protocol import Reply, Request, checked_id, checked_ids, request_to
from secoda_async._engine.recover import Creator
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError
from secoda_async.models import UNSET, Group, GroupFields, Page, Unset

__all__ = ["Groups"]

_COLLECTION = "auth/group"


class Groups:
    """The groups of a workspace: `SecodaClient.groups`.

    Besides the errors that a method names, each raises what `secoda_async.errors` draws: `APIError` and its kinds
    when the server says no, `TransportError` when it can't be reached, `ResponseError` when its answer makes no
    sense, `RateLimitError` and `DeadlineExceededError` when a wait would be too long.
    """

    def __init__(self, pipeline: Pipeline, options: CallOptions, check: Check | None = None) -> None:
        self._pipeline = pipeline
        self._options = options
        self._check = check
        self._lister = Lister(pipeline, options, _COLLECTION, Group, needed=("users",))
        self._creator = Creator(pipeline, self._lister)

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

        It is never sent again when the first may have been carried out: names are not unique, and there would be
        two groups.

        Args:
            name: What to call it.
            icon: An emoji, as a rule.
            description: What it is for.
            users: Ids of its members.
            on_unknown: What to do when no clear answer comes: raise, or look for the group among all groups and
                send once more only when it is not there.

        Raises:
            OutcomeUnknownError: When it may have been created.
            InvalidArgumentError: When an argument can't be sent.
        """
        if on_unknown not in ("raise", "reconcile"):
            raise InvalidArgumentError(f"on_unknown must be 'raise' or 'reconcile', not {on_unknown!r}")
        fields = _checked(name, icon, description, users)
        body = convert.dump(convert.to_dict(fields))
        call = self._write(request_to("POST", _COLLECTION, body=body, name=fields.name or None))
        return await self._creator.create(call, fields, _group, finds=on_unknown == "reconcile")

    async def get(self, group_id: str) -> Group:
        """Read one group (`GET /auth/group/{id}`).

        Raises:
            NotFoundError: When there is none with this id.
            InvalidArgumentError: When the id can't be one.
        """
        return await self._pipeline.send(self._call(request_to("GET", _COLLECTION, checked_id(group_id))), _group)

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
        call = self._patch(checked_id(group_id), fields)
        if fields.users is UNSET:
            return await self._pipeline.send(call, _group)
        with await self._pipeline.in_turn(group_id, call):  # else it could slip into an add_users
            return await self._pipeline.send(call, _group)

    async def add_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Add members: read the group, and write its whole membership once if any of them is new.

        Calls on one group through one client come one after the other. The API replaces whole memberships and has
        no versions, so a change by another program between the read and the write is lost.

        Raises:
            NotFoundError: When there is no such group.
            InvalidArgumentError: When an id can't be one.
        """
        wanted = _ids(users)
        return await self._change_users(group_id, lambda present: tuple(dict.fromkeys((*present, *wanted))))

    async def remove_users(self, group_id: str, users: Iterable[str]) -> Group:
        """Remove members: as `add_users`, the other way round.

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
            return await self._pipeline.send(call, lambda reply: reply.status != 404)  # noqa: PLR2004
        except NotFoundError:
            if not missing_ok:
                raise
            return False

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

    def _call(self, request: Request) -> Call:
        return self._pipeline.call(request, self._options)

    def _write(self, request: Request) -> Call:
        return self._pipeline.call(request, self._options, check=self._check)

    def _patch(self, group_id: str, fields: GroupFields, began: float | None = None) -> Call:
        request = request_to("PATCH", _COLLECTION, group_id, body=convert.dump(convert.to_dict(fields)))
        return self._pipeline.call(request, self._options, began, self._check)

    async def _change_users(self, group_id: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Group:
        """Read a group and write its membership, if `change` makes another one of it."""
        call = self._call(request_to("GET", _COLLECTION, checked_id(group_id)))
        with await self._pipeline.in_turn(group_id, call):
            group = await self._pipeline.send(call, _group_with_users)
            users = change(group.users)
            if users == group.users:
                return group
            return await self._pipeline.send(self._patch(group_id, GroupFields(users=users), call.began), _group)

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


def _group(reply: Reply) -> Group:
    group: Group = convert.structure(protocol.json_of(reply), Group)
    return group


def _group_with_users(reply: Reply) -> Group:
    """A group whose membership is to be written: what is not shown must not be taken for empty."""
    payload = protocol.json_of(reply)
    convert.check_shown([payload], ("users",))
    group: Group = convert.structure(payload, Group)
    return group


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
