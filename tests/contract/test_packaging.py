"""Check the wheel, its metadata, and the scripts that build and test it."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from fnmatch import fnmatch
from pathlib import Path

import pytest

import secoda_async

HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=HERE, check=True, capture_output=True)
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


@pytest.mark.requirement("PK-1")
def test_wheel_contains_package_types_and_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    files = {str(path.relative_to(HERE)) for path in (HERE / "secoda_async").rglob("*.*") if path.suffix != ".pyc"}
    assert files <= names
    assert {"secoda_async/py.typed", "secoda_async/reconcile/files/groups.schema.json"} <= files
    assert {name.partition("/")[0] for name in names} == {
        "secoda_async",
        f"secoda_async-{secoda_async.__version__}.dist-info",
    }
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.mark.requirement("PK-1")
def test_requirements_have_lower_bounds_only(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist") or []
    for requirement in requirements:
        bare = requirement.partition(";")[0].strip()
        assert ">=" in bare or bare.startswith("secoda-async["), requirement
        assert not any(sign in bare for sign in ("<", "==", "~=", "!=")), requirement
    core = sorted(requirement.partition(">")[0] for requirement in requirements if "extra" not in requirement)
    assert core == ["aiohttp", "attrs", "cattrs", "msgspec", "orjson", "tenacity"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert sorted(metadata.get_all("Provides-Extra") or []) == ["all", "cli", "otel", "redis"]


def test_command_and_pytest_plugin_are_entry_points(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    text = wheel.read(name).decode()
    assert "secoda-async = secoda_async.__main__:main" in text
    assert "secoda_async = secoda_async.ext.pytest_plugin" in text


def test_metadata_and_changelog_are_current(metadata: Message) -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    assert "## Unreleased" in (HERE / "CHANGELOG.md").read_text("utf-8")
    assert metadata["Summary"] == project["description"]
    assert metadata["Version"] == secoda_async.__version__


@pytest.mark.requirement("PK-2")
def test_coverage_omits_every_redis_module_without_redis_server() -> None:
    (pattern,) = re.findall(r'"--omit", "([^"]+)"', (HERE / "noxfile.py").read_text("utf-8"))
    modules = list((HERE / "secoda_async" / "ext").glob("*.py"))
    left_out = {path.name for path in modules if fnmatch(str(path), pattern)}
    assert left_out == {path.name for path in modules if "redis" in path.name}
    assert len(left_out) > 1


WORKFLOW = HERE / ".github" / "workflows" / "ci.yml"


def test_workflow_tests_every_python_of_the_classifiers() -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    (matrix,) = re.findall(r"python: \[(.*)\]", WORKFLOW.read_text("utf-8"))
    assert re.findall(r"[\d.]+", matrix) == versions


CI = HERE / ".ci" / "run"


@pytest.mark.skipif(not CI.exists(), reason="an sdist has no .ci/run")
@pytest.mark.parametrize(
    ("installed", "version", "found"),
    [
        ({"shims/python3.12": 127, "versions/3.12.1/bin/python3.12": 0}, "3.12", "versions/3.12.1/bin/python3.12"),
        ({"shims/python3.12": 0, "versions/3.12.1/bin/python3.12": 0}, "3.12", "shims/python3.12"),
        (
            {"versions/3.13.2/bin/python3.13": 0, "versions/3.13.10/bin/python3.13": 0},
            "3.13",
            "versions/3.13.10/bin/python3.13",
        ),
        ({"versions/3.14-dev/bin/python3.14": 1}, "3.14", None),
        ({}, "3.14", None),
    ],
)
def test_ci_finds_pythons_on_path_and_under_pyenv(
    tmp_path: Path, installed: dict[str, int], version: str, found: str | None
) -> None:
    for name, code in installed.items():
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)
    shims = tmp_path / "shims"  # and nothing else on PATH
    shims.mkdir(exist_ok=True)
    (shims / "sort").symlink_to(str(shutil.which("sort")))
    (function,) = re.findall(r"^find_python\(\) \{\n.*?^\}\n", CI.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    ran = subprocess.run(
        [str(shutil.which("bash")), "-euo", "pipefail", "-c", f"{function}find_python {version}"],
        env={"PATH": str(shims), "PYENV_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip()) == ((0, str(tmp_path / found)) if found else (1, "")), ran.stderr
