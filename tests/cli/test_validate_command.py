"""`secoda-async validate` accepts exactly the files that `plan` accepts."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.cli import app
from secoda_async.cli.exit_codes import Exit
from tests.support.shell import Shell

GROUPS = """\
groups:
- name: Data Stewards
  members: [ana@example.com, ben@example.com]
- name: Finance
"""
INPUTS = Path(__file__).parents[3] / "shared" / "data" / "files"
MANIFEST = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SECODA_API_KEY", "SECODA_BASE_URL", "SECODA_REGION"):
        monkeypatch.delenv(name, raising=False)


async def test_files_without_problems_need_no_key(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text(GROUPS, "utf-8")
    result = await shell.run("validate", "groups.yaml")
    assert (result.code, result.out) == (Exit.DONE, "groups.yaml: 2 groups, 2 memberships, no problems\n")
    document = await shell.run("validate", "groups.yaml", "--json")
    assert document.json == {"ok": True, "groups": 2, "memberships": 2}


@pytest.mark.requirement("CL-1")
async def test_every_problem_is_printed_with_its_location(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text(GROUPS + "- nam: Legal\n", "utf-8")
    (tmp_path / "more.csv").write_text("group,member\nFinance,joe@example.com\n", "utf-8")
    result = await shell.run("validate", "groups.yaml", "more.csv", "--json")
    assert result.code == Exit.BAD_INPUT
    problems = result.json["error"]["problems"]
    places = [re.match(r"[\w.]+:\d+", problem) for problem in problems]
    assert {place[0] for place in places if place} == {"groups.yaml:5", "more.csv:2"}
    assert all(problem in result.err for problem in problems)


async def test_group_that_the_file_ignores_is_a_problem(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text(GROUPS + "ignore: [F*]\n", "utf-8")
    result = await shell.run("validate", "groups.yaml")
    assert result.code == Exit.BAD_INPUT
    assert "groups.yaml:4:3: the group 'Finance' is ignored by the pattern 'F*': remove one of them" in result.err


def run(*arguments: str) -> tuple[int, str]:
    """Run a command and return its exit code and what it prints on stderr."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        code = app.main(arguments)
    return code, err.getvalue()


def check_same_verdict(*arguments: str) -> None:
    """Compare `validate` with `plan`, which ends for want of a key if it gets past reading the files."""
    code, err = run("validate", *arguments)
    planned, reason = run("plan", *arguments)
    if code == Exit.DONE:
        assert (planned, "no API key" in reason) == (Exit.USAGE, True)
    else:
        assert (code, err) == (planned, reason)


LINES = st.sampled_from(
    [
        "groups:",
        "- name: Finance",
        "- name: finance",
        "- name:",
        "  members: [ana@example.com]",
        "  members: []",
        "  members: ana@example.com",
        "  previously: [Finance]",
        "  membership: additive",
        "  id: g-1",
        "  icon: 5",
        "ignore: ['SAML *']",
        "ignore: [F*]",
        "x-shared: &shared {icon: x}",
        "  <<: *shared",
        "---",
        "group,member",
        "group;member",
        "Finance,ana@example.com",
        "Finance;ana@example.com",
        '"Finance,',
        "sep=;",
        '{"groups": [{"name": "A"}]}',
        "",
    ]
)
SUFFIXES = ("yaml", "csv", "json", "txt")


@given(lines=st.lists(LINES, max_size=6), suffix=st.sampled_from(SUFFIXES), junk=st.binary(max_size=3))
def test_validate_accepts_what_plan_accepts(lines: list[str], suffix: str, junk: bytes) -> None:
    Path(f"g.{suffix}").write_bytes("\n".join(lines).encode() + b"\n" + junk)
    check_same_verdict(f"g.{suffix}")


@pytest.mark.slow
@given(
    files=st.lists(st.lists(LINES, max_size=4), min_size=1, max_size=3),
    options=st.sampled_from([[], ["--input", "csv"], ["--columns", "group=group,member=member"], ["--columns", "x"]]),
)
def test_validate_accepts_what_plan_accepts_of_several_files(files: list[list[str]], options: list[str]) -> None:
    Path("d").mkdir(exist_ok=True)
    for index, lines in enumerate(files):
        Path(f"d/{index}.yaml").write_text("\n".join(["groups:", *lines]), "utf-8")
    check_same_verdict("d", *options)


@pytest.mark.slow
@pytest.mark.skipif(not INPUTS.is_dir(), reason="the collection of files is not here")
def test_validate_accepts_what_plan_accepts_of_files_from_elsewhere() -> None:
    for file in sorted(INPUTS.iterdir()):
        check_same_verdict(str(file))


def test_pre_commit_hook_runs_validate_on_files_of_groups() -> None:
    (hook,) = yaml.safe_load(MANIFEST.read_text("utf-8"))
    assert hook["entry"] == "secoda-async validate"
    assert hook["additional_dependencies"] == [".[cli]"]
    wanted, unwanted = re.compile(hook["files"]), re.compile(hook["exclude"])
    for name in ("groups.yaml", "a/groups.yml", "groups/finance.csv", "secoda/groups/b/team.json", "groups.tsv"):
        assert wanted.search(name)
        assert not unwanted.search(name)
    for name in ("values.yaml", "my-groups.yaml", "groups.md", "groups/readme.md"):
        assert not wanted.search(name)
    assert unwanted.search("groups.schema.json")
