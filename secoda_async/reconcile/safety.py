"""Safety limits: the rules for a plan, and the breaches that must be approved. Pure functions."""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from attrs import frozen

from secoda_async.errors import InvalidArgumentError, UnsafePlanError
from secoda_async.models import Group, confusable_key, normalize
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.plan import Breach, Change, Plan

__all__ = ["Limit", "Rules", "UnknownMembers", "check_approval", "find_breaches", "resolve_limit"]

UnknownMembers = Literal["error", "hold"]
Limit = int | str
"""A number, or a percentage of the total such as "10%"."""

_MINIMUM_DELETES: Final = 1
_MINIMUM_REMOVALS: Final = 10
"""A percentage of a small total rounds down to nothing: this number is always allowed, except at 0 %."""


@frozen(kw_only=True)
class Rules:
    """The options of a plan; see `SecodaClient.plan`."""

    prune: bool = False
    unknown_members: UnknownMembers = "error"
    max_delete: Limit = "10%"
    max_remove: Limit = "25%"
    only: Sequence[str] = ()
    ignore: Sequence[str] = ()
    additive: bool = False

    def __attrs_post_init__(self) -> None:
        if self.unknown_members not in ("error", "hold"):
            raise InvalidArgumentError(f"unknown_members must be 'error' or 'hold', not {self.unknown_members!r}")
        resolve_limit(self.max_delete, 0, 0, "max_delete")
        resolve_limit(self.max_remove, 0, 0, "max_remove")


def resolve_limit(limit: Limit, total: int, minimum: int, name: str) -> int:
    """Return the number of `total` that a limit allows; a percentage other than 0 allows at least `minimum`.

    Raises:
        InvalidArgumentError: When the limit is neither an integer nor a percentage; it mentions `name`.
    """
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0:
        return limit
    if isinstance(limit, str):
        if limit.isdecimal():
            return int(limit)
        match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", limit)
        if match is not None and (fraction := float(match[1]) / 100) <= 1:
            return max(minimum, math.floor(total * fraction + 1e-9)) if fraction else 0
    raise InvalidArgumentError(f"{name} must be an integer or a percentage such as '10%', not {limit!r}")


def check_approval(plan: Plan, approve: str | None) -> None:
    """Refuse a plan that exceeds the safety limits, unless `approve` is its digest.

    Raises:
        UnsafePlanError: When the plan is not approved, or `approve` is the digest of another plan.
    """
    if plan.is_empty or approve == plan.digest or (approve is None and not plan.breaches):
        return
    if approve is not None:
        reason = f"the approval {approve!r} is not the digest of this plan, {plan.digest!r}: review the plan again"
    else:
        reason = f"the plan exceeds the safety limits, and nothing was written. To approve it: {plan.digest!r}"
    breaches = tuple(breach.message for breach in plan.breaches)
    raise UnsafePlanError("\n".join([reason, *breaches]), breaches=breaches, digest=plan.digest)


def find_breaches(
    desired: DesiredState, groups: Sequence[Group], changes: Sequence[Change], rules: Rules
) -> Iterator[Breach]:
    """Yield every reason why the changes need an approval.

    Args:
        desired: The desired state.
        groups: Every group of the workspace.
        changes: The changes from one to the other.
        rules: The limits.
    """
    creates, updates, deletes = (
        [change for change in changes if change.kind == kind] for kind in ("create", "update", "delete")
    )
    if deletes and not desired.groups:
        message = "the desired state has no groups: every group would be deleted"
        yield Breach(kind="empty", message=message, names=_names(deletes))
    yield from _excess_deletes(groups, deletes, rules)
    yield from _excess_removals(groups, updates, rules)
    yield from _probable_renames(creates, deletes)
    yield from _deleted_former_names(desired, deletes)
    yield from _confusable_names(creates, desired, groups)


def _excess_deletes(groups: Sequence[Group], deletes: Sequence[Change], rules: Rules) -> Iterator[Breach]:
    most = resolve_limit(rules.max_delete, len(groups), _MINIMUM_DELETES, "max_delete")
    if len(deletes) > most:
        limit = f"the limit is {most} ({rules.max_delete}: max_delete, --max-delete)"
        message = f"{len(deletes)} of {len(groups)} groups would be deleted; {limit}"
        yield Breach(kind="deletes", message=message, names=_names(deletes))


