"""The operations of a bulk, and their outcomes: plain frozen classes."""

from collections.abc import Iterable
from typing import Literal

from attrs import field, frozen

from secoda_async.errors import SecodaError
from secoda_async.models import UNSET, Group, Unset

__all__ = ["CreateGroup", "DeleteGroup", "Operation", "Outcome", "Status", "UpdateGroup"]

Status = Literal["applied", "unchanged", "failed", "unknown", "not_attempted"]
"""The result of an operation. `unknown`: it may have been executed; read the group before you repeat it."""


def _ids(value: Iterable[str] | Unset) -> Iterable[str] | Unset:
    """Keep the ids of an iterator, so that the operation can be printed and repeated."""
    return value if value is UNSET or isinstance(value, str) else tuple(value)


@frozen(kw_only=True)
class CreateGroup:
    """Create a group; the fields are those of `Groups.create`."""

    name: str | Unset = UNSET
    """The group's name."""
    icon: str | Unset | None = UNSET
    """Usually an emoji."""
    description: str | Unset | None = UNSET
    """The group's purpose."""
    users: Iterable[str] | Unset = field(default=UNSET, converter=_ids)
    """Ids of the members."""


@frozen
class UpdateGroup:
    """Change a group; the fields are those of `Groups.update`."""

    id: str
    """The group's id."""
    name: str | Unset = field(default=UNSET, kw_only=True)
    """The new name."""
    icon: str | Unset | None = field(default=UNSET, kw_only=True)
    """The new icon; None clears it."""
    description: str | Unset | None = field(default=UNSET, kw_only=True)
    """The new description; None clears it."""
    users: Iterable[str] | Unset = field(default=UNSET, converter=_ids, kw_only=True)
    """Ids of all members: replaces the present ones."""


@frozen
class DeleteGroup:
    """Delete a group; a missing group is `unchanged` with `missing_ok`, else `failed`."""

    id: str
    """The group's id."""
    missing_ok: bool = field(default=False, kw_only=True)
    """Whether a missing group counts as deleted."""


Operation = CreateGroup | UpdateGroup | DeleteGroup


@frozen(kw_only=True)
class Outcome:
    """The result of one operation."""

    operation: Operation
    """The operation; pass it to `bulk` again to repeat it."""
    index: int
    """Its position in the input, from 0."""
    status: Status
    """The kind of result."""
    group: Group | None = None
    """The group after a create or an update."""
    error: SecodaError | None = None
    """The error, if it failed or its result is unknown."""
    attempts: int = 0
    """Number of requests sent."""
    waited: float = 0.0
    """Seconds spent waiting for the write limit and between attempts."""

    @property
    def ok(self) -> bool:
        """Whether the workspace is as the operation asked."""
        return self.status in ("applied", "unchanged")
