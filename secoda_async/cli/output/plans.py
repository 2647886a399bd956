"""A plan in each output format, for the commands that show one."""

import io
import json
from pathlib import Path
from typing import Annotated, Final, Literal

from attrs import define
from cyclopts import Group, Parameter
from rich.console import Console as RichConsole

from secoda_async import InvalidArgumentError, Plan
from secoda_async.cli.options import Flag, Output, OutputFile
from secoda_async.cli.output.console import PIPED_WIDTH, Console, print_text, to_json, write_or_print
from secoda_async.cli.output.html import plan_page
from secoda_async.cli.output.times import estimate
from secoda_async.reconcile.markdown import render_markdown
from secoda_async.reconcile.render import StyledLine, render_text

PlanFormat = Literal["text", "json", "markdown", "html"]

Verbose = Annotated[
    Flag, Parameter(name=("--verbose", "-v"), help="Name every group and member that is only counted otherwise.")
]
SummaryOnly = Annotated[Flag, Parameter(help="Leave out the changes: print the notes, the problems and the summary.")]

_STYLES: Final = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "added": "green",
    "removed": "red",
    "note": "dim",
    "attention": "yellow",
    "warning": "bold red",
    "summary": "bold",
}


@Parameter(name="*", group=Group("Format", sort_key=6))
@define(kw_only=True)
class PlanOutput:
    """The options of a command that shows a plan."""

    format: Annotated[PlanFormat, Parameter(help="Output format; html is a web page.")] = "text"
    output: OutputFile = None
    verbose: Verbose = False
    summary_only: SummaryOnly = False

    def check(self, options: Output) -> None:
        """Refuse two formats, and --summary-only for a format that always has the whole plan.

        Raises:
            InvalidArgumentError: If options contradict each other.
        """
        if options.json and self.format in ("markdown", "html"):
            raise InvalidArgumentError(f"--json and --format {self.format} are two formats: leave one out")
        if self.summary_only and (options.json or self.format != "text"):
            raise InvalidArgumentError("--summary-only goes with --format text: other formats have the whole plan")

    def show(self, console: Console, plan: Plan, *, source: str, host: str, command: str = "") -> None:
        """Print a plan, or write it to a file; only a terminal gets colors.

        A page shows the source, the host, and the command line that applies the plan.
        """
        output_format = "json" if console.output.json else self.format
        most = 0 if self.summary_only else None
        if self.output is None and output_format == "text":
            print_plan(console.out, plan, most=most, verbose=self.verbose)
        else:
            text = format_plan(
                plan, output_format, source=source, host=host, command=command, most=most, verbose=self.verbose
            )
            write_or_print(text, self.output)
        if self.output is not None:
            _print_written(console, plan, self.output)


def _print_written(console: Console, plan: Plan, file: Path) -> None:
    """Print the summary of a plan that a file has: an exit code of 3 or 4 without a word would help nobody."""
    text = f"{file}: {plan.summary()}" + ("; needs an approval" if plan.breaches else "")
    (console.warn if plan.breaches or plan.conflicts else console.info)(text)


def format_plan(
    plan: Plan,
    output_format: PlanFormat,
    *,
    source: str,
    host: str,
    command: str = "",
    most: int | None = None,
    verbose: bool = False,
) -> str:
    """Return a plan in an output format; see `PlanOutput.show`."""
    if output_format == "json":
        return to_json(json.loads(plan.to_json()))
    if output_format == "markdown":
        return render_markdown(plan)
    if output_format == "html":
        return plan_page(plan, source, host, command)
    return _plan_text(plan, most=most, verbose=verbose)


def print_plan(console: RichConsole, plan: Plan, *, most: int | None = None, verbose: bool = False) -> None:
    """Print the changes of a plan, at most `most` of them, and how long they take."""
    for line in render_text(plan, most=most, verbose=verbose):
        _print_line(console, line)
    if not plan.is_empty:
        _print_line(console, StyledLine(estimate(plan), "note"))
        _print_line(console, StyledLine(f"digest {plan.digest}", "note"))


def _print_line(console: RichConsole, line: StyledLine) -> None:
    print_text(console, line.text, _STYLES.get(line.kind, ""), line.indent)


def _plan_text(plan: Plan, *, most: int | None, verbose: bool) -> str:
    """Return a plan as `print_plan` prints it into a pipe."""
    console = RichConsole(file=io.StringIO(), width=PIPED_WIDTH, highlight=False)
    with console.capture() as captured:
        print_plan(console, plan, most=most, verbose=verbose)
    return captured.get()
