"""Safety limits: the rules for a plan, and the breaches that need an approval. Pure functions."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from attrs import field, frozen

from secoda_async.errors import InvalidArgumentError, UnsafePlanError
from secoda_async.models import Group
from secoda_async.reconcile.matching import Matching
from secoda_async.reconcile.plan import Breach, Change, Plan
from secoda_async.reconcile.scope import Scope, ignore_patterns, only_patterns
from secoda_async.reconcile.similar_names import (
    deleted_former_names,
    deletes_like_desired,
    deletes_like_ignored,
    probable_renames,
    similar_names,
)
from secoda_async.reconcile.wording import abbreviate

__all__ = ["Limit", "Rules", "UnknownMembers", "check_approval", "find_breaches", "resolve_limit"]

UnknownMembers = Literal["error", "hold"]
Limit = int | str
"""A number, or a percentage of the total such as "10%"."""

_MINIMUM_DELETES: Final = 1
_MINIMUM_REMOVALS: Final = 10
"""A percentage of a small total rounds down to nothing: this number is always allowed, except at 0 %."""
_MINIMUM_GROUP: Final = 5
"""Members of a group from which on most of them are not removed without an approval."""
_MOST_GROUPS: Final = 10
"""Groups that a breach names; the others are counted."""


@frozen(kw_only=True)
class Rules:
    """The options of a plan; see `SecodaClient.plan`."""

    prune: bool = False
    unknown_members: UnknownMembers = "error"
    max_delete: Limit = "10%"
    max_remove: Limit = "25%"
    only: Sequence[str] = field(default=(), converter=only_patterns)
    ignore: Sequence[str] = field(default=(), converter=ignore_patterns)
    additive: bool = False

    def __attrs_post_init__(self) -> None:
        for name, value in (("prune", self.prune), ("additive", self.additive)):
            if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(f"{name} must be True or False, not {value!r}")
        if self.unknown_members not in ("error", "hold"):
            raise InvalidArgumentError(f"unknown_members must be 'error' or 'hold', not {self.unknown_members!r}")
        resolve_limit(self.max_delete, 0, 0, "max_delete")
        resolve_limit(self.max_remove, 0, 0, "max_remove")

    @property
    def scope(self) -> Scope:
        """The groups that the plan may touch."""
        return Scope(self.only, self.ignore)


def resolve_limit(limit: Limit, total: int, minimum: int, name: str) -> int:
    """Return the number of `total` that a limit allows; a percentage other than 0 allows at least `minimum`.

    Raises:
        InvalidArgumentError: When the limit is neither 0 or more nor a percentage up to 100; it mentions `name`.
    """
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0:
        return limit
    if isinstance(limit, str):
        if limit.isdecimal():
            return int(limit)
        match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", limit)
        if match is not None and (fraction := float(match[1]) / 100) <= 1:
            return max(minimum, math.floor(total * fraction + 1e-9)) if fraction else 0
    raise InvalidArgumentError(f"{name} must be an integer, 0 or more, or a percentage such as '10%', not {limit!r}")


def check_approval(plan: Plan, approve: str | None) -> None:
    """Refuse a plan that needs an approval, unless `approve` is its digest.

    Raises:
        UnsafePlanError: When the plan is not approved, or `approve` is the digest of another plan.
    """
    if plan.is_empty or approve == plan.digest or (approve is None and not plan.breaches):
        return
    if approve is not None:
        reason = f"the approval {approve!r} is not the digest of this plan, {plan.digest!r}: review the plan again"
    else:
        reason = f"the plan needs an approval, and nothing was written. To approve it: {plan.digest!r}"
    breaches = tuple(breach.message for breach in plan.breaches)
    raise UnsafePlanError("\n".join([reason, *breaches]), breaches=breaches, digest=plan.digest)


def find_breaches(matching: Matching, changes: Sequence[Change], rules: Rules) -> Iterator[Breach]:
    """Yield every reason why the changes need an approval. The limits are parts of the groups inside the scope."""
    creates, updates, deletes = (
        [change for change in changes if change.kind == kind] for kind in ("create", "update", "delete")
    )
    where = " in the scope" if rules.scope.is_limited else ""
    if deletes and not matching.wanted:
        message = f"the desired state has no groups{where}: every group{where} would be deleted"
        yield Breach(kind="empty", message=message, names=_names(deletes))
    yield from _excess_deletes(matching.inside, deletes, rules, where)
    yield from _excess_removals(matching.inside, updates, deletes, rules, where)
    yield from _large_removals(updates)
    yield from probable_renames(creates, deletes)
    yield from deleted_former_names((*matching.wanted, *matching.outside), deletes)
    yield from similar_names(matching)
    yield from deletes_like_desired((*matching.wanted, *matching.outside), deletes)
    yield from deletes_like_ignored(rules.scope, deletes)


def _excess_deletes(groups: Sequence[Group], deletes: Sequence[Change], rules: Rules, where: str) -> Iterator[Breach]:
    most = resolve_limit(rules.max_delete, len(groups), _MINIMUM_DELETES, "max_delete")
    if len(deletes) > most:
        limit = f"the limit is {most} ({rules.max_delete}: --max-delete)"
        message = f"{len(deletes)} of {len(groups)} groups{where} would be deleted; {limit}"
        yield Breach(kind="deletes", message=message, names=_names(deletes))


def _excess_removals(
    groups: Sequence[Group], updates: Sequence[Change], deletes: Sequence[Change], rules: Rules, where: str
) -> Iterator[Breach]:
    """Yield a breach if too many members are removed; the members of deleted groups count."""
    memberships = sum(len(group.users) for group in groups)
    shrinking = [(change, removed) for change in (*updates, *deletes) if (removed := len(change.removed))]
    removals = sum(removed for _, removed in shrinking)
    most = resolve_limit(rules.max_remove, memberships, _MINIMUM_REMOVALS, "max_remove")
    if removals > most:
        deleted = sum(len(change.removed) for change in deletes)
        parts = f" ({removals - deleted} from groups that stay, {deleted} with deleted groups)" if deleted else ""
        limit = f"the limit is {most} ({rules.max_remove}: --max-remove)"
        message = f"{removals} of {memberships} memberships{where} would be removed{parts}; {limit}"
        yield Breach(kind="removals", message=message, names=_names(change for change, _ in shrinking))


def _large_removals(updates: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach if a group of some size loses most of its members."""
    halved = [change for change in updates if _loses_most_members(change)]
    if halved:
        named = [f"{change.name!r} {len(change.removed)} of {len(change.before.users or ())}" for change in halved]
        listed = abbreviate(named, _MOST_GROUPS)
        message = f"groups would lose more than half of their members: {listed}; approve the plan (--approve DIGEST)"
        yield Breach(kind="group", message=message, names=_names(halved))


def _loses_most_members(change: Change) -> bool:
    """Return whether a group loses more than half of its members; half is rounded up where others join.

    A rotation of 3 of 5 members is usual.
    """
    size = len(change.before.users or ())
    most = math.ceil(size / 2) if change.added else size // 2
    return size >= _MINIMUM_GROUP and len(change.removed) > most


def _names(changes: Iterable[Change]) -> tuple[str, ...]:
    return tuple(change.name for change in changes)
