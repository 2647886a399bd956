"""What would change, and whether that is safe: plain data that can be shown, saved and approved."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Literal, Self, cast

from attrs import field, frozen

from secoda_async._engine.wire import codec
from secoda_async.errors import DesiredStateError, ResponseError
from secoda_async.models import GroupFields
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.input_file import FileTooLargeError, read_bytes

__all__ = ["Breach", "Change", "Conflict", "Plan"]

_VERSION: Final = 2
"""Of a saved plan: 2 says at which origin it was made."""

_DIGITS: Final = 32
"""Of a digest: 128 bits, so that nobody can make two plans that one approval fits."""


@frozen(kw_only=True)
class Change:
    """One write: a group that is created, updated or deleted."""

    kind: Literal["create", "update", "delete"]
    """What happens to it."""
    name: str
    """Its name, as it will be."""
    id: str | None = None
    """Its id; a group that is created has none yet."""
    before: GroupFields = field(factory=GroupFields)
    """The fields that change, as they were; of a group that is deleted, all."""
    after: GroupFields = field(factory=GroupFields)
    """The same fields as they should be, members sorted."""
    place: str = field(default="", eq=False)
    """Where that is said, for messages."""

    @property
    def added(self) -> tuple[str, ...]:
        """Ids of the members that it gains."""
        present = set(self.before.users or ())
        return tuple(user for user in self.after.users or () if user not in present)

    @property
    def removed(self) -> tuple[str, ...]:
        """Ids of the members that it loses."""
        wanted = set(self.after.users or ())
        return tuple(user for user in self.before.users or () if user not in wanted)


@frozen(kw_only=True)
class Conflict:
    """A group of the desired state that can't be planned; the others can."""

    name: str
    """Its name."""
    message: str = field(converter=escape_control)
    """What is in the way, and what to do: one line that is safe to show."""
    ids: tuple[str, ...] = ()
    """The groups that are in the way."""


@frozen(kw_only=True)
class Breach:
    """A reason why a plan is not carried out unless somebody approves it."""

    kind: Literal["deletes", "removals", "rename", "empty", "similar"]
    """Which of the limits it is."""
    message: str = field(converter=escape_control)
    """The numbers, and the option that says otherwise: one line that is safe to show."""
    names: tuple[str, ...] = ()
    """The groups that it is about."""


@frozen(kw_only=True)
class Plan:
    """The fewest writes that lead from a workspace to a desired state; see `SecodaClient.plan`."""

    changes: tuple[Change, ...]
    """The writes: at most one for a group; creates, updates and deletes, each by name."""
    conflicts: tuple[Conflict, ...] = ()
    """Groups that could not be planned."""
    breaches: tuple[Breach, ...] = ()
    """Safety limits that it is beyond: carried out only when it is approved by its digest."""
    seconds: float = 0.0
    """How long the writes take at least, by the write limit."""
    unchanged: int = 0
    """Groups that are as they should be."""
    unmanaged: int = 0
    """Groups of the workspace that the desired state does not speak of, and that stay."""
    origin: str = ""
    """The origin that it was made at: it is refused at any other. Empty for a plan made by hand, which fits any."""
    workspace: str | None = None
    """The id of the workspace that it was made for: it is refused in any other. None when nothing said it."""
    people: Mapping[str, str] = field(factory=dict[str, str], eq=False)
    """E-mail addresses by user id, of those who are added or removed: for display."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.changes

    @property
    def writes(self) -> int:
        """How many writes it takes: one for each change."""
        return len(self.changes)

    @cached_property
    def digest(self) -> str:
        """What the changes hash to: approves exactly this plan, whenever and wherever it was made."""
        changes = [codec.to_dict(change) | {"place": ""} for change in self.changes]
        text = json.dumps(changes, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    def summary(self) -> str:
        """One line: `11 to create, 57 to update, 5 to delete; 693 unchanged`."""
        counts = [
            (kind, sum(change.kind == kind for change in self.changes)) for kind in ("create", "update", "delete")
        ]
        parts = [f"{number} to {kind}" for kind, number in counts if number] or ["nothing to do"]
        others = [(self.unchanged, "unchanged"), (self.unmanaged, "not managed"), (len(self.conflicts), "in conflict")]
        rest = [f"{number} {what}" for number, what in others if number]
        return "; ".join([", ".join(parts), *([", ".join(rest)] if rest else [])])

    def to_json(self) -> str:
        """The plan as JSON that `load` reads."""
        document = {"version": _VERSION, "digest": self.digest, "summary": self.summary(), **codec.to_dict(self)}
        document["checksum"] = _checksum(document)
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a plan that was saved.

        Raises:
            DesiredStateError: When it can't be read, or was changed since.
        """
        name = os.fspath(path)
        try:
            document = json.loads(read_bytes(name))
        except OSError as error:
            raise _unusable(name, f"can't be read: {error.strerror}") from None
        except FileTooLargeError as error:
            raise _unusable(name, str(error)) from None
        except (ValueError, RecursionError):
            raise _unusable(name, "is not JSON") from None
        return cls.from_document(document, name)

    @classmethod
    def from_document(cls, document: object, name: str) -> Self:
        """The plan that a JSON document holds; `name` is the file's, for messages.

        Raises:
            DesiredStateError: When it is not one, or was changed since it was made.
        """
        if not isinstance(document, dict) or "changes" not in document or "digest" not in document:
            raise _unusable(name, "is not a plan: make one with `secoda-async plan FILE --out`")
        fields = cast("dict[str, Any]", document)
        if fields.get("version") != _VERSION:
            raise _unusable(name, f"is of version {fields.get('version')!r}, not {_VERSION}: plan again")
        try:
            plan: Self = codec.structure(fields, cls)
        except ResponseError as error:
            raise _unusable(name, f"is not a plan: {error.message}") from None
        if plan.digest != fields["digest"] or fields.get("checksum") != _checksum(fields):
            raise _unusable(name, "was changed since it was made (its digest does not fit): plan again")
        return plan


def _checksum(document: Mapping[str, Any]) -> str:
    """What a saved plan hashes to, breaches and all: a file that was edited is no plan that anybody has seen."""
    fields = {name: value for name, value in document.items() if name != "checksum"}
    text = json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _unusable(name: str, why: str) -> DesiredStateError:
    error = DesiredStateError(escape_control(f"{name}: {why}"))
    error.problems = (str(error),)
    return error
