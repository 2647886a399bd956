"""The calls of the emulated API over a real socket."""

import io
from datetime import UTC, datetime, timedelta
from typing import Literal

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from tests.support.emulator_calls import GROUPS, USERS, Caller, call_json, connect, request_head

GROUP_KEYS = [
    *("id", "created_at", "updated_at", "users", "name", "icon", "description"),
    *("workspace_id", "snowflake_role"),
]
USER_KEYS = {
    *("id", "first_name", "last_name", "email", "role", "workspace_id", "workspace", "profile_picture"),
    *("pending", "user_groups", "bookmarks", "is_service_account", "service_account_count_popularity"),
    *("last_login", "new_feature_acknowledged", "disabled"),
}


async def test_group_is_created_read_updated_and_deleted(emulator: Emulator, call: Caller) -> None:
    created = await call("POST", GROUPS, json={"name": " A ", "icon": "😀", "users": ["u2", "u1", "u2"]})
    assert created.status == 201
    group = created.json
    assert list(group) == GROUP_KEYS
    assert (group["name"], group["users"]) == ("A", ["u1", "u2"])
    assert group["created_at"] == group["updated_at"]
    assert "😀".encode() in created.body
    assert b": " not in created.body
    path = f"{GROUPS}/{group['id']}"
    assert (await call("GET", path)).json == group == emulator.groups[group["id"]]

    changed = await call("PATCH", path, json={"users": ["u3"], "id": "x", "colour": 1})
    assert changed.status == 200
    assert changed.json["users"] == ["u3"]
    assert changed.json["id"] == group["id"]
    touched = await call("PATCH", path, json={})
    assert touched.json["updated_at"] > changed.json["updated_at"] > group["updated_at"]

    gone = await call("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    for method in ("DELETE", "GET", "PATCH"):
        missing = await call(method, path, json={})
        assert (missing.status, missing.json) == (404, {"detail": "Not found."})
    assert emulator.groups == {}
    assert [(record.method, record.applied) for record in emulator.writes] == [
        *(("POST", True), ("PATCH", True), ("PATCH", True)),
        *(("DELETE", True), ("DELETE", False), ("PATCH", False)),
    ]
    assert {record.group_id for record in emulator.writes if record.applied} == {group["id"]}


async def test_create_has_no_required_fields(call: Caller) -> None:
    for created in (await call("POST", GROUPS, json={}), await call("POST", GROUPS)):
        assert created.status == 201
        assert created.json["name"] == ""
        assert created.json["icon"] is created.json["description"] is None
        assert created.json["users"] == []


async def test_users_are_read_only_and_list_their_groups(call: Caller) -> None:
    group = (await call("POST", GROUPS, json={"users": ["u1"]})).json
    listed = (await call("GET", USERS)).json
    assert listed["count"] == 3
    assert [user["user_groups"] for user in listed["results"]] == [[group["id"]], [], []]
    assert all(set(user) == USER_KEYS for user in listed["results"])
    assert (await call("GET", f"{USERS}/u1")).json == listed["results"][0]
    assert (await call("GET", f"{USERS}/u9")).status == 404
    refused = await call("POST", USERS, json={})
    assert (refused.status, refused.json) == (405, {"detail": 'Method "POST" not allowed.'})
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_health_check_needs_no_key(call: Caller) -> None:
    healthy = await call("GET", "/healthcheck", key=None)
    assert (healthy.status, healthy.json) == (200, {"status": "OK"})
    assert (await call("POST", "/healthcheck", key=None)).status == 405
    assert (await call("HEAD", "/healthcheck", key=None)).body == b""


async def test_unknown_path_is_an_html_404_before_the_key_is_checked(call: Caller) -> None:
    for path in ("/", "/api/v1/healthcheck", "/api/v1/groups", f"{GROUPS}/a/b", "/api/v1/auth/groups"):
        response = await call("POST", path, key=None)
        assert response.status == 404
        assert response.headers["Content-Type"].startswith("text/html")
        assert response.body.startswith(b"<!doctype html>")


async def test_options_describes_a_route_and_uses_no_write(emulator: Emulator, call: Caller) -> None:
    emulator.writes_per_window = 1
    for _ in range(2):
        described = await call("OPTIONS", GROUPS)
        assert described.status == 200
        assert described.headers["Allow"] == "GET, POST, HEAD, OPTIONS"
        assert described.json["name"] == "Group List"
        assert described.json["parses"][0] == "application/json"
    assert (await call("OPTIONS", f"{GROUPS}/x")).headers["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"
    assert (await call("OPTIONS", GROUPS, key=None)).status == 401
    assert (await call("POST", GROUPS, json={})).status == 201


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406),
        ("", 406),
        ("application/xml, text/*", 406),
        ("*/*", 200),
        ("text/html, application/*;q=0.5", 200),
        ("Application/JSON; q=0", 200),
    ],
)
async def test_accept_header_must_admit_json(call: Caller, accept: str, status: int) -> None:
    response = await call("GET", GROUPS, headers={"Accept": accept})
    assert response.status == status
    assert status == 200 or response.json == {"detail": "Could not satisfy the request Accept header."}
    assert (await call("GET", GROUPS, headers={"Accept": accept}, key=None)).status == (401 if status == 200 else 406)


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("/api/v1/auth/%67roup", b"HTTP/1.1 200 "),
        (f"{GROUPS}/a%20b/", b"HTTP/1.1 200 "),
        (f"{GROUPS}/a%2Fb", b"HTTP/1.1 404 "),
    ],
)
async def test_path_is_decoded_before_it_is_matched(emulator: Emulator, path: str, start: bytes) -> None:
    emulator.groups["a b"] = {"id": "a b", "name": "A", "users": []}
    reader, writer = await connect(emulator)
    writer.write(request_head(emulator, path=path, headers="Connection: close\r\n"))
    response = await reader.read()
    writer.close()
    assert response.startswith(start)
    assert (b"<!doctype html>" in response) is ("%2F" in path)  # an unknown route, not an unknown group


