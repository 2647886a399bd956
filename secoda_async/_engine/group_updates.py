"""Updating a group: its fields, or its members.

The API replaces whole memberships, so `change_membership` reads the group just before each write. If the ledger shows
that the read is older than this client's last write, because a replica lags, the read is repeated.
"""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Final

from attrs import define, evolve

from secoda_async._engine.call import Call, CallState
from secoda_async._engine.concurrency.keyed_locks import LockHandle
from secoda_async._engine.group_responses import COLLECTION, confirm_members, group_of, written_group_of
from secoda_async._engine.operation import NotSentError
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.wire import codec
from secoda_async._engine.wire.protocol import Request, request_to
from secoda_async.errors import InvalidArgumentError, NotFoundError
from secoda_async.models import UNSET, Group, GroupFields

MembershipChange = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Maps the present membership to the one to write."""

_REREADS: Final = (0.25, 0.5, 1.0, 2.0)
"""Seconds before each repeated read, when a read does not show this client's last write yet."""


class _NothingToWriteError(NotSentError):
    """The membership needs no change."""


def patch_of(group_id: str, fields: GroupFields) -> Request:
    """Return the request that changes fields of a group.

    Raises:
        InvalidArgumentError: When there is nothing to change.
    """
    changes = fields.to_dict()
    if not changes:
        raise InvalidArgumentError("update has nothing to change: give name, icon, description or users")
    return request_to("PATCH", COLLECTION, group_id, body=codec.dump(changes))


@define(eq=False, repr=False)
class _Membership:
    """The latest read of a group, and the membership to write."""

    change: MembershipChange
    group: Group
    is_unused: bool = True
    """Whether no attempt has used this read yet."""

    @property
    def fields(self) -> GroupFields:
        return GroupFields(users=self.change(self.group.users))

    @property
    def is_changed(self) -> bool:
        return self.fields.users != self.group.users


async def send_update(pipeline: Pipeline, call: Call, group_id: str, fields: GroupFields) -> Group:
    """Send an update of given fields; one that sets the members excludes changes of the membership meanwhile."""
    sets_users = fields.users is not UNSET
    state = CallState(call, call.request)
    with await _lock(pipeline, call, group_id) if sets_users else nullcontext():
        try:
            group = await pipeline.send_with_state(state, partial(written_group_of, fields=fields, group_id=group_id))
        finally:
            if state.is_unclear and sets_users:
                pipeline.ledger.note_unclear_update(group_id)
        pipeline.ledger.note_updated(group, is_whole_membership=sets_users)
        await confirm_members(pipeline, call, group, fields)
        return group


async def change_membership(pipeline: Pipeline, call: Call, group_id: str, change: MembershipChange) -> Group:
    """Read a group, and write the membership that `change` returns if it differs."""
    with await _lock(pipeline, call, group_id):
        return await _change_membership(pipeline, call, group_id, change)


def _lock(pipeline: Pipeline, call: Call, group_id: str) -> Awaitable[LockHandle]:
    """Exclude other writes of the group's membership through this client."""
    return pipeline.lock(f"group {group_id.casefold()}", call)


async def _change_membership(pipeline: Pipeline, call: Call, group_id: str, change: MembershipChange) -> Group:
    """Change the membership while the lock is held.

    The group is read before the wait for a permit, so that an existing membership costs no permit, and again before
    each attempt that had to wait.
    """
    if (pause := pipeline.ledger.update_settles_in(group_id)) > 0:
        # After an update with a lost response, a read may show the state before it, and the server may still execute
        # it, which would replace what is written now.
        await pipeline.pause(call, pause, "an earlier update of the group may still be executed")
    membership = _Membership(change, await _read(pipeline, call, group_id))

    async def refresh(state: CallState) -> Request | None:
        if not membership.is_unused or state.waited:
            membership.group = await _read(pipeline, call, group_id)
        membership.is_unused = False
        if not membership.is_changed:
            raise _NothingToWriteError
        return patch_of(group_id, membership.fields)

    if not membership.is_changed:
        return membership.group
    call = call.with_precondition(refresh)
    state = CallState(call, call.request)
    try:
        group = await pipeline.send_with_state(
            state, lambda reply: written_group_of(reply, membership.fields, group_id)
        )
    except _NothingToWriteError:
        return membership.group
    finally:
        if state.is_unclear:  # an attempt without a clear response may be executed after the last one
            pipeline.ledger.note_unclear_update(group_id)
    pipeline.ledger.note_updated(group, before=membership.group.users)
    await confirm_members(pipeline, call, group, membership.fields)
    return group


async def _read(pipeline: Pipeline, call: Call, group_id: str) -> Group:
    """Read a group before its membership is written, and again while a replica lags behind this client's last write."""
    read = evolve(call, request=request_to("GET", COLLECTION, group_id), precondition=None)
    group, is_current = await _read_once(pipeline, read, group_id)
    for pause in _REREADS:
        if is_current:
            break
        await pipeline.pause(read, pause)
        group, is_current = await _read_once(pipeline, read, group_id)
    return group


async def _read_once(pipeline: Pipeline, read: Call, group_id: str) -> tuple[Group, bool]:
    """Read a group.

    Returns:
        The group, and whether the server shows this client's last write. If not, the group has the state of that write,
        and the members that others added since.
    """
    last = pipeline.ledger.latest(group_id)
    written = None if last is None else last.group
    try:
        group = await pipeline.send(read, partial(group_of, group_id=group_id, needed=("users",)))
    except NotFoundError:
        if last is None or written is None or not last.is_created:
            raise
        return written, False
    if last is None or written is None or not last.is_missing_in(group):
        return group, True
    return evolve(written, users=(*written.users, *last.others_in(group))), False
