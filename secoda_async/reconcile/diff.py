"""From what is and what should be to the fewest writes in between: a pure function, with no I/O and no clock."""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

from attrs import define, field, frozen

from secoda_async.errors import AmbiguousNameError, DesiredStateError, InvalidArgumentError
from secoda_async.models import UNSET, Group, GroupFields, User, confusable_key
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup, normalize
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.plan import Breach, Change, Conflict, Plan
from secoda_async.user_index import UserIndex

UnknownMembers = Literal["error", "hold"]
Limit = int | str
"""So many, or a part of all, such as "10%"."""

_FEWEST_DELETES: Final = 1
_FEWEST_REMOVALS: Final = 10
"""A part of few is none: so many are always allowed."""


@frozen(kw_only=True)
class Rules:
    """What a plan may do; see `SecodaClient.plan`."""

    prune: bool = False
    unknown_members: UnknownMembers = "error"
    max_delete: Limit = "10%"
    max_remove: Limit = "25%"

    def __attrs_post_init__(self) -> None:
        if self.unknown_members not in ("error", "hold"):
            raise InvalidArgumentError(f"unknown_members must be 'error' or 'hold', not {self.unknown_members!r}")
        allowed(self.max_delete, 0, 0, "max_delete")
        allowed(self.max_remove, 0, 0, "max_remove")


def allowed(limit: Limit, total: int, fewest: int, name: str) -> int:
    """How many of `total` a limit allows.

    Raises:
        InvalidArgumentError: When it is neither a number nor a part.
    """
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0:
        return limit
    if isinstance(limit, str):
        if limit.isdecimal():
            return int(limit)
        part = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", limit)
        if part is not None and float(part[1]) <= 100:  # noqa: PLR2004 - all of them
            share = float(part[1]) / 100
            return max(fewest, math.floor(total * share + 1e-9)) if share else 0
    raise InvalidArgumentError(f"{name} must be a whole number or a part such as '10%', not {limit!r}")


def diff(
    desired: DesiredState,
    groups: Sequence[Group],
    users: Iterable[User],
    rules: Rules,
    time_for: Callable[[int], float] = lambda writes: 0.0,  # noqa: ARG005
    *,
    origin: str = "",
    workspace: str | None = None,
) -> Plan:
    """Compare, and return the writes that are needed.

    Args:
        desired: What should be.
        groups: Every group of the workspace.
        users: Every user of the workspace.
        rules: What the plan may do.
        time_for: How long so many writes take.
        origin: Where the workspace is; the plan is refused elsewhere.
        workspace: The id of the workspace; the plan is refused in any other.

    Raises:
        DesiredStateError: With every member who is no user of the workspace, unless these are to be held.
    """
    index = UserIndex.of(users, (user for group in groups for user in group.users))
    matches = _Matches.of(desired, groups)
    unchanged = 0
    changes: list[Change] = []
    problems: list[str] = []
    for wanted, present in matches.pairs:
        members, unknown = _members_of(wanted, index)
        if unknown and rules.unknown_members == "error":
            problems += [
                f"{wanted.place}: {member!r}, a member of {wanted.name!r}, {why}" for member, why in unknown.items()
            ]
        elif unknown:
            members = tuple(sorted({*(members or ()), *(present.users if present else ())}))
        change = _creation(wanted, members) if present is None else _update(wanted, present, members)
        unchanged += change is None
        changes += [] if change is None else [change]
    if problems:
        advice = "invite them, correct them, or use unknown_members='hold' (--unknown-members hold)"
        problems = [escape_control(problem) for problem in problems]
        error = DesiredStateError("\n".join([*problems, advice]))
        error.problems = tuple(problems)
        raise error
    deletes = [_deletion(group) for group in matches.rest] if rules.prune else []
    changes = _sorted(changes + deletes)
    mentioned = {user for change in changes for user in (*change.added, *change.removed)}
    return Plan(
        changes=tuple(changes),
        conflicts=tuple(sorted(matches.conflicts, key=lambda one: (one.name, one.message))),
        breaches=tuple(_breaches(desired, groups, changes, rules)),
        seconds=time_for(sum(change.kind != "delete" for change in changes)),
        unchanged=unchanged,
        unmanaged=len(matches.rest) - len(deletes),
        origin=origin,
        workspace=workspace,
        people=_addresses(mentioned, index),
    )


def _addresses(ids: Iterable[str], index: UserIndex) -> Mapping[str, str]:
    known = {user_id: index.by_id[user_id].email for user_id in sorted(ids) if user_id in index.by_id}
    return {user_id: email for user_id, email in known.items() if email}


def _sorted(changes: Iterable[Change]) -> list[Change]:
    order = ("create", "update", "delete")
    return sorted(changes, key=lambda change: (order.index(change.kind), change.name, change.id or ""))


# --- which group is meant --------------------------------------------------------------------------------------


