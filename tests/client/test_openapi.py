"""The calls of the client, and the responses to them, compared with the emulator's OpenAPI document."""

import contextlib
from collections import Counter
from typing import Any

import jsonschema
import pytest

from secoda_async import APIError, CreateGroup, RateLimit, RetryPolicy, SecodaClient
from secoda_async.emulator import Emulator
from secoda_async.emulator.responses import Response
from secoda_async.emulator.views import RequestContext
from tests.support.clients import Connect
from tests.support.openapi import DOCUMENT, check_requests, check_response


@pytest.fixture
def exchanges(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[RequestContext, Response]]:
    """Record each response of the API."""
    kept: list[tuple[RequestContext, Response]] = []
    respond = emulator._application.respond

    def record(request: RequestContext) -> Response:
        response = respond(request)
        kept.append((request, response))
        return response

    monkeypatch.setattr(type(emulator._application), "respond", lambda _, request: record(request))
    return kept


async def call_everything(secoda: SecodaClient) -> None:
    """Make each call with each kind of argument."""
    await secoda.health()
    users = await secoda.users.snapshot()
    group = await secoda.groups.create(name="A", icon="😀", description="d", users=[users[0].id])
    await secoda.groups.create(name="B")
    await secoda.groups.get(group.id)
    await secoda.groups.update(group.id, name="C", icon=None, description=None, users=[])
    await secoda.groups.add_users(group.id, [users[1].id])
    await secoda.groups.remove_users(group.id, [users[1].id])
    await secoda.groups.snapshot()
    await secoda.groups.ensure(name="C", description="new")
    await secoda.users.get(users[0].id)
    async for _ in secoda.bulk([CreateGroup(name=f"Bulk {number}") for number in range(3)]):
        pass
    await secoda.groups.delete(group.id)
    for failing in (secoda.groups.get(group.id), secoda.groups.create(name="D", users=["unknown"])):
        with pytest.raises(APIError):
            await failing


async def test_client_and_emulator_exchange_what_the_openapi_document_says(
    emulator: Emulator, connect: Connect, exchanges: list[tuple[RequestContext, Response]]
) -> None:
    await call_everything(connect())
    with pytest.raises(APIError):
        await connect(api_key="wrong").groups.get("x")
    emulator.writes_per_window = 1
    with pytest.raises(APIError):
        await connect(write_limit=RateLimit(99), retry=RetryPolicy(attempts=1)).groups.create(name="E")
    check_requests(emulator.requests)
    for request, response in exchanges:
        check_response(request.record, response)
    statuses = Counter(response.status for _, response in exchanges)
    assert statuses.keys() == {200, 201, 204, 400, 401, 404, 429}


@pytest.mark.parametrize(
    "change",
    [{"id": 5}, {"users": ["a", "a"]}, {"colour": "red"}, {"created_at": None}],
    ids=lambda value: next(iter(value)),
)
async def test_response_that_differs_from_the_document_is_found(
    emulator: Emulator,
    connect: Connect,
    exchanges: list[tuple[RequestContext, Response]],
    group_id: str,
    change: dict[str, Any],
) -> None:
    emulator.groups[group_id] |= change
    with contextlib.suppress(Exception):
        await connect().groups.get(group_id)
    ((request, response),) = exchanges
    with pytest.raises(jsonschema.ValidationError):
        check_response(request.record, response)


def test_openapi_document_is_valid() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
