"""Creates with an unclear outcome: adopt the group, send the create again, or report the outcome unknown.

Theory of operation
-------------------
No decision compares two clocks. A *candidate* is a group with the name that was sent (in any normalization; any name if
none was sent, because the server may choose one), with an id that was not in the listing before the create, and not
created by another call of this client. After an unclear response all groups are read until the settle time has passed:

1. One candidate that is certain is adopted: it shows the name and every field that was sent, a complete listing was
   read before the create, and no other create of the name is in flight or unclear.
2. No candidate until the end of the settle time: the create is sent once more. Until then the server may still execute
   the first request, and its lists may lag. Just before the second request the groups are read again.
3. Otherwise `OutcomeUnknownError` is raised, with the candidates.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import nullcontext
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

from attrs import define, field

from secoda_async._engine.call import Call, CallState
from secoda_async._engine.concurrency.keyed_locks import LockHandle
from secoda_async._engine.concurrency.timeouts import TimedOutError
from secoda_async._engine.ledger import SETTLE_TIME, Ledger
from secoda_async._engine.name_keys import confusable_key
from secoda_async._engine.operation import NotSentError, OperationCancelledError
from secoda_async._engine.pagination import Lister
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    OutcomeUnknownError,
    PaginationError,
    SecodaError,
)
from secoda_async.models import Group, GroupFields

KnownIds = Callable[[], Awaitable[Collection[str] | None]]
"""Returns the ids of a complete listing that was read before the create, or None if there is none."""

_SEARCH_DELAYS: Final = (0.0, 1.0, 3.0, 7.0, 15.0)
"""Seconds from an unclear response to each read of the groups. The last read follows at the end of the settle time."""


class GroupExistsError(NotSentError):
    """A group of that name exists, so the create is not sent."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group


class _AlreadyCreatedError(GroupExistsError):
    """The group is the result of an earlier send of the same create."""


class _Search(NamedTuple):
    """The candidates of one complete listing."""

    candidates: tuple[Group, ...] = ()
    adopted: Group | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(group.id for group in self.candidates)

    def __str__(self) -> str:
        if not self.candidates:
            return "it was not found"
        is_one = len(self.candidates) == 1
        number = "1 group" if is_one else f"{len(self.candidates)} groups"
        return f"{number} may be the result: {', '.join(self.ids)}"


@define(eq=False, repr=False)
class _Create:
    """One create, and the criteria of its searches."""

    call: Call
    fields: GroupFields
    read: Callable[[Reply], Group]
    known: Collection[str] | None
    last: _Search = field(factory=_Search)

    @cached_property
    def key(self) -> str:
        """The confusable key of the name that was sent."""
        return confusable_key(self.fields.name)

    def has_name_of(self, group: Group) -> bool:
        """Return whether a group has the name that was sent."""
        return confusable_key(group.name) == self.key

    def is_confirmed_by(self, group: Group) -> bool:
        """Return whether a candidate is certainly new, and has the name and every field that was sent."""
        return self.known is not None and self.has_name_of(group) and self.fields.is_confirmed_by(group)


