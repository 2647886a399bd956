"""Endings of calls, of operations in a bulk and of changes in a plan, for the record of a run."""

from collections.abc import Mapping
from typing import Any, Final

from secoda_async import (
    CreateGroup,
    DeleteGroup,
    UpdateGroup,
)
from secoda_async.bulk import Outcome
from tests.soak.hostile.invariants import Ending, Kind

KINDS: Final[Mapping[type, Kind]] = {CreateGroup: "create", UpdateGroup: "update", DeleteGroup: "delete"}


def _text(error: object) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else ""


def call_ending(kind: Kind, status: str, result: object, **rest: Any) -> Ending:
    return Ending(kind=kind, status=status, error=_text(result), **rest)


def _fields(operation: CreateGroup | UpdateGroup) -> dict[str, Any]:
    names = ("name", "icon", "description", "users")
    given = {name: getattr(operation, name) for name in names}
    return {name: value for name, value in given.items() if isinstance(value, str | tuple | None)}


def bulk_ending(outcome: Outcome) -> Ending:
    """Return how an operation of a bulk ended."""
    operation = outcome.operation
    if isinstance(operation, CreateGroup):
        group_id = outcome.group.id if outcome.group else ""
        return change_ending(outcome, "create", group_id)
    return change_ending(outcome, KINDS[type(operation)], operation.id)


def change_ending(outcome: Outcome, kind: Kind, group_id: str) -> Ending:
    operation = outcome.operation
    return Ending(
        kind=kind,
        status=outcome.status,
        name=str(operation.name) if isinstance(operation, CreateGroup) else "",
        group_id=group_id,
        fields={} if isinstance(operation, DeleteGroup) else _fields(operation),
        error=_text(outcome.error),
    )
