"""Usage errors: the problem in plain words, a near spelling, and the help of the command."""

from pathlib import Path

import pytest
from cyclopts import CoercionError, CycloptsError, MissingArgumentError, Token, ValidationError

from secoda_async.cli.app import app
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.usage import usage_message
from tests.support.shell import Shell


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "g.yaml").write_text("groups: []\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    return "g.yaml"


@pytest.mark.requirement("CL-1")
@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(
    ("line", "problem", "command"),
    [
        ("plan --foo g.yaml", "unknown option --foo", "plan"),
        ("plan g.yaml --fromat html", "unknown option --fromat. Did you mean --format?", "plan"),
        ("plan g.yaml --ouput=x", "unknown option --ouput. Did you mean --output?", "plan"),
        ("plan g.yaml --verb", "unknown option --verb. Did you mean --verbose?", "plan"),
        ("groups update x --clear all", "--clear must be icon, description or users, not 'all'", "groups update"),
        ("apply --yess g.yaml", "unknown option --yess", "apply"),
        ("apply g.yaml --prun", "unknown option --prun", "apply"),
        ("apply g.yaml --approv x", "unknown option --approv", "apply"),
        ("apply g.yaml --max-deletes 1", "unknown option --max-deletes", "apply"),
        ("apply g.yaml --force", "unknown option --force", "apply"),
        ("groups create --name x --allow-duplicates", "unknown option --allow-duplicates", "groups create"),
        ("groups list --regoin us", "unknown option --regoin. Did you mean --region?", "groups list"),
        ("groups lst", "unknown command 'lst'. Did you mean list?", "groups"),
        ("plann g.yaml", "unknown command 'plann'. Did you mean plan?", ""),
        ("users rm", "unknown command 'rm': use one of list, get", "users"),
        ("version", "unknown command 'version': use --version", ""),
        ("-q plan g.yaml", "unknown option -q: options follow the command, as in `groups list --json`", ""),
        ("plan", "plan needs FILES", "plan"),
        ("groups create", "groups create needs --name", "groups create"),
        ("groups create --name", "--name needs a value", "groups create"),
        ("plan g.yaml --output", "--output needs a value", "plan"),
        ("plan g.yaml -o", "-o needs a value", "plan"),
        ("plan g.yaml --format htm", "--format must be text, json, markdown or html, not 'htm'", "plan"),
        ("plan g.yaml --debug=maybe", "--debug takes no value", "plan"),
        ("completion tcsh", "SHELL must be bash, zsh or fish, not 'tcsh'", "completion"),
        ("schema x", "unexpected argument 'x'", "schema"),
        ("export --members ids --members emails", "--members is given more than once", "export"),
    ],
)  # fmt: skip
async def test_usage_error_names_the_problem_and_the_help(shell: Shell, line: str, problem: str, command: str) -> None:
    result = await shell.run(*line.split())
    help_of = " ".join(("secoda-async", *command.split(), "--help"))
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert result.err == f"secoda-async: {problem} (see {help_of})\n"


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("line", ["plan g.yaml --api-key secret", "groups list --api-key=secret"])
async def test_key_as_an_argument_is_not_repeated(shell: Shell, line: str) -> None:
    result = await shell.run(*line.split())
    assert (result.code, "use --api-key-file" in result.err, "secret" in result.err) == (Exit.USAGE, True, False)


@pytest.mark.usefixtures("file")
async def test_dry_run_of_plan_is_explained(shell: Shell) -> None:
    result = await shell.run("plan", "g.yaml", "--dry-run")
    assert (result.code, "`plan` shows the changes and writes nothing" in result.err) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("option", "number", "expected"),
    [
        ("--users", "-1", "a whole number, 0 or more"),
        ("--groups", "3.5", "a whole number, 0 or more"),
        ("--groups", "many", "a whole number, 0 or more"),
        ("--port", "65536", "a port, from 0 to 65535"),
        ("--port", "-1", "a port, from 0 to 65535"),
        ("--speed", "0", "a number above 0"),
        ("--speed", "nan", "a number above 0"),
        ("--speed", "inf", "a number above 0"),
        ("--latency", "-0.1", "0 or more seconds"),
        ("--latency", "soon", "0 or more seconds"),
    ],
)
async def test_number_out_of_range_is_refused(shell: Shell, option: str, number: str, expected: str) -> None:
    result = await shell.run("emulator", option, number)
    assert (result.code, f"{option} must be {expected}, not {number!r}" in result.err) == (Exit.USAGE, True)


def test_other_errors_of_the_parser_are_shown_in_one_line() -> None:
    argument = app["schema"].assemble_argument_collection()[0]
    for error, text in (
        (CycloptsError(msg="two\nlines"), "two lines"),
        (MissingArgumentError(), "a value is missing"),
        (CoercionError(msg="must be\nanother"), "must be another"),
        (CoercionError(target_type=int, token=Token(value="x"), argument=argument, verbose=False), "nable to convert"),
        (ValidationError(exception_message="is wrong"), "is wrong"),
    ):
        shown = usage_message(app, error, ["plan"])
        assert text in shown
        assert shown.endswith(" (see secoda-async plan --help)")


async def test_unknown_command_lists_the_commands(shell: Shell) -> None:
    result = await shell.run("frobnicate")
    assert result.code == Exit.USAGE
    assert result.err.startswith("secoda-async: unknown command 'frobnicate': use one of demo, ")
    assert ", completion (see secoda-async --help)" in result.err