@define
class _Matches:
    """Which group of the workspace each of the desired ones is."""

    by_id: Mapping[str, Group]
    by_name: Mapping[str, Sequence[Group]]
    pairs: list[tuple[DesiredGroup, Group | None]] = field(factory=list[tuple[DesiredGroup, Group | None]])
    conflicts: list[Conflict] = field(factory=list[Conflict])
    rest: list[Group] = field(factory=list[Group])
    """Groups that nothing speaks of."""
    _taken: set[str] = field(factory=set[str])
    """Ids of groups that are spoken of."""

    @classmethod
    def of(cls, desired: DesiredState, groups: Sequence[Group]) -> "_Matches":
        by_name: dict[str, list[Group]] = defaultdict(list)
        for group in groups:
            by_name[normalize(group.name)].append(group)
        matches = cls({group.id: group for group in groups}, by_name)
        matches._match_ids([wanted for wanted in desired.groups if wanted.id is not None])
        others = sorted((wanted for wanted in desired.groups if wanted.id is None), key=lambda wanted: wanted.name)
        nameless = [wanted for wanted in others if not matches._match_name(wanted, wanted.name)]
        for wanted in nameless:  # only now: a former name may be another group's present one
            if not any(matches._match_name(wanted, normalize(former)) for former in wanted.previously):
                matches.pairs.append((wanted, None))
        matches._keep_names_apart()
        matches.rest = [group for group in groups if group.id not in matches._taken]
        return matches

    def _match_ids(self, pinned: Iterable[DesiredGroup]) -> None:
        for wanted in pinned:
            present = self.by_id.get(wanted.id or "")
            if present is None:
                message = f"there is no group with the id {wanted.id}: correct it, or leave it out to create the group"
                self._conflict(wanted, message)
                for name in (wanted.name, *wanted.previously):  # it may be the group that is meant: not to be deleted
                    self._taken |= {group.id for group in self.by_name.get(normalize(name), ())}
            else:
                self._taken.add(present.id)
                self.pairs.append((wanted, present))

    def _keep_names_apart(self) -> None:
        """A group is not renamed to a name that another one has and keeps."""
        kept = {present.id for _, present in self.pairs if present is not None}
        for wanted, present in tuple(self.pairs):
            others = [group for group in self.by_name.get(wanted.name, ()) if group.id not in kept]
            if present is not None and normalize(present.name) != wanted.name and others:
                ids = tuple(sorted(group.id for group in others))
                message = f"another group is called {wanted.name!r} ({', '.join(ids)}): rename or delete that one first"
                self._conflict(wanted, message, ids)
                self.pairs.remove((wanted, present))
                self._taken |= set(ids)
                self._keep_names_apart()  # what is not renamed keeps its name, too
                return

    def _conflict(self, wanted: DesiredGroup, message: str, ids: tuple[str, ...] = ()) -> None:
        self.conflicts.append(Conflict(name=wanted.name, message=f"{wanted.place}: {message}", ids=ids))

    def _match_name(self, wanted: DesiredGroup, name: str) -> bool:
        """Take the group of this name, if there is one; with several, note a conflict."""
        free = [group for group in self.by_name.get(name, ()) if group.id not in self._taken]
        if len(free) == 1:
            self.pairs.append((wanted, free[0]))
        elif free:
            ids = tuple(sorted(group.id for group in free))
            message = f"{len(free)} groups are called {name!r} ({', '.join(ids)}): say which with `id:`, or rename one"
            self._conflict(wanted, message, ids)
        self._taken |= {group.id for group in free}
        return bool(free)


def _members_of(wanted: DesiredGroup, index: UserIndex) -> tuple[tuple[str, ...] | None, Mapping[str, str]]:
    """Return the ids of the members, sorted (None: not managed), and why the others are not known."""
    if wanted.members is UNSET:
        return None, {}
    if (given := set(wanted.members)) <= index.ids:  # the usual case, without a lookup for each
        return tuple(sorted(given)), {}
    found: set[str] = set()
    unknown: dict[str, str] = {}
    for member in wanted.members:
        try:
            user_id = index.id_of(member)
        except AmbiguousNameError as error:
            unknown[member] = error.message.removeprefix(f"{member!r} ")
            continue
        if user_id is None:
            unknown[member] = "is no user of the workspace"
        else:
            found.add(user_id)
    return tuple(sorted(found)), unknown


# --- what is to be written -------------------------------------------------------------------------------------


def _creation(wanted: DesiredGroup, members: tuple[str, ...] | None) -> Change:
    """What is empty is not sent: a new group is empty by itself."""
    after = GroupFields(
        name=wanted.name, icon=wanted.icon or UNSET, description=wanted.description or UNSET, users=members or UNSET
    )
    return Change(kind="create", name=wanted.name, after=after, place=wanted.place)


def _update(wanted: DesiredGroup, present: Group, members: tuple[str, ...] | None) -> Change | None:
    """The fields that differ; None when none does."""
    name = UNSET if normalize(present.name) == wanted.name else wanted.name
    users = UNSET if members is None else members
    if GroupFields(name=name, icon=wanted.icon, description=wanted.description, users=users).matches(
        present
    ):  # as a rule
        return None
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    for key, value in (("name", name), ("icon", wanted.icon), ("description", wanted.description), ("users", users)):
        if not GroupFields(**{key: value}).matches(present):  # type: ignore[arg-type]
            is_now = getattr(present, key)
            before[key] = tuple(sorted(is_now)) if key == "users" else is_now
            after[key] = value
    return Change(
        kind="update",
        name=wanted.name,
        id=present.id,
        before=GroupFields(**before),  # type: ignore[arg-type]
        after=GroupFields(**after),  # type: ignore[arg-type]
        place=wanted.place,
    )


