"""How the project is checked: `nox -s tests` needs nothing but nox; `nox` runs all of it."""

import re
import shutil
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "lint", "typing", "package", "minimum", "docs", "demo", "soak"]

HERE = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = ("cli", "otel", "redis")
WHOLE = f".[{','.join(EXTRAS)}]"
PARALLEL = ("-n", "auto")
PROGRAMS = {"redis-server": ("valkey-server",), "chromium": ("chromium-browser", "google-chrome")}
PARTLY = 95
"""Percent of the lines that tests must cover on a machine without one of the programs."""
GROUPS_FILE = HERE.parent / "shared" / "data" / "kubernetes-teams"


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def without_programs(session: nox.Session) -> list[str]:
    """The options of a coverage report when tests were skipped because a program is not installed."""
    missing = [name for name, others in PROGRAMS.items() if not any(map(shutil.which, (name, *others)))]
    if not missing:
        return []
    session.warn(f"without {' and '.join(missing)} some tests were skipped: {PARTLY} % of the lines must be covered")
    left_out = ["--omit", "*/ext/redis*.py"] if "redis-server" in missing else []
    return [*left_out, "--fail-under", str(PARTLY)]


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, and check that every line and branch is covered; arguments go to pytest."""
    session.install("-e", WHOLE, *group("tests"))
    measured = {"COVERAGE_FILE": str(Path(session.create_tmp()) / "coverage")}
    session.run("coverage", "erase", env=measured)
    session.run("coverage", "run", "-m", "pytest", *PARALLEL, *session.posargs, env=measured)
    if not session.posargs:
        session.run("coverage", "combine", "--quiet", env=measured)
        session.run("coverage", "report", *without_programs(session), env=measured)


@nox.session
def plain(session: nox.Session) -> None:
    """Run the tests without coverage, such as on another Python: `nox -s plain --force-python 3.13`."""
    session.install("-e", WHOLE, *group("tests"))
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types twice, with mypy and pyright, both strict; then as a user does, against what is installed."""
    session.install(WHOLE, *group("typing"))
    session.run("mypy")
    session.run("pyright")
    program = HERE / "tests" / "typing" / "program.py"
    with session.chdir(session.create_tmp()):  # away from the checkout
        session.run("mypy", "--strict", str(program))
        session.run("pyright", str(program))


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, install each, each extra alone, and run every command for the first time."""
    session.install("hatchling", "twine")
    session.run("python", "tests/contract/package_check.py", session.create_tmp())


@nox.session
def minimum(session: nox.Session) -> None:
    """Run the tests on the lowest versions that the metadata allows."""
    lowest = [pinned(line) for line in declared_requirements()]
    session.install("-e", WHOLE, *group("tests"), *lowest)
    session.run("pytest", *PARALLEL, *session.posargs)


def declared_requirements() -> list[str]:
    """The core requirements and those of the extras."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]


def pinned(requirement: str) -> str:
    """`aiohttp>=3.12` as `aiohttp==3.12`: its lower bound, and nothing newer."""
    return re.sub(r">=", "==", requirement)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the docs, where a warning is an error, and run every program and command in them and in the README."""
    session.install("-e", WHOLE, *group("docs"))
    site = Path(session.create_tmp()) / "site"
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "docs", str(site))
    session.run("pytest", "tests/contract/test_docs.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Install as a user does, and run the main job: on the samples, and on real groups where they are at hand."""
    session.install(".[cli]")
    session.run("secoda-async", "demo", "--speed", "600")
    if GROUPS_FILE.is_dir():
        before, after, users = (
            str(GROUPS_FILE / name) for name in ("2026-05-01.yaml", "2026-08-01.yaml", "users.json")
        )
        session.run("secoda-async", "demo", after, "--users", users, "--speed", "1000")
        session.run("secoda-async", "demo", before, "--then", after, "--users", users)


@nox.session
def soak(session: nox.Session) -> None:
    """Run thousands of operations with faults, then hundreds against a hostile server; `--seed 7` goes to both."""
    session.install("-e", ".")
    session.run("python", "-m", "tests.soak", "emulator", *(session.posargs or ("--seed", "1")))
    session.run("python", "-m", "tests.soak", "hostile", *(session.posargs or ("--seed", "1")))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what a call costs, beside other clients; arguments (`--jobs a,c`, `--write`) go to the benchmark."""
    session.install("-e", WHOLE, *group("bench"))
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def limit(session: nox.Session) -> None:
    """Measure how much of the write limit is used, alone and by three processes with one Redis; in real time."""
    session.install("-e", WHOLE, *group("tests"))
    session.run("python", "-m", "tests.bench.limit_use", *session.posargs)
