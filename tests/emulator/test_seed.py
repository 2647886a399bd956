"""Generated and given groups and users."""

from typing import Any

import pytest

from secoda_async.emulator.clock import Calendar, ManualClock
from secoda_async.emulator.seed import SeedFactory


def generate(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    factory = SeedFactory(Calendar(ManualClock()).next_timestamp, seed)
    users = factory.users(40)
    return factory.groups(700, list(users)), users


def test_same_seed_generates_the_same_workspace() -> None:
    assert generate(1) == generate(1)
    assert generate(1) != generate(2)


def test_generated_groups_and_users_are_consistent() -> None:
    groups, users = generate(0)
    assert len(groups) == len({group["name"] for group in groups.values()}) == 700
    assert len({user["email"] for user in users.values()}) == 40
    created = [group["created_at"] for group in groups.values()]
    assert created == sorted(created)
    assert all(group["created_at"] <= group["updated_at"] for group in groups.values())
    assert {user for group in groups.values() for user in group["users"]} == set(users)


def test_given_groups_and_users_are_kept() -> None:
    factory = SeedFactory(lambda: "now")
    users = factory.users([{"email": "a@example.com", "id": "u1", "user_groups": ["x"]}])
    groups = factory.groups([{"name": " A ", "users": ["u1"], "id": "g1"}, {}], ["u1"])
    assert users["u1"]["email"] == "a@example.com"
    assert groups["g1"]["name"] == "A"
    assert [group["users"] for group in groups.values()] == [["u1"], []]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("users", [{"id": "u1"}], "the email of the user .* must be a string, not None"),
        ("users", [{"email": "a", "colour": 1}], "unknown field of a user: colour"),
        ("users", [{"email": "a", "id": "u"}, {"email": "b", "id": "u"}], "two users have the id u"),
        ("users", [{"email": "a", "id": 5}], "the id of a user must be a string, not 5"),
        ("groups", [{"members": ()}], "unknown field of a group: members"),
        ("groups", [{"name": "a", "users": ["x"]}], "group 'a': .*Invalid pk"),
        ("groups", [{"id": "g"}, {"id": "g"}], "two groups have the id g"),
    ],
)
def test_invalid_groups_and_users_are_refused(kind: str, given: list[dict[str, Any]], message: str) -> None:
    factory = SeedFactory(lambda: "now")
    with pytest.raises(ValueError, match=message):
        factory.users(given) if kind == "users" else factory.groups(given, [])


WORKSPACE_ID = "f71585fa-251c-4102-8d81-c97c57c8d435"


def test_generated_workspace_of_a_seed_is_always_the_same() -> None:
    factory = SeedFactory(lambda: "now", 7)
    users = factory.users(2)
    first = "d23f0824-128b-4f33-8c5c-7fd0a6a3a450"
    second = "81e74ef5-e8e2-4d94-8ed9-04759531985d"
    assert list(users) == [first, second]
    assert users[first] == {
        "id": first,
        "first_name": "Ada",
        "last_name": "Kowalska",
        "email": "ada.kowalska.1@example.com",
        "role": "editor",
        "workspace_id": WORKSPACE_ID,
        "workspace": WORKSPACE_ID,
        "profile_picture": None,
        "pending": False,
        "bookmarks": [],
        "is_service_account": False,
        "disabled": False,
        "service_account_count_popularity": False,
        "new_feature_acknowledged": True,
        "last_login": "2023-10-01T08:28:23.797657Z",
    }
    groups = factory.groups(2, list(users))
    assert list(groups.values()) == [
        {
            "id": "218e0b7b-d58d-4db4-ab44-68068b5ab3ee",
            "name": "Marketing Readers",
            "icon": "🔐",
            "created_at": "2023-05-10T15:48:22.805576Z",
            "updated_at": "2023-05-16T04:50:22.805576Z",
            "users": [second, first],
            "description": "Marketing Readers of the whole company.",
            "workspace_id": WORKSPACE_ID,
            "snowflake_role": None,
        },
        {
            "id": "806c10b5-e0cf-4b4c-aaef-c4d2d3bf6d01",
            "name": "Procurement Admins",
            "icon": None,
            "created_at": "2023-05-10T17:25:58.813495Z",
            "updated_at": "2023-05-22T15:04:58.813495Z",
            "users": [second],
            "description": "Procurement Admins of the whole company.",
            "workspace_id": WORKSPACE_ID,
            "snowflake_role": None,
        },
    ]


def test_generated_names_are_numbered_after_one_cycle() -> None:
    names = [group["name"] for group in SeedFactory(lambda: "now").groups(641, []).values()]
    assert len(set(names[:320])) == 320
    assert names[320:640] == [f"{name} 1" for name in names[:320]]
    assert names[640] == f"{names[0]} 2"


def test_given_group_has_defaults_for_all_fields() -> None:
    (group,) = SeedFactory(lambda: "now").groups([{"id": "g"}], []).values()
    assert group == {
        "id": "g",
        "created_at": "now",
        "updated_at": "now",
        "users": [],
        "name": "",
        "icon": None,
        "description": None,
        "workspace_id": WORKSPACE_ID,
        "snowflake_role": None,
    }


def test_given_user_has_defaults_for_all_fields() -> None:
    (user,) = SeedFactory(lambda: "now").users([{"email": "a"}]).values()
    assert (user["role"], user["first_name"], user["last_name"], user["email"]) == ("viewer", "", "", "a")
    assert (user["last_login"], user["pending"], user["new_feature_acknowledged"]) == (None, False, True)
