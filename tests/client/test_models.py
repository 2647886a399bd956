"""Groups, users and pages can be built by hand, compared, hashed and pickled."""

import json
from datetime import UTC, datetime

import attrs
import pytest

from secoda_async import UNSET, Group, Page, ResponseError, Unset, User, to_dict
from secoda_async.models import GroupFields, collapse_spaces, normalize
from tests.support import roundtrip


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
    for again in roundtrip.copies(model):
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
    assert all(again is UNSET for again in (*roundtrip.copies(UNSET), Unset.UNSET))
    assert GroupFields() != GroupFields(description=None)
    assert GroupFields() != GroupFields(users=())


@pytest.mark.requirement("MD-1")
def test_to_dict_of_a_group_is_plain_json_with_its_unknown_fields() -> None:
    time = datetime(2023, 5, 10, 14, 27, 23, 7, tzinfo=UTC)
    group = Group("g-1", "A", users=("u-1",), created_at=time, extra={"new": [1]})
    assert (
        json.loads(json.dumps(group.to_dict()))
        == to_dict(group)
        == {
            "id": "g-1",
            "name": "A",
            "icon": None,
            "description": None,
            "users": ["u-1"],
            "created_at": "2023-05-10T14:27:23.000007Z",
            "updated_at": None,
            "workspace_id": None,
            "snowflake_role": None,
            "new": [1],
        }
    )


def test_to_dict_of_a_user_is_plain_json_with_its_unknown_fields() -> None:
    user = User("u-1", "ana@x", user_groups=("g-1",), last_login=datetime(2024, 1, 1, tzinfo=UTC), extra={"new": 1})
    document = user.to_dict()
    assert json.loads(json.dumps(document)) == document == to_dict(user)
    assert set(document) == {each.name for each in attrs.fields(User)} - {"extra"} | {"new"}
    assert (document["user_groups"], document["last_login"]) == (["g-1"], "2024-01-01T00:00:00Z")


def test_to_dict_of_a_page_has_its_items_and_the_messages_of_its_errors() -> None:
    page = Page(1, (Group("g-1", "A"), Group("g-2", "B")), count=3, invalid=(ResponseError("name: missing"),))
    document = page.to_dict()
    assert json.loads(json.dumps(document)) == document == to_dict(page)
    assert document["items"] == [group.to_dict() for group in page.items]
    assert (document["number"], document["count"], document["total_pages"]) == (1, 3, None)
    assert document["invalid"] == ["name: missing"]


def test_to_dict_of_fields_leaves_out_unset_ones_and_keeps_null_and_empty_ones() -> None:
    assert GroupFields(description=None, users=()).to_dict() == {"description": None, "users": []}
    assert GroupFields().to_dict() == {}


GROUP = Group("g-1", "Caf\u00e9  A", icon=None, description="x", users=("u-1", "U-2"))


@pytest.mark.parametrize(
    ("fields", "matches", "contradicted", "missing"),
    [
        (GroupFields(), True, [], []),
        (GroupFields(name=" Cafe\u0301  A "), True, [], []),
        (GroupFields(name="Cafe\u0301 A"), False, [], []),
        (GroupFields(name="caf\u00e9  A"), False, ["name"], []),
        (GroupFields(icon="", description="x"), True, [], []),
        (GroupFields(icon=None), True, [], []),
        (GroupFields(icon="i", description=None), False, ["icon", "description"], []),
        (GroupFields(users=("U-2", "u-1")), True, [], []),
        (GroupFields(users=("u-2", "u-1")), True, [], []),
        (GroupFields(users=("u-1", "u-2", "u-3")), False, [], ["u-3"]),
        (GroupFields(users=("u-1",)), False, ["users"], []),
        (GroupFields(users=("u-4",)), False, ["users"], ["u-4"]),
    ],
)
def test_fields_are_compared_with_a_group(
    fields: GroupFields, matches: object, contradicted: list[str], missing: list[str]
) -> None:
    assert fields.matches(GROUP) is matches
    assert fields.contradicted_by(GROUP) == contradicted
    assert fields.missing_users(GROUP) == missing
    assert fields.is_confirmed_by(GROUP) is (not contradicted and not missing)


def test_normalize_trims_and_composes_and_collapse_spaces_collapses_too() -> None:
    assert normalize(" Cafe\u0301  A ") == "Caf\u00e9  A"
    assert collapse_spaces(" Cafe\u0301 \t A ") == "Caf\u00e9 A"
