"""The members that desired groups should have, as ids of users; and the members who are not users of the workspace."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Final, cast

from attrs import define, field

from secoda_async.errors import AmbiguousNameError, DesiredStateError
from secoda_async.models import UNSET, Group
from secoda_async.reconcile.desired_group import DesiredGroup, place_of
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.plan import Held
from secoda_async.reconcile.safety import Rules
from secoda_async.reconcile.wording import abbreviate
from secoda_async.user_index import UserIndex

__all__ = ["MemberResolver"]

_MOST_GROUPS: Final = 3
"""Groups that are named for each unknown member; the others are counted."""

_ADVICE: Final = "invite them, correct them, or use unknown_members='hold' (--unknown-members hold)"


@define
class MemberResolver:
    """Finds the users that desired members mean, and collects those who are not users."""

    index: UserIndex
    rules: Rules
    desired: set[str] = field(factory=set[str], init=False)
    """Ids of all desired members."""
    held: list[Held] = field(factory=list[Held], init=False)
    """The unknown members, with `unknown_members="hold"`."""
    keeping: set[str] = field(factory=set[str], init=False)
    """Ids of the groups that nobody leaves."""
    _unknown: dict[str, list[DesiredGroup]] = field(factory=dict[str, list[DesiredGroup]], init=False)
    """The groups of each unknown member, otherwise."""
    _reasons: dict[str, str] = field(factory=dict[str, str], init=False)
    _id_of: Callable[[str], str | None] = field(init=False)
    """Returns the id of a member, and remembers it: most people are members of several groups."""

    def __attrs_post_init__(self) -> None:
        self._id_of = cache(self.index.id_of)

    def resolve(self, wanted: DesiredGroup, present: Group | None) -> set[str] | None:
        """Return the ids of the members that a group should have; None if its members are not managed.

        Nobody leaves an additive group, nor a group with a held member: one who is present may be the unknown one.
        """
        if wanted.members is UNSET:
            return None
        found, unknown = self._find(wanted.members)
        self.desired |= found
        is_additive = self.rules.additive or wanted.membership == "additive"
        if not is_additive and not unknown:
            return found
        present_ids = frozenset(present.users if present is not None else ())
        if unknown:
            self._note(wanted, unknown, kept=() if is_additive else sorted(present_ids - found))
        if present is not None:
            self.keeping.add(present.id)
        return found | present_ids

    def _find(self, members: Sequence[str]) -> tuple[set[str], Mapping[str, str]]:
        """Return the ids of the members, and the reason why each other member is unknown."""
        if (given := set(members)) <= self.index.ids:  # fast path: all are ids
            return given, {}
        with suppress(AmbiguousNameError):
            ids = set(map(self._id_of, members))
            if None not in ids:
                return cast("set[str]", ids), {}
        found: set[str] = set()
        unknown: dict[str, str] = {}
        for member in members:
            try:
                user_id = self._id_of(member)
            except AmbiguousNameError as error:
                unknown[member] = error.message.removeprefix(f"{member!r} ")
                continue
            if user_id is None:
                unknown[member] = "is not a user of this workspace"
            else:
                found.add(user_id)
        return found, unknown

    def _note(self, wanted: DesiredGroup, unknown: Mapping[str, str], kept: Iterable[str]) -> None:
        if self.rules.unknown_members == "error":
            self._reasons |= unknown
            for member in unknown:
                self._unknown.setdefault(member, []).append(wanted)
            return
        self.held += [
            Held(group=wanted.name, member=member, reason=reason, place=place_of(member, wanted), kept=tuple(kept))
            for member, reason in unknown.items()
        ]

    def raise_unknown(self) -> None:
        """Raise an error that names every unknown member, unless these are held.

        Raises:
            DesiredStateError: With a problem for each unknown member.
        """
        if not self._unknown:
            return
        problems = [self._problem(member, groups) for member, groups in self._unknown.items()]
        advice = [*self._domain_advice(), _ADVICE]
        raise DesiredStateError("\n".join([*problems, *advice]), problems=tuple(problems))

    def _problem(self, member: str, groups: Sequence[DesiredGroup]) -> str:
        first, *others = groups[:_MOST_GROUPS]  # looking up the places of all groups would take long
        names = [repr(first.name), *(f"{other.name!r} ({place_of(member, other)})" for other in others)]
        listed = abbreviate(names, _MOST_GROUPS, len(groups))
        return escape_control(f"{place_of(member, first)}: {member!r}, a member of {listed}, {self._reasons[member]}")

    def _domain_advice(self) -> Sequence[str]:
        """Return a sentence if all unknown members have one domain, and every user has another."""
        domains = {member.rpartition("@")[2].strip().lower() if "@" in member else "" for member in self._unknown}
        domain = next(iter(domains))
        known = {(user.email or "").rpartition("@")[2].lower() for user in self.index.by_id.values()}
        if len(self._unknown) == 1 or len(domains) > 1 or not domain or domain in known:
            return ()
        return [
            escape_control(
                f"no user of this workspace has an address at {domain!r}, but these {len(self._unknown)} members do: "
                "check whether this is the right workspace"
            )
        ]
