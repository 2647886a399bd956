"""Brings an emulated workspace to the state of a file, as a process of its own that can be killed.

    python tests/support/apply_until_killed.py FILE LOG SPEED

The emulator's address and key come from the environment. Exits with 0 when all is as the file says.
"""

import asyncio
import sys

from secoda_async import DesiredState, ScaledClock, SecodaClient


async def main(file: str, log: str, speed: float) -> bool:
    # The server's day is short, this machine is as slow as ever: an attempt may take real seconds.
    async with SecodaClient(clock=ScaledClock(speed), timeout=30 * speed) as secoda:
        plan = await secoda.plan(DesiredState.load(file), prune=True)
        return (await secoda.apply(plan, log=log)).ok


if __name__ == "__main__":
    sys.exit(not asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
