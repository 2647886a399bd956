"""The API key of the emulator."""

import attrs
import pytest

from secoda_async.emulator import Emulator
from tests.support.emulator_calls import GROUPS, Caller, connect, request_head


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        (None, "Authentication credentials were not provided."),
        ("Bearer wrong", "Invalid token."),
        ("Bearer", "Invalid token."),
        ("Basic {key}", "Invalid token."),
        ("Bearer {key}x", "Invalid token."),
        ("Bearer ä", "Invalid token."),
    ],
)
async def test_wrong_or_missing_key_is_a_401(
    emulator: Emulator, call: Caller, authorization: str | None, detail: str
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    headers = {name: value.format(key=emulator.api_key) for name, value in headers.items()}
    response = await call("DELETE", f"{GROUPS}/x", key=None, headers=headers)
    assert (response.status, response.json) == (401, {"detail": detail})
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert emulator.requests[0].authorized is False


async def test_request_log_never_contains_the_key(emulator: Emulator, call: Caller) -> None:
    headers = {"Cookie": f"k={emulator.api_key}", "X-Trace": "7"}
    assert (await call("GET", GROUPS, headers=headers)).status == 200
    (record,) = emulator.requests
    assert record.authorized
    assert record.headers["X-Trace"] == "7"
    assert emulator.api_key not in repr(record) + repr(emulator) + repr(attrs.asdict(record))


async def test_api_key_can_be_changed_while_running(emulator: Emulator, call: Caller) -> None:
    old, emulator.api_key = emulator.api_key, "new"
    assert (await call("GET", GROUPS, key=old)).status == 401
    assert (await call("GET", GROUPS, key="new")).status == 200


def test_default_api_key_is_new_for_each_emulator() -> None:
    assert Emulator().api_key != Emulator().api_key
    assert Emulator(api_key="k").api_key == "k"


async def test_two_authorization_headers_are_a_401(emulator: Emulator) -> None:
    reader, writer = await connect(emulator)
    header = f"Authorization: Bearer {emulator.api_key}\r\nConnection: close\r\n"
    writer.write(request_head(emulator, headers=header))  # which has the key too
    assert b" 401 Unauthorized\r\n" in await reader.read()
    writer.close()
