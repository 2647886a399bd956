"""Plans: the changes to a workspace and the reasons for an approval, to be shown, saved and approved."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Literal, Self, TypeGuard

from attrs import field, frozen

from secoda_async._engine.wire import codec
from secoda_async.errors import DesiredStateError, ResponseError
from secoda_async.models import Group, GroupFields
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.input_file import InputError, read_bytes
from secoda_async.reconcile.wording import count, natural_key

__all__ = [
    "Breach", "Change", "Conflict", "Held", "Plan", "delete_of", "is_saved_plan", "members_of", "sort_changes",
    "sort_conflicts", "update_of",
]  # fmt: skip

_VERSION: Final = 3
"""The format of a saved plan; since 3 it has what it holds back."""

_DIGITS: Final = 32
"""Hexadecimal digits of a digest: 128 bits, so that nobody can craft two plans with one digest."""


def _escape_all(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(escape_control, texts))


@frozen(kw_only=True)
class Change:
    """One mutation: a group is created, updated or deleted."""

    kind: Literal["create", "update", "delete"]
    """The kind of mutation."""
    name: str
    """The group's name after the change."""
    id: str | None = None
    """The group's id; None for a create."""
    before: GroupFields = field(factory=GroupFields)
    """The present values of the fields that change; all fields of a deleted group."""
    after: GroupFields = field(factory=GroupFields)
    """The new values of the same fields; members are sorted."""
    place: str = field(default="", eq=False)
    """The source location of the desired group, for messages."""

    @property
    def added(self) -> tuple[str, ...]:
        """Ids of the members that the group gains."""
        wanted, present = self.after.users or (), set(self.before.users or ())
        return tuple(user for user in wanted if user not in present) if present else wanted

    @property
    def removed(self) -> tuple[str, ...]:
        """Ids of the members that the group loses."""
        present, wanted = self.before.users or (), set(self.after.users or ())
        return tuple(user for user in present if user not in wanted) if wanted else present


@frozen(kw_only=True)
class Conflict:
    """A desired group that can't be planned; it does not affect the others."""

    name: str
    """The group's name."""
    message: str = field(converter=escape_control)
    """The reason, and what to do: one line without control characters."""
    ids: tuple[str, ...] = ()
    """Ids of the groups that cause the conflict."""


@frozen(kw_only=True)
class Breach:
    """A reason why a plan needs an approval: it exceeds a safety limit, or may be a mistake."""

    kind: Literal["deletes", "removals", "group", "rename", "empty", "similar"]
    """The limit, or the kind of mistake."""
    message: str = field(converter=escape_control)
    """The reason, and what to do: one line without control characters."""
    names: tuple[str, ...] = ()
    """Names of the groups concerned."""


@frozen(kw_only=True)
class Held:
    """A desired member who is not a user of the workspace; with `unknown_members="hold"` nobody leaves the group."""

    group: str
    """The group's name."""
    member: str
    """The member as the desired state gives it."""
    reason: str = field(converter=escape_control)
    """The predicate of a sentence about the member."""
    place: str = ""
    """The source location of the member."""
    kept: tuple[str, ...] = ()
    """Ids of the users who stay in the group although the desired state does not list them."""


