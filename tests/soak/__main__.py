"""Run the soak: thousands of operations on the emulator, or hundreds of short runs on a hostile server.

python -m tests.soak emulator [--seed 1]... [--operations 6000] [--json]
python -m tests.soak hostile [--seed 1] [--runs 200] [--run 17]
"""

import argparse
import logging
import sys
from collections.abc import Sequence

import tests.soak.emulated.run as emulated
import tests.soak.hostile.run as hostile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak that the command line names, and return 1 if it violated an invariant."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Run operations while faults occur.")
    commands = parser.add_subparsers(required=True)
    for name, soak in {"emulator": emulated, "hostile": hostile}.items():
        command = commands.add_parser(name, help=soak.SUMMARY, description=soak.SUMMARY)
        soak.add_options(command)
        command.set_defaults(command=soak.run_command)
    options = parser.parse_args(arguments)
    logging.getLogger("secoda_async").addHandler(logging.NullHandler())  # lists that move while read are expected here
    return int(options.command(options))


if __name__ == "__main__":
    sys.exit(main())
