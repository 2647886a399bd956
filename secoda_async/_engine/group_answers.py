"""Answers about groups, checked against what was asked: the id that was asked for, the fields that were sent."""

from typing import Final

from attrs import evolve

from secoda_async._engine.call import Call
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire import codec, protocol
from secoda_async._engine.wire.protocol import Reply, request_to
from secoda_async.errors import NotFoundError, ResponseError, SecodaError
from secoda_async.models import Group, GroupFields, User

COLLECTION: Final = "auth/group"

_MOST_HIDDEN: Final = 20
"""Members missing from an answer who are looked up, to find out whether their invitation is pending."""


def group_of(reply: Reply, group_id: str | None = None) -> Group:
    """Return the group of an answer; with an id, that group and no other."""
    group: Group = codec.structure(protocol.json_of(reply), Group)
    if group_id is not None and group.id.casefold() != group_id.casefold():
        error = ResponseError(f"the answer is about the group {group.id!r}, not about {group_id!r}: a cache's?")
        error.location, error.item_id = "id", group.id
        raise error
    return group


def group_with_users_of(reply: Reply, group_id: str) -> Group:
    """Return a group whose membership is to be written: a membership that is not shown is not empty."""
    codec.check_shown([protocol.json_of(reply)], ("users",))
    return group_of(reply, group_id)


def written_group_of(reply: Reply, fields: GroupFields, group_id: str | None = None) -> Group:
    """Return the group of an answer to a write; it must show what was sent."""
    group = group_of(reply, group_id)
    if wrong := fields.contradicted_by(group):
        error = ResponseError(f"the answer shows another {' and '.join(wrong)} than was sent, for {group.name!r}")
        error.location, error.item_id = wrong[0], group.id
        raise error
    return group


def was_there(reply: Reply) -> bool:
    """Return whether the group of a DELETE was there; a 404 stands for one that an earlier attempt deleted."""
    if reply.status == 404:  # noqa: PLR2004
        return False
    protocol.check_deleted(reply)
    return True


async def confirm_members(pipeline: Pipeline, call: Call, group: Group, fields: GroupFields) -> None:
    """Check members whom an answer does not show: only those with a pending invitation may be hidden.

    Raises:
        ResponseError: When another one is missing.
        OutcomeUnknownError: When that can't be found out: the write was executed, and perhaps not as it was sent.
    """
    hidden = fields.missing_users(group)
    for user_id in hidden[:_MOST_HIDDEN]:
        request = request_to("GET", "user", user_id)
        try:
            user: User = await pipeline.send(
                evolve(call, request=request, precondition=None),
                lambda reply: codec.structure(protocol.json_of(reply), User),
            )
        except NotFoundError:
            break
        except SecodaError as cause:
            unknown = outcome_unknown(call.request, cause, f"the group is {group.id}; check its members")
            unknown.candidates = (group.id,)
            unknown.method, unknown.path = call.request.method, call.request.path
            raise unknown from cause
        if not user.pending:
            break
    else:
        if len(hidden) <= _MOST_HIDDEN:
            return
    error = ResponseError(f"the answer lacks {len(hidden)} of the members that were sent: {hidden[0]!r}, ...")
    error.location, error.item_id = "users", group.id
    error.method, error.path = call.request.method, call.request.path
    raise error
