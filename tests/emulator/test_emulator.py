"""The emulated API over a real socket: what it answers to whom."""

import asyncio
import errno
import io
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import orjson
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

GROUPS = "/api/v1/auth/group"
USERS = "/api/v1/user"
GROUP_KEYS = [
    *("id", "created_at", "updated_at", "users", "name", "icon", "description"),
    *("workspace_id", "snowflake_role"),
]
USER_KEYS = {
    *("id", "first_name", "last_name", "email", "role", "workspace_id", "workspace", "profile_picture"),
    *("pending", "user_groups", "bookmarks", "is_service_account", "service_account_count_popularity"),
    *("last_login", "new_feature_acknowledged", "disabled"),
}
PEOPLE = [{"id": name, "email": f"{name}@example.com"} for name in ("u1", "u2", "u3")]


@attrs.frozen
class Reply:
    status: int
    headers: "Mapping[str, str]"
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was answered
        return orjson.loads(self.body)


@attrs.frozen
class Caller:
    """A plain aiohttp session: no SDK in sight."""

    emulator: Emulator
    session: aiohttp.ClientSession

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "",
        **arguments: Any,  # noqa: ANN401 - aiohttp's
    ) -> Reply:
        headers = dict(arguments.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.emulator.api_key}"
        url = self.emulator.url + path
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **arguments) as answer:
            return Reply(answer.status, answer.headers, await answer.read())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(5_000.0)


@pytest.fixture
async def emulator(clock: ManualClock) -> "AsyncIterator[Emulator]":
    async with Emulator(users=PEOPLE, clock=clock, writes_per_window=None) as emulator:
        yield emulator


@pytest.fixture
async def call(emulator: Emulator) -> "AsyncIterator[Caller]":
    async with aiohttp.ClientSession() as session:
        yield Caller(emulator, session)


class TestCalls:
    async def test_a_group_lives_and_dies(self, emulator: Emulator, call: Caller) -> None:
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

    async def test_a_create_needs_nothing(self, call: Caller) -> None:
        for created in (await call("POST", GROUPS, json={}), await call("POST", GROUPS)):
            assert created.status == 201
            assert created.json["name"] == ""
            assert created.json["icon"] is created.json["description"] is None
            assert created.json["users"] == []

    async def test_people_are_read_only_and_know_their_groups(self, call: Caller) -> None:
        group = (await call("POST", GROUPS, json={"users": ["u1"]})).json
        listed = (await call("GET", USERS)).json
        assert listed["count"] == 3
        assert [user["user_groups"] for user in listed["results"]] == [[group["id"]], [], []]
        assert all(set(user) == USER_KEYS for user in listed["results"])
        assert (await call("GET", f"{USERS}/u1")).json == listed["results"][0]
        assert (await call("GET", f"{USERS}/u9")).status == 404
        refused = await call("POST", USERS, json={})
        assert (refused.status, refused.json) == (405, {"detail": 'Method "POST" not allowed.'})
        assert refused.headers["Allow"] == "GET, HEAD"

    async def test_pages(self, emulator: Emulator, call: Caller) -> None:
        emulator.page_size = 2
        for name in "abcde":
            await call("POST", GROUPS, json={"name": name})
        last = (await call("GET", f"{GROUPS}?page=3")).json
        assert last["links"] == {"next": None, "previous": f"{emulator.url}{GROUPS}?page=2"}
        assert last["meta"] == {"page": 3, "previous_page": 2, "next_page": None}
        assert (last["count"], last["total_pages"]) == (5, 3)
        assert [group["name"] for group in last["results"]] == ["e"]
        missing = await call("GET", f"{GROUPS}?page=4")
        assert (missing.status, missing.json) == (404, {"detail": "Invalid page."})

    async def test_health_needs_no_key(self, call: Caller) -> None:
        healthy = await call("GET", "/healthcheck", key=None)
        assert (healthy.status, healthy.json) == (200, {"status": "OK"})
        assert (await call("POST", "/healthcheck", key=None)).status == 405
        assert (await call("HEAD", "/healthcheck", key=None)).body == b""

    async def test_unknown_paths_get_a_page_before_the_key_is_asked_for(self, call: Caller) -> None:
        for path in ("/", "/api/v1/healthcheck", "/api/v1/groups", f"{GROUPS}/a/b", "/api/v1/auth/groups"):
            answer = await call("POST", path, key=None)
            assert answer.status == 404
            assert answer.headers["Content-Type"].startswith("text/html")
            assert answer.body.startswith(b"<!doctype html>")

    async def test_a_body_must_be_json_and_say_so(self, call: Caller) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        answer = await call("POST", GROUPS, data=b"{}", headers=headers)
        assert (answer.status, answer.json) == (
            415,
            {"detail": 'Unsupported media type "text/plain" in request.'},
        )
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = await call("POST", GROUPS, data=b"{", headers=headers)
        assert answer.status == 400
        assert answer.json["detail"].startswith("JSON parse error - ")
        answer = await call("POST", GROUPS, json={"name": None, "users": ["x"]})
        assert answer.status == 400
        assert set(answer.json) == {"name", "users"}

    async def test_a_body_can_be_too_large(self, emulator: Emulator, call: Caller) -> None:
        answer = await call("POST", GROUPS, data=io.BytesIO(b" " * 2_700_000))
        assert answer.status == 413
        assert answer.body.startswith(b"<!doctype html>")
        assert emulator.requests[0].status == 413

    async def test_dates_agree_with_the_clock(self, clock: ManualClock, call: Caller) -> None:
        clock.advance(86_400.0)
        answer = await call("POST", GROUPS, json={})
        date = parsedate_to_datetime(answer.headers["Date"])
        created = datetime.fromisoformat(answer.json["created_at"])
        assert 0 <= (created - date).total_seconds() < 1.1
        assert 86_000 < (date - datetime.now(UTC)).total_seconds() < 87_000


