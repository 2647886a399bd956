"""What is built and installed."""

import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import secoda_async

HERE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=HERE, check=True, capture_output=True)  # noqa: S603
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


@pytest.mark.requirement("PK-1")
def test_the_wheel_holds_the_package_its_types_and_its_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    files = {str(path.relative_to(HERE)) for path in (HERE / "secoda_async").rglob("*.*") if path.suffix != ".pyc"}
    assert files <= names
    assert {"secoda_async/py.typed", "secoda_async/reconcile/groups.schema.json"} <= files
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


def test_the_command_and_the_plugin_are_entry_points(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    text = wheel.read(name).decode()
    assert "secoda-async = secoda_async.__main__:main" in text
    assert "secoda_async = secoda_async.ext.pytest_plugin" in text


def test_the_changelog_and_the_classifiers_keep_up(metadata: Message) -> None:
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    assert "## Unreleased" in (HERE / "CHANGELOG.md").read_text("utf-8")
    assert metadata["Summary"] == project["description"]
    assert metadata["Version"] == secoda_async.__version__
