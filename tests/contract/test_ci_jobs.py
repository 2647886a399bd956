"""Run the shell lines of the CI jobs in docs/groups-in-git.md against the emulator."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import define, field

from secoda_async import SecodaClient
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator

PAGE = Path(__file__).parents[2] / "docs" / "groups-in-git.md"
COMMENT_LIMIT = 65_536
USERS = [{"id": f"u-{name}", "email": f"{name}.with.a.long.name@department.example.com"} for name in "abcde"]

GH = f"""#!{sys.executable}
import pathlib, sys
pr, comment, number, edit, create, option, body = sys.argv[1:]
assert (pr, comment, number, edit, create) == ("pr", "comment", "7", "--edit-last", "--create-if-none")
text = pathlib.Path(body).read_text("utf-8") if option == "--body-file" else body
if len(text) > {COMMENT_LIMIT}:
    sys.exit("Body is too long (maximum is {COMMENT_LIMIT} characters)")
pathlib.Path("comment.md").write_text(text, "utf-8")
"""
PIP = f"""#!{sys.executable}
import sys
assert sys.argv[1:] == ["install", "secoda-async[cli]"]
"""


CURL = f"""#!{sys.executable}
import pathlib, sys
fail, header, token, data, body, url = sys.argv[1:]
assert (fail, header, token) == ("--fail-with-body", "--header", "PRIVATE-TOKEN: glpat")
assert (data, url) == ("--data-urlencode", "https://gitlab.example/api/v4/projects/1/merge_requests/7/notes")
pathlib.Path("comment.md").write_text(pathlib.Path(body.removeprefix("body@")).read_text("utf-8"), "utf-8")
"""
GITLAB = {
    "GITLAB_TOKEN": "glpat",
    "CI_API_V4_URL": "https://gitlab.example/api/v4",
    "CI_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_IID": "7",
}


def gitlab_jobs() -> dict[str, Any]:
    (text,) = re.findall(r"^```yaml\n(default:.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    jobs: dict[str, Any] = yaml.safe_load(text)
    return jobs


def documented_jobs() -> dict[str, Any]:
    (text,) = re.findall(r"^```yaml\n(name: .*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return jobs


@define
class Runner:
    """Runs the steps of a job as GitHub does: `bash -e`, and the conditions of the steps."""

    folder: Path
    environment: Mapping[str, str]
    log: str = field(default="", init=False)

    async def run(self, name: str, **secrets: str) -> int:
        """Run a job, and return the exit code of its first step that fails, or 0."""
        job = documented_jobs()[name]
        environment = {**self.environment, **self._job_environment(job.get("env", {}), secrets)}
        failure = 0
        for step in job["steps"]:
            if "run" not in step or not self._is_due(step.get("if", "${{ success() }}"), has_failed=failure != 0):
                continue
            line = step["run"].replace("${{ github.event.number }}", "7")
            assert "${{" not in line
            failure = await self._run_line(line, environment) or failure
        return failure

    async def run_on_gitlab(self, name: str, **variables: str) -> int:
        """Run a job as GitLab does: a shell for the scripts, and one for what runs after a failure too."""
        jobs = gitlab_jobs()
        environment = {**self.environment, **GITLAB, **variables, "SECODA_API_KEY": self.environment["EMULATOR_KEY"]}
        lines = [*jobs["default"]["before_script"], *jobs[name]["script"]]
        failure = await self._run_line("\n".join(lines), environment)
        await self._run_line("\n".join(jobs[name].get("after_script", [])), environment)
        return failure

    async def _run_line(self, line: str, environment: Mapping[str, str]) -> int:
        process = await asyncio.create_subprocess_exec(
            "bash", "-e", "-c", line, cwd=self.folder, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        self.log += said.decode()
        return process.returncode or 0

    def _job_environment(self, names: Mapping[str, str], secrets: Mapping[str, str]) -> Mapping[str, str]:
        values = {
            "${{ secrets.SECODA_API_KEY }}": self.environment["EMULATOR_KEY"],
            "${{ github.token }}": "token",
            "${{ inputs.approve }}": secrets.get("approve", ""),
        }
        return {name: values[value] for name, value in names.items()}

    def _is_due(self, condition: str, *, has_failed: bool) -> bool:
        text = re.sub(r"^\$\{\{ (.*) \}\}$", r"\1", condition)
        return all(self._is_true(part, has_failed=has_failed) for part in text.split(" && "))

    def _is_true(self, part: str, *, has_failed: bool) -> bool:
        if found := re.fullmatch(r"hashFiles\('(.*)'\) (!=|==) ''", part):
            return (self.folder / found[1]).exists() == (found[2] == "!=")
        return {"success()": not has_failed, "failure()": has_failed, "!cancelled()": True}[part]

    def write(self, groups: list[dict[str, Any]]) -> None:
        """Write the file of groups."""
        (self.folder / "groups.yaml").write_text(json.dumps({"groups": groups}), "utf-8")

    @property
    def comment(self) -> str:
        """The comment on the pull request."""
        return (self.folder / "comment.md").read_text("utf-8")


@pytest.fixture
async def workspace() -> AsyncIterator[Emulator]:
    async with Emulator(users=USERS, groups=[{"name": "Stewards", "users": ["u-a"]}]) as workspace:
        yield workspace


@pytest.fixture
def runner(tmp_path: Path, workspace: Emulator) -> Runner:
    for name, text in (("gh", GH), ("pip", PIP), ("curl", CURL)):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(text, "utf-8")
        script.chmod(0o755)
    (tmp_path / "repository").mkdir()
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        "PATH": path,
        "HOME": str(tmp_path),
        "SECODA_BASE_URL": workspace.url,
        "EMULATOR_KEY": workspace.api_key,
    }
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    return Runner(tmp_path / "repository", environment)


async def add_groups(workspace: Emulator) -> None:
    """Add three groups by hand, and forget the requests."""
    async with SecodaClient(workspace.api_key, base_url=workspace.url) as secoda:
        for number in range(3):
            await secoda.groups.create(name=f"By hand {number}")
    workspace.requests.clear()


@pytest.mark.slow
async def test_validate_job_needs_no_key(runner: Runner, workspace: Emulator) -> None:
    runner.write([{"name": "Stewards"}])
    assert await runner.run("validate") == Exit.DONE
    runner.write([{"name": ""}])
    assert await runner.run("validate") == Exit.BAD_INPUT
    assert not workspace.requests


@pytest.mark.slow
async def test_plan_job_comments_700_creates(runner: Runner, workspace: Emulator) -> None:
    people = [user["email"] for user in USERS]
    runner.write([{"name": f"Team {number:03}", "description": "New", "members": people} for number in range(700)])
    assert await runner.run("plan") == Exit.DONE
    assert runner.comment.startswith("### Secoda groups: 700 to create, 1 to delete\n")
    assert "| delete | `Stewards` |" in runner.comment
    shown = runner.comment.count("| create |")
    assert f"... and {700 - shown} more changes: see the job's log" in runner.comment
    assert runner.log.count("+ create Team ") == 700
    assert not workspace.writes


@pytest.mark.slow
async def test_plan_job_fails_on_an_unsafe_plan_and_comments_it(runner: Runner, workspace: Emulator) -> None:
    await add_groups(workspace)
    runner.write([{"name": "Stewards"}])
    assert await runner.run("plan") == Exit.UNSAFE
    assert "**Needs an approval**" in runner.comment
    assert "! needs an approval: 3 of 4 groups would be deleted" in runner.log


@pytest.mark.slow
async def test_plan_job_comments_that_there_is_no_plan(runner: Runner) -> None:
    runner.write([{"name": "Stewards", "members": ["nobody@example.com"]}])
    assert await runner.run("plan") == Exit.BAD_INPUT
    assert runner.comment == "There is no plan, see the job."


@pytest.mark.slow
async def test_drift_job_fails_after_a_change_by_hand(runner: Runner, workspace: Emulator) -> None:
    runner.write([{"name": "Stewards", "description": None}])
    assert await runner.run("drift") == Exit.DONE
    next(iter(workspace.groups.values()))["description"] = "by hand"
    assert await runner.run("drift") == Exit.CHANGES


@pytest.mark.slow
async def test_apply_job_needs_the_digest_of_an_unsafe_plan(runner: Runner, workspace: Emulator) -> None:
    await add_groups(workspace)
    runner.write([{"name": "Stewards"}, {"name": "New", "members": [USERS[0]["email"]]}])
    assert await runner.run("apply") == Exit.UNSAFE
    assert not workspace.writes
    (digest,) = re.findall(r"--approve ([0-9a-f]{32})", runner.log)
    assert await runner.run("apply", approve=digest) == Exit.DONE
    assert sorted(group["name"] for group in workspace.groups.values()) == ["New", "Stewards"]
    assert (runner.folder / "apply.jsonl").read_text().count("\n") == 8


@pytest.mark.slow
async def test_jobs_on_gitlab(runner: Runner, workspace: Emulator) -> None:
    await add_groups(workspace)
    runner.write([{"name": "Stewards"}])
    assert await runner.run_on_gitlab("plan") == Exit.UNSAFE
    assert "**Needs an approval**" in runner.comment
    assert await runner.run_on_gitlab("apply") == Exit.UNSAFE
    (digest,) = re.findall(r"--approve ([0-9a-f]{32})", runner.log)
    assert await runner.run_on_gitlab("apply", APPROVE=digest) == Exit.DONE
    assert await runner.run_on_gitlab("drift") == Exit.DONE


def test_every_documented_job_is_run_here() -> None:
    jobs = documented_jobs()
    assert list(jobs) == ["validate", "plan", "drift", "apply"]
    assert jobs["apply"]["concurrency"]
    assert list(gitlab_jobs()) == ["default", "plan", "drift", "apply"]
