"""`secoda-async apply`: plan or load a plan, ask, write, report."""

import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from shlex import quote
from typing import Annotated, Final, Literal, TextIO

from attrs import define, field, frozen
from cyclopts import Parameter

from secoda_async import DesiredState, Plan, Progress, RateLimit, Report, SecodaClient, SecodaError, UnsafePlanError
from secoda_async.cli.command_line import command_line
from secoda_async.cli.commands.plan import DEFAULT_RULES, Rules, exit_code, plan_command, run_labels
from secoda_async.cli.connection import Connection
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.files import check_writable, wait_for_reader, write
from secoda_async.cli.inputs import DEFAULT_INPUTS, Files, Inputs, source_name
from secoda_async.cli.options import Flag, Yes
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.endings import ending_of
from secoda_async.cli.output.html import in_progress_page, plan_page, report_page
from secoda_async.cli.output.metrics import Metrics, RunMetrics, record_metrics
from secoda_async.cli.output.plans import PlanOutput, SummaryOnly, Verbose, print_plan
from secoda_async.cli.output.reports import FailureNote, count_summary, print_report
from secoda_async.cli.output.telemetry import event_hook
from secoda_async.cli.output.timeline import Recorder
from secoda_async.cli.signals import StopController, handle_signals, interrupt_on_signal
from secoda_async.clock import SYSTEM_CLOCK
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.input_file import read_bytes
from secoda_async.reconcile.journal import open_journal
from secoda_async.reconcile.plan import is_saved_plan


@Parameter(name="*")
@define(kw_only=True)
class ApplyOptions:
    """The options of `apply` alone."""

    yes: Yes = False
    dry_run: Annotated[Flag, Parameter(help="Show the plan and write nothing, as plan does.")] = False
    approve: Annotated[str | None, Parameter(help="Apply a plan that needs an approval, if this is its digest.")] = None
    on_drift: Annotated[
        Literal["raise", "skip"], Parameter(help="If groups changed since the plan: write nothing, or skip them.")
    ] = "raise"
    deadline: Annotated[str | None, Parameter(help="Stop after this duration, e.g. 90s, 12m or 1h.")] = None
    log: Annotated[Path | None, Parameter(help="Append a JSON line before and after each write.")] = None
    report: Annotated[Path | None, Parameter(help="Write an HTML report.")] = None
    metrics: Metrics = None
    verbose: Verbose = False
    summary_only: SummaryOnly = False


_NOTHING: Final = "nothing was written"

_DEFAULT = Connection()
_DEFAULT_OPTIONS = ApplyOptions()


async def apply_command(
    files: Annotated[Files, Parameter(help="Files of groups, directories of such files, - is stdin; or a saved plan.")],
    /,
    *,
    given: ApplyOptions = _DEFAULT_OPTIONS,
    inputs: Inputs = DEFAULT_INPUTS,
    rules: Rules = DEFAULT_RULES,
    options: Connection = _DEFAULT,
) -> int:
    """Make the workspace match files of groups, or apply a saved plan.

    On Ctrl-C or at the deadline, in-flight writes finish. Run the command again to continue.
    """
    if given.dry_run:
        return await _show_plan(files, given, inputs, rules, options)
    seconds = None if given.deadline is None else _parse_duration(given.deadline)
    outputs = {"--log": given.log, "--report": given.report, "--metrics": given.metrics}
    inputs.check_outputs(outputs, files, [options.api_key_file])
    console = Console(options)
    with record_metrics(console, "apply", given.metrics, run_labels(files, options)) as metrics:
        if given.report is not None:
            check_writable(given.report)
        is_interactive = not given.yes and sys.stdin.isatty()
        target = _load_target(files, inputs, rules, is_confirmed=given.yes or is_interactive)
        command = command_line("apply", files, given, inputs, rules, options, without=["approve"])
        run = _Run(console, source_name(files), command, target, is_interactive, given, rules, options, metrics)
        with handle_signals(console.warn, seconds) as stops:
            try:
                result = await run.execute(stops)
            except SecodaError as error:
                if not metrics.has_written and _NOTHING not in error.message:
                    error.message = f"{_NOTHING}: {error.message}"
                raise
        metrics.code = _exit_code(result, stops)
    return metrics.code


