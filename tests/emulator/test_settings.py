"""The ranges of the emulator's settings, and the settings of time."""

import asyncio
import re
import time
from typing import Any

import aiohttp
import attrs
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from tests.support.emulator_calls import GROUPS, Caller
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    "arguments",
    [
        *({"speed": 0.0}, {"speed": float("inf")}, {"speed": float("nan")}, {"window": 0.0}),
        *({"page_size": 0}, {"writes_per_window": 0}, {"latency": -1.0}, {"visible_after": float("nan")}),
        *({"port": -1}, {"port": 65_536}),
    ],
)
def test_settings_out_of_range_are_refused_at_the_start(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"'?{next(iter(arguments))}'? must be"):
        Emulator(**arguments)


def test_settings_out_of_range_are_refused_while_running(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="latency must be"):
        emulator.latency = -1.0
    with pytest.raises(attrs.exceptions.FrozenAttributeError):
        emulator.speed = 2.0


@pytest.mark.parametrize(
    "setting",
    [
        *({"lists_lag": -1.0}, {"lists_lag": 301.0}, {"reads_lag": float("nan")}, {"date_skew": float("inf")}),
        *({"created_at_shown": "half"}, {"next_link": "bottom"}, {"idle_408": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused_at_any_time(emulator: Emulator, setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"'?{name}'? must be"):
        Emulator(**setting)
    with pytest.raises(ValueError, match=f"'?{name}'? must be"):
        setattr(emulator, name, value)


async def test_latency_delays_the_response_after_the_execution(
    emulator: Emulator, clock: ManualClock, call: Caller
) -> None:
    emulator.latency = 2.0
    task = asyncio.create_task(call("POST", GROUPS, json={}))
    await wait_until(lambda: clock.timers)
    assert emulator.requests[0].applied
    assert emulator.requests[0].status is None
    clock.advance(2.0)
    assert (await task).status == 201
    assert emulator.requests[0].answered_at == emulator.requests[0].at + 2.0


async def test_speed_shortens_the_write_limit_window() -> None:
    async with (
        Emulator(speed=60_000.0, writes_per_window=1) as emulator,
        aiohttp.ClientSession() as session,
    ):
        call = Caller(emulator, session)
        emulator.latency = 60.0
        started = time.monotonic()
        assert [(await call("POST", GROUPS, json={})).status for _ in range(3)] == [201] * 3
        assert time.monotonic() - started >= 0.003


@pytest.mark.parametrize(
    "arguments",
    [
        *({"page_size": 1}, {"writes_per_window": 1}, {"writes_per_window": None}, {"idle_408": None}),
        *({"lists_lag": 0.0}, {"lists_lag": 300.0}, {"reads_lag": 300.0}, {"date_skew": None}, {"date_skew": -1.0}),
        *({"port": 0}, {"port": 65_535}, {"host": "localhost"}, {"host": "127.255.255.254"}, {"host": "::1"}),
        *({"latency": 0.0}, {"window": 0.001}, {"next_link": "top"}, {"created_at_shown": "local"}),
    ],
)
def test_settings_at_their_limits_are_accepted(arguments: dict[str, Any]) -> None:
    emulator = Emulator(**arguments)
    assert {name: getattr(emulator, name) for name in arguments} == arguments


def test_default_settings() -> None:
    emulator = Emulator()
    assert (emulator.host, emulator.port, emulator.speed, emulator.seed, emulator.page) == (
        "127.0.0.1",
        0,
        1.0,
        0,
        False,
    )
    assert (emulator.page_size, emulator.writes_per_window, emulator.window) == (50, 30, 60.0)
    assert (emulator.latency, emulator.visible_after, emulator.lists_lag, emulator.reads_lag) == (0.0, 0.0, 0.0, 0.0)
    assert (emulator.date_skew, emulator.idle_408, emulator.link_origin) == (0.0, None, None)
    assert (emulator.created_at_shown, emulator.next_link) == ("full", "links")
    flags = ("trailing_slash", "cursor_lists", "docs_literals", "hide_pending", "collapse_names")
    assert not any(getattr(emulator, flag) for flag in flags)
    assert "api_key" not in repr(emulator)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0.0}, "window must be finite and above 0, not 0.0"),
        ({"latency": -1.0}, "latency must be finite and not below 0, not -1.0"),
        ({"date_skew": float("nan")}, "date_skew must be finite, not nan"),
        ({"port": 65_536}, "port must be from 0 to 65535, not 65536"),
        ({"next_link": "up"}, 'next_link must be one of "links", "top", "hidden", not \'up\''),
    ],
)
def test_setting_errors_say_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Emulator(**arguments)
