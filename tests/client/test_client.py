"""The front door: settings, copies, health, any other endpoint, and clients in users' own tests."""

import inspect
import ssl
import unittest
from typing import Any

import aiohttp
import pytest
from yarl import URL

from secoda_async import (
    AutojumpClock,
    ClientClosedError,
    ConfigurationError,
    Group,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    Region,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    ServerError,
    SlidingWindowLimiter,
    User,
    to_dict,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.clients import Connect

KEY = "key-1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECODA_API_KEY", "SECODA_REGION", "SECODA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


class TestSettings:
    @pytest.mark.requirement("SL-1")
    def test_a_client_can_be_made_outside_of_any_loop(self) -> None:
        assert repr(SecodaClient(KEY)) == "<SecodaClient of https://api.secoda.co>"

    @pytest.mark.parametrize(
        ("settings", "origin"),
        [
            ({}, "https://api.secoda.co"),
            ({"region": "eu"}, "https://eapi.secoda.co"),
            ({"region": Region.APAC}, "https://aapi.secoda.co"),
            ({"base_url": "https://acme.secoda.co/api/v1/"}, "https://acme.secoda.co"),
            ({"base_url": "http://[::1]:8080"}, "http://[::1]:8080"),
        ],
        ids=repr,
    )
    def test_repr_shows_the_origin(self, settings: dict[str, Any], origin: str) -> None:
        assert repr(SecodaClient(KEY, **settings)) == f"<SecodaClient of {origin}>"

    def test_the_environment_fills_in_what_is_not_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigurationError, match="SECODA_API_KEY"):
            SecodaClient()
        monkeypatch.setenv("SECODA_API_KEY", f" {KEY}\n")
        monkeypatch.setenv("SECODA_REGION", "eu")
        assert repr(SecodaClient()) == "<SecodaClient of https://eapi.secoda.co>"
        assert repr(SecodaClient(region="apac")) == "<SecodaClient of https://aapi.secoda.co>"

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"api_key": ""}, "empty"),
            ({"api_key": " \n"}, "empty"),
            ({"api_key": "a b"}, "character"),
            ({"api_key": 5}, "must be a string"),
            ({"region": "mars"}, "mars"),
            ({"base_url": "http://example.com"}, "clear text"),
            ({"base_url": "https://x.co", "region": "us"}, "not both"),
            ({"timeout": 0}, "timeout"),
            ({"deadline": -1}, "deadline"),
            ({"max_wait": -1}, "max_wait"),
            ({"retry": 3}, "RetryPolicy"),
            ({"write_limit": 30}, "write_limit must be a RateLimit, not int"),
            ({"limiter": RateLimit()}, "limiter must be a RateLimiter, not RateLimit"),
            ({"max_connections": 0}, "max_connections"),
            ({"max_connections": True}, "max_connections"),
            ({"max_connections": 2.0}, "max_connections"),
            ({"ssl": False}, "SSLContext, not bool"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_a_setting_that_cannot_work_is_refused_at_once(self, settings: dict[str, Any], words: str) -> None:
        usual: dict[str, Any] = {"api_key": KEY}
        with pytest.raises(ConfigurationError, match=words) as caught:
            SecodaClient(**usual | settings)
        assert caught.value.__context__ is None or caught.value.__suppress_context__

    async def test_certificates_and_a_session_exclude_each_other(self) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ConfigurationError, match="set it there"):
                SecodaClient(KEY, session=session, ssl=ssl.create_default_context())

    def test_the_limiter_is_the_one_given_or_made_from_the_limit(self) -> None:
        limiter = SlidingWindowLimiter(RateLimit(3))
        assert SecodaClient(KEY, limiter=limiter).limiter is limiter
        assert SecodaClient(KEY, write_limit=RateLimit(30, share=0.5)).limiter.state.free == 15


async def test_a_block_that_raises_closes_the_client_and_raises_on() -> None:
    secoda, error = SecodaClient(KEY), LookupError("no such team")
    with pytest.raises(LookupError) as caught:
        async with secoda:
            raise error
    assert caught.value is error
    with pytest.raises(ClientClosedError):
        await secoda.groups.get("g")
    assert len(inspect.signature(secoda.__aexit__).parameters) == 3
    await secoda.__aexit__(None, None, None)


