"""Settings are checked once, before any I/O, and never show a key."""

import math
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async import (
    AutojumpClock,
    ConfigurationError,
    RateLimit,
    Region,
    RetryPolicy,
    SecodaClient,
    SlidingWindowLimiter,
)
from secoda_async.config import CallOptions, Secret, key_problem, origin_of, read_environment
from tests.support import roundtrip

CANARY = "c4n4ry-5ecret"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECODA_API_KEY", "SECODA_BASE_URL", "SECODA_REGION"):
        monkeypatch.delenv(name, raising=False)


class TestNumbers:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, "3", None, True, -1])
    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (RetryPolicy, "attempts"),
            (RetryPolicy, "initial"),
            (RetryPolicy, "maximum"),
            (RetryPolicy, "max_retry_after"),
            (RateLimit, "calls"),
            (RateLimit, "per_seconds"),
            (RateLimit, "share"),
            (CallOptions, "timeout"),
        ],
    )
    def test_refuses_what_is_no_sensible_number(self, kind: type[Any], name: str, value: Any) -> None:
        owner = "^" if kind.__name__ == "CallOptions" else f"^{kind.__name__}: "  # the names of `with_options`
        with pytest.raises(ConfigurationError, match=rf"{owner}{name} must be a (whole )?number"):
            kind(**{name: value})

    @pytest.mark.parametrize(
        ("kind", "settings", "message"),
        [
            (RetryPolicy, {"attempts": 0}, "RetryPolicy: attempts must be a whole number of at least 1, not 0"),
            (RetryPolicy, {"attempts": 2.0}, "a whole number"),
            (RetryPolicy, {"budget": -1}, "of at least 0, or None, not -1"),
            (RateLimit, {"calls": 0}, "RateLimit: calls must be a whole number of at least 1, not 0"),
            (RateLimit, {"per_seconds": 0}, "greater than 0, not 0"),
            (RateLimit, {"share": 0}, "greater than 0, not 0"),
            (RateLimit, {"share": 1.01}, "share must be at most 1, not 1.01"),
            (CallOptions, {"timeout": 0}, "timeout must be a number greater than 0, not 0"),
            (CallOptions, {"deadline": 0}, "greater than 0, or None, not 0"),
            (CallOptions, {"max_wait": -0.1}, "of at least 0, or None, not -0.1"),
            (CallOptions, {"retry": 3}, "retry must be a RetryPolicy, not int"),
            (CallOptions, {"retry": None}, "retry must be a RetryPolicy, not NoneType"),
            (CallOptions, {"priority": "high"}, "priority must be 'interactive' or 'background', not 'high'"),
            (CallOptions, {"priority": []}, "priority must be"),
        ],
    )
    def test_says_what_must_hold(self, kind: type[Any], settings: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            kind(**settings)

    def test_takes_the_edges(self) -> None:
        assert RetryPolicy(attempts=1, initial=0, maximum=0, max_retry_after=0, budget=0).budget == 0
        assert RetryPolicy(budget=None).budget is None
        assert CallOptions(max_wait=0, deadline=None).max_wait == 0

    @pytest.mark.parametrize(
        ("limit", "places"),
        [
            (RateLimit(), 30),
            (RateLimit(30, share=0.5), 15),
            (RateLimit(100, share=0.29), 29),
            (RateLimit(3, share=0.5), 1),
            (RateLimit(1, share=0.01), 1),
        ],
    )
    @pytest.mark.requirement("RL-5")
    def test_a_share_leaves_the_rest_to_others_but_keeps_one_place(self, limit: RateLimit, places: int) -> None:
        assert limit.places == places

    @given(st.integers(1, 10_000), st.floats(0.001, 1.0))
    def test_a_share_is_never_exceeded(self, calls: int, share: float) -> None:
        assert 1 <= RateLimit(calls, share=share).places <= max(1.0, calls * share + 1e-6)

    def test_settings_are_frozen_and_equal_by_value(self) -> None:
        policy = RetryPolicy(attempts=2)
        assert roundtrip.copies(policy) == [policy] * len(roundtrip.copies(policy))
        with pytest.raises(AttributeError):
            setattr(policy, "attempts", 3)  # noqa: B010 - the type checkers refuse it already


@pytest.mark.requirement("ER-3")
class TestKey:
    @pytest.mark.parametrize(
        ("key", "problem"),
        [
            (None, "must be a string or an async callable, not NoneType"),
            (CANARY.encode(), "not bytes"),
            ("", "is empty"),
            (" \t\r\n", "is empty"),
            (f"{CANARY} {CANARY}", "white space"),
            (f"{CANARY}\r\nX-Evil: 1", "a control character"),
            (f"{CANARY}\x00", "a control character"),
            (f"{CANARY}\x7f", "a control character"),
            (f"{CANARY}é", "non-ASCII"),
            (f"\ufeff{CANARY}", "non-ASCII"),
            (f"{CANARY}\u200b", "non-ASCII"),
            (f"Bearer {CANARY}", "starts with 'Bearer': pass the key alone"),
        ],
    )
    def test_problem_of_an_invalid_key_does_not_show_the_key(self, key: object, problem: str) -> None:
        told = key_problem(key)
        assert told is not None
        assert problem in told
        assert CANARY not in told

    @pytest.mark.parametrize("key", [CANARY, f" {CANARY}", f"{CANARY}\n", f"\u00a0{CANARY}\r\n"])
    def test_white_space_around_a_key_does_not_matter(self, key: str) -> None:
        assert key_problem(key) is None

    @given(st.text() | st.text(st.characters(max_codepoint=0x100)))
    @example("a\nb")
    @example("a\x85b")
    def test_no_key_gets_through_that_a_header_cannot_carry(self, key: str) -> None:
        if key_problem(key) is None:
            sent = key.strip()
            assert sent
            assert all(0x21 <= byte <= 0x7E for byte in sent.encode("latin-1"))

    @pytest.mark.parametrize("key", [f"{CANARY} x", f"{CANARY}\n\n{CANARY}", [CANARY], CANARY.encode()])
    def test_a_refused_key_is_in_no_frame_of_the_traceback(self, key: Any) -> None:
        keys = [key]
        del key
        with pytest.raises(ConfigurationError) as caught:
            SecodaClient(keys.pop())
        rendered = "".join(
            traceback.TracebackException.from_exception(caught.value, capture_locals=True).format(chain=True)
        )
        assert "ConfigurationError" in rendered
        assert CANARY not in rendered

    def test_a_secret_shows_as_stars_in_any_repr(self) -> None:
        secret = Secret(CANARY)
        assert repr(secret) == "'***'"
        assert CANARY not in f"{secret!r} {[secret]} { ({'Authorization': secret}) }"
        assert secret == CANARY
        assert {repr(again) for again in roundtrip.copies(secret)} == {"'***'"}


class TestOrigin:
    @pytest.mark.parametrize(
        ("base_url", "origin"),
        [
            ("https://api.secoda.co", "https://api.secoda.co"),
            ("https://api.secoda.co/", "https://api.secoda.co"),
            ("https://api.secoda.co/api/v1", "https://api.secoda.co"),
            (" https://API.Secoda.co/api/v1/\n", "https://api.secoda.co"),
            ("HTTPS://api.secoda.co:443", "https://api.secoda.co"),
            ("https://api.secoda.co:", "https://api.secoda.co"),
            ("https://secoda.example:8443", "https://secoda.example:8443"),
            ("https://10.0.0.7", "https://10.0.0.7"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
            ("https://xn--mnchen-3ya.de", "https://xn--mnchen-3ya.de"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://LOCALHOST:80", "http://localhost"),
            ("http://127.0.0.1:8080/api/v1", "http://127.0.0.1:8080"),
            ("http://127.9.9.9:1", "http://127.9.9.9:1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_a_base_url_is_brought_to_its_origin(self, base_url: str, origin: str) -> None:
        assert origin_of(base_url, None) == origin
        assert origin_of(origin, None) == origin

    @pytest.mark.parametrize(
        ("base_url", "message"),
        [
            ("", "not an http"),
            ("api.secoda.co", "not an http"),
            ("//api.secoda.co", "not an http"),
            ("ftp://api.secoda.co", "not an http"),
            ("https://", "not an http"),
            ("https:///api/v1", "not an http"),
            ("https://api secoda.co", "not an http"),
            ("https://api.secoda.co\n.evil.example", "not an http"),
            ("https://api.secoda.co\\@evil.example", "user name"),
            ("https://api.secoda.co\\.evil.example", "not an http"),
            ("https://münchen.de", "not an http"),
            (5, "not an http"),
            ("https://host:99999", "not a URL"),
            ("https://host:port", "not a URL"),
            ("https://[::1", "not a URL"),
            (f"https://{CANARY}@api.secoda.co", "user name or password"),
            (f"https://u:{CANARY}@api.secoda.co", "user name or password"),
            (f"https://api.secoda.co?key={CANARY}", "must be an origin"),
            (f"https://api.secoda.co/{CANARY}", "must be an origin"),
            (f"https://api.secoda.co/api/v1#{CANARY}", "must be an origin"),
            ("https://api.secoda.co/api/v2", "must be an origin"),
            (CANARY, "not an http"),
            ("http://api.secoda.co", "clear text"),
            ("http://10.0.0.7", "clear text"),
            ("http://0.0.0.0:8080", "clear text"),
            ("http://localhost.evil.example", "clear text"),
            ("http://127.0.0.1.evil.example", "clear text"),
        ],
    )
    @pytest.mark.requirement("ER-3")
    def test_a_base_url_that_would_misdirect_the_key_is_refused(self, base_url: Any, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message) as caught:
            origin_of(base_url, None)
        assert CANARY not in str(caught.value)

    @given(st.text())
    @example("https://[v1.x]")
    def test_any_text_is_an_origin_or_a_configuration_error(self, text: str) -> None:
        try:
            origin = origin_of(text, None)
        except ConfigurationError:
            return
        assert origin == origin_of(origin, None)

    @pytest.mark.parametrize(
        ("region", "origin"),
        [
            (None, "https://api.secoda.co"),
            (Region.US, "https://api.secoda.co"),
            ("EU", "https://eapi.secoda.co"),
            (Region.APAC, "https://aapi.secoda.co"),
        ],
    )
    def test_a_region_names_an_origin(self, region: Region | str | None, origin: str) -> None:
        assert origin_of(None, region) == origin

    @pytest.mark.parametrize("region", ["", "mars", 5])
    def test_an_unknown_region_is_refused_with_the_names_there_are(self, region: Any) -> None:
        with pytest.raises(ConfigurationError, match="use one of 'us', 'eu', 'apac', or base_url"):
            origin_of(None, region)

    def test_a_region_and_a_base_url_together_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="not both"):
            origin_of("https://api.secoda.co", "us")

    def test_the_environment_speaks_when_no_argument_does(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECODA_REGION", " eu\n")
        assert origin_of(None, None) == "https://eapi.secoda.co"
        assert origin_of(None, "us") == "https://api.secoda.co"
        monkeypatch.delenv("SECODA_REGION")
        monkeypatch.setenv("SECODA_BASE_URL", "https://secoda.example/api/v1")
        assert origin_of(None, None) == "https://secoda.example"
        assert origin_of(None, "eu") == "https://eapi.secoda.co"

    @pytest.mark.parametrize("url", ["ftp://x", "http://api.secoda.co", "https://x/y", "https://u:p@x", "https://[x"])
    def test_an_error_of_the_environment_names_the_variable(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("SECODA_BASE_URL", url)
        with pytest.raises(ConfigurationError, match=r"^SECODA_BASE_URL "):
            origin_of(None, None)

    def test_a_blank_variable_is_as_good_as_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECODA_REGION", "  ")
        assert read_environment("SECODA_REGION") is None
        assert origin_of(None, None) == "https://api.secoda.co"


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize(
    "name",
    ["region", "base_url", "timeout", "deadline", "max_wait", "max_connections", "write_limit", "limiter", "ssl"],
)
@pytest.mark.parametrize("wrap", [str, lambda key: [key]], ids=["string", "list"])
def test_a_key_in_the_wrong_argument_is_not_echoed(name: str, wrap: Callable[[str], Any]) -> None:
    key = "c4n4ry-5ecret-0123456789"
    settings: dict[str, Any] = {name: wrap(key)}
    with pytest.raises(ConfigurationError) as caught:
        SecodaClient("key", **settings)
    assert "c4n4ry" not in f"{caught.value} {caught.value.args}"


@pytest.mark.requirement("SEC-1")
def test_a_key_in_the_wrong_option_is_not_echoed() -> None:
    wrong: Any = "c4n4ry-5ecret-0123456789"
    for make in (lambda: RateLimit(wrong), lambda: RetryPolicy(attempts=wrong), lambda: CallOptions(priority=wrong)):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert "c4n4ry" not in str(caught.value)


class Half:
    """An object with some of the methods that a setting needs."""

    def acquire(self) -> None: ...
    def now(self) -> float:
        return 0.0


async def async_hook(_: object) -> None: ...


class AsyncHook:
    async def __call__(self, _: object) -> None: ...


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_event": "print"}, "on_event must be a function, not str"),
        ({"on_event": async_hook}, "on_event must be a plain function"),
        ({"on_event": partial(async_hook)}, "on_event must be a plain function"),
        ({"on_event": AsyncHook()}, "on_event must be a plain function"),
        ({"clock": "x"}, "clock must be a Clock, with now and call_later, not str"),
        ({"clock": Half()}, "clock must be a Clock"),
        ({"clock": AutojumpClock}, "not the class AutojumpClock"),
        ({"limiter": Half()}, "limiter must be a RateLimiter, not Half: it needs"),
        ({"limiter": SlidingWindowLimiter}, "not the class SlidingWindowLimiter"),
        ({"session": "x"}, "session must be an aiohttp.ClientSession, not str"),
        ({"timeout": True}, "timeout must be a number"),
        ({"timeout": math.nan}, "timeout must be a number"),
        ({"deadline": "5"}, "deadline must be a number"),
        ({"max_wait": math.inf}, "max_wait must be a number"),
        ({"retry": 3}, "retry"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused_when_the_client_is_made(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SecodaClient("key", **settings)
    SecodaClient("key", on_event=print)  # none is harmed by one that was refused


def test_options_have_the_documented_defaults() -> None:
    options = CallOptions()
    assert (options.timeout, options.deadline, options.max_wait, options.priority) == (30.0, None, None, "interactive")
    assert RetryPolicy().budget == 100
