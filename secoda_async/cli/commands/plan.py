"""`secoda-async plan`, and the rules of a plan, which `apply` takes too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from attrs import asdict, define
from cyclopts import Group, Parameter

from secoda_async import Plan
from secoda_async.cli.command_line import command_line
from secoda_async.cli.connection import Connection
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.files import write
from secoda_async.cli.inputs import DEFAULT_INPUTS, Files, Inputs, source_name
from secoda_async.cli.options import Flag, Texts
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.metrics import Metrics, record_metrics
from secoda_async.cli.output.plans import PlanOutput
from secoda_async.cli.output.telemetry import event_hook
from secoda_async.reconcile.wording import abbreviate

_SAFETY = Group("Safety", sort_key=7)
MaxDelete = Annotated[str, Parameter(group=_SAFETY, help="Maximum groups to delete: count or percentage.")]
MaxRemove = Annotated[str, Parameter(group=_SAFETY, help="Maximum memberships to remove: count or percentage.")]


@Parameter(name="*", group=_SAFETY)
@define(kw_only=True)
class Rules:
    """The changes that a plan may contain."""

    prune: Annotated[Flag, Parameter(help="Delete groups that are not in the files.")] = False
    unknown_members: Annotated[
        Literal["error", "hold"],
        Parameter(help="What to do with unknown members: fail (error), or only add members to their groups (hold)."),
    ] = "error"
    only: Annotated[Texts, Parameter(help="Pattern of the names to plan, e.g. 'Team*'; may be repeated.")] = None
    ignore: Annotated[Texts, Parameter(help="Pattern of names that are never changed; may be repeated.")] = None
    additive: Annotated[Flag, Parameter(help="Add members to groups, and remove none.")] = False
    max_delete: MaxDelete = "10%"
    max_remove: MaxRemove = "25%"

    def arguments(self) -> dict[str, Any]:
        """Return the rules as the arguments of `SecodaClient.plan`."""
        return asdict(self) | {"only": self.only or (), "ignore": self.ignore or ()}


DEFAULT_RULES = Rules()
_DEFAULT = Connection()
NOT_REPEATED: Final = ("json", "debug", "quiet", "no_color")
"""The options of `plan` and `undo` that the command line of the `apply` after them leaves out."""

_MAX_NAMED: Final = 3
"""Files in the label of a metric."""

_TO_STDOUT = PlanOutput()


async def plan_command(  # noqa: PLR0913 - each is an option or a group of options
    files: Files,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Save the plan to this file, for apply.")] = None,
    detailed_exitcode: Annotated[Flag, Parameter(help="Exit with 2 if the plan has changes or held members.")] = False,
    metrics: Metrics = None,
    inputs: Inputs = DEFAULT_INPUTS,
    output: PlanOutput = _TO_STDOUT,
    rules: Rules = DEFAULT_RULES,
    options: Connection = _DEFAULT,
) -> int:
    """Show the changes that make the workspace match files of groups. Nothing is written.

    The exit code is the one of apply: 3 if a group could not be planned, 4 if the plan needs an approval.
    """
    output.check(options)
    console = Console(options)
    outputs = {"--out": out, "--output": output.output, "--metrics": metrics}
    inputs.check_outputs(outputs, files, [options.api_key_file])
    with record_metrics(console, "plan", metrics, run_labels(files, options)) as run:
        desired = inputs.load(files)
        async with options.client(event_hook(run)) as secoda:
            with console.progress("reading the workspace", None):
                plan = run.plan = await secoda.plan(desired, **rules.arguments())
            host = secoda.origin
        if out is not None:
            write(out, plan.to_json())
        if out is None:
            command = command_line("apply", files, inputs, rules, options, without=NOT_REPEATED)
        else:
            command = command_line("apply", [out], options, without=NOT_REPEATED)
        output.show(console, plan, source=source_name(files), host=host, command=command)
        run.code = exit_code(plan, detailed=detailed_exitcode)
    return run.code


def run_labels(files: Sequence[Path], options: Connection) -> Mapping[str, str]:
    """Return the labels of the metrics of a run: its files, and the name of its workspace if it has one."""
    workspace = {} if options.workspace is None else {"workspace": options.workspace}
    return {"source": abbreviate([str(file) for file in files], _MAX_NAMED), **workspace}


def exit_code(plan: Plan, *, detailed: bool) -> Exit:
    """Return the exit code of a command that shows a plan; `detailed` tells a plan with changes from an empty one."""
    if plan.breaches:
        return Exit.UNSAFE
    if plan.conflicts:
        return Exit.SOME_FAILED
    return Exit.CHANGES if detailed and (plan.changes or plan.held) else Exit.DONE
