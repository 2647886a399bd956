"""The files that other tools read: workflows, the Dockerfile, the metadata of scripts, the README on an index page."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parents[2]
EXAMPLES = HERE / "docs" / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
WORKFLOWS = sorted((HERE / ".github" / "workflows").glob("*.yml"))
RELEASE: dict[str, Any] = yaml.safe_load((HERE / ".github" / "workflows" / "release.yml").read_text("utf-8"))


def dependencies_of(script: Path) -> list[str]:
    """Return the dependencies in a script's metadata, by the pattern of the specification (PEP 723)."""
    pattern = r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
    (block,) = re.finditer(pattern, script.read_text("utf-8"))
    assert block["type"] == "script"
    metadata = tomllib.loads("".join(line[2:] for line in block["content"].splitlines(keepends=True)))
    assert metadata["requires-python"] == ">=3.11"
    return [str(dependency) for dependency in metadata["dependencies"]]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_declare_what_they_import(script: Path) -> None:
    names = {re.split(r"[\[>=]", dependency)[0].replace("-", "_") for dependency in dependencies_of(script)}
    tree = ast.walk(ast.parse(script.read_text("utf-8")))
    modules = [
        name.name if isinstance(node, ast.Import) else str(node.module)
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    ]
    imported = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    provided = {"yarl": "aiohttp", "pydantic": "fastapi", "starlette": "fastapi"}
    assert {provided.get(module, module) for module in imported} == names


def test_every_action_is_pinned_to_a_commit() -> None:
    for workflow in WORKFLOWS:
        used = re.findall(r"uses: (.*)", workflow.read_text("utf-8"))
        assert used
        for action in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_release_publishes_with_least_permissions_and_no_token() -> None:
    build, publish = RELEASE["jobs"]["build"], RELEASE["jobs"]["publish"]
    assert RELEASE["permissions"] == {}
    assert build["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"attestations": "write", "id-token": "write"}
    assert publish["environment"] == "pypi"
    assert not [step for step in publish["steps"] if "run" in step]  # nothing of the project runs where it could sign
    assert "secrets." not in str(RELEASE)


def test_release_makes_every_link_of_the_readme_absolute(tmp_path: Path) -> None:
    (command,) = [step["run"] for step in RELEASE["jobs"]["build"]["steps"] if "README" in step.get("name", "")]
    shutil.copy(HERE / "README.md", tmp_path)
    place = {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "a/b", "GITHUB_REF_NAME": "v1.2.0"}
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, env={**os.environ, **place}, check=True)  # noqa: S607
    before, after = (re.findall(r"\]\(([^)]+)\)", (at / "README.md").read_text("utf-8")) for at in (HERE, tmp_path))
    relative = [target for target in before if not target.startswith("https://")]
    assert len(relative) > 10
    assert after == [
        target if target.startswith("https://") else f"https://git.example/a/b/blob/v1.2.0/{target}"
        for target in before
    ]


def test_release_checks_that_the_tag_names_the_version() -> None:
    from secoda_async import __version__  # noqa: PLC0415 - the version is what is compared

    (command,) = [step["run"] for step in RELEASE["jobs"]["build"]["steps"] if "tag" in step.get("name", "")]
    assert f"secoda_async-{__version__}-py3-none-any.whl" in command.replace("${GITHUB_REF_NAME#v}", __version__)


def test_container_runs_as_another_user_than_root() -> None:
    lines = (EXAMPLES / "Dockerfile").read_text("utf-8").splitlines()
    instructions = [line.split(" ", 1) for line in lines if re.match(r"[A-Z]+ ", line)]
    users = [rest for name, rest in instructions if name == "USER"]
    assert users == ["10001:10001"]  # a number, which `runAsNonRoot` can check
    assert [name for name, _ in instructions][-3:] == ["WORKDIR", "ENTRYPOINT", "CMD"]
    assert [rest for name, rest in instructions if name == "FROM"] == ["python:3.13-slim"]


def test_cron_job_runs_the_container_as_its_user() -> None:
    page = (HERE / "docs" / "several-machines.md").read_text("utf-8")
    (block,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: CronJob" in block]
    pod = yaml.safe_load(block)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "fsGroup": 10001}
    assert pod["containers"][0]["image"] == "registry.example/secoda-async"
    assert "(examples/Dockerfile)" in page
