"""The error class of each status, with what the response says."""

import pytest

from secoda_async import (
    APIError,
    AuthenticationError,
    AutojumpClock,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    SecodaClient,
    ServerError,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import ONCE, error_of, get
from tests.support.clients import Connect

STATUSES: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: APIError,
    409: ConflictError,
    415: APIError,
    422: BadRequestError,
    429: RateLimitError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    520: ServerError,
    599: ServerError,
}


@pytest.mark.requirement("ER-1")
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_each_status_raises_its_error_class_with_the_response_attached(
    emulator: Emulator, connect: Connect, status: int, kind: type[APIError]
) -> None:
    emulator.faults.add(status=status, body={"detail": "Because."}, headers={"X-Request-ID": "r-1"}, times=None)
    error = await error_of(get(connect(retry=RetryPolicy(attempts=2))))
    assert type(error) is kind
    assert isinstance(error, APIError)
    assert (error.status, error.request_id, error.body) == (status, "r-1", '{"detail":"Because."}')
    assert (error.method, error.path) == ("GET", "/api/v1/auth/group/g")
    assert error.headers["content-type"] == "application/json"
    assert error.attempts == len(emulator.requests) == (2 if status in {429, 500, 502, 503, 504, 520, 599} else 1)
    assert str(error).startswith(f"{status} Because. [GET /api/v1/auth/group/g")
    assert error.__cause__ is error.__context__ is None


@pytest.mark.requirement("ER-1")
async def test_bad_request_error_has_the_messages_by_field(secoda: SecodaClient) -> None:
    error = await error_of(secoda.groups.create(users=["nobody"]))
    assert isinstance(error, BadRequestError)
    assert error.fields == {"users": ('Invalid pk "nobody" - object does not exist.',)}


@pytest.mark.requirement("ER-4")
@pytest.mark.parametrize("status", [429, 502, 503, 400, 404])
@pytest.mark.parametrize("body", ["<html><h1>Sorry</h1></html>", b"", b'{"detail": "cu', b"\xff\xfe", [1], 5, "no"])
async def test_error_body_that_is_not_json_keeps_the_status_error(
    emulator: Emulator, connect: Connect, status: int, body: object
) -> None:
    emulator.faults.add(status=status, body=body)
    error = await error_of(get(connect(retry=ONCE)))
    assert isinstance(error, STATUSES[status])
    assert error.status == status


@pytest.mark.requirement("ER-1")
async def test_error_shows_attempts_and_seconds_waited(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
) -> None:
    emulator.faults.add(status=502, headers={"Retry-After": "40"}, times=None)
    error = await error_of(get(secoda))
    assert (error.attempts, error.waited) == (5, approx(160))
    assert clock.now() == approx(160)
    assert str(error).endswith("[GET /api/v1/auth/group/g, 5 attempts, waited 160.0 s]")
