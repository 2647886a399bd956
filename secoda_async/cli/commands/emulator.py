"""`secoda-async emulator`."""

import asyncio
import os
from typing import Annotated, Any

from cyclopts import Parameter

from secoda_async.cli.emulator_options import Behavior, Server
from secoda_async.cli.emulator_script import EmulatorScript
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.inputs import DEFAULT_INPUTS, Inputs
from secoda_async.cli.options import Flag, Output
from secoda_async.cli.output.console import Console
from secoda_async.cli.seed_files import SeedFiles
from secoda_async.config import is_loopback
from secoda_async.emulator import Emulator, StateFileError
from secoda_async.reconcile.wording import count

_SERVER = Server()
_BEHAVIOR = Behavior()
_OUTPUT = Output()


async def emulator_command(
    *,
    openapi: Annotated[Flag, Parameter(help="Print the OpenAPI document of the calls, and end.")] = False,
    server: Server = _SERVER,
    inputs: Inputs = DEFAULT_INPUTS,
    behavior: Behavior = _BEHAVIOR,
    options: Output = _OUTPUT,
) -> None:
    """Run an emulated workspace until Ctrl-C."""
    console = Console(options)
    emulator = _make(server, inputs, behavior)
    if openapi:
        console.print_json(emulator.openapi())
        return
    if ignored := server.ignored(is_restored=server.state is not None and server.state.exists()):
        console.warn(f"warning: {ignored}")
    if not is_loopback(server.host):
        console.warn(
            f"warning: {server.host} is not a loopback address: everybody who can reach this machine can read and "
            "change the workspace"
        )
    try:
        await _run(emulator, server, console, options)
    except StateFileError as error:
        raise CommandError(f"the state file {error}", Exit.ERROR) from None


def _make(server: Server, inputs: Inputs, behavior: Behavior) -> Emulator:
    """Return the emulator, not started, with the stubs and faults of the script.

    Raises:
        CommandError: If an option or a file can't be used.
    """
    if server.file is None and inputs != DEFAULT_INPUTS:
        raise CommandError("--columns and --input describe a file of groups: pass --file too", Exit.USAGE)
    seeds = None if server.file is None else SeedFiles.read([server.file], inputs=inputs)
    script = None if server.script is None else EmulatorScript.read(server.script)
    workspace: dict[str, Any] = dict(server.generated())
    if seeds is not None:
        workspace |= {"groups": seeds.groups(), "users": seeds.users}
    try:
        emulator = Emulator(
            host=server.host,
            port=server.port,
            state_file=server.state,
            api_key=server.api_key,
            speed=server.speed,
            page=True,
            **workspace,
            **behavior.settings(),
        )
    except ValueError as error:
        raise CommandError(_with_option(str(error)), Exit.USAGE) from None
    except StateFileError as error:
        raise CommandError(f"the state file {error}", Exit.BAD_INPUT) from None
    if script is not None:
        script.apply(emulator)
    return emulator


def _with_option(message: str) -> str:
    """Return a message of `Emulator` with the option in place of the attribute at its beginning."""
    name, space, rest = message.partition(" ")
    is_option = any(hasattr(defaults, name) for defaults in (_SERVER, _BEHAVIOR))
    return f"--{name.replace('_', '-')}{space}{rest}" if is_option else message


async def _run(emulator: Emulator, server: Server, console: Console, options: Output) -> None:
    try:
        await emulator.start()
    except StateFileError:
        raise
    except OSError as error:
        number = error.errno or 0  # below 0 if a name is unknown; Python 3.13 has none for an address elsewhere
        reason = os.strerror(number) if number > 0 else error.strerror or "this machine has no such address"
        hint = "Choose another --port (0: any)" if server.host == "127.0.0.1" else "Choose another --host or --port"
        raise CommandError(f"can't listen on {server.host}:{server.port}: {reason}. {hint}", Exit.ERROR) from None
    try:
        if options.json:
            console.print_json({"url": emulator.url, "api_key": emulator.api_key})
        else:
            console.print(f"export SECODA_BASE_URL={emulator.url}")
            console.print(f"export SECODA_API_KEY={emulator.api_key}")
            size = f"{count(len(emulator.groups), 'group')}, {count(len(emulator.users), 'user')}"
            console.info(f"# {size}; press Ctrl-C to stop")
            console.info(f"# in a browser: {emulator.url}/")
        await asyncio.Event().wait()
    finally:
        await emulator.close()
