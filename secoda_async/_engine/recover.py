"""Creating a group when the answer may get lost: look for it before it is sent once more."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import define

from secoda_async._engine.journey import Call, StoppedError
from secoda_async._engine.pages import Lister
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.protocol import Reply, request_to
from secoda_async.errors import OutcomeUnknownError, PaginationError, SecodaError
from secoda_async.models import Group, GroupFields

_LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds to wait before each look: a new group may show late in a list."""

_CLOCK_STEP: Final = timedelta(seconds=2)
"""A `Date` header has whole seconds, and was written before it arrived."""


@define(eq=False, repr=False)
class Creator:
    """Creates groups, and knows which it has created: those can't be what a lost answer was about."""

    pipeline: Pipeline
    lister: Lister[Group]

    async def create(self, call: Call, fields: GroupFields, read: Callable[[Reply], Group], *, finds: bool) -> Group:
        """Send the create; when `finds`, look for the group after an unclear answer.

        Two creates of one name come one after the other when they look, or each might find the other's group.
        """
        if not finds:
            return self._noted(await self.pipeline.send(call, read))
        async with self.pipeline.in_turn(f"create {fields.name}", call):
            try:
                return self._noted(await self.pipeline.send(call, read))
            except OutcomeUnknownError as error:
                unknown = error
            group = await self._find(call, fields, unknown)
            if group is not None:
                return self._noted(group)
            try:
                return self._noted(await self.pipeline.send(call, read))
            except OutcomeUnknownError as error:
                unknown = error
            except StoppedError:
                raise unknown from None
            group = await self._find(call, fields, unknown)
        if group is None:
            raise unknown
        return self._noted(group)

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
            unknown.message += f"; {len(found)} groups may be it: {', '.join(unknown.candidates)}"
        except SecodaError as error:
            unknown.message += f"; looking for it failed: {error.message}"
        raise unknown

    async def _looked_for(self, call: Call, fields: GroupFields, since: datetime) -> list[Group]:
        """Look until something is found; nothing is found only when the last look saw the whole list."""
        moved: PaginationError | None = None
        for pause in _LOOKS:
            await self.pipeline.pause(call, pause)
            try:
                found = await self._look(call, fields, since)
            except PaginationError as error:  # others change groups just now
                moved = error
                continue
            if found:
                return found
            moved = None
        if moved is not None:
            raise moved
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
        date = await self.pipeline.send(call.followed_by(request), _date)
        return date - timedelta(seconds=self.pipeline.clock.now() - call.began) - _CLOCK_STEP


def _date(reply: Reply) -> datetime:
    for value in reply.values(b"date"):
        try:
            return parsedate_to_datetime(value).astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return datetime.now(UTC)
