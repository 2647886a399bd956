"""Run the emulator in its own process, with a limit of 30 writes a second.

    python -m tests.bench.emulate [--core 1]

Prints `{"url": ..., "key": ...}` at the start, and the numbers of accepted and refused writes when standard input ends.
"""

import argparse
import asyncio
import json
import sys

from secoda_async.emulator import Emulator
from tests.bench.cores import pin


async def serve() -> None:
    async with Emulator(window=1.0) as emulator:
        print(json.dumps({"url": emulator.url, "key": emulator.api_key}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        statuses = [request.status for request in emulator.requests]
        print(json.dumps({"taken": statuses.count(201), "refused": statuses.count(429)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=int, default=None)
    pin(parser.parse_args().core)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
