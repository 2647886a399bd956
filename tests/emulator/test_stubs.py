"""Stubs of calls that the emulator does not model."""

import re
from typing import Any

import pytest

from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.emulator_calls import GROUPS, USERS, Caller

TAGS = "/api/v1/tag"


async def test_stub_responds_to_its_method_and_path(emulator: Emulator, call: Caller) -> None:
    stub = emulator.stubs.add("get", f"{TAGS}/{{id}}/", body={"id": "t"}, headers={"X-Tag": "1"})
    for path in (f"{TAGS}/t", f"{TAGS}/x%20y/?page=2"):
        response = await call("GET", path)
        assert (response.status, response.json) == (200, {"id": "t"})
        assert (response.headers["Content-Type"], response.headers["X-Tag"]) == ("application/json", "1")
    assert (await call("HEAD", f"{TAGS}/t")).body == b""
    assert (stub.method, stub.path, stub.used) == ("GET", f"{TAGS}/{{id}}", 3)
    assert (await call("OPTIONS", f"{TAGS}/t")).headers["Allow"] == "GET, HEAD, OPTIONS"
    assert (await call("POST", f"{TAGS}/t")).status == 405
    for path in (TAGS, f"{TAGS}/a/b", f"{TAGS}/"):
        assert (await call("GET", path)).status == 404


async def test_stub_of_an_other_method_of_a_modelled_path(emulator: Emulator, call: Caller) -> None:
    emulator.stubs.add("POST", USERS, status=201, body={"id": "u9"})
    assert (await call("POST", USERS, json={})).json == {"id": "u9"}
    assert (await call("GET", USERS)).json["count"] == 3


async def test_stub_checks_key_write_limit_and_slash(emulator: Emulator, call: Caller) -> None:
    emulator.writes_per_window = 1
    emulator.stubs.add("POST", TAGS, status=204)
    assert (await call("POST", TAGS, key=None)).status == 401
    created = await call("POST", TAGS)
    assert (created.status, created.body) == (204, b"")
    assert (await call("POST", TAGS)).status == 429
    emulator.trailing_slash = True
    assert (await call("POST", TAGS)).headers["Location"] == f"{TAGS}/"


async def test_stub_body_may_be_a_function_of_the_request(emulator: Emulator, call: Caller) -> None:
    def echo(request: RecordedRequest) -> object:
        return request.json if request.body else None

    emulator.stubs.add("PUT", TAGS, body=echo, status=202)
    assert (await call("PUT", TAGS, json=[1])).json == [1]
    assert (await call("PUT", TAGS)).body == b""


@pytest.mark.parametrize(
    ("body", "content_type"), [("<p>", "text/html"), ("a", "text/plain"), (b"{", "application/json")]
)
async def test_stub_body_decides_the_content_type(
    emulator: Emulator, call: Caller, body: object, content_type: str
) -> None:
    emulator.stubs.add("GET", TAGS, body=body)
    assert (await call("GET", TAGS)).headers["Content-Type"].startswith(content_type)


async def test_last_stub_of_a_method_and_path_is_used_and_clear_removes_all(emulator: Emulator, call: Caller) -> None:
    for number in (1, 2):
        emulator.stubs.add("GET", TAGS, body=number)
    emulator.stubs.add("GET", "/api/v1/{kind}", body=3)
    assert (await call("GET", TAGS)).json == 2
    assert [stub.path for stub in emulator.stubs] == [TAGS, "/api/v1/{kind}"]
    assert len(emulator.stubs) == 2
    emulator.stubs.clear()
    assert (await call("GET", TAGS)).status == 404


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "OPTIONS"}, "method must be one of GET, POST, PUT, PATCH, DELETE, not 'OPTIONS'"),
        ({"path": "tag"}, "path must be an absolute path, such as /api/v1/tag/{id}, not 'tag'"),
        ({"path": ""}, "path must be an absolute path"),
        ({"path": "/tag?page=1"}, "path must be an absolute path"),
        ({"path": GROUPS}, f"GET {GROUPS} is a call that the emulator models: use a fault to change it"),
        ({"path": f"{GROUPS}/{{id}}"}, "is a call that the emulator models"),
        ({"status": 99}, "status must be from 200 to 599, not 99"),
        ({"headers": {"X": "a\r\nb"}}, "headers can't contain line breaks"),
        ({"body": object()}, "body can't be encoded as JSON"),
        ({"body": "\ud800"}, "body can't be encoded as JSON"),
    ],
)
def test_stub_arguments_are_checked(emulator: Emulator, arguments: dict[str, Any], message: str) -> None:
    all_arguments: dict[str, Any] = {"method": "GET", "path": TAGS} | arguments
    with pytest.raises(ValueError, match=re.escape(message)):
        emulator.stubs.add(**all_arguments)
    assert len(emulator.stubs) == 0
