"""Run commands of the CLI in processes of their own, which can receive signals."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from attrs import frozen


@frozen
class Ended:
    code: int | None
    out: str
    """The standard output, if it is a pipe of this process."""
    err: str


async def start(*arguments: str, stdin: Any = asyncio.subprocess.DEVNULL) -> Process:
    command = (sys.executable, "-m", "secoda_async", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=PIPE, stderr=PIPE)


async def ended(process: Process) -> Ended:
    try:
        out, err = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:  # a process that hangs must not disturb the next test
            process.kill()
            await process.wait()
    return Ended(process.returncode, (out or b"").decode(), err.decode())
