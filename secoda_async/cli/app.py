"""The commands, each imported when it runs, and the one function that turns an error into an exit code."""

import asyncio
import inspect
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

from cyclopts import App, CycloptsError
from rich.console import Console as RichConsole
from rich.logging import RichHandler
from rich.traceback import Traceback

from secoda_async import SecodaError, __version__
from secoda_async._engine.wire.redaction import redact
from secoda_async.cli.exit_codes import CommandError, Exit, as_document, exit_for, format_error
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Console, make_console, to_json, write_stdout
from secoda_async.cli.signals import until_terminated
from secoda_async.cli.usage import usage_message
from secoda_async.reconcile.escape import escape_control

_SHORTEST_KEY: Final = 17
"""Characters: a shorter text is not redacted, because it may occur in any message."""

_MAX_HELP_WIDTH: Final = 100
"""Columns of a help text: longer lines are hard to read."""

app: App = App(
    name="secoda-async",
    help="Manage Secoda user groups. Try `secoda-async demo`: it needs no account.",
    version=__version__,
    version_flags=("--version", "-V"),
    help_format="plaintext",
)


def _add_commands(parent: App, helps: Mapping[str, str], module: str | None = None) -> None:
    """Add commands; each is imported when it runs. Without a module, each has one of its own name."""
    for name, text in helps.items():
        function = f"{name.replace('-', '_')}_command"
        parent.command(f"secoda_async.cli.commands.{module or name}:{function}", name=name, help=text)


_add_commands(
    app,
    {
        "demo": "Load groups into an emulated workspace, then apply a later version of the file.\n\n"
        "Each time: plan, apply, read back, compare with the file, and plan again. Nothing leaves this machine, and no "
        "account is needed. At the default speed a minute takes a second.",
        "emulator": "Run an emulated workspace until Ctrl-C.",
        "doctor": "Check connectivity, credentials and access, and report the form of the responses.\n\n"
        "Read-only, unless --probe: then it asks, writes to groups that are made for it, deletes them, and prints a "
        "sheet.",
        "validate": "Check files of groups, and print every problem with its location.\n\nNeeds no key and no network.",
        "plan": "Show the changes that make the workspace match a file.\n\nRead-only: sends only GET requests.",
        "show": "Print a saved plan in any format.\n\nNeeds no key and no network. A plan that was edited is refused.",
        "apply": "Make the workspace match a file, or apply a saved plan.\n\n"
        "Shows the plan and asks; without a terminal, --yes or a saved plan is required. On Ctrl-C or at the "
        "deadline, in-flight writes finish: run it again to continue.",
        "undo": "Plan the undo of an apply, from its journal.\n\n"
        "The plan restores what the run changed and nobody has changed since. Read-only: save the plan with --out, and "
        "apply it. A deleted group is created again under a new id.",
        "explain": "Show a person's groups, and the effect of a plan on each.\n\nRead-only: sends only GET requests.",
        "export": "Print the workspace's groups as a file for plan and apply.\n\n"
        "A plan from that file, with the same --only and --ignore, has no changes.",
        "schema": "Print the JSON Schema of a groups file, for editors.",
    },
)

groups: App = App(name="groups", help="List, read, create, change and delete groups.")
_add_commands(
    groups,
    {
        "list": "List every group of the workspace.",
        "get": "Show one group.",
        "create": "Create a group.",
        "update": "Change the given fields and no others.",
        "delete": "Delete a group.",
        "add-users": "Add members to a group.",
        "remove-users": "Remove members from a group.",
    },
    "groups",
)
app.command(groups)

users: App = App(name="users", help="List and read users.")
_add_commands(
    users, {"list": "List every user of the workspace.", "get": "Show one user, and the user's groups."}, "users"
)
app.command(users)

app.command(
    "secoda_async.cli.completion:completion_command",
    name="completion",
    help="Print the completion script of a shell: bash, zsh or fish.\n\nIts last lines say how to install it.",
)


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    is_stdout_closed = sys.stdout is None  # pyright: ignore[reportUnnecessaryComparison]
    _prepare_streams()
    if "".join(arguments[:1]) == "help":
        arguments = [*arguments[1:], "--help"]
    output = Output(json=_wants_json(arguments), debug="--debug" in arguments, no_color="--no-color" in arguments)
    console = Console(output)
    app.console = make_console(output, width=min(RichConsole().width, _MAX_HELP_WIDTH))
    if output.debug:
        handler = RichHandler(console=console.err, show_path=False, rich_tracebacks=True)
        handler.setFormatter(_Escaping("%(name)s: %(message)s"))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    try:
        return _run_and_flush(arguments, is_stdout_closed=is_stdout_closed)
    except KeyboardInterrupt:
        failure: Exception = CommandError("interrupted", Exit.INTERRUPTED)
    except CycloptsError as error:
        failure = CommandError(usage_message(app, error, arguments), Exit.USAGE)
    except (SecodaError, CommandError) as error:
        failure = error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit must not fail again
        return Exit.CLOSED_PIPE
    except OSError as error:
        failure = CommandError(f"the output can't be written: {error.strerror or type(error).__name__}", Exit.ERROR)
    except Exception as error:  # noqa: BLE001 - the last resort: a bug is reported, not shown as a traceback
        failure = error
    _report(console, failure)
    return exit_for(failure)


def _run_and_flush(arguments: Sequence[str], *, is_stdout_closed: bool) -> int:
    if is_stdout_closed:
        raise CommandError("standard output is closed: nothing was done", Exit.ERROR)
    code = _run(arguments)
    sys.stdout.flush()  # at exit, an error could no longer change the exit code
    return code


def _run(arguments: Sequence[str]) -> int:
    command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
    result: Any = command(*bound.args, **bound.kwargs)
    if inspect.iscoroutine(result):
        result = asyncio.run(until_terminated(result))
    return result if isinstance(result, int) else Exit.DONE


def _prepare_streams() -> None:
    """Replace closed streams, and escape the characters that a stream can't encode."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - never closed
        elif mode == "w" and hasattr(stream, "reconfigure") and not stream.isatty():
            stream.reconfigure(encoding="utf-8", newline="\n")  # files and pipes, on Windows too
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether errors go to stdout as JSON; the arguments may be too wrong to parse."""
    flags = {"--json", "--json=true", "--format=json"} & set(arguments)
    return bool(flags) or ("--format", "json") in pairwise(arguments)


def _report(console: Console, error: Exception) -> None:
    if console.output.json:
        with suppress(OSError):
            write_stdout(_without_key(to_json(as_document(error))))
    if console.output.debug:
        traceback = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=False)
        for stack in traceback.trace.stacks:
            stack.exc_value = escape_control(_without_key(stack.exc_value))
        console.err.print(traceback)
    if isinstance(error, SecodaError | CommandError):
        first, *others = format_error(error)
    else:
        first, *others = [f"{type(error).__name__}: {error} (a bug: run again with --debug and report it)"]
    for line in (f"secoda-async: {first}", *others):
        console.error(_without_key(line))


def _without_key(text: str) -> str:
    """Redact the API key: it may be in an argument by mistake, and a message may repeat the argument."""
    key = os.environ.get("SECODA_API_KEY", "")
    return redact(text, key) if len(key) >= _SHORTEST_KEY else text


class _Escaping(logging.Formatter):
    """Escapes each record to one line; a traceback follows on separate lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return escape_control(_without_key(super().formatMessage(record)))