def _deletion(group: Group) -> Change:
    before = GroupFields(
        name=group.name, icon=group.icon, description=group.description, users=tuple(sorted(group.users))
    )
    return Change(kind="delete", name=group.name, id=group.id, before=before)


# --- whether that is safe --------------------------------------------------------------------------------------


def _breaches(
    desired: DesiredState, groups: Sequence[Group], changes: Sequence[Change], rules: Rules
) -> Iterable[Breach]:
    creates, updates, deletes = (
        [change for change in changes if change.kind == kind] for kind in ("create", "update", "delete")
    )
    if deletes and not desired.groups:
        message = "the desired state holds no groups at all: every group would be deleted"
        yield Breach(kind="empty", message=message, names=_names(deletes))
    most = allowed(rules.max_delete, len(groups), _FEWEST_DELETES, "max_delete")
    if len(deletes) > most:
        limit = f"the limit is {most} ({rules.max_delete}: max_delete, --max-delete)"
        message = f"{len(deletes)} of {len(groups)} groups would be deleted; {limit}"
        yield Breach(kind="deletes", message=message, names=_names(deletes))
    memberships = sum(len(group.users) for group in groups)
    losers = [change for change in updates if change.removed]
    removals = sum(len(change.removed) for change in losers)
    most = allowed(rules.max_remove, memberships, _FEWEST_REMOVALS, "max_remove")
    if removals > most:
        limit = f"the limit is {most} ({rules.max_remove}: max_remove, --max-remove)"
        message = f"{removals} of {memberships} memberships would be removed; {limit}"
        yield Breach(kind="removals", message=message, names=_names(losers))
    yield from _renames(creates, deletes)
    yield from _former_names(desired, deletes)
    yield from _similar_names(creates, desired, groups)


def _renames(creates: Sequence[Change], deletes: Sequence[Change]) -> Iterable[Breach]:
    """A delete and a create that share most members: two writes, and a new id, where one would do."""
    created: dict[str, list[int]] = defaultdict(list)
    for index, create in enumerate(creates):
        for user in create.after.users or ():
            created[user].append(index)
    for delete in deletes:
        old = delete.before.users or ()
        in_common = Counter(index for user in old for index in created.get(user, ()))
        for index, shared in sorted(in_common.items()):
            create = creates[index]
            most = max(len(old), len(create.after.users or ()))
            if shared > 1 and 2 * shared > most:
                former = json.dumps(delete.name, ensure_ascii=False)  # YAML too, whatever the name holds
                message = (
                    f"{delete.name!r} would be deleted and {create.name!r} created, with {shared} of {most} members "
                    f"in common: if it is a rename, add `previously: [{former}]` to {create.name!r}"
                )
                yield Breach(kind="rename", message=message, names=(delete.name, create.name))


def _former_names(desired: DesiredState, deletes: Sequence[Change]) -> Iterable[Breach]:
    """A group that would be deleted although the desired state speaks of it, as of one that has another name now."""
    formers = {normalize(former): wanted.name for wanted in desired.groups for former in wanted.previously}
    for delete in deletes:
        new = formers.get(normalize(delete.name))
        if new is not None:
            message = (
                f"{delete.name!r} would be deleted, although {new!r} says that it was called so: another group is "
                f"{new!r} already. Merge the two, or take {delete.name!r} out of `previously`"
            )
            yield Breach(kind="rename", message=message, names=(delete.name, new))


def _similar_names(creates: Sequence[Change], desired: DesiredState, groups: Sequence[Group]) -> Iterable[Breach]:
    """Creates whose names look like another group's: people, and some servers, take the two for one."""
    present: dict[str, list[Group]] = defaultdict(list)
    wanted: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        present[confusable_key(group.name)].append(group)
    for other in desired.groups:
        wanted[confusable_key(other.name)].append(other.name)
    for create in creates:
        form = confusable_key(create.name)
        for group in present.get(form, ()):
            if normalize(group.name) == create.name:
                continue  # the plan gives it another name
            former = json.dumps(group.name, ensure_ascii=not group.name.isprintable())
            message = (
                f"{create.name!r} would be created, and {group.name!r} ({group.id}) looks alike: to rename that group, "
                f"add `previously: [{former}]`"
            )
            yield Breach(kind="similar", message=message, names=(create.name, group.name))
        for name in wanted[form]:
            if name > create.name:
                message = f"the desired groups {create.name!r} and {name!r} look alike: remove one"
                yield Breach(kind="similar", message=message, names=(create.name, name))


def _names(changes: Iterable[Change]) -> tuple[str, ...]:
    return tuple(change.name for change in changes)
