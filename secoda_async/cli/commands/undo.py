"""`secoda-async undo`: plan the undo of a run of apply, from its journal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secoda_async import Plan, SecodaClient
from secoda_async.cli.command_line import command_line
from secoda_async.cli.commands.plan import NOT_REPEATED, MaxDelete, MaxRemove, exit_code
from secoda_async.cli.connection import Connection
from secoda_async.cli.files import check_outputs, write
from secoda_async.cli.options import Flag
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.plans import PlanOutput
from secoda_async.cli.signals import interrupt_on_signal
from secoda_async.reconcile.journal_runs import JournalRun, load_runs, select_run
from secoda_async.reconcile.safety import Rules
from secoda_async.reconcile.undo import plan_undo
from secoda_async.reconcile.wording import count

_DEFAULT = Connection()
_TO_STDOUT = PlanOutput()


async def undo_command(  # noqa: PLR0913 - each is an option
    journal: Annotated[Path, Parameter(allow_leading_hyphen=True, help="The journal of apply --log; - is stdin.")],
    /,
    *,
    run: Annotated[
        str | None,
        Parameter(help="Undo this run, by its id or its plan's digest (default: the last one with changes)."),
    ] = None,
    out: Annotated[Path | None, Parameter(help="Save the plan to this file, for apply.")] = None,
    detailed_exitcode: Annotated[Flag, Parameter(help="Exit with 2 if the plan has changes.")] = False,
    max_delete: MaxDelete = "10%",
    max_remove: MaxRemove = "25%",
    output: PlanOutput = _TO_STDOUT,
    options: Connection = _DEFAULT,
) -> int:
    """Plan the undo of a run of apply. Nothing is written."""
    output.check(options)
    console = Console(options)
    rules = Rules(max_delete=max_delete, max_remove=max_remove)
    check_outputs({"--out": out, "--output": output.output}, [journal, options.api_key_file])
    with interrupt_on_signal():
        runs = load_runs(journal)
    chosen = select_run(runs, run)
    _print_choice(console, runs, chosen)
    async with options.client() as secoda:
        with console.progress("reading the workspace", None):
            plan = await _plan(secoda, chosen, rules)
        host = secoda.origin
    if out is not None:
        write(out, plan.to_json())
    command = "" if out is None else command_line("apply", [out], options, without=NOT_REPEATED)
    output.show(console, plan, source=(out or journal).name, host=host, command=command)
    if not plan.is_empty:
        step = f"run `{command}`" if command else "save this plan with --out FILE, then run `secoda-async apply FILE`"
        console.info(f"To undo: {step}.")
    return exit_code(plan, detailed=detailed_exitcode)


def _print_choice(console: Console, runs: Sequence[JournalRun], chosen: JournalRun | None) -> None:
    if chosen is None:
        console.info("the journal is empty: its runs had nothing to do, or it is not the journal of an apply")
        return
    others = [f"{each.id} ({count(len(each.changes), 'change')})" for each in runs if each is not chosen]
    rest = f"; the journal also has {', '.join(others)}: choose with --run" if others else ""
    console.info(f"undoing the run {chosen.id} of {chosen.time}, {count(len(chosen.changes), 'change')}{rest}")


async def _plan(secoda: SecodaClient, run: JournalRun | None, rules: Rules) -> Plan:
    if run is None:
        return Plan(changes=(), origin=secoda.origin)
    groups = await secoda.groups.snapshot()
    users = await secoda.users.snapshot()
    return plan_undo(run, groups, users, rules, secoda.limiter.time_for, origin=secoda.origin)
