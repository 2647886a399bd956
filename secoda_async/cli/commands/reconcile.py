"""`secoda-async plan`, `apply` and `export`: desired state in, the fewest writes out."""

import json
import re
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from attrs import define
from cyclopts import Group, Parameter

from secoda_async import (
    DesiredState,
    Plan,
    RateLimit,
    Report,
    SecodaClient,
    UnsafePlanError,
)
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.files import check_outputs, check_writable, reader_of, write
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Screen, document, duration, emit, plan_text, show_plan
from secoda_async.cli.output.html import begun_page, plan_page, report_page
from secoda_async.cli.output.timeline import Recorder
from secoda_async.cli.signals import raised_at_once, stopped_by_signals
from secoda_async.clock import SYSTEM_CLOCK
from secoda_async.reconcile import render
from secoda_async.reconcile.files.input_file import read_bytes
from secoda_async.reconcile.files.reading import SCHEMA
from secoda_async.reconcile.files.writing import dump_groups
from secoda_async.reconcile.journal import open_journal

_File = Annotated[Path, Parameter(allow_leading_hyphen=True, help="Groups: YAML, JSON or CSV; - is YAML from stdin.")]


@Parameter(name="*", group=Group("Safety", sort_key=7))
@define(kw_only=True)
class Rules:
    """What a plan may do."""

    prune: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Delete groups that the file does not speak of.")
    ] = False
    unknown_members: Annotated[
        Literal["error", "hold"],
        Parameter(help="Members who are no users: an error, or their groups gain members and lose none."),
    ] = "error"
    max_delete: Annotated[str, Parameter(help="Groups that may be deleted: a number or a part.")] = "10%"
    max_remove: Annotated[str, Parameter(help="Memberships that may be removed: a number or a part.")] = "25%"

    async def plan(self, secoda: SecodaClient, desired: DesiredState) -> Plan:
        """Compare the workspace with a desired state."""
        return await secoda.plan(
            desired,
            prune=self.prune,
            unknown_members=self.unknown_members,
            max_delete=self.max_delete,
            max_remove=self.max_remove,
        )


_Output = Annotated[Path | None, Parameter(help="A file to write instead of stdout; a failure leaves it as it was.")]
_RULES = Rules()
_DEFAULT = Connection()


async def plan_command(
    file: _File,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Save the plan here, for apply.")] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Literal["text", "json", "markdown", "html"], Parameter(help="How to print it; html is a page.")
    ] = "text",
    output: _Output = None,
    detailed_exitcode: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Exit with 2 when there is something to do.")
    ] = False,
    rules: Rules = _RULES,
    options: Connection = _DEFAULT,
) -> int:
    """Show what it takes to bring the workspace to the state of a file. Nothing is written.

    It exits as apply would: with 3 when a group could not be planned, with 4 beyond the safety limits.
    """
    screen = Screen(options)
    check_outputs({"--out": out, "--output": output}, [file, options.api_key_file])
    desired = _desired(file)
    async with options.client() as secoda:
        with screen.progress("reading the workspace", None):
            plan = await rules.plan(secoda, desired)
        host = secoda.origin
    if out is not None:
        write(out, plan.to_json())
    shape = "json" if options.json else format
    if output is None and shape == "text":
        show_plan(screen, plan)
    else:
        _publish(_shown(plan, shape, file.name, host), output)
    if plan.breaches:
        return Exit.UNSAFE
    if plan.conflicts:
        return Exit.SOME_FAILED
    return Exit.CHANGES if detailed_exitcode and not plan.is_empty else Exit.DONE


def _shown(plan: Plan, shape: str, source: str, host: str) -> str:
    """Return the plan as a text, a document or a page."""
    if shape == "json":
        return document(json.loads(plan.to_json()))
    if shape == "markdown":
        return render.markdown(plan)
    if shape == "html":
        return plan_page(plan, source, host)
    return plan_text(plan)


def _publish(text: str, output: Path | None) -> None:
    if output is None:
        emit(text)
    else:
        write(output, text)


