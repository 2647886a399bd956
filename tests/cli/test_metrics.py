"""The metrics of a run for the textfile collector of Prometheus."""

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.files import write
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.metrics import Sample, last_success_in, record_metrics, render_metrics
from secoda_async.emulator import Emulator
from tests.support.shell import Shell, emulated_teams

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    async with emulated_teams(monkeypatch) as workspace:
        yield workspace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "groups.json"
    path.write_text(json.dumps({"groups": [{"name": "New", "members": ["ana@example.com"]}, {"name": "Analysts"}]}))
    return path


def read(path: Path) -> Values:
    """Return the values of a file by name and labels, without the label `source`."""
    values: Values = {}
    for family in text_string_to_metric_families(path.read_text("utf-8")):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            labels = frozenset((key, value) for key, value in sample.labels.items() if key != "source")
            values[sample.name, labels] = sample.value
    return values


def value(values: Values, name: str, **labels: str) -> float:
    return values[name, frozenset(labels.items())]


async def test_apply_writes_the_metrics_of_a_success(
    shell: Shell, workspace: Emulator, file: Path, tmp_path: Path
) -> None:
    metrics = tmp_path / "secoda.prom"
    workspace.faults.add(status=429, headers={"Retry-After": "0"}, method="GET")
    result = await shell.run("apply", str(file), "--yes", "--metrics", str(metrics))
    assert result.code == Exit.DONE
    values = read(metrics)
    assert value(values, "secoda_apply_exit_code") == 0
    assert value(values, "secoda_apply_changes", kind="create", status="applied") == 1
    assert value(values, "secoda_apply_changes", kind="update", status="failed") == 0
    assert value(values, "secoda_apply_rate_limited_responses") == 1
    assert value(values, "secoda_apply_retries") == 1
    assert value(values, "secoda_apply_requests") == len(workspace.requests)
    assert value(values, "secoda_apply_held_members") == value(values, "secoda_apply_conflicts") == 0
    success = value(values, "secoda_apply_last_success_timestamp_seconds")
    assert success == value(values, "secoda_apply_last_run_timestamp_seconds")
    assert stat.S_IMODE(metrics.stat().st_mode) == 0o644
    assert f'source="{file}"' in metrics.read_text("utf-8")


async def test_failed_run_keeps_the_time_of_the_last_success(
    shell: Shell, workspace: Emulator, file: Path, tmp_path: Path
) -> None:
    metrics = tmp_path / "secoda.prom"
    options = ("--yes", "--metrics", str(metrics))
    await shell.run("apply", str(file), *options)
    success = value(read(metrics), "secoda_apply_last_success_timestamp_seconds")
    workspace.faults.add(status=403, times=None)
    assert (await shell.run("apply", str(file), *options)).code == Exit.REFUSED
    broken = tmp_path / "broken.json"
    write(broken, "{")
    assert (await shell.run("apply", str(broken), *options)).code == Exit.BAD_INPUT
    values = read(metrics)
    assert value(values, "secoda_apply_exit_code") == Exit.BAD_INPUT
    assert value(values, "secoda_apply_last_success_timestamp_seconds") == success
    assert value(values, "secoda_apply_last_run_timestamp_seconds") >= success
    assert not any(name == "secoda_apply_changes" for name, _ in values)


async def test_failed_changes_are_counted_by_kind_and_status(
    shell: Shell, workspace: Emulator, file: Path, tmp_path: Path
) -> None:
    metrics = tmp_path / "secoda.prom"
    metrics.write_bytes(b"\xff")  # not of this command: replaced
    workspace.faults.add(status=400, method="POST")
    result = await shell.run("apply", str(file), "--yes", "--metrics", str(metrics))
    assert result.code == Exit.SOME_FAILED
    values = read(metrics)
    assert value(values, "secoda_apply_changes", kind="create", status="failed") == 1
    assert value(values, "secoda_apply_exit_code") == Exit.SOME_FAILED
    assert not any(name == "secoda_apply_last_success_timestamp_seconds" for name, _ in values)


async def test_plan_writes_the_metrics_of_a_plan_with_changes(
    shell: Shell, workspace: Emulator, file: Path, tmp_path: Path
) -> None:
    metrics = tmp_path / "secoda.prom"
    options = ("--detailed-exitcode", "--metrics", str(metrics), "--prune", "--max-delete", "0")
    assert (await shell.run("plan", str(file), *options)).code == Exit.UNSAFE
    values = read(metrics)
    assert (
        value(values, "secoda_plan_changes", kind="create") == value(values, "secoda_plan_changes", kind="delete") == 1
    )
    assert value(values, "secoda_plan_approvals_needed") == 1
    assert (await shell.run("plan", str(file), *options[:3])).code == Exit.CHANGES
    values = read(metrics)
    assert value(values, "secoda_plan_exit_code") == Exit.CHANGES
    assert value(values, "secoda_plan_last_success_timestamp_seconds") > 0
    assert workspace.writes == []


def test_metrics_that_can_not_be_written_at_the_end_are_a_warning(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    directory = tmp_path / "here"
    directory.mkdir()
    with record_metrics(Console(Output()), "plan", directory / "secoda.prom", {}) as run:
        run.code = Exit.DONE
        directory.rmdir()
    assert capsys.readouterr().err.startswith("the metrics were not written: ")


async def test_unwritable_metrics_are_refused_before_any_request(
    shell: Shell, workspace: Emulator, file: Path, tmp_path: Path
) -> None:
    for command in (("plan",), ("apply", "--yes")):
        result = await shell.run(*command, str(file), "--metrics", str(tmp_path / "nowhere" / "m.prom"))
        assert (result.code, "can't be written" in result.err) == (Exit.USAGE, True)
    assert (await shell.run("plan", str(file), "--metrics", str(file))).code == Exit.USAGE
    assert workspace.requests == []


@pytest.mark.requirement("SEC-2")
@pytest.mark.parametrize("source", ['a"b', "a\\b", "a\nb", 'a\\"\n{x="1"} 2', "grüße 🧪"])
def test_labels_are_escaped(source: str) -> None:
    text = render_metrics("apply", [Sample("exit_code", 3, {"kind": "x"})], {"source": source})
    ((sample,),) = [family.samples for family in text_string_to_metric_families(text)]
    assert (sample.labels, sample.value) == ({"source": source, "kind": "x"}, 3)


def test_last_success_is_read_from_earlier_metrics_of_the_same_command() -> None:
    text = render_metrics("apply", [Sample("last_success_timestamp_seconds", 1764244800.25)], {"source": "}\n"})
    assert last_success_in("apply", text) == 1764244800.25
    assert last_success_in("plan", text) is None


async def test_interrupted_run_has_the_exit_code_of_an_interruption(
    shell: Shell, workspace: Emulator, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("secoda_async.DesiredState.load", interrupt)
    metrics = tmp_path / "secoda.prom"
    assert (await shell.run("plan", str(file), "--metrics", str(metrics))).code == Exit.INTERRUPTED
    assert value(read(metrics), "secoda_plan_exit_code") == Exit.INTERRUPTED
    assert workspace.requests == []