def _excess_removals(groups: Sequence[Group], updates: Sequence[Change], rules: Rules) -> Iterator[Breach]:
    memberships = sum(len(group.users) for group in groups)
    shrinking = [change for change in updates if change.removed]
    removals = sum(len(change.removed) for change in shrinking)
    most = resolve_limit(rules.max_remove, memberships, _MINIMUM_REMOVALS, "max_remove")
    if removals > most:
        limit = f"the limit is {most} ({rules.max_remove}: max_remove, --max-remove)"
        message = f"{removals} of {memberships} memberships would be removed; {limit}"
        yield Breach(kind="removals", message=message, names=_names(shrinking))


def _probable_renames(creates: Sequence[Change], deletes: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach for each delete and create that share more than half of their members.

    A rename would take one write and keep the group's id.
    """
    for delete, create, shared in _pairs_with_shared_members(creates, deletes):
        larger = max(len(delete.before.users or ()), len(create.after.users or ()))
        if shared > 1 and 2 * shared > larger:
            former = json.dumps(delete.name, ensure_ascii=False)  # quoted as YAML too
            message = (
                f"{delete.name!r} would be deleted and {create.name!r} created, with {shared} of {larger} members "
                f"in common: if this is a rename, add `previously: [{former}]` to {create.name!r}"
            )
            yield Breach(kind="rename", message=message, names=(delete.name, create.name))


def _pairs_with_shared_members(
    creates: Sequence[Change], deletes: Sequence[Change]
) -> Iterator[tuple[Change, Change, int]]:
    """Yield each delete and create with members in common, and the number of these.

    An index by member avoids a comparison of every delete with every create.
    """
    creates_by_user: dict[str, list[int]] = defaultdict(list)
    for index, create in enumerate(creates):
        for user in create.after.users or ():
            creates_by_user[user].append(index)
    for delete in deletes:
        shared_counts = Counter(index for user in delete.before.users or () for index in creates_by_user.get(user, ()))
        for index, shared in sorted(shared_counts.items()):
            yield delete, creates[index], shared


def _deleted_former_names(desired: DesiredState, deletes: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach for each delete of a group that a desired group lists in `previously`."""
    formers = {normalize(former): wanted.name for wanted in desired.groups for former in wanted.previously}
    for delete in deletes:
        new = formers.get(normalize(delete.name))
        if new is not None:
            message = (
                f"{delete.name!r} would be deleted, although it is a former name of {new!r}: another group has the "
                f"name {new!r} already. Merge the two, or remove {delete.name!r} from `previously`"
            )
            yield Breach(kind="rename", message=message, names=(delete.name, new))


def _confusable_names(creates: Sequence[Change], desired: DesiredState, groups: Sequence[Group]) -> Iterator[Breach]:
    """Yield a breach for each create whose name people, or a server, can mistake for that of another group."""
    existing: dict[str, list[Group]] = defaultdict(list)
    wanted: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        existing[confusable_key(group.name)].append(group)
    for other in desired.groups:
        wanted[confusable_key(other.name)].append(other.name)
    for create in creates:
        key = confusable_key(create.name)
        for group in existing.get(key, ()):
            if normalize(group.name) != create.name:  # else the plan renames that group
                yield _confusable_group(create.name, group)
        for name in wanted[key]:
            if name > create.name:  # one breach for each pair
                message = f"the desired groups {create.name!r} and {name!r} look alike: remove one"
                yield Breach(kind="similar", message=message, names=(create.name, name))


def _confusable_group(name: str, group: Group) -> Breach:
    former = json.dumps(group.name, ensure_ascii=not group.name.isprintable())
    message = (
        f"{name!r} would be created, and {group.name!r} ({group.id}) looks alike: to rename that group, "
        f"add `previously: [{former}]`"
    )
    return Breach(kind="similar", message=message, names=(name, group.name))


def _names(changes: Iterable[Change]) -> tuple[str, ...]:
    return tuple(change.name for change in changes)
