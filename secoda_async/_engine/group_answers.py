"""Answers about groups, checked against what was asked: the id that was asked for, the fields that were sent."""

from typing import Final

from attrs import evolve

from secoda_async._engine.call import Call
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire import codec, protocol
from secoda_async._engine.wire.protocol import Reply, request_to
from secoda_async.errors import NotFoundError, ResponseError, SecodaError
from secoda_async.models import UNSET, Group, GroupFields, User

COLLECTION: Final = "auth/group"

_MOST_HIDDEN: Final = 20
"""Members missing from an answer who are looked up, to find out whether their invitation is pending."""


def group_of(reply: Reply, group_id: str | None = None) -> Group:
    """Return the group of an answer; with an id, that group and no other."""
    group: Group = codec.structure(protocol.json_of(reply), Group)
    if group_id is not None and group.id.casefold() != group_id.casefold():
        raise ResponseError(
            f"the response is about the group {group.id!r}, not about {group_id!r}: a cached response?",
            location="id",
            item_id=group.id,
        )
    return group


def group_with_users_of(reply: Reply, group_id: str) -> Group:
    """Return a group whose membership is to be written: a membership that is not shown is not empty."""
    codec.require_keys([protocol.json_of(reply)], ("users",))
    return group_of(reply, group_id)


def written_group_of(reply: Reply, fields: GroupFields, group_id: str | None = None) -> Group:
    """Return the group of an answer to a write; it must show what was sent."""
    group = group_of(reply, group_id)
    if not _repeats(group, fields) and (wrong := fields.contradicted_by(group)):
        raise ResponseError(
            f"the response shows another {' and '.join(wrong)} than was sent, for {group.name!r}",
            location=wrong[0],
            item_id=group.id,
        )
    return group


async def confirm_members(pipeline: Pipeline, call: Call, group: Group, fields: GroupFields) -> None:
    """Check members whom an answer does not show: only those with a pending invitation may be hidden.

    Raises:
        ResponseError: When another one is missing.
        OutcomeUnknownError: When that can't be found out: the write was executed, and perhaps not as it was sent.
    """
    if _repeats(group, fields):
        return
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
            note = f"the group is {group.id}; check its members"
            unknown = outcome_unknown(call.request, cause, note, candidates=(group.id,))
            unknown.method, unknown.path = call.request.method, call.request.path
            raise unknown from cause
        if not user.pending:
            break
    else:
        if len(hidden) <= _MOST_HIDDEN:
            return
    raise ResponseError(
        f"the response lacks {len(hidden)} of the members that were sent: {hidden[0]!r}, ...",
        location="users",
        item_id=group.id,
        method=call.request.method,
        path=call.request.path,
    )


def _repeats(group: Group, fields: GroupFields) -> bool:
    """Return whether a response repeats what was sent, letter by letter: the usual case."""
    return (
        fields.name in (UNSET, group.name)
        and fields.icon in (UNSET, group.icon)
        and fields.description in (UNSET, group.description)
        and (fields.users is UNSET or set(fields.users) == set(group.users))
    )
