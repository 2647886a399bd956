"""`secoda-async export`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from secoda_async.cli.files import check_outputs
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Console, write_or_print
from secoda_async.reconcile.files.writing import dump_groups

_DEFAULT = Connection()


async def export_command(
    *,
    format: Annotated[Literal["yaml", "json", "csv"], Parameter(help="File format.")] = "yaml",  # noqa: A002
    members: Annotated[Literal["emails", "ids"], Parameter(help="Name members by e-mail address or id.")] = "emails",
    output: Annotated[Path | None, Parameter(help="Write to this file instead of stdout, only on success.")] = None,
    options: Connection = _DEFAULT,
) -> None:
    """Print the workspace's groups as a file for plan and apply."""
    console = Console(options)
    check_outputs({"--output": output}, [options.api_key_file])
    async with options.client() as secoda:
        with console.progress("reading the workspace", None):
            groups = await secoda.groups.snapshot()
            users = await secoda.users.snapshot() if members == "emails" else []
    write_or_print(dump_groups(groups, users, "json" if options.json else format, members), output)