@frozen(kw_only=True)
class Plan:
    """The fewest changes that lead from a workspace to a desired state; see `SecodaClient.plan`."""

    changes: tuple[Change, ...]
    """At most one change for each group: creates, updates, deletes, each sorted by name."""
    conflicts: tuple[Conflict, ...] = ()
    """Groups that could not be planned."""
    breaches: tuple[Breach, ...] = ()
    """Reasons why the plan needs an approval. If there are any, it is applied only when approved by its digest."""
    held: tuple[Held, ...] = ()
    """Desired members who are not users of the workspace, with `unknown_members="hold"`; sorted by group."""
    seconds: float = 0.0
    """The minimum duration of the writes under the write limit, in seconds."""
    unchanged: int = 0
    """Number of groups that are as desired."""
    unmanaged: int = 0
    """Number of groups that the desired state does not mention, and that stay."""
    unmanaged_names: tuple[str, ...] = ()
    """The sorted names of these groups."""
    ignored_names: tuple[str, ...] = ()
    """The sorted names of the groups outside the scope (`only`, `ignore`)."""
    pending: tuple[str, ...] = ()
    """Ids of the desired, added and removed members with a pending invitation. The service may not show them yet."""
    disabled: tuple[str, ...] = ()
    """Ids of the desired members whose account is disabled."""
    notes: tuple[str, ...] = field(default=(), converter=_escape_all)
    """Sentences that a reviewer must know, such as what an undo can't restore: one line each."""
    origin: str = ""
    """The origin that the plan is bound to. Empty for a plan made by hand: not bound."""
    workspace: str | None = None
    """The id of the workspace that the plan is bound to; None when it was not known."""
    people: Mapping[str, str] = field(factory=dict[str, str], eq=False)
    """E-mail addresses, by user id, of added and removed members: for display."""

    @property
    def is_empty(self) -> bool:
        """Whether the plan has no changes."""
        return not self.changes

    @property
    def writes(self) -> int:
        """Number of mutations: one for each change."""
        return len(self.changes)

    @cached_property
    def digest(self) -> str:
        """A hash of the changes and of the names that look alike, and the token that approves exactly these."""
        changes: list[object] = [codec.to_dict(change) | {"place": ""} for change in self.changes]
        alike = sorted(
            {(breach.kind, *breach.names) for breach in self.breaches if breach.kind in ("rename", "similar")}
        )
        return _hash([*changes, *alike])

    def summary(self) -> str:
        """Return one line: `11 to create, 57 to update, 5 to delete; 693 unchanged`."""
        counts = [
            (kind, sum(change.kind == kind for change in self.changes)) for kind in ("create", "update", "delete")
        ]
        parts = [f"{number} to {kind}" for kind, number in counts if number] or ["nothing to do"]
        others = [
            (self.unchanged, "unchanged"),
            (self.unmanaged, "not managed"),
            (len(self.ignored_names), "ignored"),
            (len(self.conflicts), "in conflict"),
        ]
        rest = [f"{number} {label}" for number, label in others if number]
        held = f"{count(len({held.member for held in self.held}), 'unknown member')} held" if self.held else ""
        return "; ".join(filter(None, [", ".join(parts), ", ".join(rest), held]))

    def to_json(self) -> str:
        """Return the plan as JSON that `load` reads."""
        document = {"version": _VERSION, "digest": self.digest, "summary": self.summary(), **codec.to_dict(self)}
        document["checksum"] = _checksum(document)
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a saved plan.

        Raises:
            DesiredStateError: When the file can't be read, is not a plan, or was edited.
        """
        name = os.fspath(path)
        try:
            document = json.loads(read_bytes(name))
        except InputError as error:
            raise _invalid(name, error.problem) from None
        except (ValueError, RecursionError):
            raise _invalid(
                name, "is not a plan, as it is not JSON: make one with `secoda-async plan FILE --out PLAN`"
            ) from None
        return cls.from_document(document, name)

    @classmethod
    def from_document(cls, document: object, name: str) -> Self:
        """Return the plan in a JSON document; messages contain the file's `name`.

        Raises:
            DesiredStateError: When the document is not a plan, or was edited.
        """
        if not is_saved_plan(document):
            raise _invalid(name, "is not a plan: make one with `secoda-async plan FILE --out PLAN`")
        if document.get("version") != _VERSION:
            raise _invalid(name, f"is of version {document.get('version')!r}, not {_VERSION}: plan again")
        try:
            plan: Self = codec.structure(document, cls)
        except ResponseError as error:
            raise _invalid(name, f"is not a plan: {error.message}") from None
        if plan.digest != document["digest"] or document.get("checksum") != _checksum(document):
            raise _invalid(name, "was edited after it was made (its digest does not match): plan again")
        return plan


def is_saved_plan(document: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a JSON document is meant to be a saved plan."""
    return isinstance(document, dict) and "changes" in document and "digest" in document


def update_of(
    group_id: str, name: str, before: Mapping[str, object], after: Mapping[str, object], place: str
) -> Change:
    """Return an update, given the fields that change by name."""
    fields = [GroupFields(**values) for values in (before, after)]  # type: ignore[arg-type]
    return Change(kind="update", name=name, id=group_id, before=fields[0], after=fields[1], place=place)


def delete_of(group: Group, place: str = "") -> Change:
    """Return the change that deletes a group."""
    before = GroupFields(
        name=group.name, icon=group.icon, description=group.description, users=tuple(sorted(group.users))
    )
    return Change(kind="delete", name=group.name, id=group.id, before=before, place=place)


def members_of(changes: Iterable[Change]) -> set[str]:
    """Return the ids of all members of the groups, before and after the changes."""
    return {user for change in changes for fields in (change.before, change.after) for user in fields.users or ()}


def sort_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Sort changes by kind, name and id."""
    order = ("create", "update", "delete")
    return tuple(
        sorted(changes, key=lambda change: (order.index(change.kind), natural_key(change.name), change.id or ""))
    )


def sort_conflicts(conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    """Sort conflicts by name and message."""
    return tuple(sorted(conflicts, key=lambda conflict: (natural_key(conflict.name), conflict.message)))


def _checksum(document: Mapping[str, Any]) -> str:
    """Return a hash of a whole saved plan, breaches included: an edited plan was reviewed by nobody."""
    return _hash({name: value for name, value in document.items() if name != "checksum"})


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _invalid(name: str, reason: str) -> DesiredStateError:
    problem = escape_control(f"{name}: {reason}")
    return DesiredStateError(problem, problems=(problem,))
