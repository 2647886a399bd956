"""The arithmetic of `SlidingWindow`, `Usage` and `Cooldown`, with times as arguments."""

import pytest

from secoda_async import RateLimit
from secoda_async._engine.limits.window import Cooldown, SlidingWindow, Usage


def window_of(places: int, *, is_known: bool = True) -> SlidingWindow:
    return SlidingWindow(RateLimit(places, per_seconds=60), is_known=is_known)


def use(window: SlidingWindow, *times: float) -> None:
    for now in times:
        window.acquire(now)
        window.release(now, sent=True)


def test_new_window_is_empty_and_reports_no_usage() -> None:
    window = window_of(2)
    assert window.is_empty(0.0)
    assert window.usage(0.0) == Usage(free_in=(), in_flight=0, paused_for=0.0, paced_for=0.0)
    assert Usage() == Usage(free_in=(), in_flight=0, paused_for=0.0, paced_for=0.0)


def test_window_is_empty_after_in_flight_used_and_paced_time() -> None:
    window = window_of(1)
    window.acquire(0.0)
    assert not window.is_empty(0.0)
    window.release(0.0, sent=True)
    assert not window.is_empty(59.0)
    assert window.is_empty(60.0)
    window.start_cooldown(5.0, 60.0)
    assert not window.is_empty(124.0)
    assert window.is_empty(125.0)


def test_window_is_known_by_default_and_starts_at_full_speed() -> None:
    window = window_of(5)
    for _ in range(4):
        window.acquire(0.0)
    assert window.time_until_available(0.0) == 0.0
    slow = window_of(5, is_known=False)
    for _ in range(4):
        slow.acquire(0.0)
    assert slow.time_until_available(0.0) == 60.0
    slow.end_slow_start()
    assert slow.time_until_available(0.0) == 0.0


def test_slow_start_of_a_large_limit_is_an_eighth_of_it() -> None:
    window = window_of(80, is_known=False)
    for _ in range(9):
        window.acquire(10.0)
    assert window.time_until_available(20.0) == 0.0
    window.acquire(10.0)
    assert window.time_until_available(20.0) == 50.0


def test_pacing_ends_exactly_one_window_after_the_cooldown() -> None:
    window = window_of(2)
    window.start_cooldown(10.0, 0.0)
    use(window, 69.0)
    assert (window.time_until_available(69.5), window.wait_for_position(0, 69.5)) == (29.5, 29.5)
    assert (window.time_until_available(70.0), window.wait_for_position(0, 70.0)) == (0.0, 0.0)


def test_permit_is_free_again_exactly_one_window_later() -> None:
    window = window_of(2)
    use(window, 0.0, 1.0)
    assert (window.free(59.0), window.free(60.0), window.free(61.0)) == (0, 1, 2)


def test_wait_for_position_counts_used_permits_then_rounds() -> None:
    window = window_of(2)
    use(window, 0.0, 10.0)
    assert [window.wait_for_position(ahead, 20.0) for ahead in range(5)] == [40.0, 50.0, 100.0, 110.0, 160.0]


def test_wait_for_position_is_paced_from_the_last_start() -> None:
    window = window_of(2)
    use(window, 0.0)
    window.start_cooldown(0.0, 10.0)
    assert [window.wait_for_position(ahead, 10.0) for ahead in range(3)] == [20.0, 50.0, 80.0]
    assert window.time_until_available(10.0) == 20.0
    assert window.time_until_available(70.0) == 0.0


def test_wait_for_position_in_a_cooldown_starts_at_its_end() -> None:
    window = window_of(3)
    window.start_cooldown(10.0, 0.0)
    assert [window.wait_for_position(ahead, 0.0) for ahead in range(4)] == [10.0, 30.0, 50.0, 70.0]
    assert window.time_until_available(0.0) == 10.0
    assert window.wait_for_position(0, 70.0) == 0.0


