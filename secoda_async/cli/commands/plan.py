"""`secoda-async plan`, and the rules of a plan, which `apply` takes too."""

from pathlib import Path
from typing import Annotated, Any, Literal

from attrs import asdict, define
from cyclopts import Group, Parameter

from secoda_async import Plan
from secoda_async.cli.command_line import command_line
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.files import write
from secoda_async.cli.inputs import DEFAULT_INPUTS, Files, Inputs, source_name
from secoda_async.cli.options import Connection, Flag, Texts
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.plans import PlanOutput

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
_TO_STDOUT = PlanOutput()


async def plan_command(
    files: Files,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Save the plan to this file, for apply.")] = None,
    detailed_exitcode: Annotated[Flag, Parameter(help="Exit with 2 if the plan has changes or held members.")] = False,
    inputs: Inputs = DEFAULT_INPUTS,
    output: PlanOutput = _TO_STDOUT,
    rules: Rules = DEFAULT_RULES,
    options: Connection = _DEFAULT,
) -> int:
    """Show the changes that make the workspace match files of groups. Nothing is written.

    The exit code is the one of apply: 3 if a group could not be planned, 4 if the plan needs an approval.
    """
    console = Console(options)
    inputs.check_outputs({"--out": out, "--output": output.output}, files, [options.api_key_file])
    desired = inputs.load(files)
    async with options.client() as secoda:
        with console.progress("reading the workspace", None):
            plan = await secoda.plan(desired, **rules.arguments())
        host = secoda.origin
    if out is not None:
        write(out, plan.to_json())
    unused = ("json", "debug")
    command = command_line("apply", files, inputs, rules, options, without=unused)
    if out is not None:
        command = command_line("apply", [out], options, without=unused)
    output.show(console, plan, source=source_name(files), host=host, command=command)
    return exit_code(plan, detailed=detailed_exitcode)


def exit_code(plan: Plan, *, detailed: bool) -> Exit:
    """Return the exit code of a command that shows a plan; `detailed` tells a plan with changes from an empty one."""
    if plan.breaches:
        return Exit.UNSAFE
    if plan.conflicts:
        return Exit.SOME_FAILED
    return Exit.CHANGES if detailed and (plan.changes or plan.held) else Exit.DONE