async def test_links_have_the_host_that_the_client_has_used(emulator: Emulator, call: Caller) -> None:
    emulator.page_size = 1
    listed = await call("GET", USERS, headers={"Host": "emulator:8080"})
    assert listed.json["links"]["next"] == f"http://emulator:8080{USERS}?page=2"


async def test_http_1_0_request_without_a_host_gets_links_of_the_emulator(emulator: Emulator) -> None:
    emulator.page_size = 1
    reader, writer = await connect(emulator)
    writer.write(f"GET {USERS} HTTP/1.0\r\nAuthorization: Bearer {emulator.api_key}\r\n\r\n".encode())
    assert f"{emulator.url}{USERS}?page=2".encode() in await reader.read()
    writer.close()


async def test_forms_create_groups_too(call: Caller) -> None:
    form = await call("POST", GROUPS, data=[("name", "x"), ("name", " A "), ("users", "u2"), ("users", "u1")])
    assert (form.status, form.json["name"], form.json["users"]) == (201, "A", ["u1", "u2"])
    parts = aiohttp.FormData({"name": "B", "users": "u3"}, default_to_multipart=True)
    parts.add_field("description", b"ignored", filename="a.txt")
    multipart = await call("POST", GROUPS, data=parts)
    assert (multipart.status, multipart.json["name"], multipart.json["users"]) == (201, "B", ["u3"])
    assert multipart.json["description"] is None


async def test_content_encoding_of_a_request_is_not_decoded(call: Caller) -> None:
    for encoding in ("gzip", "br"):
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        assert (await call("POST", GROUPS, data=b"\x1f\x8b", headers=headers)).status == 400
        assert (await call("POST", GROUPS, data=b"{}", headers=headers)).status == 201


async def test_body_must_be_json_with_a_json_content_type(call: Caller) -> None:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    response = await call("POST", GROUPS, data=b"{}", headers=headers)
    assert (response.status, response.json) == (
        415,
        {"detail": 'Unsupported media type "text/plain; charset=utf-8" in request.'},
    )
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response = await call("POST", GROUPS, data=b"{", headers=headers)
    assert response.status == 400
    assert response.json["detail"].startswith("JSON parse error - ")
    response = await call("POST", GROUPS, json={"name": None, "users": ["x"]})
    assert response.status == 400
    assert set(response.json) == {"name", "users"}


async def test_too_large_body_is_a_413(emulator: Emulator, call: Caller) -> None:
    response = await call("POST", GROUPS, data=io.BytesIO(b" " * 2_700_000))
    assert response.status == 413
    assert response.body.startswith(b"<!doctype html>")
    assert emulator.requests[0].status == 413


async def test_trailing_slash_redirects_every_path_without_one(emulator: Emulator, call: Caller) -> None:
    emulator.trailing_slash = True
    for method in ("GET", "POST", "PATCH", "DELETE"):
        response = await call(method, f"{GROUPS}/a%20b?page=2&x=%C3%A4", key=None)
        assert (response.status, response.body) == (301, b"")
        assert response.headers["Location"] == f"{GROUPS}/a%20b/?page=2&x=%C3%A4"
    assert (await call("GET", f"{GROUPS}/")).status == 200
    assert (await call("GET", f"{USERS}/u1/")).json["id"] == "u1"
    assert (await call("GET", "/nowhere")).status == 404


@pytest.mark.parametrize("shown", ["full", "null", "absent", "local"])
async def test_created_at_shown_applies_to_every_response_with_a_group(
    emulator: Emulator,
    session: aiohttp.ClientSession,
    shown: Literal["full", "null", "absent", "local"],
) -> None:
    emulator.created_at_shown = shown
    created = await call_json(session, "POST", name="a")
    path = f"{GROUPS}/{created['id']}"
    read, listed = await call_json(session, "GET", path), (await call_json(session, "GET"))["results"][0]
    patched = await call_json(session, "PATCH", path, name="b")
    stored = emulator.groups[created["id"]]["created_at"]
    local = (datetime.fromisoformat(stored) - timedelta(hours=5)).replace(tzinfo=None).isoformat()
    expected = {"full": stored, "null": None, "absent": "absent", "local": local}[shown]
    assert [group.get("created_at", "absent") for group in (created, read, listed, patched)] == [expected] * 4
    assert datetime.fromisoformat(stored).tzinfo == UTC


async def test_hide_pending_omits_pending_members_from_responses(
    emulator: Emulator, session: aiohttp.ClientSession
) -> None:
    emulator.hide_pending = True
    emulator.users["u2"]["pending"] = True
    created = await call_json(session, "POST", name="a", users=["u1", "u2"])
    assert created["users"] == (await call_json(session, "GET"))["results"][0]["users"] == ["u1"]
    assert emulator.groups[created["id"]]["users"] == ["u1", "u2"]
    emulator.hide_pending = False
    assert (await call_json(session, "GET", f"{GROUPS}/{created['id']}"))["users"] == ["u1", "u2"]


async def test_collapse_names_replaces_white_space_in_names(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.collapse_names = True
    created = await call_json(session, "POST", name=" Data \t\u00a0 Stewards ", description="a  b")
    assert (created["name"], created["description"]) == ("Data Stewards", "a  b")
    path = f"{GROUPS}/{created['id']}"
    assert (await call_json(session, "PATCH", path, name="X  Y"))["name"] == "X Y"
    assert (await call_json(session, "PATCH", path, icon=None))["name"] == "X Y"