class TestKey:
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
    async def test_others_are_kept_out(
        self, emulator: Emulator, call: Caller, authorization: str | None, detail: str
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        headers = {name: value.format(key=emulator.api_key) for name, value in headers.items()}
        answer = await call("DELETE", f"{GROUPS}/x", key=None, headers=headers)
        assert (answer.status, answer.json) == (401, {"detail": detail})
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert emulator.requests[0].authorized is False

    async def test_the_key_is_never_kept(self, emulator: Emulator, call: Caller) -> None:
        headers = {"Cookie": f"k={emulator.api_key}", "X-Trace": "7"}
        assert (await call("GET", GROUPS, headers=headers)).status == 200
        (record,) = emulator.requests
        assert record.authorized
        assert record.headers["X-Trace"] == "7"
        assert emulator.api_key not in repr(record) + repr(emulator) + repr(attrs.asdict(record))

    async def test_the_key_can_be_changed_midway(self, emulator: Emulator, call: Caller) -> None:
        old, emulator.api_key = emulator.api_key, "new"
        assert (await call("GET", GROUPS, key=old)).status == 401
        assert (await call("GET", GROUPS, key="new")).status == 200

    def test_each_emulator_makes_up_its_own(self) -> None:
        assert Emulator().api_key != Emulator().api_key
        assert Emulator(api_key="k").api_key == "k"


class TestLimit:
    @pytest.fixture(autouse=True)
    def limited(self, emulator: Emulator) -> None:
        emulator.writes_per_window = 3

    async def test_the_window_slides(self, emulator: Emulator, clock: ManualClock, call: Caller) -> None:
        assert [(await call("POST", GROUPS, json={})).status for _ in range(3)] == [201] * 3
        clock.advance(59.5)
        refused = await call("PATCH", f"{GROUPS}/x", data=b"not even JSON")
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "1"
        assert refused.json == {"detail": "Request was throttled. Expected available in 1 second."}
        clock.advance(0.5)
        assert [(await call("POST", GROUPS, json={})).status for _ in range(4)] == [201, 201, 201, 429]
        assert emulator.requests[-1].applied is False
        assert (emulator.refused, emulator.busiest_window()) == (2, 5)
        assert emulator.count("post", GROUPS, 201) == emulator.count(status=201) == 6
        assert emulator.count(path="/auth/group/") == emulator.count("POST") == 7

    async def test_reads_and_deletes_are_free(self, emulator: Emulator, call: Caller) -> None:
        for _ in range(9):
            assert (await call("GET", GROUPS)).status == 200
            assert (await call("DELETE", f"{GROUPS}/x")).status == 404
        assert emulator.busiest_window() == 0

    async def test_refusals_of_other_kinds_take_a_place_but_the_401_does_not(self, call: Caller) -> None:
        assert (await call("POST", GROUPS, key="wrong", json={})).status == 401
        assert (await call("POST", "/nowhere", json={})).status == 404
        statuses = [
            (await call("POST", GROUPS, json={"name": None})).status,
            (await call("PATCH", f"{GROUPS}/x", json={})).status,
            (await call("PUT", GROUPS, json={})).status,
            (await call("POST", GROUPS, data=b"x")).status,
        ]
        assert statuses == [400, 404, 405, 429]

    async def test_retry_after_counts_down_in_whole_seconds(self, clock: ManualClock, call: Caller) -> None:
        for _ in range(3):
            await call("POST", GROUPS, json={})
        clock.advance(0.25)
        answer = await call("POST", GROUPS, json={})
        assert answer.headers["Retry-After"] == "60"
        assert answer.json["detail"].endswith("in 60 seconds.")


class TestSwitches:
    async def test_trailing_slash(self, emulator: Emulator, call: Caller) -> None:
        emulator.trailing_slash = True
        for method in ("GET", "POST", "PATCH", "DELETE"):
            answer = await call(method, f"{GROUPS}/a%20b?page=2&x=%C3%A4", key=None)
            assert (answer.status, answer.body) == (301, b"")
            assert answer.headers["Location"] == f"{GROUPS}/a%20b/?page=2&x=%C3%A4"
        assert (await call("GET", f"{GROUPS}/")).status == 200
        assert (await call("GET", f"{USERS}/u1/")).json["id"] == "u1"
        assert (await call("GET", "/nowhere")).status == 404

    async def test_cursor_lists(self, emulator: Emulator, call: Caller) -> None:
        emulator.cursor_lists, emulator.page_size = True, 2
        first = (await call("GET", f"{USERS}?page=2")).json
        assert [user["id"] for user in first["results"]] == ["u1", "u2"]
        assert first["meta"] == {"page": None, "previous_page": None, "next_page": None}
        second = (await call("GET", first["links"]["next"].removeprefix(emulator.url))).json
        assert [user["id"] for user in second["results"]] == ["u3"]
        assert (await call("GET", f"{USERS}?cursor=x")).json == {"detail": "Invalid cursor"}

    async def test_docs_literals(self, emulator: Emulator, call: Caller) -> None:
        emulator.docs_literals, emulator.page_size = True, 2
        first = (await call("GET", USERS)).json
        assert first["links"] == {"next": "https://api.secoda.co/resource/all/?page=2", "previous": "None"}
        assert first["meta"] == {"page": 1, "previous_page": "None", "next_page": 2}
        user = (await call("GET", f"{USERS}/u1")).json
        assert (user["pending"], user["last_login"]) == ("False", "None")
        assert emulator.users["u1"]["pending"] is False

    async def test_link_origin(self, emulator: Emulator, call: Caller) -> None:
        emulator.link_origin, emulator.page_size = "http://inner:8000", 2
        assert (await call("GET", USERS)).json["links"]["next"] == f"http://inner:8000{USERS}?page=2"

    async def test_visible_after(self, emulator: Emulator, clock: ManualClock, call: Caller) -> None:
        emulator.visible_after = 5.0
        group = (await call("POST", GROUPS, json={})).json
        path = f"{GROUPS}/{group['id']}"
        assert (await call("GET", GROUPS)).json["count"] == 0
        assert (await call("GET", path)).status == 404
        assert (await call("PATCH", path, json={"name": "a"})).status == 200
        clock.advance(5.0)
        assert (await call("GET", GROUPS)).json["results"][0]["name"] == "a"
        assert (await call("GET", path)).status == 200

    async def test_latency(self, emulator: Emulator, clock: ManualClock, call: Caller) -> None:
        emulator.latency = 2.0
        task = asyncio.create_task(call("POST", GROUPS, json={}))
        for _ in range(10_000):
            await asyncio.sleep(0)
            if clock.timers:
                break
        assert emulator.requests[0].applied
        assert emulator.requests[0].status is None
        clock.advance(2.0)
        assert (await task).status == 201
        assert emulator.requests[0].answered_at == emulator.requests[0].at + 2.0

    @pytest.mark.parametrize(
        "arguments",
        [
            *({"speed": 0.0}, {"speed": float("inf")}, {"speed": float("nan")}, {"window": 0.0}),
            *({"page_size": 0}, {"writes_per_window": 0}, {"latency": -1.0}, {"visible_after": float("nan")}),
            *({"host": "0.0.0.0"}, {"host": "example.com"}, {"host": "192.168.0.1"}),  # noqa: S104 - refused
            *({"port": -1}, {"port": 65_536}),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=f"'?{next(iter(arguments))}'? must be"):
            Emulator(**arguments)

    def test_what_is_out_of_range_is_refused_midway_too(self, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="latency must be"):
            emulator.latency = -1.0
        with pytest.raises(attrs.exceptions.FrozenAttributeError):
            emulator.speed = 2.0


class TestLife:
    async def test_starts_closes_and_starts_again_with_its_store(self) -> None:
        emulator = Emulator(groups=7, users=3, speed=1_000.0)
        with pytest.raises(RuntimeError, match="no url until it is started"):
            _ = emulator.url
        assert emulator.open_connections == 0
        await emulator.close()
        for _ in range(2):
            await emulator.start()
            with pytest.raises(RuntimeError, match="already running"):
                await emulator.start()
            async with aiohttp.ClientSession() as session:
                call = Caller(emulator, session)
                assert (await call("GET", GROUPS)).json["count"] == 7
                assert emulator.open_connections == 1
            await emulator.close()
            await emulator.close()
        assert emulator.count() == 2
        assert [record.connection for record in emulator.requests] == [1, 2]

    async def test_a_port_in_use_is_an_os_error(self, emulator: Emulator) -> None:
        port = int(emulator.url.rpartition(":")[2])
        other = Emulator(port=port)
        with pytest.raises(OSError, match="address already in use") as caught:
            await other.start()
        assert caught.value.errno == errno.EADDRINUSE
        await other.close()

    @pytest.mark.parametrize(
        ("host", "origin"),
        [
            ("localhost", "http://127.0.0.1:"),
            ("127.0.0.2", "http://127.0.0.2:"),
            ("::1", "http://[::1]:"),
        ],
    )
    async def test_listens_on_loopback_addresses(self, host: str, origin: str) -> None:
        try:
            async with Emulator(host=host) as emulator, aiohttp.ClientSession() as session:
                assert emulator.url.startswith(origin)
                assert (await Caller(emulator, session)("GET", "/healthcheck")).status == 200
        except OSError as error:  # pragma: no cover - a machine without this address
            pytest.skip(str(error))

    async def test_connections_are_numbered(self, emulator: Emulator, call: Caller) -> None:
        await call("GET", GROUPS)
        await call("GET", GROUPS)
        await call("GET", GROUPS, headers={"Connection": "close"})
        await call("GET", GROUPS)
        assert [record.connection for record in emulator.requests] == [1, 1, 1, 2]
        assert [record.number for record in emulator.requests] == [1, 2, 3, 4]

    async def test_the_log_keeps_what_was_sent(self, emulator: Emulator, call: Caller) -> None:
        await call("POST", f"{GROUPS}?a=1&b=%C3%A4", data=b"{", headers={"X-A": "1"})
        (record,) = emulator.requests
        assert (record.path, record.query) == (GROUPS, {"a": "1", "b": "ä"})
        assert (record.body, record.json) == (b"{", None)
        assert (record.at, record.answered_at) == (5_000.0, 5_000.0)
        await call("POST", GROUPS, json={"name": "a"})
        assert emulator.requests[1].json == {"name": "a"}

    async def test_a_fast_clock_shortens_the_window(self) -> None:
        async with (
            Emulator(speed=60_000.0, writes_per_window=1) as emulator,
            aiohttp.ClientSession() as session,
        ):
            call = Caller(emulator, session)
            emulator.latency = 60.0
            started = time.monotonic()
            assert [(await call("POST", GROUPS, json={})).status for _ in range(3)] == [201] * 3
            assert time.monotonic() - started >= 0.003
