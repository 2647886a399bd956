"""Creating a group when the answer may get lost: look for it before it is sent once more."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from attrs import define

from secoda_async._engine import protocol
from secoda_async._engine.journey import Call, StoppedError
from secoda_async._engine.pages import Lister
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.protocol import Reply, request_to
from secoda_async._engine.retry_table import looked_for
from secoda_async.errors import OutcomeUnknownError, PaginationError, SecodaError
from secoda_async.models import Group, GroupFields

_LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds to wait before each look: a new group may show late in a list."""

_CLOCK_STEP: Final = timedelta(seconds=2)
"""A `Date` header has whole seconds, and was written before it arrived."""


class _FoundError(Exception):
    """The group that an unclear create was about has shown up, just before the create was to be sent once more."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group


@define(eq=False, repr=False)
class Creator:
    """Creates groups, and knows which it has created: those can't be what a lost answer was about."""

    pipeline: Pipeline
    lister: Lister[Group]

    async def create(self, call: Call, fields: GroupFields, read: Callable[[Reply], Group], *, finds: bool) -> Group:
        """Send the create; when `finds`, look for the group after an unclear answer.

        Two creates of one name come one after the other when they look, or each might find the other's group.
        """
        name = _name_of(fields)
        if not finds:
            with self.pipeline.creating.one(name):
                return self._noted(await self.pipeline.send(call, read))
        with await self.pipeline.in_turn(f"create {name}", call), self.pipeline.creating.one(name):
            return self._noted(await self._create(call, fields, read))

    async def _create(self, call: Call, fields: GroupFields, read: Callable[[Reply], Group]) -> Group:
        try:
            return await self.pipeline.send(call, read)
        except OutcomeUnknownError as error:
            unknown = error
        group = await self._find(call, fields, unknown)
        if group is not None:
            return group
        try:
            return await self.pipeline.send(call.checked_by(partial(self._check, call, fields)), read)
        except _FoundError as found:
            return found.group
        except OutcomeUnknownError as error:
            unknown = error
        except StoppedError:
            looked_for(unknown, "it was looked for and not found, and sending it once more was stopped")
            raise unknown from None
        except SecodaError as error:  # a clear no to the second says nothing of the first
            looked_for(unknown, f"sending it once more failed: {error.message}")
            raise unknown from error
        group = await self._find(call, fields, unknown)
        if group is None:
            looked_for(unknown, "it was sent twice, looked for after each, and not found")
            raise unknown
        return group

    async def _check(self, call: Call, fields: GroupFields) -> None:
        """Look once more, now that the create can be sent: it may have waited long for its place."""
        found = await self._look(call, fields, await self._server_time_of(call))
        if len(found) == 1 and self.pipeline.creating.number_of(_name_of(fields)) == 1:
            raise _FoundError(found[0])
        if found:
            raise SecodaError(f"{len(found)} groups may be it by now")

    def _noted(self, group: Group) -> Group:
        self.pipeline.created.add(group.id)
        return group

    async def _find(self, call: Call, fields: GroupFields, unknown: OutcomeUnknownError) -> Group | None:
        """Look a few times for the group that an unclear create may have made.

        Raises:
            OutcomeUnknownError: When there is more than one, or when looking fails.
        """
        try:
            since = await self._server_time_of(call)
            found = await self._looked_for(call, fields, since)
            if len(found) <= 1:
                return found[0] if found else None
            unknown.candidates = tuple(group.id for group in found)
            looked_for(unknown, f"{len(found)} groups may be it: {', '.join(unknown.candidates)}")
        except SecodaError as error:
            looked_for(unknown, f"looking for it failed: {error.message}")
        raise unknown

    async def _looked_for(self, call: Call, fields: GroupFields, since: datetime) -> list[Group]:
        """Look until something is found; nothing is found only when the last look saw the whole list."""
        failed: SecodaError | None = None
        for pause in _LOOKS:
            await self.pipeline.pause(call, pause)
            try:
                found = await self._look(call, fields, since)
            except PaginationError as error:  # others change groups just now
                failed = error
                continue
            failed = None
            if found and self.pipeline.creating.number_of(_name_of(fields)) > 1:
                failed = SecodaError("what was found may be the group of another create that is under way")
            elif found:
                return found
        if failed is not None:
            raise failed
        return []

    async def _look(self, call: Call, fields: GroupFields, since: datetime) -> list[Group]:
        """Read all groups: in a part of them, one that is missing would be no absence."""
        groups = await self.lister.snapshot(began=call.began)
        return [group for group in groups if self._may_be_it(group, fields, since)]

    def _may_be_it(self, group: Group, fields: GroupFields, since: datetime) -> bool:
        is_new = group.created_at is not None and group.created_at >= since
        return is_new and group.id not in self.pipeline.created and fields.fit(group)

    async def _server_time_of(self, call: Call) -> datetime:
        """When the call began, by the server's own clock."""
        request = request_to("GET", self.lister.collection)
        date = await self.pipeline.send(call.followed_by(request), protocol.date_of) or datetime.now(UTC)
        return date - timedelta(seconds=self.pipeline.clock.now() - call.began) - _CLOCK_STEP


def _name_of(fields: GroupFields) -> str:
    """The name as the server stores it."""
    return (fields.name or "").strip()
