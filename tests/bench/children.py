"""Start the processes of the benchmark: servers on one core, clients on the other."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from attrs import define

CLIENT, SERVER = "0", "1"
"""Cores of the client and the server."""

_PINNED: Final = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**26)}
"""By default glibc may map a new buffer for each read in one process and not in another."""

PACKAGE: Final = "BENCH_PACKAGE"
"""Environment variable with a directory whose `secoda_async` is measured in place of that of this checkout."""

_PYTHON: Final = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE")
"""Environment variables that slow Python down."""


def environment(allocator: str) -> dict[str, str]:
    unwanted = (*_PINNED, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", *_PYTHON)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in unwanted and not name.startswith("SECODA_")
    }
    path = (os.environ.get(PACKAGE), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))
    kept |= {"NO_PROXY": "*", "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONSAFEPATH": "1"}
    return {**kept, **(_PINNED if allocator == "pinned" else {})}


@contextmanager
def package_of(checkout: Path | None) -> Generator[None, None, None]:
    """Measure the package of another checkout, if there is one, with the benchmark of this checkout."""
    if checkout is None:
        yield
        return
    if not (checkout / "secoda_async" / "__init__.py").is_file():
        raise SystemExit(f"{checkout} has no directory secoda_async: give the path of a checkout")
    with tempfile.TemporaryDirectory() as directory:  # the other checkout's tests must not be imported
        (Path(directory) / "secoda_async").symlink_to(checkout.resolve() / "secoda_async")
        os.environ[PACKAGE] = directory
        try:
            yield
        finally:
            del os.environ[PACKAGE]


@define
class Child:
    """A process of this package that prints lines of JSON."""

    process: "subprocess.Popen[str]"

    @classmethod
    @contextmanager
    def running(cls, module: str, *arguments: str, allocator: str = "default") -> Generator[Self, None, None]:
        """Start the process; closing its standard input at the end makes the process exit."""
        command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(allocator)
        ) as process:
            yield cls(process)

    def read(self) -> Any:
        """Return the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} has ended early")  # type: ignore[arg-type, unused-ignore]
        return json.loads(line)

    def ask(self, line: str) -> Any:
        """Send a line and return the reply."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        """Close standard input of the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextmanager
def server(*arguments: str) -> Generator[str, None, None]:
    """Run the server and yield its base URL."""
    with Child.running("server", "--core", SERVER, *arguments) as process:
        yield f"http://127.0.0.1:{process.read()['port']}"