def _load_target(files: Sequence[Path], inputs: Inputs, rules: Rules, *, is_confirmed: bool) -> Plan | DesiredState:
    """Return the saved plan, or the groups of the files.

    Raises:
        CommandError: When a saved plan comes with rules, or groups come from a program without --yes.
    """
    saved = _load_plan(files)
    if saved is not None:
        _check_default(rules, inputs)
        return saved
    desired = inputs.load(files)
    if not is_confirmed:
        raise CommandError("applying a file without a terminal needs --yes: nothing was written", Exit.USAGE)
    return desired


async def _show_plan(
    files: Sequence[Path], given: ApplyOptions, inputs: Inputs, rules: Rules, options: Connection
) -> int:
    """Show the plan and write nothing, not even the journal and the report."""
    console = Console(options)
    output = PlanOutput(verbose=given.verbose, summary_only=given.summary_only)
    saved = _load_plan(files)
    if saved is None:
        code = await plan_command(list(files), inputs=inputs, output=output, rules=rules, options=options)
    else:
        _check_default(rules, inputs)
        output.check(options)
        output.show(console, saved, source=source_name(files), host=saved.origin)
        code = exit_code(saved, detailed=False)
    console.info("A dry run: nothing was written.")
    return code


def _check_default(rules: Rules, inputs: Inputs) -> None:
    """Refuse rules beside a saved plan, which was made with its own."""
    if rules != DEFAULT_RULES or inputs != DEFAULT_INPUTS:
        raise CommandError("a saved plan has its rules: pass --prune, limits and patterns to `plan`", Exit.USAGE)


def _exit_code(result: Report, stops: StopController) -> Exit:
    if result.ok:
        return Exit.DONE
    return stops.code if stops.event.is_set() and not result.counts.get("failed") else Exit.SOME_FAILED


@frozen
class _Run:
    """One run of `apply`, from the connection to the last line of output."""

    console: Console
    source: str
    command: str
    """The command line of this run, without an approval."""
    target: Plan | DesiredState
    is_interactive: bool
    given: ApplyOptions
    rules: Rules
    options: Connection
    metrics: RunMetrics
    recorder: Recorder = field(factory=lambda: Recorder(SYSTEM_CLOCK), init=False)

    async def execute(self, stops: StopController) -> Report:
        """Plan, ask, lock, write and report.

        A person may take their time to answer, so an interactive run takes the lock after the answer; apply re-reads
        each group before it writes anyway.
        """
        async with AsyncExitStack() as stack:
            hooks = [self.metrics] if self.given.report is None else [self.metrics, self.recorder]
            secoda = await stack.enter_async_context(self.options.client(event_hook(*hooks)))
            if not self.is_interactive:
                await stack.enter_async_context(self.options.exclusive(stops))
            plan = self.metrics.plan = await self._plan(secoda)
            # In case the plan is refused.
            self._write_first_report(lambda: plan_page(plan, self.source, secoda.origin, self.command))
            self._confirm(plan)
            if self.is_interactive:
                await stack.enter_async_context(self.options.exclusive(stops))
            journal = await self._open_journal(stack)
            self._write_first_report(lambda: in_progress_page(self._repeat()))
            stops.advice = f"Run this again, it reads the workspace first: {self._repeat()}"
            stops.has_begun_writing = True
            result = self.metrics.report = await self._apply(secoda, plan, journal, stops)
            stops.is_finished = True  # only the report and the release of the lock are left
            self._finish(secoda, plan, result, stops.reason if stops.event.is_set() else None)
        return result

    async def _plan(self, secoda: SecodaClient) -> Plan:
        if isinstance(self.target, Plan):
            return self.target
        with self.console.progress("reading the workspace", None):
            return await secoda.plan(self.target, **self.rules.arguments())

    def _confirm(self, plan: Plan) -> None:
        """Show the plan, and raise if it must not be applied."""
        self._show(plan)
        if plan.breaches and self.given.approve is None:
            self._print_report_path()
            is_saved = isinstance(self.target, Plan)
            raise _unsafe_plan_error(plan, self.command, "" if is_saved else _limit_options(plan))
        if self.is_interactive and not plan.is_empty and not self.console.confirm(_question(plan)):
            raise CommandError("nothing was written", Exit.ERROR)

    def _show(self, plan: Plan) -> None:
        is_json = self.console.output.json
        if self.is_interactive or not is_json:
            print_plan(
                self.console.err if is_json else self.console.out,
                plan,
                verbose=self.given.verbose,
                most=0 if self.given.summary_only else None,
            )

    async def _open_journal(self, stack: AsyncExitStack) -> TextIO | None:
        if self.given.log is None:
            return None
        await wait_for_reader(self.given.log)
        return stack.enter_context(open_journal(self.given.log))

    async def _apply(self, secoda: SecodaClient, plan: Plan, journal: TextIO | None, stops: StopController) -> Report:
        self.recorder.begin()
        note = FailureNote(self.console)

        def show(now: Progress) -> None:
            bar.update(now.done, now.failed - now.unknown, now.unknown)
            note.update(now)

        with self.console.progress("applying", plan.writes, secoda.time_left) as bar:
            return await secoda.apply(
                plan,
                approve=self.given.approve,
                on_drift=self.given.on_drift,
                log=journal,
                on_progress=show,
                stop=stops.event,
            )

    def _finish(self, secoda: SecodaClient, plan: Plan, result: Report, stopped: str | None) -> None:
        """Print the result and write the report. The writes are done, so an error here changes no exit code."""
        ending = ending_of(
            plan, result, stopped=stopped, command=self._repeat(), is_saved=isinstance(self.target, Plan)
        )
        try:
            print_report(self.console, plan, result, ending, is_verbose=self.given.verbose)
        except OSError:
            self.console.error(f"{count_summary(result)}; the output can't be written")
        limit = getattr(secoda.limiter, "limit", RateLimit())
        try:
            self._write_report(
                lambda: report_page(plan, result, self.recorder, limit, ending, source=self.source, host=secoda.origin)
            )
        except CommandError as error:
            self.console.error(f"the report was not written: {error}")
        else:
            self._print_report_path()

    def _print_report_path(self) -> None:
        if self.given.report is not None:
            self.console.info(f"report: {self.given.report}")

    def _repeat(self) -> str:
        """Return the command line that repeats the run; an approval of a plan that is made again would not fit."""
        approve = self.given.approve if isinstance(self.target, Plan) else None
        return self.command if approve is None else f"{self.command} --approve {quote(approve)}"

    def _write_first_report(self, page: Callable[[], str]) -> None:
        """Write a report before the first change is written."""
        try:
            self._write_report(page)
        except CommandError as error:
            raise CommandError(f"{_NOTHING}: {error}", error.code) from None

    def _write_report(self, page: Callable[[], str]) -> None:
        if self.given.report is not None:
            write(self.given.report, page())


