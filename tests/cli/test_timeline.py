"""The chart of the writes of an apply over time."""

import pytest

from secoda_async import AttemptEvent, RateLimit, WaitEvent
from secoda_async.cli.output.timeline import Recorder, chart, event_row
from tests.support.clocks import ManualClock

POST = AttemptEvent(method="POST", path="/group", attempt=1, status=201, seconds=0.001)


@pytest.mark.parametrize(
    ("seconds", "texts"),
    [
        (0.004, ["0 ms", "2 ms", "4 ms", "6 ms", "8 ms", "10 ms"]),
        (0.1, ["0 ms", "20 ms", "40 ms", "60 ms", "80 ms", "100 ms"]),
        (4.0, ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s", "2.5 s", "3.0 s", "3.5 s", "4.0 s"]),
        (140.0, ["0.0 s", "20 s", "40 s", "1 min 00 s", "1 min 20 s", "1 min 40 s", "2 min 00 s", "2 min 20 s"]),
        (10 * 3600.0, ["0.0 s", "2 h 00 min", "4 h 00 min", "6 h 00 min", "8 h 00 min", "10 h 00 min"]),
    ],
)
def test_axis_fits_the_duration_and_has_round_times(seconds: float, texts: list[str]) -> None:
    shown = chart([(0.001, POST), (seconds, POST)], RateLimit(30))
    assert shown is not None
    assert [mark["text"] for mark in shown["times"]][: len(texts)] == texts
    assert shown["dots"][-1]["x"] > 900 or seconds < 0.01  # the axis ends with the last event
    assert all(mark["anchor"] == ("end" if mark["x"] > 915 else "middle") for mark in shown["times"])


def test_axis_starts_with_the_apply() -> None:
    clock = ManualClock()
    recorder = Recorder(clock)
    recorder(WaitEvent(method="GET", path="/group", reason="backoff", seconds=0.0))
    clock.jump(60.0)  # a person was asked
    recorder.begin()
    clock.jump(2.0)
    recorder(POST)
    assert [at for at, _ in recorder.timed] == [-60.0, 2.0]
    assert [event_row(at, event)["at"] for at, event in recorder.timed] == ["-1 min 00 s", "2.0 s"]
    shown = chart(recorder.timed, RateLimit(30))
    assert shown is not None
    assert (shown["waits"], len(shown["dots"])) == ([], 1)