class TestCopies:
    @pytest.mark.requirement("RT-9")
    async def test_a_copy_shares_the_connections_and_the_limit(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        copy = secoda.with_options(timeout=5)
        assert copy.limiter is secoda.limiter
        assert isinstance(copy, SecodaClient)
        for client in (secoda, copy, copy.with_options()):
            await client.groups.get(group_id)
        assert {record.connection for record in emulator.requests} == {1}
        await copy.groups.create(name="A")
        assert secoda.limiter.state.free == 29

    @pytest.mark.requirement("SL-2")
    async def test_closing_a_copy_does_nothing(self, secoda: SecodaClient, group_id: str) -> None:
        async with secoda.with_options() as copy:
            await copy.groups.get(group_id)
        await copy.close()
        await copy.groups.get(group_id)
        await secoda.close()
        with pytest.raises(ClientClosedError):
            await copy.groups.get(group_id)

    async def test_options_that_are_left_out_stay(self, secoda: SecodaClient) -> None:
        one = secoda.with_options(
            timeout=5, deadline=50, max_wait=2, retry=RetryPolicy(attempts=2), priority="background"
        )
        two = one.with_options(deadline=None, max_wait=None)
        kept, changed, original = (vars(client)["_options"] for client in (one, two, secoda))
        assert (changed.timeout, changed.retry.attempts, changed.priority) == (5, 2, "background")
        assert (changed.deadline, changed.max_wait) == (None, None)
        assert (kept.deadline, kept.max_wait) == (50, 2)
        assert original.deadline is None

    @pytest.mark.parametrize(
        "options",
        [{"timeout": None}, {"timeout": -1}, {"deadline": 0}, {"priority": "urgent"}, {"retry": None}],
        ids=repr,
    )
    def test_an_option_that_cannot_work_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            SecodaClient(KEY).with_options(**options)


class TestHealth:
    async def test_the_origin_is_asked_first(self, emulator: Emulator, secoda: SecodaClient) -> None:
        assert await secoda.health() == "OK"
        assert [record.path for record in emulator.requests] == ["/healthcheck"]

    async def test_then_the_prefix(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=404, body="<html>")
        emulator.faults.add(status=200, body={"status": "UP"})
        assert await secoda.health() == "UP"
        assert [record.path for record in emulator.requests] == ["/healthcheck", "/api/v1/healthcheck"]

    async def test_nowhere_is_an_error(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=404, times=None)
        with pytest.raises(NotFoundError) as caught:
            await secoda.health()
        assert caught.value.path == "/api/v1/healthcheck"
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("body", [{}, [], {"status": 1}, {"state": "OK"}], ids=repr)
    async def test_an_answer_that_says_nothing_is_an_error(
        self, emulator: Emulator, secoda: SecodaClient, body: object
    ) -> None:
        emulator.faults.add(status=200, body=body)
        with pytest.raises(ResponseError) as caught:
            await secoda.health()
        assert caught.value.location == "status"

    async def test_an_outage_is_told(self, emulator: Emulator, connect: Connect) -> None:
        emulator.faults.add(status=503, times=None)
        with pytest.raises(ServerError):
            await connect(retry=RetryPolicy(attempts=1)).health()
        assert len(emulator.requests) == 1


BAD_PATHS = [
    *("", "/", "//evil.example/x", "http://evil.example/", "https://evil.example", "..", "a/../b", "../../healthcheck"),
    *("%2e%2e/x", "a/%2E/b", "a%2Fb", "a\\b", "tag?page=2", "tag#x", "ta\ng", "\x00", "a\ud800"),
]


class TestAnyEndpoint:
    async def test_plain_json_goes_in_and_comes_out(self, emulator: Emulator, secoda: SecodaClient) -> None:
        created = await secoda.request("post", "auth/group", json={"name": "A"})
        assert created == emulator.groups[created["id"]]
        assert await secoda.request("GET", f"/auth/group/{created['id']}/") == created
        assert await secoda.request("GET", f"/api/v1/auth/group/{created['id']}") == created
        assert await secoda.request("DELETE", f"auth/group/{created['id']}") is None
        assert emulator.requests[0].json == {"name": "A"}
        assert secoda.limiter.state.free == 29

    @pytest.mark.parametrize(
        ("params", "query"),
        [
            (None, ""),
            ({}, ""),
            ({"page": 2}, "?page=2"),
            ({"q": "a b&c/ü"}, "?q=a+b%26c%2F%C3%BC"),
            ({"x": True, "y": [1, "2"], "z": (0.5, False)}, "?x=true&y=1&y=2&z=0.5&z=false"),
            ({"empty": [], "blank": ""}, "?blank="),
        ],
    )
    async def test_params_become_the_query(
        self, emulator: Emulator, secoda: SecodaClient, params: dict[str, Any] | None, query: str
    ) -> None:
        with pytest.raises(NotFoundError):
            await secoda.request("GET", "tag", params=params)
        assert emulator.requests[0].target == f"/api/v1/tag{query}"

    @pytest.mark.parametrize("json", [{"a": None}, [], "text", 0, False])
    async def test_any_json_is_sent_as_it_is(self, emulator: Emulator, secoda: SecodaClient, json: object) -> None:
        emulator.faults.add(status=200, body={"ok": True})
        assert await secoda.request("PUT", "tag/1", json=json) == {"ok": True}
        (record,) = emulator.requests
        assert record.json == json
        assert record.headers["Content-Type"] == "application/json"

    async def test_without_a_body_none_is_sent(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=200, times=None)
        for method in ("POST", "PUT", "PATCH", "DELETE", "GET"):
            assert await secoda.request(method, "tag") is None
        assert {record.body for record in emulator.requests} == {b""}

    @pytest.mark.parametrize("path", BAD_PATHS)
    async def test_a_path_that_leaves_the_api_is_refused(
        self, emulator: Emulator, secoda: SecodaClient, path: str
    ) -> None:
        with pytest.raises(InvalidArgumentError):
            await secoda.request("GET", path)
        assert emulator.requests == []

    @pytest.mark.parametrize(
        "arguments",
        [
            {"method": "HEAD"},
            {"method": None},
            {"path": None},
            {"path": 5},
            {"params": "a"},
            {"params": [("a", "b")]},
            {"params": {"a": None}},
            {"params": {"a": Ellipsis}},
            {"params": {"a": {"b": "c"}}},
            {"params": {"a": b"c"}},
            {"params": {"a": [1, None]}},
            {"params": {"a": float("nan")}},
            {"params": {1: "a"}},
            {"method": "GET\r\nX: y"},
            {"json": {1, 2}},
            {"json": b"x"},
            {"json": {"a": {1, 2}}},
            {"params": {"a": "\ud800"}},
        ],
        ids=repr,
    )
    async def test_invalid_argument_of_request_is_refused(
        self, emulator: Emulator, secoda: SecodaClient, arguments: dict[str, Any]
    ) -> None:
        usual: dict[str, Any] = {"method": "PUT", "path": "tag"}
        with pytest.raises(InvalidArgumentError):
            await secoda.request(**usual | arguments)
        assert emulator.requests == []

    @pytest.mark.requirement("RT-1")
    async def test_a_post_that_may_have_happened_is_told(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(drop="after")
        with pytest.raises(OutcomeUnknownError):
            await secoda.request("POST", "auth/group", json={"name": "A"})
        assert len(emulator.requests) == 1


class TestInUsersTests:
    @pytest.mark.requirement("TS-2")
    def test_models_can_be_made_by_hand(self) -> None:
        group = Group(id="g", name="Data Stewards", users=("u",))
        assert group == Group("g", "Data Stewards", users=("u",))
        assert to_dict(group)["users"] == ("u",) or to_dict(group)["users"] == ["u"]
        assert to_dict(User("u", email="ada@example.com"))["email"] == "ada@example.com"

    @pytest.mark.requirement("TS-2", "SL-1")
    def test_unittests_own_cases_work(self) -> None:
        class Case(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self) -> None:
                self.clock = AutojumpClock()
                self.emulator = await self.enterAsyncContext(Emulator(clock=self.clock))
                client = SecodaClient(self.emulator.api_key, base_url=self.emulator.url, clock=self.clock)
                self.secoda = await self.enterAsyncContext(client)

            async def test_one(self) -> None:
                for _ in range(31):
                    await self.secoda.groups.create(name="A")
                assert len(await self.secoda.groups.snapshot()) == 31
                assert self.clock.now() == approx(60)

            async def test_two(self) -> None:
                assert await self.secoda.health() == "OK"

        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromTestCase(Case).run(result)
        assert (result.testsRun, result.failures, result.errors) == (2, [], [])

    @pytest.mark.requirement("TS-2", "SL-1")
    @pytest.mark.parametrize("number", [1, 2])
    async def test_one_client_serves_the_event_loops_of_several_tests(
        self, number: int, shared: SecodaClient, emulator: Emulator
    ) -> None:
        emulator.api_key = KEY
        pipeline: Any = vars(shared)["_pipeline"]
        vars(pipeline.transport)["_url"] = URL(emulator.url)
        assert (await shared.groups.create(name=f"{number}")).name == f"{number}"
        assert emulator.requests[0].connection == 1


@pytest.fixture(scope="class")
def shared() -> SecodaClient:
    """A client that outlives the event loops it is used in, and is never closed."""
    return SecodaClient(KEY, base_url="http://127.0.0.1:1", clock=AutojumpClock())
