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
