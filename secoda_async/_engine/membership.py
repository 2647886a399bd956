"""Adding and removing members of a group: the API replaces whole memberships, so each write follows a fresh read."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

from attrs import define, evolve

from secoda_async._engine.call import Call, CallState
from secoda_async._engine.group_answers import COLLECTION, confirm_members, group_with_users_of, written_group_of
from secoda_async._engine.ledger import Write
from secoda_async._engine.operation import NotSentError
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.wire import codec
from secoda_async._engine.wire.protocol import Request, request_to
from secoda_async.errors import NotFoundError, OutcomeUnknownError
from secoda_async.models import Group, GroupFields

MembershipChange = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Returns the membership to write, given the present one."""

_REREADS: Final = (0.25, 0.5, 1.0, 2.0)
"""Seconds before each repeated read of a group that the server shows as it was before this client's last write."""


class _NothingToWriteError(NotSentError):
    """The membership is already as it should be."""


def patch_of(group_id: str, fields: GroupFields) -> Request:
    """Return the request that changes fields of a group."""
    return request_to("PATCH", COLLECTION, group_id, body=codec.dump(codec.to_dict(fields)))


@define
class _Membership:
    """The membership of a group as it was read last, and as it should be."""

    change: MembershipChange
    group: Group
    is_just_read: bool = True
    """Whether nothing has been awaited since the read."""

    @property
    def fields(self) -> GroupFields:
        return GroupFields(users=self.change(self.group.users))

    @property
    def is_changed(self) -> bool:
        return self.fields.users != self.group.users


@contextmanager
def noting_unclear_update(pipeline: Pipeline, group_id: str) -> Generator[None, None, None]:
    """Remember the update that is sent meanwhile, if its outcome stays unknown."""
    try:
        yield
    except (OutcomeUnknownError, asyncio.CancelledError):
        pipeline.ledger.note_unclear_update(group_id)
        raise


async def change_membership(pipeline: Pipeline, call: Call, group_id: str, change: MembershipChange) -> Group:
    """Read a group, and write its membership if `change` makes another one of it.

    The group is read before the wait for a permit, so that a change that is already there costs no permit, and again
    before each attempt that had to wait.
    """
    membership = _Membership(change, await _read(pipeline, call, group_id))
    if not membership.is_changed and (pause := pipeline.ledger.update_settles_in(group_id)) > 0:
        # What was read may be older than an update of this client whose answer was lost.
        await pipeline.pause(call, pause)
        membership.group = await _read(pipeline, call, group_id)

    async def refresh(state: CallState) -> Request | None:
        if not membership.is_just_read or state.waited:
            membership.group = await _read(pipeline, call, group_id)
        membership.is_just_read = False
        if not membership.is_changed:
            raise _NothingToWriteError
        return patch_of(group_id, membership.fields)

    if not membership.is_changed:
        return membership.group
    try:
        with noting_unclear_update(pipeline, group_id):
            group = await pipeline.send(
                call.with_precondition(refresh), lambda reply: written_group_of(reply, membership.fields, group_id)
            )
    except _NothingToWriteError:
        return membership.group
    pipeline.ledger.note_updated(group, before=membership.group.users)
    await confirm_members(pipeline, call, group, membership.fields)
    return group


async def _read(pipeline: Pipeline, call: Call, group_id: str) -> Group:
    """Read a group whose membership is to be written; a replica that lags behind our last write is read again."""
    read = evolve(call, request=request_to("GET", COLLECTION, group_id), precondition=None)
    group, last = await _read_once(pipeline, read, group_id)
    for pause in _REREADS if last is not None else ():
        await pipeline.pause(read, pause)
        group, last = await _read_once(pipeline, read, group_id)
        if last is None:
            break
    if last is None or last.group is None:
        return cast("Group", group)
    # Nobody is lost: neither the members who were written nor those whom others have added.
    others = () if group is None else last.others_in(group)
    return evolve(last.group, users=(*last.group.users, *others))


async def _read_once(pipeline: Pipeline, read: Call, group_id: str) -> tuple[Group | None, Write | None]:
    """Read a group, and return with it this client's last write if the server does not show that yet."""
    last = pipeline.ledger.latest(group_id)
    try:
        group = await pipeline.send(read, partial(group_with_users_of, group_id=group_id))
    except NotFoundError:
        if last is None or not last.is_created:
            raise
        return None, last
    return group, last if last is not None and last.is_missing_in(group) else None
