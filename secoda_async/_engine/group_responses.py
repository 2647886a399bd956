"""Responses about groups, checked against the request: the requested id and the sent fields."""

import asyncio
from collections.abc import Sequence
from typing import Final

from attrs import evolve

from secoda_async._engine.call import Call
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.responses import model_of
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire.protocol import Reply, request_to
from secoda_async.errors import NotFoundError, ResponseError, SecodaError
from secoda_async.models import Group, GroupFields, User

COLLECTION: Final = "auth/group"

_MAX_MISSING: Final = 20
"""Maximum missing members that are read, to find out whether their invitations are pending."""


def group_of(
    reply: Reply, group_id: str | None = None, needed: Sequence[str] = (), sent: GroupFields | None = None
) -> Group:
    """Return the group of a response. If the response shows values that were sent, the group shares them.

    Raises:
        ResponseError: When the response is about another group than the one with `group_id`, or lacks a field that is
            `needed`: members that are not shown are not an empty membership.
    """
    group = model_of(reply, Group, needed, sent)
    if group_id is not None and group.id.casefold() != group_id.casefold():
        raise ResponseError(
            f"the response is about the group {group.id!r}, not about {group_id!r}: a cached response?",
            location="id",
            item_id=group.id,
        )
    return group


def written_group_of(reply: Reply, fields: GroupFields, group_id: str | None = None) -> Group:
    """Return the group of the response to a write.

    Raises:
        ResponseError: When the response contradicts the fields that were sent, or, after an update, does not show the
            members: a caller, or the ledger, would take them for none.
    """
    group = group_of(reply, group_id, () if group_id is None else ("users",), fields)
    if wrong := fields.contradicted_by(group):
        raise ResponseError(
            f"the response shows another {' and '.join(wrong)} than was sent, for {group.name!r}",
            location=wrong[0],
            item_id=group.id,
        )
    return group


async def confirm_members(pipeline: Pipeline, call: Call, group: Group, fields: GroupFields) -> None:
    """Check the members that the response to a write lacks: only users with a pending invitation may be missing.

    Raises:
        ResponseError: When another member is missing.
        OutcomeUnknownError: When a missing member can't be read: the write was executed, perhaps in part.
    """
    missing = [user_id for user_id in fields.missing_users(group) if user_id not in call.pending]
    for user_id in missing[:_MAX_MISSING]:
        request = request_to("GET", "user", user_id)
        try:
            user = await pipeline.send(
                evolve(call, request=request, precondition=None),
                lambda reply: model_of(reply, User),
            )
        except NotFoundError:
            break
        except asyncio.CancelledError as cancelled:
            pipeline.report_cancelled_write(call.request, cancelled)
            raise
        except SecodaError as cause:
            note = f"the group is {group.id}; check its members"
            unknown = outcome_unknown(call.request, cause, note, candidates=(group.id,))
            unknown.method, unknown.path = call.request.method, call.request.path
            raise unknown from cause
        if not user.pending:
            break
    else:
        if len(missing) <= _MAX_MISSING:
            return
    raise ResponseError(
        f"the response lacks {len(missing)} of the members that were sent: {missing[0]!r}, ...",
        location="users",
        item_id=group.id,
        method=call.request.method,
        path=call.request.path,
    )
