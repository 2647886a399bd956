"""The commands, each loaded when it runs, and the one place where a failure becomes an exit code."""

import asyncio
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.logging import RichHandler
from rich.traceback import Traceback

from secoda_async import SecodaError, __version__
from secoda_async.cli.exit_codes import CommandError, Exit, as_document, exit_for, told
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import OutputConsole, Screen
from secoda_async.cli.signals import until_terminated
from secoda_async.reconcile.escape import escape_control

_HERE: Final = "secoda_async.cli.commands"

_WIDEST_HELP: Final = 100
"""Columns of a help page: longer lines are hard to read."""

app: App = App(
    name="secoda-async",
    help="Secoda's user groups from the command line. Try `secoda-async demo`: it needs no account.",
    version=__version__,
    help_format="plaintext",
)
app.command(
    f"{_HERE}.demo:demo",
    name="demo",
    help="Load groups into an emulated workspace, and bring them to another date.\n\n"
    "Each time: plan, apply, read all of it back, compare it with the file, and plan again. Nothing leaves this "
    "machine and no account is needed. At the default speed a minute passes in a second.",
)
app.command(f"{_HERE}.emulate:emulator", name="emulator", help="Run an emulated workspace until Ctrl-C.")
app.command(f"{_HERE}.doctor:doctor", name="doctor", help="Say how far a call gets, and what to do if not.")
app.command(
    f"{_HERE}.reconcile:plan_command",
    name="plan",
    help="Show what a file of groups would change.\n\nNothing is written: a dry run sends only GET.",
)
app.command(
    f"{_HERE}.reconcile:apply_command",
    name="apply",
    help="Bring the workspace to the state of a file, or carry out a saved plan.\n\n"
    "It shows the plan and asks; without a terminal it needs --yes or a saved plan. Ctrl-C and the deadline end it "
    "after the writes that are under way: run it again, and it goes on.",
)
app.command(
    f"{_HERE}.reconcile:export_command",
    name="export",
    help="Print the workspace's groups as a file.\n\nplan and apply read it: planning it again finds nothing to do.",
)
app.command(
    f"{_HERE}.reconcile:schema_command",
    name="schema",
    help="Print the JSON Schema of a file of groups, for editors.",
)

groups: App = App(name="groups", help="List, read, create, change and delete groups.")
for _name, _about in (
    ("list", "List every group of the workspace."),
    ("get", "Show one group."),
    ("create", "Create a group."),
    ("update", "Change what is given and nothing else."),
    ("delete", "Delete a group."),
    ("add-users", "Add members to a group."),
    ("remove-users", "Remove members from a group."),
):
    groups.command(f"{_HERE}.groups:{_name.replace('-', '_')}_command", name=_name, help=_about)
app.command(groups)

users: App = App(name="users", help="List users.")
users.command(f"{_HERE}.users:list_command", name="list", help="List every user of the workspace.")
app.command(users)


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    is_closed = sys.stdout is None  # pyright: ignore[reportUnnecessaryComparison]
    _prepare_streams()
    output = Output(json=_wants_json(arguments), debug="--debug" in arguments)
    screen = Screen(output)
    if output.debug:
        handler = RichHandler(console=screen.err, show_path=False, rich_tracebacks=True)
        handler.setFormatter(_Escaping("%(name)s: %(message)s"))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    try:
        return _run_and_flush(arguments, is_closed=is_closed)
    except KeyboardInterrupt:
        failed: Exception = CommandError("interrupted", Exit.INTERRUPTED)
    except CycloptsError as error:
        failed = CommandError(f"{' '.join(str(error).split())} (see secoda-async --help)", Exit.USAGE)
    except (SecodaError, CommandError) as error:
        failed = error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        return Exit.CLOSED_PIPE
    except OSError as error:
        failed = CommandError(f"the output can't be written: {error.strerror or type(error).__name__}", Exit.ERROR)
    except Exception as error:  # noqa: BLE001 - the command line's last line
        failed = error
    _report(screen, failed)
    return exit_for(failed)


def _run_and_flush(arguments: Sequence[str], *, is_closed: bool) -> int:
    if is_closed:
        raise CommandError("standard output is closed: nothing was done", Exit.ERROR)
    code = _run(arguments)
    sys.stdout.flush()  # while a failure still has an exit code
    return code


def _run(arguments: Sequence[str]) -> int:
    app.console = OutputConsole(width=min(Console().width, _WIDEST_HELP))
    command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
    result: Any = command(*bound.args, **bound.kwargs)
    if inspect.iscoroutine(result):
        result = asyncio.run(until_terminated(result))
    return result if isinstance(result, int) else Exit.DONE


def _prepare_streams() -> None:
    """Make them usable: a stream may be closed, or not be able to write every character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
        elif mode == "w" and hasattr(stream, "reconfigure") and not stream.isatty():
            stream.reconfigure(encoding="utf-8", newline="\n")  # files and pipes, on Windows too
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether stdout is to be a document, however the rest of the line turns out."""
    alone = {"--json", "--json=true", "--format=json"} & set(arguments)
    return bool(alone) or ("--format", "json") in pairwise(arguments)


def _report(screen: Screen, error: Exception) -> None:
    if screen.output.json:
        with suppress(OSError):
            screen.document(as_document(error))
    if screen.output.debug:
        traceback = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=False)
        for stack in traceback.trace.stacks:
            stack.exc_value = escape_control(stack.exc_value)
        screen.err.print(traceback)
    if isinstance(error, SecodaError | CommandError):
        first, *others = told(error)
    else:
        first, *others = [f"{type(error).__name__}: {error} (a bug: run again with --debug and report it)"]
    for line in (f"secoda-async: {first}", *others):
        screen.note(line, style="red")


class _Escaping(logging.Formatter):
    """Shows each record in one line that is safe to show; a traceback follows in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return escape_control(super().formatMessage(record))
