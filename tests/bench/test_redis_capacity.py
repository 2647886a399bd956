"""The measurement of the load on Redis, at a small scale. No duration and no memory is asserted."""

import pytest

from tests.bench.redis_capacity import Figures, Load, estimated_rows, main, measured_rows

FIGURES = Figures(
    write=Load({"evalsha": 3.5, "zadd": 2}, cpu=0.0004, memory=0),
    free_write=Load({"evalsha": 1.5}, cpu=0.0002, memory=0),
    task=Load({"evalsha": 1, "fcall": 2}, cpu=0.001, memory=0),
    idle=Load({"fcall": 8}, cpu=0.001, memory=0),
    task_cpu=0.036,
    write_cpu=0.002,
    keys={"places": 1624, "lock": 184},
    active=30_000,
    connections=2,
    queued=800,
)


def test_tables_show_the_measured_load() -> None:
    lines = measured_rows(FIGURES)
    assert "| a write at the limit | 3.5 script calls, 6 commands, 400 us of Redis |" in lines
    assert "| keys of a workspace at its limit | places 1624 B, lock 184 B |" in lines


def test_estimate_multiplies_the_load() -> None:
    lines = estimated_rows(FIGURES, 36_000)
    assert "| tasks in a second | 10.0 |" in lines
    assert "| workers | 0.6 cores |" in lines  # ten tasks of 36 ms, each with ten writes of 2 ms
    assert "| script calls in a second | 63000 |" in lines
    assert "| workspaces at their limit for each core of Redis | 5000 |" in lines


@pytest.mark.slow
def test_measurement_counts_the_commands_of_a_write(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secoda_async.ext.redis_connection.REPLY_TIMEOUT", 60.0)  # a busy machine is no outage
    main(["--workspaces", "3", "--tasks", "2", "--groups", "5", "--window", "1"])
    lines = capsys.readouterr().out.splitlines()
    (write,) = [line for line in lines if line.startswith("| a write at the limit")]
    assert 1 <= float(write.split("|")[2].split()[0]) <= 5
    assert any(line.startswith("| all at their limit") for line in lines)
