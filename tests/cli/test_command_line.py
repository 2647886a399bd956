"""Command lines that are printed to be run."""

import shlex
from pathlib import Path

import pytest
from attrs import define

from secoda_async.cli.command_line import command_line
from secoda_async.cli.commands.apply import ApplyOptions
from secoda_async.cli.commands.plan import Rules
from secoda_async.cli.connection import Connection
from secoda_async.cli.inputs import Inputs


@define(kw_only=True)
class Options:
    """Any options."""

    required: str
    other: str = "x"


def test_command_line_has_the_options_that_differ_from_the_default() -> None:
    given = ApplyOptions(yes=True, deadline="12m", log=Path("a b.jsonl"))
    rules = Rules(prune=True, only=["Team*", "-x"], max_delete="10%", max_remove="1")
    line = command_line("apply", [Path("groups.yaml")], given, Inputs(), rules, Connection(region="eu", json=True))
    assert line == (
        "secoda-async apply groups.yaml --yes --deadline 12m --log 'a b.jsonl' --prune --only 'Team*' --only=-x "
        "--max-remove 1 --region eu --json"
    ).replace(" --json", "").replace("--region eu", "--json --region eu")


def test_command_line_leaves_out_options_and_keeps_required_ones() -> None:
    assert (
        command_line("any", [], Options(required="r", other="o"), without=["other"]) == "secoda-async any --required r"
    )


@pytest.mark.parametrize("name", ["$(rm -rf x)", "it's; `id`", "a\nb", "grüße.yaml"])
@pytest.mark.requirement("SEC-2")
def test_command_line_is_quoted_for_a_shell(name: str) -> None:
    assert shlex.split(command_line("apply", [Path(name)])) == ["secoda-async", "apply", name]


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:s3cret@host/0", "redis://user:PASSWORD@host/0"),
        ("redis://:s3cret@host", "redis://:PASSWORD@host"),
        ("redis://user@host", "redis://user@host"),
        ("redis://x:s3cret@[::1", "URL"),
    ],
)
@pytest.mark.requirement("SEC-1")
def test_command_line_has_no_password(url: str, printed: str) -> None:
    assert shlex.split(command_line("apply", [], Connection(redis=url))) == [
        "secoda-async",
        "apply",
        "--redis",
        printed,
    ]


def test_option_from_the_environment_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECODA_REDIS_URL", "redis://:s3cret@host")
    options = Connection(redis="redis://:s3cret@host", workspace="acme")
    assert command_line("apply", [], options) == "secoda-async apply --workspace acme"
