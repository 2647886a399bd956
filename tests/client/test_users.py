"""The calls on users: read only."""

from datetime import UTC, datetime

import pytest

from secoda_async import NotFoundError, ResponseError, SecodaClient
from secoda_async.emulator import Emulator


async def test_a_user_is_read_by_id(emulator: Emulator, secoda: SecodaClient) -> None:
    user_id, person = next(iter(emulator.users.items()))
    user = await secoda.users.get(user_id)
    assert (user.id, user.email, user.first_name) == (user_id, person["email"], person["first_name"])
    assert "bookmarks" in user.extra
    with pytest.raises(NotFoundError):
        await secoda.users.get("nobody")
    assert [record.path for record in emulator.requests] == [f"/api/v1/user/{user_id}", "/api/v1/user/nobody"]


async def test_users_are_listed_by_item_by_page_and_as_a_snapshot(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.page_size = 8
    one_by_one = [user.id async for user in secoda.users.list()]
    assert one_by_one == list(emulator.users)
    assert [len(page.items) async for page in secoda.users.pages(concurrency=2)] == [8, 8, 4]
    assert [user.id for user in await secoda.users.snapshot()] == one_by_one
    assert (
        emulator.count("GET", "/user") == 12
    )  # the snapshot reads twice: users have no dates that would show a change


@pytest.mark.requirement("MD-2")
async def test_the_docs_own_literals_are_read_as_what_they_mean(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.docs_literals = True
    users = await secoda.users.snapshot()
    assert {(user.pending, user.last_login) for user in users} == {(False, None)}


async def test_a_login_is_a_time(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.faults.add(transform=lambda user: user | {"last_login": "2024-01-01T00:00:00Z"})
    user = await secoda.users.get(next(iter(emulator.users)))
    assert user.last_login == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.requirement("MD-1", "MD-4")
async def test_malformed_user_raises_or_is_skipped(emulator: Emulator, secoda: SecodaClient) -> None:
    def spoil(page: dict[str, list[dict[str, object]]]) -> object:
        page["results"][3]["user_groups"] = "abc"
        return page

    emulator.faults.add(transform=spoil, times=None)
    with pytest.raises(ResponseError) as caught:
        await secoda.users.snapshot()
    assert caught.value.location == "results[3].user_groups"
    assert caught.value.item_id == list(emulator.users)[3]
    assert len([user async for user in secoda.users.list(on_invalid="skip")]) == 19