async def apply_command(  # noqa: PLR0913 - each is an option
    file: Annotated[Path, Parameter(allow_leading_hyphen=True, help="A file of groups, or a plan that was saved.")],
    /,
    *,
    yes: Annotated[bool, Parameter(negative=(), show_default=False, help="Do not ask.")] = False,
    approve: Annotated[
        str | None, Parameter(help="The digest of a plan that is beyond the safety limits, to carry it out.")
    ] = None,
    on_drift: Annotated[
        Literal["raise", "skip"], Parameter(help="Groups that have changed since the plan: refuse all, or skip them.")
    ] = "raise",
    deadline: Annotated[str | None, Parameter(help="Stop after so long, such as 90s, 12m or 1h.")] = None,
    log: Annotated[Path | None, Parameter(help="Append a line of JSON before and after each write.")] = None,
    report: Annotated[Path | None, Parameter(help="Write a page (HTML) of what became of it.")] = None,
    rules: Rules = _RULES,
    options: Connection = _DEFAULT,
) -> int:
    """Bring the workspace to the state of a file, or carry out a saved plan.

    Ctrl-C and the deadline end it after the writes that are under way; run it again, and it goes on.
    """
    screen = Screen(options)
    seconds = None if deadline is None else _seconds(deadline)
    check_outputs({"--log": log, "--report": report}, [file, options.api_key_file])
    if report is not None:
        check_writable(report)
    wanted = _saved_plan(file) or _desired(file)
    if isinstance(wanted, Plan) and rules != _RULES:
        raise CommandError("a saved plan has its rules in it: give --prune and the limits to `plan`", Exit.USAGE)
    asks = not yes and sys.stdin.isatty()
    if not yes and not asks and isinstance(wanted, DesiredState):
        raise CommandError("applying a file without a terminal needs --yes: nothing was written", Exit.USAGE)
    recorder = Recorder(SYSTEM_CLOCK)
    with stopped_by_signals(screen.warn, seconds) as stops:
        async with AsyncExitStack() as held:
            secoda = await held.enter_async_context(options.client(recorder if report is not None else None))
            if not asks:
                await held.enter_async_context(options.alone(stops))
            with screen.progress("reading the workspace", None):
                plan = wanted if isinstance(wanted, Plan) else await rules.plan(secoda, wanted)
            _report(report, lambda: plan_page(plan, file.name, secoda.origin))  # if it comes to no more than that
            _get_leave(screen, plan, approve, asks=asks)
            if asks:  # not before: a person may take their time, and apply looks again before it writes
                await held.enter_async_context(options.alone(stops))
            stream = None
            if log is not None:
                await reader_of(log)
                stream = held.enter_context(open_journal(log))
            _report(report, begun_page)
            stops.finishes_writes = True
            with screen.progress("applying", plan.writes, secoda.time_left) as bar:
                result = await secoda.apply(
                    plan,
                    approve=approve,
                    on_drift=on_drift,
                    log=stream,
                    on_progress=lambda now: bar.reach(now.done, now.failed),
                    stop=stops.event,
                )
            stops.is_over = True  # what is left is to say so, and to let the lock go
            limit = getattr(secoda.limiter, "limit", RateLimit())
            why = stops.why if stops.event.is_set() else None
            try:
                _tell(screen, plan, result)
            except OSError:  # nobody reads stdout any more, but it is done
                screen.note(f"{_ends(result)}; nobody reads the output", style="red")
            try:
                _report(
                    report,
                    lambda: report_page(
                        plan, result, recorder, limit, source=file.name, host=secoda.origin, stopped=why
                    ),
                )
            except CommandError as error:
                screen.note(f"the report was not written: {error}", style="red")
    if result.ok:
        return Exit.DONE
    return stops.code if stops.event.is_set() and not result.counts.get("failed") else Exit.SOME_FAILED


