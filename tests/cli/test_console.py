"""Tables, progress bars and lines on a terminal."""

import io
import re
import sys
from collections.abc import Callable

import pytest
from rich.console import Console as RichConsole
from rich.progress import TaskID

from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Column, Console, to_json


@pytest.fixture
def terminal() -> Callable[[int], Console]:
    def made(width: int) -> Console:
        console = Console(Output())
        console.out = RichConsole(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
        console.err = RichConsole(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
        return console

    return made


def printed(console: RichConsole) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_progress_bar_shows_the_time_left(terminal: Callable[[int], Console]) -> None:
    console = terminal(100)
    with console.progress("creating groups", 90, lambda left: left * 2.0) as bar:
        bar.update(1, 0)
        bar.describe("nearly there")
    assert "at least 2 min 58 s left" in printed(console.err)
    with console.progress("writing", 2, lambda left: left * 2.0) as bar:
        bar.update(1, 1)
        bar.update(2, 1)
    assert "writing, 1 failed" in printed(console.err)
    assert "2/2" in printed(console.err)
    assert bar._task == TaskID(0)


def test_progress_line_is_one_line_on_80_columns(terminal: Callable[[int], Console]) -> None:
    console = terminal(80)
    with console.progress("applying", 800, lambda left: left * 2.0) as bar:
        bar.update(16, 15, 1)
    assert re.search(r"applying, 15 failed, 1 unknown .* 16/800 at least 26 min 08 s left", printed(console.err))


@pytest.mark.parametrize(("typed", "end"), [("y\n", "[y/N] "), ("", "[y/N] \n")], ids=["answer", "Ctrl-D"])
def test_message_after_a_prompt_without_an_answer_starts_a_line(
    terminal: Callable[[int], Console], monkeypatch: pytest.MonkeyPatch, typed: str, end: str
) -> None:
    console = terminal(60)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert console.confirm("Make these 2 changes?") is bool(typed)
    assert printed(console.err).endswith(end)


@pytest.mark.requirement("BS-7")
def test_progress_without_a_terminal_prints_a_line_every_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    console, seconds = Console(Output()), 0.0
    console.err = RichConsole(file=io.StringIO(), width=100)
    monkeypatch.setattr("secoda_async.cli.output.console.time.monotonic", lambda: seconds)
    with console.progress("applying", 90, lambda left: left * 2.0) as bar:
        for done in range(1, 80):
            seconds += 1.0
            bar.update(done, int(done > 50), 2 * int(done > 70))
    assert printed(console.err).splitlines() == [
        "applying: 30 of 90, at least 2 min 00 s left",
        "applying, 1 failed: 60 of 90, at least 1 min 00 s left",
    ]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_table_never_cuts_ids(terminal: Callable[[int], Console], width: int) -> None:
    console = terminal(width)
    group_id = "3131f219-16bb-4c95-853a-894ae12db42a"
    columns = (
        Column(""), Column("name"), Column("members", align="right"), Column("description", "shrink"),
        Column("id", "keep"),
    )  # fmt: skip
    console.table("1 group", columns, [("", "n" * 70, "3", "d" * 90, group_id)])
    lines = printed(console.out).splitlines()
    assert any(group_id in line for line in lines)
    assert all(len(line) <= width for line in lines)
    assert (len(lines) == 3) is (width > 60)  # a line for each group, unless too little of the name would be left


def test_column_below_the_minimum_wraps_so_that_names_can_be_told_apart(terminal: Callable[[int], Console]) -> None:
    console = terminal(40)
    console.table(
        "2 groups", (Column("name"), Column("id", "keep")), [("Data North", "i" * 32), ("Data South", "j" * 32)]
    )
    assert [line.split() for line in printed(console.out).splitlines()[2:]] == [
        ["Data", "i" * 32],
        ["North"],
        ["Data", "j" * 32],
        ["South"],
    ]


def test_table_leaves_out_a_shrinkable_column_below_the_minimum(terminal: Callable[[int], Console]) -> None:
    for width, is_shown in ((70, False), (110, True)):
        console = terminal(width)
        columns = (Column("name"), Column("description", "shrink"), Column("id"))
        console.table("1 group", columns, [("n" * 20, "d" * 90, "i" * 36)])
        assert ("ddd…" in printed(console.out)) is is_shown


def test_json_is_indented_and_keeps_unicode() -> None:
    assert to_json({"é": [1]}) == '{\n  "é": [\n    1\n  ]\n}\n'


def test_table_wraps_only_the_column_that_wraps(terminal: Callable[[int], Console]) -> None:
    console = terminal(40)
    console.table("title", (Column("field"), Column("value", "wrap")), [("description", "word " * 20)])
    title, heading, first, *rest = printed(console.out).splitlines()
    assert title.strip() == "title"
    assert heading.split() == ["field", "value"]
    assert first.startswith("description  word word")
    assert all(line.startswith(" " * 13 + "word") for line in rest)


def test_table_without_headings_has_no_header(terminal: Callable[[int], Console]) -> None:
    console = terminal(40)
    console.table("any", (Column(""), Column("", "wrap")), [("a", "b")])
    assert [line.rstrip() for line in printed(console.out).splitlines()] == ["any", "a  b"]


def test_progress_names_the_time_left_from_one_second_on(terminal: Callable[[int], Console]) -> None:
    def shown(seconds: float) -> str:
        console = terminal(100)
        with console.progress("writing", 2, lambda _: seconds) as bar:
            bar.update(1, 0)
        return printed(console.err)

    assert "at least 1.0 s left" in shown(1.0)
    assert "1 left" in shown(0.9)
    assert "nearly done" not in shown(0.0)


@pytest.mark.requirement("SEC-2")
def test_lines_of_a_table_in_a_pipe_have_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column("name"), Column("description"))
    Console(Output()).table("2 groups", columns, [("Analysts", "d" * 9), ("B", "")])
    assert capsys.readouterr().out == "2 groups\nname      description\nAnalysts  ddddddddd\nB\n"


def test_wrapped_result_line_is_indented_and_a_line_in_a_pipe_is_whole(terminal: Callable[[int], Console]) -> None:
    text = "failed: " + "long " * 300 + "Done: 5 applied"
    console = terminal(60)
    console.print(text)
    first, *rest = printed(console.out).splitlines()
    assert first.startswith("failed: ")
    assert all(line.startswith("  ") and len(line) <= 60 for line in rest)
    piped = Console(Output())
    piped.out = piped.err = RichConsole(file=io.StringIO(), width=60)
    piped.print(text)
    piped.info(text)
    assert printed(piped.out) == f"{text}\n" * 2


@pytest.mark.parametrize("command", ["  secoda-async apply a.yaml --yes --approve", "export SECODA_API_KEY="])
def test_command_to_copy_is_never_wrapped(terminal: Callable[[int], Console], command: str) -> None:
    console = terminal(60)
    line = f"{command} {'long ' * 20}-"
    console.print(line)
    console.error(line)
    assert printed(console.out) == printed(console.err) == f"{line}\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_plain_console_prints_no_escapes(monkeypatch: pytest.MonkeyPatch, by: str, *, is_plain: bool) -> None:
    stdout, stderr = _Terminal(), _Terminal()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1" if is_plain and by == "environment" else "")
    console = Console(Output(no_color=is_plain and by == "option"))
    console.print("done", style="bold green")
    console.table("title", [Column("name")], [["Analysts"]])
    console.info("a note")
    console.error("an error")
    assert ("\x1b" in stdout.getvalue(), "\x1b" in stderr.getvalue()) == (not is_plain, not is_plain)


def test_quiet_console_prints_no_notes_and_no_progress(terminal: Callable[[int], Console]) -> None:
    console = terminal(80)
    console.output = Output(quiet=True)
    with console.progress("reading", 2) as bar:
        bar.update(1, 0)
    console.info("a note")
    console.warn("a warning")
    console.error("an error")
    assert printed(console.err) == "a warning\nan error\n"
