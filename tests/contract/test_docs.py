"""Check the README and the docs: programs and commands run, links resolve, and tables match the code."""

import ast
import asyncio
import inspect
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from attrs import frozen

import secoda_async
from secoda_async import (
    APIError,
    AutojumpClock,
    RateLimitError,
    RedirectError,
    ResponseError,
    SecodaClient,
    SecodaError,
    ServerError,
    TransportError,
)
from secoda_async._engine.retries import Decision, decide
from secoda_async.cli import app
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredState

HERE = Path(__file__).parents[2]
MODULES_SHOWN_WHOLE = ("secoda_async.errors", "secoda_async.events")
PAGES = [HERE / "README.md", *sorted((HERE / "docs").glob("*.md"))]


@frozen
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Every block in this language."""
    found: list[Block] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        found += [
            Block(page, text[: match.start()].count("\n") + 1, language, match[1])
            for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        ]
    return found


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table that starts with `heading`."""
    lines = (HERE / "docs" / page).read_text("utf-8").split(f"| {heading} |", 1)[1].splitlines()[2:]
    rows = [line for line in lines[: lines.index("") if "" in lines else None] if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files that programs read."""
    (export,) = blocks("csv")
    (tmp_path / "export.csv").write_text(export.text, "utf-8")
    return tmp_path


PROGRAMS = [block for block in blocks("python") if "async def test_" not in block.text]


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
async def test_every_program_runs(block: Block, monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    clock = AutojumpClock()
    monkeypatch.setattr("secoda_async.client.SYSTEM_CLOCK", clock)
    module = ast.parse(block.text, str(block))
    runs = ast.unparse(module.body[-1]) == "asyncio.run(main())"
    if runs:
        module.body.pop()  # this test's event loop runs it
    names: dict[str, Any] = {"__name__": "program"}
    monkeypatch.chdir(files)  # where a program reads and writes
    async with Emulator(clock=clock, users=[{"email": "ana@example.com"}, {"email": "Ben@example.com"}]) as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")  # away: the program says what then
        exec(compile(module, str(block), "exec"), names)  # noqa: S102 - our own pages
        if runs:
            main = names["main"]
            assert isinstance(main, FunctionType)
            await main()


def test_the_tests_in_the_docs_pass(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("python") if "async def test_" in block.text]
    (tmp_path / "test_page.py").write_text(block.text)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in result.stdout, result.stdout + result.stderr


FILES = [block for block in blocks("yaml") if re.search(r"^groups:", block.text, re.MULTILINE)]


@pytest.mark.parametrize("block", FILES, ids=str)
def test_every_file_in_the_docs_can_be_loaded(block: Block, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text(block.text, "utf-8")
    assert DesiredState.load(tmp_path / "groups.yaml").groups


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of ours in a page, with where it stands."""
    for block in (*blocks("sh"), *blocks("yaml")):
        for line in block.text.splitlines():
            if found := re.search(r"(?:^|run: |&& |^ +)(secoda-async .*)", line):
                text = re.sub(r"\$\{APPROVE:\+(.*)\}", r"\1", found[1])  # as when it is set
                yield str(block), text.replace("$APPROVE", "0123456789abcdef")


OUR_COMMANDS = [block for block in blocks("sh") if block.text.startswith(("secoda-async", "export"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in OUR_COMMANDS}), ids=lambda page: page.name)
async def test_every_command_line_in_the_docs_runs(page: Path, files: Path) -> None:
    """One after the other, in a folder with files of groups, on a terminal where a person says yes."""
    (files / "groups.yaml").write_text("groups:\n- name: Stewards\n- name: Analysts\n", "utf-8")
    async with Emulator(groups=20, users=[{"email": "ana@example.com"}]) as workspace:
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(files),  # with its cache directory
            "SECODA_BASE_URL": workspace.url,
            "SECODA_API_KEY": workspace.api_key,
        }
        for number, block in enumerate(block for block in OUR_COMMANDS if block.page == page):
            async with SecodaClient(workspace.api_key, base_url=workspace.url) as secoda:
                await secoda.groups.create(name=f"By hand {number}")
            for line in block.text.splitlines():
                if line.startswith("export "):
                    continue  # the key: it is there
                ours, theirs = pty.openpty()
                os.write(ours, b"yes\n")
                process = await asyncio.create_subprocess_exec(
                    "bash", "-c", line, cwd=files, env=environment,
                    stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
                said, _ = await process.communicate()
                os.close(ours)
                os.close(theirs)
                promised = re.search(r"# (\d+):", line)
                assert process.returncode == int(promised[1] if promised else 0), (line, said.decode())
                if "# nothing to do" in line:
                    assert b"nothing to do" in said


def test_every_public_name_is_in_the_api_reference() -> None:
    text = (HERE / "docs" / "api.md").read_text("utf-8")
    of_modules = {
        name
        for name in secoda_async.__all__
        if getattr(getattr(secoda_async, name), "__module__", None) in MODULES_SHOWN_WHOLE
    }
    named = set(re.findall(r"secoda_async\.(?:\w+\.)*(\w+)$", text, re.MULTILINE))
    assert set(secoda_async.__all__) - {"__version__", "Event"} <= named | of_modules


@pytest.mark.parametrize(("place", "line"), sorted(set(commands())))
def test_every_command_in_the_docs_parses(place: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word not in ("&&", "|")]
    words = words[: words.index(">")] if ">" in words else words
    command, _, _ = app.app.parse_args(words[1:], exit_on_error=False, print_error=False)  # raises what is wrong
    assert command.__module__.startswith("secoda_async.cli"), place


def test_failures_of_apply_have_real_exit_codes() -> None:
    codes = {row[2] for row in table("failures.md", "what happens")}
    assert codes - {"none"} <= {str(int(code)) for code in Exit}


def test_readme_has_its_two_commands() -> None:
    commands = re.findall(r"^pip install .*$", PAGES[0].read_text("utf-8"), re.MULTILINE)
    assert commands == ["pip install '.[cli]' && secoda-async demo", "pip install nox && nox -s tests"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


# --- tables ----------------------------------------------------------------------------------------------------


def answered(status: int, *, retry_after: float | None = None) -> APIError:
    error = {429: RateLimitError, 404: APIError}.get(status, ServerError)("x")
    error.status, error.retry_after = status, retry_after
    return error


def broken(*, maybe_sent: bool) -> TransportError:
    error = TransportError("x")
    error.maybe_sent = maybe_sent
    return error


FAILURES: dict[str, list[SecodaError]] = {
    "not sent: name lookup, connection refused, TLS": [broken(maybe_sent=False)],
    "429": [answered(429), answered(429, retry_after=3)],
    "503 with `Retry-After`": [answered(503, retry_after=3)],
    "any other 5xx, except 501, 505 and 511": [answered(status) for status in (500, 502, 503, 504, 520, 529, 599)],
    "dropped, cut short, not HTTP, or timed out after it was sent": [broken(maybe_sent=True)],
    "2xx that is not what the API promises": [ResponseError("x")],
    "408": [answered(408)],
    "any other status": [answered(status) for status in (400, 401, 403, 404, 405, 409, 413, 422, 425, 501, 505, 511)],
    "303": [RedirectError("x", status=303)],
    "any other redirect": [RedirectError("x", status=302)],
}
STEPS = {
    "retry": Decision.RETRY,
    "pause, then retry": Decision.THROTTLED,
    "unknown": Decision.UNKNOWN,
    "raise": Decision.RAISE,
}


@pytest.mark.requirement("RT-1")
def test_retry_table_matches_the_code() -> None:
    rows = {row[0]: row[1:] for row in table("failures.md", "what happened")}
    assert rows.pop("redirect to the same path with or without a trailing slash") == ["follow"] * 3  # test_redirects
    assert set(rows) == set(FAILURES)
    for happened, errors in FAILURES.items():
        for methods, said in zip((["GET"], ["PATCH", "PUT", "DELETE"], ["POST"]), rows[happened], strict=True):
            for method in methods:
                assert {decide(method, error) for error in errors} == {STEPS[said]}, (happened, method)


def test_error_table_names_every_error() -> None:
    named = {row[0].split("`")[1] for row in table("failures.md", "error")}
    public = {name for name in secoda_async.__all__ if name.endswith("Error")}
    assert named == public - {"SecodaError"}


def test_design_lists_every_requirement_that_a_test_names() -> None:
    text = "".join(path.read_text("utf-8") for path in (HERE / "tests").rglob("*.py"))
    marks = re.findall(r"mark\.requirement\(([^)]*)\)", text)
    named = {name for mark in marks for name in re.findall(r'"([A-Z]+-\d+)"', mark)}
    listed = set(re.findall(r"^\| ([A-Z]+-\d+) \|", (HERE / "docs" / "design.md").read_text("utf-8"), re.MULTILINE))
    assert named - listed == set()


def test_settings_table_names_every_setting() -> None:
    named = [row[0].strip("`") for row in table("index.md", "argument")]
    parameters = list(inspect.signature(SecodaClient).parameters)
    assert sorted(named) == sorted(parameters)


def test_command_line_tables_match_commands_and_exit_codes() -> None:
    codes = {int(row[0]) for row in table("command-line.md", "exit code")}
    assert codes == {int(code) for code in Exit}
    named = {
        name for row in table("command-line.md", "command") for name in re.findall(r"`([a-z-]+(?: [a-z-]+)?)", row[0])
    }
    inner = {f"groups {name}" for name in ("list", "get", "create", "update", "delete", "add-users", "remove-users")}
    outer = {
        "apply", "completion", "demo", "doctor", "emulator", "explain", "export", "plan", "schema", "show", "undo",
        "validate",
    }  # fmt: skip
    assert named == outer | inner | {"users list", "users get"}
    for name in named:
        command, _, _ = app.app.parse_commands(name.split())
        assert command == tuple(name.split())


def test_fault_table_matches_the_emulator() -> None:
    parameters = inspect.signature(Emulator().faults.add).parameters
    for row in table("testing.md", "argument"):
        for name in re.findall(r"\b([a-z]+)=", row[0].partition("lambda")[0]):
            assert name in parameters
