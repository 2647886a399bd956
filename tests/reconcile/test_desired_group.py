"""One group of a desired state, from code."""

from typing import Any

import pytest

from secoda_async import UNSET, InvalidArgumentError
from secoda_async.reconcile import DesiredGroup, DesiredState
from secoda_async.reconcile.desired_group import MemberPlaces
from tests.support.roundtrip import copies


def test_members_are_trimmed_and_each_is_kept_once() -> None:
    group = DesiredGroup(name="a", members=[" joe@example.com ", "joe@example.com", "\tmia@example.com\n", "u-1"])
    assert group.members == ("joe@example.com", "mia@example.com", "u-1")
    assert group == DesiredGroup(name="a", members=("joe@example.com", "mia@example.com", "u-1"))


@pytest.mark.parametrize("members", [("",), ("a", " "), ("\u00a0",)])
def test_empty_member_is_refused(members: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="members contains an empty string: use an e-mail address or id"):
        DesiredGroup(name="a", members=members)


@pytest.mark.parametrize("membership", ["add", "", None, "EXACT"])
def test_other_membership_is_refused(membership: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="membership must be 'exact' or 'additive', not "):
        DesiredGroup(name="a", membership=membership)


def test_places_of_members_are_made_when_needed() -> None:
    places = MemberPlaces.of("g.yaml", {"a": ":1:2", "b": ":3:4"})
    assert dict(places) == {"a": "g.yaml:1:2", "b": "g.yaml:3:4"}
    assert (len(places), list(places), places.get("c", "?"), "a" in places) == (2, ["a", "b"], "?", True)
    assert dict(MemberPlaces.of("g.yaml", {})) == {}
    assert all(dict(copy) == dict(places) for copy in copies(places))


def test_places_are_no_part_of_equality() -> None:
    group = DesiredGroup(name="a", members=("x",), place="g:1", member_places=MemberPlaces.of("g", {"x": ":1"}))
    assert group == DesiredGroup(name="a", members=("x",))
    assert hash(group) == hash(DesiredGroup(name="a", members=("x",)))
    (kept,) = DesiredState.from_groups([group]).groups
    assert (kept.place, kept.member_places["x"], kept.icon) == ("g:1", "g:1", UNSET)