def _question(plan: Plan) -> str:
    return "Make this change?" if plan.writes == 1 else f"Make these {plan.writes} changes?"


def _load_plan(files: Sequence[Path]) -> Plan | None:
    """Return the plan in a single file, or None if the files hold something else, such as groups."""
    if len(files) > 1:
        return None
    (file,) = files
    try:
        with interrupt_on_signal():
            content: object = json.loads(read_bytes(str(file))) if file.is_file() else None
    except (ValueError, RecursionError):
        return None  # DesiredState.load reports the problem
    return Plan.from_document(content, str(file)) if is_saved_plan(content) else None


def _unsafe_plan_error(plan: Plan, command: str, other_way: str) -> UnsafePlanError:
    return UnsafePlanError(
        "\n".join(
            [
                "the plan needs an approval, and nothing was written:",
                *(f"  {breach.message}" for breach in plan.breaches),
                f"To apply it anyway, approve exactly this plan{other_way}:",
                escape_control(f"  {command} --approve {plan.digest}"),
            ]
        ),
        breaches=tuple(breach.message for breach in plan.breaches),
        digest=plan.digest,
    )


_LIMIT_OPTIONS: Final = {"deletes": "--max-delete", "removals": "--max-remove"}


def _limit_options(plan: Plan) -> str:
    """Return the options that would allow the plan too; a suspected rename has none, and a saved plan keeps its own."""
    kinds = {breach.kind for breach in plan.breaches}
    if not kinds <= set(_LIMIT_OPTIONS):
        return ""
    return f" (or pass a higher {' and '.join(name for kind, name in _LIMIT_OPTIONS.items() if kind in kinds)})"


def _parse_duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text.strip())
    if found is None:
        raise CommandError(f"--deadline must be a number with s, m or h, such as 12m, not {text!r}", Exit.USAGE)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
