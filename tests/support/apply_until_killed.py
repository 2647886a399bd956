"""Apply a file to an emulated workspace in a process that a test can kill.

    python tests/support/apply_until_killed.py FILE LOG SPEED

The environment has the emulator's URL and API key. Exits with 0 if the report of the apply is ok.
"""

import asyncio
import sys

from secoda_async import DesiredState, ScaledClock, SecodaClient


async def main(file: str, log: str, speed: float) -> bool:
    # The clock runs faster, this machine does not: the timeout is 30 real seconds.
    async with SecodaClient(clock=ScaledClock(speed), timeout=30 * speed) as secoda:
        plan = await secoda.plan(DesiredState.load(file), prune=True)
        return (await secoda.apply(plan, log=log)).ok


if __name__ == "__main__":
    sys.exit(not asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
