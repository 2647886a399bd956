"""Run the benchmark and print the results.

python -m tests.bench [--jobs a,b] [--contenders httpx,openai] [--rounds 5] [--scale 1.0] [--json FILE] [--write]
python -m tests.bench --render FILE [--write]
"""

import argparse
import json
import sys
from pathlib import Path

import cattrs

from tests.bench import report, runner
from tests.bench.contenders import CONTENDERS
from tests.bench.results import JOBS, Results

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=_listed, default=list(JOBS), help="letters of jobs (default: all)")
    parser.add_argument("--contenders", type=_listed, default=list(CONTENDERS), help="names of clients (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the calls to make (default: 1.0)")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--render", type=Path, help="print the results in this file; measure nothing")
    parser.add_argument("--write", action="store_true", help="write the results to docs/performance.md")
    arguments = parser.parse_args()
    for given, known in ((arguments.jobs, JOBS), (arguments.contenders, CONTENDERS)):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    if arguments.render is None:
        results = runner.run(arguments.jobs, arguments.contenders, arguments.rounds, arguments.scale, _say)
    else:
        results = cattrs.structure(json.loads(arguments.render.read_text("utf-8")), Results)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(cattrs.unstructure(results), indent=1), "utf-8")
    if arguments.write:
        report.write(DOCS / "performance.md", DOCS / "performance.svg", results)
    print(report.markdown(results))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