def test_window_from_snapshot_is_the_window_that_was_stored() -> None:
    window = SlidingWindow.from_snapshot(
        RateLimit(4, per_seconds=60),
        100.0,
        paused_for=5.0,
        paced_for=65.0,
        since_start=3.0,
        in_flight=1,
        free_in=(20.0, 30.0),
    )
    assert window.usage(100.0) == Usage(free_in=(20.0, 30.0), in_flight=1, paused_for=5.0, paced_for=65.0)
    assert window.free(100.0) == 1
    assert window.time_until_available(100.0) == 12.0  # paced: 15 s after the last start


def test_window_from_snapshot_without_a_start_waits_for_the_cooldown_only() -> None:
    window = SlidingWindow.from_snapshot(
        RateLimit(4, per_seconds=60), 100.0, paused_for=5.0, paced_for=65.0, since_start=None, in_flight=0, free_in=()
    )
    assert window.time_until_available(100.0) == 5.0


def test_added_usage_counts_until_it_is_free_and_is_not_reported() -> None:
    window = window_of(4)
    use(window, 0.0)
    window.add(Usage(free_in=(10.0,), in_flight=1), 5.0)
    assert [window.free(now) for now in (5.0, 15.0, 60.0, 65.0)] == [1, 2, 3, 4]
    use(window, 70.0)
    assert window.usage(70.0) == Usage(free_in=(60.0,))


def test_added_usage_keeps_the_order_of_free_permits() -> None:
    window = window_of(2)
    use(window, 0.0)
    window.add(Usage(free_in=(10.0,)), 0.0)
    assert window.time_until_available(0.0) == 10.0


def test_added_pacing_never_shortens_the_present_one() -> None:
    window = window_of(2)
    window.start_cooldown(0.0, 0.0)
    window.add(Usage(paced_for=20.0), 0.0)
    assert window.usage(0.0).paced_for == 60.0
    window.add(Usage(paced_for=90.0), 0.0)
    assert window.usage(0.0) == Usage(paced_for=90.0)


def test_tighten_never_loosens_the_limit() -> None:
    window = SlidingWindow(RateLimit(10, per_seconds=60))
    window.tighten(RateLimit(20, per_seconds=30))
    assert (window.limit.places, window.limit.per_seconds) == (10, 60)


def test_tighten_to_fewer_calls_counts_used_permits() -> None:
    window = SlidingWindow(RateLimit(3, per_seconds=60))
    for now in (0.0, 1.0, 2.0):
        window.acquire(now)
        window.release(now, sent=True)
    window.tighten(RateLimit(1, per_seconds=60))
    assert window.free(2.0) == 0
    assert window.time_until_available(2.0) == 60.0
    assert window.time_until_available(62.0) == 0.0


def test_tighten_to_a_longer_window_prolongs_used_permits() -> None:
    window = SlidingWindow(RateLimit(1, per_seconds=60))
    window.acquire(0.0)
    window.release(0.0, sent=True)
    window.tighten(RateLimit(5, per_seconds=100))
    assert window.time_until_available(0.0) == 100.0
    assert window.start_cooldown(None, 0.0) == 100.0


def test_cooldown_ends_by_itself_and_is_never_shortened() -> None:
    cooldown = Cooldown(60.0)
    assert cooldown.remaining(1000.0) == 0.0
    assert cooldown.start(None, 1000.0) == 60.0
    assert cooldown.start(5.0, 1000.0) == 60.0
    assert cooldown.remaining(1061.0) == 0.0


@pytest.mark.requirement("RL-7")
def test_one_call_probes_after_a_capped_cooldown() -> None:
    cooldown = Cooldown(60.0)
    assert cooldown.try_pass(1000.0)
    assert cooldown.try_pass(1000.0)
    cooldown.start(300.0, 1000.0, is_capped=True)
    assert cooldown.try_pass(1299.0) is False
    assert cooldown.try_pass(1300.0)
    assert not cooldown.try_pass(1300.5)
    assert cooldown.try_pass(1301.0)
    assert cooldown.try_pass(1301.0)


def test_cooldown_is_at_most_a_day() -> None:
    assert Cooldown(60.0).start(1e9, 0.0) == 86_400.0


def test_cooldown_that_is_not_capped_needs_no_probe() -> None:
    cooldown = Cooldown(60.0)
    cooldown.start(10.0, 0.0)
    assert cooldown.try_pass(10.0)
    assert cooldown.try_pass(10.0)
