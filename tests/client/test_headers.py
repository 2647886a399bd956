"""Extra headers: every request carries them, and their values show nowhere."""

import logging
import traceback
from typing import Any

import aiohttp
import pytest

from secoda_async import APIError, AttemptEvent, ConfigurationError, Event, RetryPolicy, SecodaClient
from secoda_async._engine.settings import extra_headers
from secoda_async._engine.wire.redaction import secret_parts
from secoda_async.config import Secret
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.raw_server import chain

TOKEN = "gateway-s3cret-0123456789"


def sent_header(emulator: Emulator, name: str) -> set[str | None]:
    """Return the values of a header in all requests."""
    found = [{key.lower(): value for key, value in request.headers.items()} for request in emulator.requests]
    return {headers.get(name.lower()) for headers in found}


def traceback_with_locals(error: BaseException) -> str:
    """Return the traceback of an error with the local variables, except those of the tests."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    report.stack = traceback.StackSummary.from_list([each for each in report.stack if "/tests/" not in each.filename])
    return "".join(report.format())


async def test_every_request_carries_the_extra_headers(emulator: Emulator, connect: Connect, group_id: str) -> None:
    secoda = connect(headers={"X-Gateway": TOKEN, "X-Tenant": "acme"})
    await secoda.groups.create(name="A", on_unknown="reconcile")
    await secoda.groups.add_users(group_id, ["user-1"])
    await secoda.with_options(timeout=5).groups.delete(group_id)
    await secoda.request("GET", "user")
    assert len(emulator.requests) >= 6
    assert sent_header(emulator, "X-Gateway") == {TOKEN}
    assert sent_header(emulator, "X-Tenant") == {"acme"}


async def test_user_agent_can_be_replaced_and_is_sent_once(emulator: Emulator, connect: Connect) -> None:
    await connect(headers={"user-agent": "sync/1.0"}).groups.snapshot()
    assert sent_header(emulator, "User-Agent") == {"sync/1.0"}


async def test_extra_headers_replace_those_of_a_borrowed_session(emulator: Emulator, connect: Connect) -> None:
    async with aiohttp.ClientSession(headers={"x-gateway": "the session's", "X-Other": "kept"}) as session:
        await connect(session=session, headers={"X-Gateway": TOKEN}).groups.snapshot()
    assert sent_header(emulator, "X-Gateway") == {TOKEN}
    assert sent_header(emulator, "X-Other") == {"kept"}


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, "headers can't set Authorization: it carries the API key"),
        ({"AUTHORIZATION": TOKEN}, "can't set AUTHORIZATION"),
        ({"proxy-authorization": TOKEN}, "into HTTPS_PROXY"),
        ({"Host": TOKEN}, "headers can't set Host: the client sets it itself"),
        ({"Content-Length": "1"}, "headers can't set Content-Length"),
        ({"X-A": f"{TOKEN}\r\nX-B: 1"}, "the value of the header X-A is empty, or has a control character"),
        ({"X-A": ""}, "the value of the header X-A is empty"),
        ({"X-A": f"{TOKEN} "}, "a trailing space"),
        ({"X-A": f"{TOKEN}é"}, "non-ASCII"),
        ({"X-A": 1}, "the value of the header X-A must be a string, not int"),
        ({"X A": TOKEN}, "a name that is not the name of a header: 'X A'"),
        ({TOKEN + ":": "x"}, "not the name of a header: a string of 26 characters"),
        ({1: TOKEN}, "not the name of a header: 1"),
        ({"X-A": TOKEN, "x-a": TOKEN}, "headers has 'x-a' twice, in different letter cases"),
        ([("X-A", TOKEN)], "headers must map names to values, not list"),
        (f"X-A: {TOKEN}", "headers must map names to values, not str"),
    ],
    ids=lambda value: value if isinstance(value, str) and TOKEN not in value else "headers",
)
def test_a_wrong_header_is_refused_without_its_value(headers: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SecodaClient("key", headers=headers)
    assert words in str(caught.value)
    assert TOKEN not in traceback_with_locals(caught.value)


def test_checked_headers_show_as_stars() -> None:
    assert extra_headers(None) == {}
    assert repr(extra_headers({"X-A": TOKEN})) == "{'X-A': '***'}"
    assert isinstance(extra_headers({"X-A": TOKEN})["X-A"], Secret)  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("Basic dXNlcjpwYXNz", {"Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"}),
        ("acme", set[str]()),
        ("dXNlcjpwYXNzd28=", {"dXNlcjpwYXNzd28=", "dXNlcjpwYXNzd28"}),
        ("a=1; id=0123456789abc", {"a=1; id=0123456789abc", "id=0123456789abc", "0123456789abc"}),
        ('x="0123456789abc", y=2', {'x="0123456789abc", y=2', 'x="0123456789abc",', "0123456789abc"}),
    ],
)
def test_secret_parts_are_values_their_long_words_and_parameters(value: str, parts: set[str]) -> None:
    found = secret_parts([value, value])
    assert (len(found), set(found)) == (len(parts), parts)
    assert list(found) == sorted(found, key=len, reverse=True)
    assert set(map(repr, found)) <= {"'***'"}


async def test_an_echoed_header_shows_in_no_error_event_or_log_line(
    emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "secoda_async")
    events: list[Event] = []
    secoda = connect(headers={"X-Gateway": f"Token {TOKEN}"}, on_event=events.append, retry=RetryPolicy(attempts=1))
    echo = {"Location": f"https://elsewhere.example/?t={TOKEN}", "X-Request-Id": TOKEN, "X-Echo": TOKEN}
    for status in (302, 403, 500):
        emulator.faults.add(status=status, headers=echo, body=f'{{"detail": "no {TOKEN}"}}'.encode())
        with pytest.raises(Exception, match=r"\*\*\*") as caught:
            await secoda.groups.get("g")
        for error in chain(caught.value):
            assert TOKEN not in f"{error!r} {error} {vars(error)}"
            assert TOKEN not in traceback_with_locals(error)
    assert [event.request_id for event in events if isinstance(event, AttemptEvent)] == ["***"] * 3
    assert TOKEN not in "".join(map(str, events)) + caplog.text
    assert TOKEN not in repr(vars(secoda))


async def test_short_values_hide_nothing(emulator: Emulator, connect: Connect) -> None:
    secoda = connect(headers={"X-Tenant": "acme"})
    emulator.faults.add(status=403, body=b'{"detail": "acme may not"}')
    with pytest.raises(APIError, match="acme may not"):
        await secoda.groups.get("g")
