"""Check an emulator against its OpenAPI document with schemathesis: generated requests, and the responses to them.

python tests/contract/openapi_check.py [--seed 1] [--max-examples 10]     # needs schemathesis
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Final

from secoda_async.emulator import Emulator

EXCLUDED: Final = ("positive_data_acceptance", "negative_data_rejection")
"""Members must be ids of users, which the document can't say; the framework accepts `?page=` and malformed forms."""
NEEDED: Final = {
    ("GET", 200),
    ("POST", 201),
    ("PATCH", 200),
    ("DELETE", 204),
    ("POST", 400),
    ("GET", 404),
    ("GET", 401),
}
"""Responses without which the run has not tried the calls."""


async def check(seed: int, max_examples: int) -> int:
    """Run schemathesis, and return its exit code; 1 if it has not tried every call."""
    users = [{"id": "u1", "email": "u1@example.com"}]
    emulator = Emulator(groups=3, users=users, page_size=2, writes_per_window=None)
    with TemporaryDirectory() as directory:  # schemathesis leaves files where it runs
        async with emulator:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{emulator.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {emulator.api_key}", "--exclude-checks", ",".join(EXCLUDED)),
                *("--seed", str(seed), "--max-examples", str(max_examples), "--no-color"),
                cwd=directory,
            )
            code = await process.wait()
    seen = Counter((record.method, record.status) for record in emulator.requests)
    missing = NEEDED - seen.keys()
    if missing:
        sys.stderr.write(f"no request had one of these outcomes: {sorted(missing, key=str)}\n")
    return code or int(bool(missing))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and run the check."""
    parser = argparse.ArgumentParser(description="Check an emulator against its OpenAPI document.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-examples", type=int, default=10)
    options = parser.parse_args(arguments)
    return asyncio.run(check(options.seed, options.max_examples))


if __name__ == "__main__":
    sys.exit(main())
