"""`secoda-async emulator`: a workspace on this machine, for as long as the command runs."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Screen
from secoda_async.cli.workspace import Workspace
from secoda_async.emulator import Emulator

_DEFAULT = Output()


async def emulator(  # noqa: PLR0913 - one for each switch
    *,
    port: Annotated[int, Parameter(help="Where to listen on 127.0.0.1; 0 takes a free one.")] = 8080,
    groups: Annotated[int, Parameter(help="Groups to make up.")] = 60,
    users: Annotated[int, Parameter(help="Users to make up.")] = 120,
    file: Annotated[
        Path | None, Parameter(help="Groups to start with, in place of made-up ones (YAML or JSON).")
    ] = None,
    api_key: Annotated[str | None, Parameter(help="The key to accept; made up otherwise.")] = None,
    speed: Annotated[float, Parameter(help="How many times faster than the world its clock runs.")] = 1.0,
    latency: Annotated[float, Parameter(help="Seconds before each answer.")] = 0.0,
    trailing_slash: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Redirect to paths with a slash.")
    ] = False,
    cursor_lists: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Page with cursors instead of numbers.")
    ] = False,
    docs_literals: Annotated[
        bool, Parameter(negative=(), show_default=False, help='Show "None" where null is meant, as the docs do.')
    ] = False,
    options: Output = _DEFAULT,
) -> None:
    """Run an emulated workspace until Ctrl-C."""
    screen = Screen(options)
    workspace = None if file is None else Workspace.read([file])
    try:
        server = Emulator(
            port=port,
            groups=groups if workspace is None else workspace.seeds(),
            users=users if workspace is None else workspace.users,
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
            screen.document({"url": server.url, "api_key": server.api_key})
        else:
            screen.say(f"export SECODA_BASE_URL={server.url}")
            screen.say(f"export SECODA_API_KEY={server.api_key}")
            what = f"{len(server.groups)} groups, {len(server.users)} users"
            screen.note(f"# {what}; look at {server.url}/ in a browser; Ctrl-C ends it")
        await asyncio.Event().wait()
    finally:
        await server.close()
