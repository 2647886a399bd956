"""Build the wheel and the sdist, install each as users do, with each extra alone, and run each command once.

python tests/contract/package_check.py DIRECTORY     # needs hatchling and twine
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parents[2]
MOST: Final = 0.5
"""Seconds of processor time that are ours in the first run of a command."""

EXTRAS: Final[Mapping[str, str]] = {
    "cli": "secoda_async.cli.app",
    "otel": "secoda_async.ext.opentelemetry",
    "redis": "secoda_async.ext.redis",
}
"""The module that needs each extra."""

COMMANDS: Final = (
    "schema",
    "demo --help",
    "emulator --help",
    "doctor --help",
    "plan --help",
    "apply --help",
    "export --help",
    "groups list --help",
    "users list --help",
)

CORE = """
import asyncio, pathlib, secoda_async
from secoda_async import SecodaClient
from secoda_async.emulator import Emulator

async def main():
    async with Emulator() as workspace, SecodaClient(workspace.api_key, base_url=workspace.url) as secoda:
        group = await secoda.groups.create(name="Analysts")
        assert [each.id for each in await secoda.groups.snapshot()] == [group.id]

asyncio.run(main())
where = pathlib.Path(secoda_async.__file__)
assert "site-packages" in where.parts, where
"""
"""The core by itself, and from where it was installed."""

MISSING = """
import importlib
try:
    importlib.import_module({module!r})
except ModuleNotFoundError as error:
    assert "pip install 'secoda-async[{extra}]'" in str(error) or {extra!r} == "cli", error
else:
    raise AssertionError("{module} is there without its extra")
"""

THIRD = """
import json, runpy, sys
before = set(sys.modules)
sys.argv = ["secoda-async", *{words!r}]
sys.stdout = open("/dev/null", "w")
try:
    runpy.run_module("secoda_async", run_name="__main__")
except SystemExit:
    pass
names = [name for name, module in sys.modules.items() if name not in before and not name.startswith("secoda_async")
         and getattr(module, "__file__", None) and name != "__main__"]
print(json.dumps(names), file=sys.stderr)
"""


def ran(*command: str, cwd: Path) -> str:
    """Run a command, quietly unless it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    return result.stderr


def installed(what: str, directory: Path) -> Path:
    """Install something in a virtual environment of its own; its programs' folder."""
    if directory.exists():
        shutil.rmtree(directory)
    venv.create(directory, with_pip=True)
    programs = directory / "bin"
    ran(str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", what, cwd=directory)
    ran(str(programs / "pip"), "check", cwd=directory)
    return programs


def cost(*command: str, cwd: Path) -> float:
    """Seconds of processor time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran(*command, cwd=cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_run(programs: Path, words: Sequence[str], cwd: Path) -> float:
    """Seconds of the first run of a command, without those that importing other libraries takes."""
    python = str(programs / "python")
    names = json.loads(ran(python, "-c", THIRD.format(words=list(words)), cwd=cwd).splitlines()[-1])
    others = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    (package,) = programs.parent.glob("lib/*/site-packages/secoda_async")
    costs: list[float] = []
    for _ in range(3):
        for cache in package.rglob("__pycache__"):
            shutil.rmtree(cache)
        costs.append(cost(str(programs / "secoda-async"), *words, cwd=cwd) - cost(python, "-c", others, cwd=cwd))
    return min(costs)


def main(directory: Path) -> None:
    """Build, check, install, run."""
    dist = directory / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    ran(sys.executable, "-m", "hatchling", "build", "-d", str(dist), cwd=HERE)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    ran(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist), cwd=HERE)
    print(f"{wheel.name} and {sdist.name}: twine has no complaint")

    for extra in ("", *EXTRAS):
        name = f"[{extra}]" if extra else ""
        programs = installed(f"{wheel}{name}", directory / f"wheel-{extra or 'core'}")
        python = str(programs / "python")
        ran(python, "-W", "error", "-c", CORE, cwd=directory)
        for other, module in EXTRAS.items():
            script = f"import {module}" if other == extra else MISSING.format(module=module, extra=other)
            ran(python, "-c", script, cwd=directory)
        print(f"the wheel{name or ' without extras'}: works, and says what is missing")

    programs = installed(f"{sdist}[cli]", directory / "sdist")
    for place in (programs, directory / "wheel-cli" / "bin"):
        ran(str(place / "secoda-async"), "demo", "--speed", "1000", cwd=directory)
    print("the wheel and the sdist: the demo runs")

    costs = {line: first_run(directory / "wheel-cli" / "bin", line.split(), directory) for line in COMMANDS}
    for line, seconds in costs.items():
        print(f"{seconds:6.2f} s of our own: first run of secoda-async {line}")
    slow = [line for line, seconds in costs.items() if seconds > MOST]
    if slow:
        sys.exit(f"more than {MOST} s: {', '.join(slow)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
