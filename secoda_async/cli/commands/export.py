"""`secoda-async export`."""

import os
import stat
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from secoda_async.cli.connection import Connection
from secoda_async.cli.files import check_outputs
from secoda_async.cli.options import OutputFile, Texts
from secoda_async.cli.output.console import Console, write_or_print
from secoda_async.reconcile.files.writing import dump_groups
from secoda_async.reconcile.safety import Rules

_DEFAULT = Connection()

_BYTE_ORDER_MARK: Final = "\ufeff"
"""Written first to a CSV file, because Excel reads UTF-8 only with it; not to a pipe, whose reader may keep it."""


async def export_command(
    *,
    format: Annotated[Literal["yaml", "json", "csv"], Parameter(help="File format.")] = "yaml",  # noqa: A002
    members: Annotated[Literal["emails", "ids"], Parameter(help="Name members by e-mail address or id.")] = "emails",
    only: Annotated[Texts, Parameter(help="Pattern of the names to export, e.g. 'Team*'; may be repeated.")] = None,
    ignore: Annotated[Texts, Parameter(help="Pattern of names to leave out; may be repeated.")] = None,
    output: OutputFile = None,
    options: Connection = _DEFAULT,
) -> None:
    """Print the workspace's groups as a file for plan and apply."""
    console = Console(options)
    scope = Rules(only=only or (), ignore=ignore or ()).scope
    check_outputs({"--output": output}, [options.api_key_file])
    async with options.client() as secoda:
        with console.progress("reading the workspace", None):
            groups = await secoda.groups.snapshot()
            users = await secoda.users.snapshot() if members == "emails" else []
    inside = [group for group in groups if scope.contains(group.name)]
    if scope.is_limited and not inside:
        console.warn("warning: no group fits --only and --ignore: check the patterns")
    file_format = "json" if options.json else format
    text = dump_groups(inside, users, file_format, members)
    mark = _byte_order_mark(output) if file_format == "csv" else ""
    write_or_print(f"{mark}{text}", output)


def _byte_order_mark(output: Path | None) -> str:
    """Return the byte order mark of a CSV file; an empty string for a pipe or a terminal."""
    return _BYTE_ORDER_MARK if output is not None or _is_stdout_a_file() else ""


def _is_stdout_a_file() -> bool:
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # a stream in memory
        return False
