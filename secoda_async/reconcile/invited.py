"""Members with a pending invitation. The service may not show them in groups before their first sign-in.

Theory of operation. A write sets the whole membership, so an invited member whom no response shows is removed by any
write that does not list the member. Therefore a plan counts hidden members as present (`with_invited_members`), a
comparison with a response ignores them (`matches_except_invited`), and a plan that can't know them has a note
(`hidden_member_notes`). A service that shows them is read as it is.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from secoda_async.models import Group, GroupFields, User
from secoda_async.reconcile.wording import abbreviate

__all__ = ["hidden_member_notes", "matches_except_invited", "with_invited_members"]

_MOST_NAMES: Final = 10
"""Groups that a sentence names."""


def with_invited_members(
    groups: Sequence[Group], users: Iterable[User], sent: Mapping[str, Collection[str]]
) -> Sequence[Group]:
    """Return the groups with the invited members that they do not show.

    The users' own lists of groups decide. If these show no group for any invited user, they may be hidden there too:
    then the members that this client has `sent`, by the id of the group, count as members.
    """
    invited = {user.id: user for user in users if user.pending}
    hidden: dict[str, set[str]] = defaultdict(set)
    for user in invited.values():
        for group_id in user.user_groups:
            hidden[group_id].add(user.id)
    if not hidden:
        for group_id, members in sent.items():
            hidden[group_id] = {member for member in members if member in invited}
    return [_with_members(group, hidden[group.id]) if group.id in hidden else group for group in groups]


def hidden_member_notes(names: Sequence[str], groups: Iterable[Group], users: Iterable[User]) -> Iterator[str]:
    """Yield a sentence if writes of whole memberships may remove invited members whom nothing shows.

    `names` are those of the groups that gain members, and that nobody should leave.
    """
    invited = {user.id for user in users if user.pending}
    if names and invited and all(invited.isdisjoint(group.users) for group in groups):
        listed = abbreviate([repr(name) for name in names], _MOST_NAMES)
        yield (
            f"The plan only adds members to {listed}, and no group shows any of the invited users of this workspace. "
            "If the service hides invited members, the write removes those who are not listed: list them too"
        )


def _with_members(group: Group, members: Iterable[str]) -> Group:
    return evolve(group, users=(*group.users, *sorted(set(members).difference(group.users))))


def matches_except_invited(fields: GroupFields, group: Group, invited: Iterable[str]) -> bool:
    """Return whether a group has every field that is set, although invited members may be hidden."""
    if fields.matches(group):
        return True
    hidden = set(invited).intersection(fields.users or ())
    return bool(hidden) and fields.matches(_with_members(group, hidden))
