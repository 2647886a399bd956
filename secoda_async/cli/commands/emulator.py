"""`secoda-async emulator`."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.options import Flag, Output
from secoda_async.cli.output.console import Console
from secoda_async.cli.seed_files import SeedFiles
from secoda_async.emulator import Emulator

_DEFAULT = Output()


async def emulator_command(  # noqa: PLR0913 - each is an option
    *,
    port: Annotated[int, Parameter(help="Port on 127.0.0.1; 0 selects a free one.")] = 8080,
    groups: Annotated[int, Parameter(help="Number of generated groups.")] = 60,
    users: Annotated[int, Parameter(help="Number of generated users.")] = 120,
    file: Annotated[
        Path | None, Parameter(help="Start with the groups of this file instead of generated ones.")
    ] = None,
    api_key: Annotated[str | None, Parameter(help="API key to accept (default: a random one).")] = None,
    speed: Annotated[float, Parameter(help="Clock speed-up factor (1 = real time).")] = 1.0,
    latency: Annotated[float, Parameter(help="Seconds before each response.")] = 0.0,
    trailing_slash: Annotated[Flag, Parameter(help="Redirect to paths with a trailing slash.")] = False,
    cursor_lists: Annotated[Flag, Parameter(help="Paginate with cursors instead of page numbers.")] = False,
    docs_literals: Annotated[
        Flag, Parameter(help='Return the text "None" instead of null, as the API docs show it.')
    ] = False,
    options: Output = _DEFAULT,
) -> None:
    """Run an emulated workspace until Ctrl-C."""
    console = Console(options)
    seeds = None if file is None else SeedFiles.read([file])
    try:
        server = Emulator(
            port=port,
            groups=groups if seeds is None else seeds.groups(),
            users=users if seeds is None else seeds.users,
            api_key=api_key,
            speed=speed,
            latency=latency,
            trailing_slash=trailing_slash,
            cursor_lists=cursor_lists,
            docs_literals=docs_literals,
            page=True,
        )
        await server.start()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandError(
            f"can't listen on 127.0.0.1:{port}: {reason}. Choose another --port (0: any)", Exit.ERROR
        ) from None
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    try:
        if options.json:
            console.print_json({"url": server.url, "api_key": server.api_key})
        else:
            console.print(f"export SECODA_BASE_URL={server.url}")
            console.print(f"export SECODA_API_KEY={server.api_key}")
            size = f"{len(server.groups)} groups, {len(server.users)} users"
            console.info(f"# {size}; open {server.url}/ in a browser; press Ctrl-C to stop")
        await asyncio.Event().wait()
    finally:
        await server.close()