class GroupCreator:
    """Creates groups, and reconciles creates with an unclear outcome."""

    def __init__(self, pipeline: Pipeline, lister: Lister[Group]) -> None:
        self.pipeline = pipeline
        self.lister = lister

    @property
    def _ledger(self) -> Ledger:
        return self.pipeline.ledger

    async def create(
        self,
        call: Call,
        fields: GroupFields,
        read: Callable[[Reply], Group],
        *,
        known_ids: KnownIds | None = None,
        is_locked: bool = False,
    ) -> Group:
        """Send the create; search for the group after an unclear response.

        Creates of one name are serialized, because each could adopt the other's group; with `is_locked`, the caller
        holds `lock`.
        """
        name = fields.name or ""
        with nullcontext() if is_locked else await self.lock(name, call):
            known = await (self.ids(call.began) if known_ids is None else known_ids())
            with self._ledger.creating(fields.name, call.operation):
                return await self._create(_Create(call, fields, read, known))

    def lock(self, name: str, call: Call) -> Awaitable[LockHandle]:
        """Exclude other creates of a name: `with await creator.lock(name, call):`."""
        return self.pipeline.lock(f"create {confusable_key(name)}", call)

    async def ids(self, began: float | None = None) -> Collection[str] | None:
        """Return the ids of all groups, or None if the list can't be read; then no candidate is certain.

        Raises:
            SecodaError: When the create would fail in the same way.
        """
        try:
            return frozenset(group.id for group in await self.lister.snapshot(began=began))
        except (AuthenticationError, ClientClosedError, ConfigurationError, DeadlineExceededError):
            raise
        except SecodaError:
            return None

    async def _create(self, create: _Create) -> Group:
        try:
            return await self.pipeline.send(create.call, create.read)
        except OutcomeUnknownError as error:
            unknown = error
        try:
            return await self._recover(create, unknown)
        except BaseException as error:
            self._ledger.note_unclear_create(create.fields.name)
            if isinstance(error, asyncio.CancelledError):
                self.pipeline.report_cancelled_write(create.call.request, error)
            raise

    async def _recover(self, create: _Create, unknown: OutcomeUnknownError) -> Group:
        """Adopt the group of an unclear create, or send the create once more."""
        if (group := await self._search(create, unknown)) is not None:
            return group
        unknown, group = await self._send_again(create, unknown)
        if group is None:
            group = await self._search(create, unknown)
        if group is None:
            raise _unknown(create, unknown, "it was sent twice, searched for after each, and not found")
        return group

    async def _send_again(
        self, create: _Create, unknown: OutcomeUnknownError
    ) -> tuple[OutcomeUnknownError, Group | None]:
        """Send the create a second time, unless the group exists by the time the request may start."""

        async def search_again(_: CallState) -> Request | None:
            search = await create.call.unless_cancelled(self._candidates(create))
            if search.adopted is not None:
                raise _AlreadyCreatedError(search.adopted)
            if search.candidates:
                raise SecodaError(str(search))
            return None

        try:
            return unknown, await self.pipeline.send(create.call.with_precondition(search_again), create.read)
        except _AlreadyCreatedError as found:
            return unknown, found.group
        except OutcomeUnknownError as error:
            return error, None
        except OperationCancelledError:
            note = "it was searched for and not found, and it was not sent again: the operation was cancelled"
            raise _unknown(create, unknown, note) from None
        except SecodaError as error:  # a rejected second request proves nothing about the first
            raise _unknown(create, unknown, f"sending it again failed: {error.message}") from error

    async def _search(self, create: _Create, unknown: OutcomeUnknownError) -> Group | None:
        """Search until a group can be adopted or the settle time has passed.

        Returns:
            The group; None when the last complete listing shows no candidate.

        Raises:
            OutcomeUnknownError: When there are candidates and none can be adopted, or a search failed.
        """
        try:
            note = await self._search_until_settled(create)
        except SecodaError as error:
            raise _unknown(create, unknown, f"searching for it failed: {error.message}") from error
        if note is not None:
            raise _unknown(create, unknown, note)
        return create.last.adopted

    async def _search_until_settled(self, create: _Create) -> str | None:
        """Search, and return the reason if the outcome stays unknown."""
        note: str | None = None
        for pause in _pauses(create.call.options.timeout):
            try:
                await self.pipeline.pause(create.call, pause)
                search = await create.call.unless_cancelled(self._candidates(create))
            except OperationCancelledError:
                return await self._last_search(create)
            except PaginationError as error:  # other programs are changing groups
                note = f"searching for it failed: {error.message}"
                continue
            if search.adopted is not None:
                return None
            note = str(search) if search.candidates else None
            if len(search.candidates) > 1 or (search.candidates and create.known is None):
                break  # no later search can make a candidate certain
        return note

    async def _last_search(self, create: _Create) -> str | None:
        """Search once after the operation was cancelled, for no longer than an attempt: the service may be down."""
        try:
            search = await self.pipeline.scopes.run_with_timeout(self._candidates(create), create.call.options.timeout)
        except (PaginationError, TimedOutError):
            return "the search was cancelled"
        return None if search.adopted is not None else f"{search}, and the search was cancelled"

    async def _candidates(self, create: _Create) -> _Search:
        """Read all groups, because an incomplete listing proves no absence, and return the candidates."""
        groups = await self.lister.snapshot(began=create.call.began)
        known = create.known or ()
        candidates = tuple(
            group
            for group in groups
            if group.id not in known
            and not self._ledger.has_created(group.id)
            and (create.has_name_of(group) or not create.key)
        )
        is_certain = (
            len(candidates) == 1
            and create.is_confirmed_by(candidates[0])
            and not self._ledger.is_contested(create.fields.name)
        )
        create.last = _Search(candidates, candidates[0] if is_certain else None)
        return create.last


def _unknown(create: _Create, unknown: OutcomeUnknownError, note: str) -> OutcomeUnknownError:
    """Return the error for a create that stays unclear, with the result of the search and its candidates."""
    cause = unknown.__cause__
    error = outcome_unknown(
        create.call.request,
        cause if isinstance(cause, SecodaError) else unknown,
        note,
        candidates=create.last.ids,
    )
    for name in ("method", "path", "attempts", "waited"):
        setattr(error, name, getattr(unknown, name))
    return error


def _pauses(timeout: float) -> Iterator[float]:
    """Yield the pauses before the searches, up to the end of the settle time."""
    end = max(timeout, SETTLE_TIME)
    moments = [*(moment for moment in _SEARCH_DELAYS if moment < end), end]
    yield moments[0]
    yield from (after - before for before, after in pairwise(moments))