async def export_command(
    *,
    format: Annotated[Literal["yaml", "json", "csv"], Parameter(help="Of the file.")] = "yaml",  # noqa: A002
    members: Annotated[Literal["emails", "ids"], Parameter(help="How members are named.")] = "emails",
    output: _Output = None,
    options: Connection = _DEFAULT,
) -> None:
    """Print the workspace's groups as a file that plan and apply read."""
    screen = Screen(options)
    check_outputs({"--output": output}, [options.api_key_file])
    async with options.client() as secoda:
        with screen.progress("reading the workspace", None):
            groups = await secoda.groups.snapshot()
            users = await secoda.users.snapshot() if members == "emails" else []
    _publish(dump_groups(groups, users, "json" if options.json else format, members), output)


def schema_command() -> None:
    """Print the JSON Schema of a file of groups."""
    emit(SCHEMA.read_text("utf-8"))


def _desired(file: Path) -> DesiredState:
    """Read a file of groups; a signal ends the wait for standard input or a FIFO."""
    with raised_at_once():
        return DesiredState.load(file)


def _report(report: Path | None, page: Callable[[], str]) -> None:
    if report is not None:
        write(report, page())


def _saved_plan(file: Path) -> Plan | None:
    """The plan in a file, if that is what it holds."""
    try:
        with raised_at_once():
            content: Any = json.loads(read_bytes(str(file))) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None  # DesiredState.load says what is wrong
    is_plan = isinstance(content, dict) and {"changes", "digest"} <= set(cast("dict[str, object]", content))
    return Plan.from_document(cast("object", content), str(file)) if is_plan else None


def _get_leave(screen: Screen, plan: Plan, approve: str | None, *, asks: bool) -> None:
    """Show the plan, and go on only if it may be carried out."""
    is_json = screen.output.json
    if asks or not is_json:
        show_plan(screen, plan, console=screen.err if is_json else screen.out)
    if plan.breaches and approve is None:
        raise _unsafe(plan)
    if asks and not plan.is_empty and not screen.ask(f"Make these {plan.writes} changes?"):
        raise CommandError("nothing was written", Exit.ERROR)


def _unsafe(plan: Plan) -> UnsafePlanError:
    error = UnsafePlanError(
        "\n".join(
            [
                "the plan is beyond the safety limits, and nothing was written:",
                *(f"  {breach.message}" for breach in plan.breaches),
                f"If that is meant: --approve {plan.digest}{_other_limits(plan)}",
            ]
        )
    )
    error.breaches, error.digest = tuple(breach.message for breach in plan.breaches), plan.digest
    return error


def _other_limits(plan: Plan) -> str:
    """Return the options that would allow a plan too, if there are any: a suspected rename has none."""
    options = {"deletes": "--max-delete", "removals": "--max-remove"}
    kinds = {breach.kind for breach in plan.breaches}
    if not kinds <= set(options):
        return ""
    return f" (or a higher {' and '.join(name for kind, name in options.items() if kind in kinds)})"


def _tell(screen: Screen, plan: Plan, report: Report) -> None:
    failures = [outcome for outcome in report.outcomes if outcome.error is not None]
    if screen.output.json:
        screen.document(
            {
                "ok": report.ok,
                "verified": report.verified,
                "digest": plan.digest,
                "counts": dict(report.counts),
                "writes": report.writes,
                "conflicts": [conflict.message for conflict in plan.conflicts],
                "differences": list(report.differences),
                "failures": [
                    {"name": plan.changes[outcome.index].name, "status": outcome.status, "error": str(outcome.error)}
                    for outcome in failures
                ],
                "seconds": round(report.seconds, 3),
            }
        )
        return
    for outcome in failures:
        screen.say(f"{outcome.status}: {plan.changes[outcome.index].name}: {outcome.error}", style="red")
    for difference in report.differences:
        screen.say(f"not as written: {difference}", style="red")
    verified = "verified by a last read" if report.verified else "NOT verified"
    said = f"{_ends(report)} in {duration(report.seconds)}; {verified}" if report.outcomes else "nothing to do"
    screen.say(said, style="green" if report.ok else "bold red")


def _ends(report: Report) -> str:
    return ", ".join(f"{number} {status.replace('_', ' ')}" for status, number in sorted(report.counts.items()))


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text.strip())
    if found is None:
        raise CommandError(f"--deadline must be a number with s, m or h, such as 12m, not {text!r}", Exit.USAGE)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
