"""Check the project: `nox -s tests` runs the tests, and `nox` runs every session that a change must pass."""

import os
import re
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.error_on_missing_interpreters = "CI" in os.environ
nox.options.sessions = ["tests", "lint", "typing", "package", "minimum", "docs", "demo", "soak"]

HERE = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
"""The Python versions of the classifiers."""

EXTRAS = ("cli", "otel", "redis")
WITH_EXTRAS = f".[{','.join(EXTRAS)}]"
IN_PARALLEL = ("-n", "auto")
PROGRAMS = {"redis-server": ("valkey-server",), "chromium": ("chromium-browser", "google-chrome")}
"""Programs that some tests need, each with its alternatives."""
COVERAGE_WITHOUT_PROGRAMS = 95
"""Percentage of lines that the tests must cover on a machine that lacks one of the programs."""


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def coverage_options(session: nox.Session) -> list[str]:
    """Return the options of the coverage report: a lower limit where a missing program makes tests skip."""
    missing = [name for name, others in PROGRAMS.items() if not any(map(shutil.which, (name, *others)))]
    if not missing:
        return []
    limit = str(COVERAGE_WITHOUT_PROGRAMS)
    session.warn(f"without {' and '.join(missing)} some tests are skipped; {limit} % of the lines must be covered")
    omitted = ["--omit", "*/ext/redis*.py"] if "redis-server" in missing else []
    return [*omitted, "--fail-under", limit]


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests and require full coverage; `-- --all` adds the slow ones, other arguments select tests."""
    session.install("-e", WITH_EXTRAS, *group("tests"))
    environment = {"COVERAGE_FILE": str(Path(session.create_tmp()) / "coverage")}
    session.run("coverage", "erase", env=environment)
    session.run("coverage", "run", "-m", "pytest", *IN_PARALLEL, *session.posargs, env=environment)
    if not set(session.posargs) - {"--all"}:  # a selection of tests covers only a part of the package
        session.run("coverage", "combine", "--quiet", env=environment)
        session.run("coverage", "report", *coverage_options(session), env=environment)


@nox.session(python=PYTHONS)
def plain(session: nox.Session) -> None:
    """Run the tests on one Python version without coverage: `nox -s plain-3.13 -- --all`."""
    session.install("-e", WITH_EXTRAS, *group("tests"))
    session.run("pytest", *IN_PARALLEL, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format, the workflows and the Dockerfile."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("zizmor", "--offline", "--no-progress", "--quiet", ".github/workflows")
    session.run("hadolint", "docs/examples/Dockerfile")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types with mypy and pyright, both strict, and that the installed package is completely typed."""
    session.install(WITH_EXTRAS, *group("typing"))
    session.run("mypy")
    session.run("pyright")
    program = HERE / "tests" / "typing" / "program.py"
    with session.chdir(session.create_tmp()):  # outside the checkout, so that the installed package is found
        session.run("mypy", "--strict", str(program))
        session.run("pyright", str(program))
        session.run("pyright", "--verifytypes", "secoda_async", "--ignoreexternal")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, install each with each extra, and run every command once."""
    session.install("hatchling", "twine")
    session.run("python", "tests/contract/package_check.py", session.create_tmp())


@nox.session
def minimum(session: nox.Session) -> None:
    """Run the tests on the lowest versions that the metadata allows."""
    project = PROJECT["project"]
    requirements = [*project["dependencies"]]
    requirements += [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    lowest = [re.sub(">=", "==", requirement) for requirement in requirements]
    session.install("-e", WITH_EXTRAS, *group("tests"), *lowest)
    session.run("pytest", *IN_PARALLEL, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the docs with warnings as errors, run every program and command in them, and check their accessibility."""
    session.install("-e", WITH_EXTRAS, *group("docs"))
    site = Path(session.create_tmp()) / "site"
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "docs", str(site))
    if "_sources/tutorial.md.txt" not in (site / "llms.txt").read_text("utf-8"):
        session.error("llms.txt, the list of pages for language models, is incomplete")
    tests = [f"tests/contract/test_{name}.py" for name in ("docs", "ci_jobs", "accessibility")]
    session.run("pytest", "--all", *tests, *session.posargs, env={"DOCS_SITE": str(site)})


@nox.session
def demo(session: nox.Session) -> None:
    """Install the package and run its demo; arguments (`groups.yaml --then later.yaml`) replace the sample."""
    session.install(".[cli]")
    session.run("secoda-async", "demo", *(session.posargs or ("--speed", "600")))


@nox.session
def soak(session: nox.Session) -> None:
    """Run thousands of operations with random faults, then hundreds against a hostile server; `-- --seed 7`.

    At the end schemathesis checks the emulator against its OpenAPI document. It is installed in this session only: its
    pytest plugin would slow down every test run.
    """
    session.install("-e", ".", *group("openapi"))
    session.run("python", "-m", "tests.soak", "emulator", *(session.posargs or ("--seed", "1")))
    session.run("python", "-m", "tests.soak", "hostile", *(session.posargs or ("--seed", "1")))
    session.run("python", "tests/contract/openapi_check.py", *(session.posargs or ("--seed", "1")))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the cost of a call, compared with other clients; `-- --jobs a,c --write`."""
    session.install("-e", WITH_EXTRAS, *group("bench"))
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def limit(session: nox.Session) -> None:
    """Measure, in real time, how much of the write limit one process uses, and three that share a Redis."""
    session.install("-e", WITH_EXTRAS, *group("tests"))
    session.run("python", "-m", "tests.bench.limit_utilization", *session.posargs)


@nox.session
def capacity(session: nox.Session) -> None:
    """Run docs/examples/worker.py on a hundred workspaces while processes are killed, and measure its load on Redis."""
    session.install("-e", WITH_EXTRAS, *group("tests"))
    session.run("python", "-m", "tests.soak.workers")
    session.run("python", "-m", "tests.bench.redis_capacity", *session.posargs)
