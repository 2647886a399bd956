"""Groups, users and pages can be built by hand, compared, hashed and pickled."""

import attrs
import pytest

from secoda_async import UNSET, Group, Page, Unset, User
from secoda_async.models import GroupFields
from tests.support.roundtrip import ways_round


@pytest.mark.requirement("TS-2")
def test_a_group_can_be_built_from_id_and_name() -> None:
    group = Group("g-1", "Data Stewards")
    assert (group.icon, group.description, group.users, group.extra) == (None, None, (), {})
    assert User("u-1").user_groups == ()
    assert Page(1, (group,)).items == (group,)


@pytest.mark.parametrize(
    "model", [Group("g-1", "A", users=("u-1",), extra={"new": 1}), User("u-1"), Page(1, (User("u-1"),)), GroupFields()]
)
def test_models_are_frozen_hashable_and_can_be_pickled(
    model: Group | User | Page[User] | GroupFields,
) -> None:
    for again in ways_round(model):
        assert again == model
        assert hash(again) == hash(model)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(model, "users", ())  # noqa: B010 - the type checkers refuse it already


def test_unknown_fields_do_not_count_when_groups_are_compared() -> None:
    assert Group("g-1", "A", extra={"seen": 1}) == Group("g-1", "A")
    assert "seen" not in repr(Group("g-1", "A", extra={"seen": 1}))


@pytest.mark.requirement("MD-3")
def test_unset_is_one_thing_falsy_and_not_none() -> None:
    assert repr(UNSET) == "UNSET"
    assert not UNSET
    assert all(again is UNSET for again in (*ways_round(UNSET), Unset.UNSET))
    assert GroupFields() != GroupFields(description=None)
    assert GroupFields() != GroupFields(users=())
