"""`secoda-async show`: print a saved plan."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secoda_async import Plan
from secoda_async.cli.command_line import command_line
from secoda_async.cli.files import check_outputs
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.plans import PlanOutput
from secoda_async.cli.signals import interrupt_on_signal

_DEFAULT = Output()
_TO_STDOUT = PlanOutput()


def show_command(
    plan: Annotated[Path, Parameter(allow_leading_hyphen=True, help="A plan that `plan --out` saved; - is stdin.")],
    /,
    *,
    output: PlanOutput = _TO_STDOUT,
    options: Output = _DEFAULT,
) -> None:
    """Print a saved plan in any format. Needs no key and no network; a plan that was edited is refused.

    The exit code is 0 also for a plan that apply would refuse; `plan` has an exit code for that.
    """
    output.check(options)
    check_outputs({"--output": output.output}, [plan])
    with interrupt_on_signal():
        saved = Plan.load(plan)
    command = "" if str(plan) == "-" else command_line("apply", [plan])
    output.show(Console(options), saved, source=plan.name, host=saved.origin, command=command)
