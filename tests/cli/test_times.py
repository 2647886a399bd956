"""Times and durations, in words for people."""

import pytest

from secoda_async.cli.output.times import at_least, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"),
     (3599.6, "1 h 00 min"), (4800, "1 h 20 min")],
)  # fmt: skip
def test_duration_is_formatted_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_shortest_duration_of_a_job_without_a_wait_is_immediately() -> None:
    assert (at_least(0.0), at_least(120.0)) == ("immediately", "at least 2 min 00 s")
