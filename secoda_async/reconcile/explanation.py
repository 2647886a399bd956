"""Explain one person's groups: the present ones, those of the desired state, and the effect of the plan. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from attrs import evolve, frozen

from secoda_async.errors import AmbiguousNameError, DesiredStateError
from secoda_async.models import UNSET, Group, User, normalize
from secoda_async.reconcile.desired import DesiredState
from secoda_async.reconcile.desired_group import DesiredGroup, place_of
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.invited import with_invited_members
from secoda_async.reconcile.matching import Matching
from secoda_async.reconcile.plan import Change, Plan
from secoda_async.reconcile.safety import Rules
from secoda_async.reconcile.wording import natural_key
from secoda_async.user_index import UserIndex

__all__ = ["Explanation", "Membership", "Reason", "explain"]

Reason = Literal[
    "present", "listed", "not_listed", "not_managed", "additive", "held", "unmanaged", "ignored", "deleted", "conflict",
    "invited", "unknown",
]  # fmt: skip


@frozen(kw_only=True)
class Membership:
    """One group of a person, or one that the desired state gives to the person."""

    group: str
    """The group's present name, or the name of a group that does not exist yet."""
    id: str | None
    """The group's id; None if it does not exist yet."""
    is_member: bool
    """Whether the person is a member now."""
    will_be_member: bool
    """Whether the person is a member after the plan."""
    places: tuple[str, ...] = ()
    """The source locations of the person in the desired group."""
    reason: Reason
    """The reason for the state after the plan."""
    detail: str = ""
    """The reason as a sentence."""

    @property
    def effect(self) -> Literal["added", "removed", "stays", "none"]:
        """The effect of the plan."""
        if self.is_member:
            return "stays" if self.will_be_member else "removed"
        return "added" if self.will_be_member else "none"


@frozen(kw_only=True)
class Explanation:
    """The groups of one person."""

    person: str
    """The person as given, an e-mail address or id."""
    user: User | None
    """The user; None if the person is not a user of the workspace."""
    memberships: tuple[Membership, ...]
    """The groups, sorted by name."""
    plan: Plan | None = None
    """The plan; None without a desired state."""
    refusals: tuple[str, ...] = ()
    """The unknown members for which a plan is refused. The memberships are those of a plan that holds them."""


def explain(
    person: str, desired: DesiredState | None, groups: Sequence[Group], users: Iterable[User], rules: Rules
) -> Explanation:
    """Explain the groups of a person, an e-mail address or id; without a desired state, the present groups only.

    Raises:
        AmbiguousNameError: When the address fits several users.
        DesiredStateError: When no plan is possible for another reason than unknown members.
    """
    users = list(users)
    groups = with_invited_members(groups, users, {})
    index = UserIndex(users, (user for group in groups for user in group.users))
    user_id = index.id_of(person)
    user = index.by_id.get(user_id or "")
    if desired is None:
        present = [_present(group) for group in groups if user_id in group.users]
        return Explanation(person=person, user=user, memberships=_sorted(present))
    refusals: tuple[str, ...] = ()
    try:
        plan = diff(desired, groups, users, rules)
    except DesiredStateError as error:
        refusals = error.problems
        plan = diff(desired, groups, users, evolve(rules, unknown_members="hold"))
    scope = evolve(rules, ignore=(*rules.ignore, *desired.ignore)).scope
    address = normalize((user and user.email) or person).lower()
    explainer = _Explainer(user, user_id, address, index, plan, rules)
    found = explainer.memberships(Matching(desired, groups, scope), desired, groups)
    return Explanation(person=person, user=user, memberships=_sorted(found), plan=plan, refusals=refusals)


def _present(group: Group) -> Membership:
    return Membership(group=group.name, id=group.id, is_member=True, will_be_member=True, reason="present")


def _sorted(memberships: Iterable[Membership]) -> tuple[Membership, ...]:
    return tuple(sorted(memberships, key=lambda membership: (natural_key(membership.group), membership.id or "")))


