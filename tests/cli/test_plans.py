"""Plans in each output format."""

import io
import json
from pathlib import Path
from typing import Literal

import pytest
from attrs import evolve
from rich.console import Console as RichConsole

from secoda_async import Breach, Change, InvalidArgumentError, Plan
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Console
from secoda_async.cli.output.plans import PlanFormat, PlanOutput, format_plan, print_plan
from secoda_async.models import GroupFields

PLAN = Plan(
    changes=(
        Change(kind="create", name="new", after=GroupFields(name="new", users=("u1",))),
        Change(
            kind="update",
            name="old",
            id="1",
            before=GroupFields(name="old", users=("u1",)),
            after=GroupFields(name="old", users=()),
        ),
        Change(kind="delete", name="gone", id="2", before=GroupFields(name="gone")),
    ),
    breaches=(Breach(kind="deletes", message="too many"),),
)


def text_of(plan: Plan) -> str:
    return format_plan(plan, "text", source="groups.yaml", host="https://api.secoda.co")


def test_plan_lines_have_the_color_of_their_kind() -> None:
    printed = io.StringIO()
    console = RichConsole(file=printed, force_terminal=True, color_system="standard", width=100)
    print_plan(console, PLAN)
    for line in (
        "\x1b[32m+ create new", "\x1b[32mmembers +1", "\x1b[33m~ update old", "\x1b[31mmembers -1",
        "\x1b[31m- delete gone", "\x1b[1;31m! ", "\x1b[1m1 to create",
    ):  # fmt: skip
        assert line in printed.getvalue()


def test_plan_text_has_the_estimate_and_no_colors() -> None:
    text = text_of(PLAN)
    assert text.startswith("+ create new\n    members +1: u1\n")
    assert text.endswith(f"digest {PLAN.digest}\n")
    assert "\x1b" not in text
    assert "digest" not in text_of(Plan(changes=()))


@pytest.mark.parametrize(
    ("output_format", "start"),
    [("text", "+ create new"), ("json", "{"), ("markdown", "### Secoda groups"), ("html", "<!doctype html>")],
)
def test_plan_has_four_formats(output_format: PlanFormat, start: str, tmp_path: Path) -> None:
    text = format_plan(PLAN, output_format, source="groups.yaml", host="https://api.secoda.co")
    assert text.startswith(start)
    file = tmp_path / "plan"
    output = PlanOutput(format=output_format, output=file)
    output.show(Console(Output()), PLAN, source="groups.yaml", host="https://api.secoda.co")
    assert file.read_text("utf-8").splitlines()[0] == text.splitlines()[0]


@pytest.mark.parametrize(
    ("plan", "rest"),
    [(PLAN, "1 to create, 1 to update, 1 to delete; needs an approval"), (Plan(changes=()), "nothing to do")],
    ids=["needs an approval", "empty"],
)
def test_summary_of_a_plan_in_a_file_goes_to_stderr(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, plan: Plan, rest: str
) -> None:
    file = tmp_path / "plan.md"
    PlanOutput(format="markdown", output=file).show(Console(Output()), plan, source="groups.yaml", host="")
    assert capsys.readouterr().err == f"{file}: {rest}\n"
    PlanOutput(format="markdown", output=file).show(Console(Output(quiet=True)), plan, source="groups.yaml", host="")
    assert bool(capsys.readouterr().err) == bool(plan.breaches)


def test_json_option_precedes_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    PlanOutput().show(Console(Output(json=True)), PLAN, source="groups.yaml", host="")
    assert Plan.from_document(json.loads(capsys.readouterr().out), "-") == PLAN


def test_verbose_names_every_group_that_is_not_managed_or_ignored() -> None:
    plan = evolve(
        PLAN,
        unmanaged=12,
        unmanaged_names=tuple(f"group {number:02}" for number in range(12)),
        ignored_names=("SAML a", "SAML b"),
    )
    assert "\n\nignored: 2 groups: SAML a, SAML b\nnot managed: 12 groups: group 00, " in text_of(plan)
    assert ", group 09 and 2 more\n" in text_of(plan)
    verbose = format_plan(plan, "text", source="groups.yaml", host="", verbose=True)
    assert "\nignored: 2 groups: SAML a, SAML b\n" in verbose
    assert ", group 11\n" in verbose


def test_wrapped_line_is_indented() -> None:
    printed = io.StringIO()
    message = "Evil " + "x " * 30 + "- delete everything"
    plan = Plan(changes=(Change(kind="create", name=message, after=GroupFields(name=message, description=message)),))
    print_plan(RichConsole(file=printed, force_terminal=True, color_system=None, width=60), plan)
    lines = printed.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines[:-2])
    assert [len(line) - len(line.lstrip()) for line in lines[:4]] == [0, 2, 4, 6]


def test_line_in_a_pipe_is_never_wrapped() -> None:
    name = "word " * 1000 + "end"
    text = text_of(Plan(changes=(Change(kind="create", name=name, after=GroupFields(name=name)),)))
    assert f"+ create {name}\n" in text


def test_summary_has_the_problems_and_no_changes() -> None:
    printed = io.StringIO()
    console = Console(Output())
    console.out = RichConsole(file=printed, width=100)
    PlanOutput(summary_only=True).show(console, PLAN, source="", host="")
    first, *_, last = printed.getvalue().splitlines()
    assert (first, last) == ("! needs an approval: too many", f"digest {PLAN.digest}")
    assert "create new" not in printed.getvalue()


@pytest.mark.parametrize("name", ["markdown", "html"])
def test_two_formats_are_refused(name: Literal["markdown", "html"]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"--json and --format {name} are two formats: leave one out"):
        PlanOutput(format=name).check(Output(json=True))
    PlanOutput(format="json").check(Output(json=True))


@pytest.mark.parametrize(
    ("output", "options"),
    [(PlanOutput(summary_only=True, format="html"), Output()), (PlanOutput(summary_only=True), Output(json=True))],
    ids=["html", "json"],
)
def test_summary_is_for_text_only(output: PlanOutput, options: Output) -> None:
    with pytest.raises(InvalidArgumentError, match="--summary-only"):
        output.check(options)
    PlanOutput(summary_only=True).check(Output())
