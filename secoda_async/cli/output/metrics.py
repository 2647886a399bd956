"""Metrics of one run of `plan` or `apply`, as text for the textfile collector of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/practices/naming/
"""

import re
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from attrs import define, field, frozen
from cyclopts import Parameter

from secoda_async import AttemptEvent, Event, Plan, Report
from secoda_async.cli import files
from secoda_async.cli.exit_codes import CommandError, Exit, exit_for
from secoda_async.cli.output import telemetry
from secoda_async.cli.output.console import Console
from secoda_async.operations import Status

__all__ = ["Metrics", "RunMetrics", "Sample", "last_success_in", "record_metrics", "render_metrics"]

Metrics = Annotated[
    Path | None, Parameter(help="Write metrics of the run for Prometheus' textfile collector, also if it fails.")
]
"""The option `--metrics FILE`."""

_READABLE: Final = 0o644
"""The mode of the file: the collector runs as another user, and the metrics have no personal data."""

_KINDS: Final = ("create", "update", "delete")
_STATUSES: Final[tuple[Status, ...]] = ("applied", "unchanged", "failed", "unknown", "not_attempted")
_TOO_MANY_REQUESTS: Final = 429

_HELP: Final[Mapping[str, str]] = {
    "last_run_timestamp_seconds": "Unix time at which the last run ended.",
    "last_success_timestamp_seconds": "Unix time at which the last run ended with the exit code 0 or 2.",
    "duration_seconds": "Duration of the last run.",
    "exit_code": "Exit code of the last run.",
    "changes": "Changes of the last run; those of apply have a status.",
    "held_members": "Members of the files who are not users, in the last run.",
    "conflicts": "Groups that could not be planned, in the last run.",
    "approvals_needed": "Reasons why the plan of the last run needs an approval.",
    "requests": "Requests of the last run, retries included.",
    "retries": "Requests of the last run that repeated a request.",
    "rate_limited_responses": "Responses with the status 429 in the last run.",
}


@frozen
class Sample:
    """One value of a metric."""

    name: str
    """The name without the prefix `secoda_plan_` or `secoda_apply_`."""
    value: float
    labels: Mapping[str, str] = {}


@define
class RunMetrics:
    """Collects the metrics of one run; it is an `on_event` hook, too."""

    plan: Plan | None = None
    report: Report | None = None
    code: Exit = Exit.ERROR
    """The exit code."""
    has_written: bool = field(default=False, init=False)
    """Whether a request other than a GET was sent."""
    _requests: Counter[str] = field(factory=Counter[str], init=False)

    def __call__(self, event: Event) -> None:
        """Count a request."""
        if isinstance(event, AttemptEvent):
            self.has_written |= event.method != "GET"
            self._requests["requests"] += 1
            self._requests["retries"] += event.attempt > 1
            self._requests["rate_limited_responses"] += event.status == _TOO_MANY_REQUESTS

    def samples(self, *, ended_at: float, seconds: float, last_success: float | None) -> Sequence[Sample]:
        """Return the values of the run; a run that had no plan has no changes.

        Args:
            ended_at: The Unix time of the end.
            seconds: The duration.
            last_success: The Unix time of the last earlier success, if one is known.
        """
        success = ended_at if self.code in (Exit.DONE, Exit.CHANGES) else last_success
        return [
            Sample("last_run_timestamp_seconds", ended_at),
            *([] if success is None else [Sample("last_success_timestamp_seconds", success)]),
            Sample("duration_seconds", seconds),
            Sample("exit_code", int(self.code)),
            *([] if self.plan is None else self._of_plan(self.plan)),
            *(Sample(name, self._requests[name]) for name in ("requests", "retries", "rate_limited_responses")),
        ]

    def _of_plan(self, plan: Plan) -> Iterable[Sample]:
        if self.report is None:
            kinds = Counter(change.kind for change in plan.changes)
            yield from (Sample("changes", kinds[kind], {"kind": kind}) for kind in _KINDS)
        else:
            ends = Counter((plan.changes[each.index].kind, each.status) for each in self.report.outcomes)
            yield from (
                Sample("changes", ends[kind, status], {"kind": kind, "status": status})
                for kind in _KINDS
                for status in _STATUSES
            )
        yield Sample("held_members", len({held.member for held in plan.held}))
        yield Sample("conflicts", len(plan.conflicts))
        yield Sample("approvals_needed", len(plan.breaches))


def render_metrics(command: str, samples: Iterable[Sample], labels: Mapping[str, str]) -> str:
    """Return the text of the samples of a command; `labels` are those that all samples have."""
    lines = list[str]()
    described = ""
    for sample in samples:
        name = f"secoda_{command}_{sample.name}"
        if name != described:
            described = name
            lines += [f"# HELP {name} {_HELP[sample.name]}", f"# TYPE {name} gauge"]
        pairs = ",".join(f'{key}="{_escape(value)}"' for key, value in {**labels, **sample.labels}.items())
        lines.append(f"{name}{{{pairs}}} {sample.value!r}")
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def last_success_in(command: str, text: str) -> float | None:
    """Return the time of the last success in an earlier text of the same metrics, so that a failed run keeps it."""
    found = re.search(rf"^secoda_{command}_last_success_timestamp_seconds\{{.*\}} ([0-9.]+)$", text, re.MULTILINE)
    return None if found is None else float(found[1])


@contextmanager
def record_metrics(
    console: Console, command: str, file: Path | None, labels: Mapping[str, str]
) -> Generator[RunMetrics, None, None]:
    """Write the metrics of the body to a file, also if it raises, and to OpenTelemetry; the body sets the exit code.

    Raises:
        CommandError: Before the body, if the file can't be written.
    """
    if file is not None:
        files.check_writable(file)
    began, run = time.monotonic(), RunMetrics()
    try:
        yield run
    except BaseException as error:
        run.code = exit_for(error) if isinstance(error, Exception) else Exit.INTERRUPTED
        raise
    finally:
        earlier = "" if file is None else _text_of(file)
        samples = run.samples(
            ended_at=time.time(),
            seconds=round(time.monotonic() - began, 3),
            last_success=last_success_in(command, earlier),
        )
        telemetry.export((f"secoda.{command}.{each.name}", each.value, {**labels, **each.labels}) for each in samples)
        if file is not None:
            _write(console, file, render_metrics(command, samples, labels))


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8") if file.is_file() else ""
    except (OSError, ValueError):
        return ""


def _write(console: Console, file: Path, text: str) -> None:
    """Write the metrics. The run has ended, so an error here changes no exit code."""
    try:
        files.write(file, text, mode=_READABLE)
    except CommandError as error:
        console.warn(f"the metrics were not written: {error}")