@frozen
class _Explainer:
    """Explains the groups of one person under one plan."""

    user: User | None
    user_id: str | None
    address: str
    """The person's address in lower case; the id of a person without an address."""
    index: UserIndex
    plan: Plan
    rules: Rules

    def memberships(self, matching: Matching, desired: DesiredState, groups: Sequence[Group]) -> Iterator[Membership]:
        """Yield the groups that have the person, or list the person."""
        changes = {change.id: change for change in self.plan.changes if change.id is not None}
        yield from self._explain_planned(matching, changes)
        others, listed = self._find_unplanned(matching, desired, groups)
        ignored = {group.id for group in matching.ignored}
        for group in others:
            meant = next((wanted for wanted in listed if _may_mean(wanted, group)), None)
            yield self._unplanned(group, meant, changes.get(group.id), is_ignored=group.id in ignored)
        for wanted in listed:
            if not any(_may_mean(wanted, group) for group in others):
                yield self._unplanned_create(wanted)

    def _explain_planned(self, matching: Matching, changes: Mapping[str, Change]) -> Iterator[Membership]:
        """Yield the person's groups that the plan manages; `changes` has the updates and deletes by id."""
        creates = {change.name: change for change in self.plan.changes if change.kind == "create"}
        for wanted, present in matching.pairs:
            if self._is_in(present) or self._places(wanted):
                change = creates.get(wanted.name) if present is None else changes.get(present.id)
                yield self._planned(wanted, present, change)

    def _find_unplanned(
        self, matching: Matching, desired: DesiredState, groups: Sequence[Group]
    ) -> tuple[Sequence[Group], Sequence[DesiredGroup]]:
        """Return the unmatched groups that have the person, and the unmatched desired groups that list the person."""
        matched = {id(wanted) for wanted, _ in matching.pairs}
        matched_ids = {present.id for _, present in matching.pairs if present is not None}
        others = [group for group in groups if group.id not in matched_ids and self._is_in(group)]
        listed = [wanted for wanted in desired.groups if id(wanted) not in matched and self._places(wanted)]
        return others, listed

    def _is_in(self, group: Group | None) -> bool:
        return group is not None and self.user_id in group.users

    def _places(self, wanted: DesiredGroup) -> tuple[str, ...]:
        """Return the source locations of the person in a desired group."""
        members = [] if wanted.members is UNSET else [member for member in wanted.members if self._means_person(member)]
        return tuple(dict.fromkeys(place_of(member, wanted) for member in members))

    def _means_person(self, member: str) -> bool:
        if member == self.user_id:
            return True
        if normalize(member).lower() != self.address:
            return False
        try:
            return self.index.id_of(member) == self.user_id
        except AmbiguousNameError:
            return False

    def _planned(self, wanted: DesiredGroup, present: Group | None, change: Change | None) -> Membership:
        """Explain a group that the plan manages."""
        is_member, places = self._is_in(present), self._places(wanted)
        will_be_member = is_member
        if change is not None and change.after.users is not UNSET:
            will_be_member = self.user_id in change.after.users
        reason, detail = self._reason(wanted, places, is_member=is_member, will_be_member=will_be_member)
        return self._membership(present or wanted, places, reason, detail, will_be_member=will_be_member)

    def _membership(
        self, group: Group | DesiredGroup, places: tuple[str, ...], reason: Reason, detail: str, *, will_be_member: bool
    ) -> Membership:
        return Membership(
            group=group.name,
            id=group.id,
            is_member=isinstance(group, Group) and self._is_in(group),
            will_be_member=will_be_member,
            places=places,
            reason=reason,
            detail=detail,
        )

    def _reason(
        self, wanted: DesiredGroup, places: Sequence[str], *, is_member: bool, will_be_member: bool
    ) -> tuple[Reason, str]:
        if places:
            return self._reason_of_listed(places, is_member=is_member)
        if is_member and not will_be_member:
            return "not_listed", f"not in the members at {wanted.place}"
        if wanted.members is UNSET:
            return "not_managed", f"{wanted.place} does not manage the members"
        if self.rules.additive or wanted.membership == "additive":
            return "additive", f"{wanted.place} only adds members"
        held = (each for each in self.plan.held if each.group == wanted.name)
        return "held", f"kept: {', '.join(f'{each.member} ({each.place}) {each.reason}' for each in held)}"

    def _reason_of_listed(self, places: Sequence[str], *, is_member: bool) -> tuple[Reason, str]:
        listed = f"listed at {', '.join(places)}"
        if self.user_id is None:
            return "unknown", f"{listed}, but is not a user of this workspace"
        if self.user is not None and self.user.pending and not is_member:
            return "invited", f"{listed}; the service may not show the membership before the first sign-in"
        return "listed", listed

    def _unplanned(
        self, group: Group, meant: DesiredGroup | None, change: Change | None, *, is_ignored: bool
    ) -> Membership:
        """Explain a group of the person that the plan deletes, or does not plan."""
        places = () if meant is None else self._places(meant)
        conflict = self._conflict(group.name if meant is None else meant.name, group.id)
        reason, detail = _unplanned_reason(conflict, places, is_deleted=change is not None, is_ignored=is_ignored)
        return self._membership(group, places, reason, detail, will_be_member=change is None)

    def _unplanned_create(self, wanted: DesiredGroup) -> Membership:
        """Explain a desired group that lists the person and is not planned."""
        places = self._places(wanted)
        reason, detail = _unplanned_reason(self._conflict(wanted.name), places, is_deleted=False, is_ignored=True)
        return self._membership(wanted, places, reason, detail, will_be_member=False)

    def _conflict(self, name: str, group_id: str = "") -> str | None:
        """Return the message of the first conflict that concerns a group."""
        conflicts = self.plan.conflicts
        return next((each.message for each in conflicts if each.name == name or group_id in each.ids), None)


def _unplanned_reason(
    conflict: str | None, places: Sequence[str], *, is_deleted: bool, is_ignored: bool
) -> tuple[Reason, str]:
    if is_deleted:
        return "deleted", "not in the files: the group is deleted"
    if conflict is not None:
        return "conflict", conflict
    if is_ignored:
        listed = f"listed at {', '.join(places)}, but " if places else ""
        return "ignored", f"{listed}outside the scope of the plan"
    return "unmanaged", "not in the files"


def _may_mean(wanted: DesiredGroup, group: Group) -> bool:
    """Return whether a desired group that is not planned may mean a group."""
    return wanted.id == group.id or normalize(group.name) in (wanted.name, *map(normalize, wanted.previously))
