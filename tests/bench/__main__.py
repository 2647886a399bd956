"""Run the benchmark and print the results.

python -m tests.bench [--jobs a,b] [--contenders httpx,openai] [--rounds 5] [--scale 1.0] [--json FILE] [--write]
python -m tests.bench --package ANOTHER_CHECKOUT --label before --json before.json
python -m tests.bench --render FILE [FILE ...] [--write]
"""

import argparse
import json
import sys
from pathlib import Path

import cattrs

from tests.bench import children, report, runner
from tests.bench.contenders import CONTENDERS
from tests.bench.results import JOBS, SCALING, Results, merge_runs

DOCS = Path(__file__).parents[2] / "docs"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--jobs", type=_split_list, default=[*JOBS, SCALING], help=f"letters of jobs, or {SCALING} (default: all)"
    )
    options.add_argument(
        "--contenders", type=_split_list, default=list(CONTENDERS), help="names of clients (default: all)"
    )
    options.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default: 5)")
    options.add_argument("--scale", type=float, default=1.0, help="fraction of the calls to make (default: 1.0)")
    options.add_argument("--package", type=Path, help="measure secoda_async of this checkout in place of this one")
    options.add_argument("--label", default="", help="heading of the column (default: the version of Python)")
    options.add_argument("--json", type=Path, help="write the results to this file")
    options.add_argument(
        "--render",
        type=Path,
        nargs="+",
        help="measure nothing; print the medians of the results in these files, one column for each label",
    )
    options.add_argument("--write", action="store_true", help="write the results to docs/performance.md and its chart")
    return options


def main() -> None:
    options = parser()
    arguments = options.parse_args()
    for given, known in ((arguments.jobs, (*JOBS, SCALING)), (arguments.contenders, CONTENDERS)):
        if unknown := set(given) - set(known):
            options.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    columns = merge_runs(map(_load, arguments.render)) if arguments.render else [_run(arguments)]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(cattrs.unstructure(columns[0]), indent=1), "utf-8")
    if arguments.write:
        report.write(DOCS / "performance.md", DOCS / "performance.svg", columns)
    print(report.markdown(columns))


def _run(arguments: argparse.Namespace) -> Results:
    with children.package_of(arguments.package):
        return runner.run(
            arguments.jobs, arguments.contenders, arguments.rounds, arguments.scale, _say, arguments.label
        )


def _load(path: Path) -> Results:
    return cattrs.structure(json.loads(path.read_text("utf-8")), Results)


def _split_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
