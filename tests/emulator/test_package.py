"""The package: independent of the SDK, its public names."""

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import secoda_async.emulator

if TYPE_CHECKING:
    from collections.abc import Iterator


def imported_modules(path: Path) -> "Iterator[str]":
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def test_emulator_imports_nothing_of_the_sdk() -> None:
    package = Path(secoda_async.emulator.__file__).parent
    modules = sorted(package.glob("**/*.py"))
    assert len(modules) > 8
    for module in modules:
        for name in imported_modules(module):
            if name.partition(".")[0] == "secoda_async":
                assert name.startswith("secoda_async.emulator"), f"{module}: {name}"


def test_emulator_exports_its_public_names() -> None:
    assert secoda_async.emulator.__all__ == [
        *("Emulator", "Fault", "Faults", "RecordedRequest", "StateFileError", "Stub", "Stubs"),
    ]
