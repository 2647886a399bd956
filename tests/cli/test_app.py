"""The program: help, version, a missing extra, an interrupted start."""

import asyncio
import runpy
import sys
import types

import pytest

from secoda_async import __main__ as command
from secoda_async import __version__
from secoda_async.cli.exit_codes import Exit
from tests.support.shell import Shell


@pytest.mark.requirement("CL-4")
async def test_no_command_shows_the_help(shell: Shell) -> None:
    shown = await shell.run()
    assert (shown.code, shown.err) == (Exit.DONE, "")
    assert "Usage: secoda-async COMMAND" in shown.out
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "secoda_async", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (process.returncode, err) == (Exit.DONE, b"")
    assert b"Usage: secoda-async COMMAND" in out


@pytest.mark.requirement("CL-2")
@pytest.mark.parametrize("place", ["secoda_async.cli", "secoda_async.cli.app"])
def test_ctrl_c_during_the_import_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    class Interrupted(types.ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    interrupted = Interrupted(place)
    monkeypatch.setitem(sys.modules, place, interrupted)
    if place.endswith("app"):
        monkeypatch.setattr("secoda_async.cli.app", interrupted)
    assert command.main() == Exit.INTERRUPTED
    assert capsys.readouterr().err == "secoda-async: interrupted\n"


async def test_help_and_version_need_no_settings(shell: Shell) -> None:
    assert "demo" in (await shell.run("--help")).out
    assert (await shell.run("--version")).out.strip()
    for command_name in ("demo", "emulator", "doctor", "groups", "users"):
        assert (await shell.run(command_name, "--help")).code == Exit.DONE


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith("secoda_async.cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("secoda_async.cli", raising=False)
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert command.main() == Exit.USAGE
    first, *ways = capsys.readouterr().err.splitlines()
    assert first == (
        "secoda-async: cyclopts is missing. The command line is an extra. To install it, or to run it without an "
        "installation:"
    )
    assert ways == [
        "  pip install 'secoda-async[cli]'",
        "  pipx install 'secoda-async[cli]'",
        "  uvx --from 'secoda-async[cli]' secoda-async --help",
    ]
    monkeypatch.setitem(sys.modules, "secoda_async.cli", None)
    with pytest.raises(ModuleNotFoundError):
        command.main()


def test_main_passes_the_arguments_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["secoda-async", "--version"])
    assert command.main() == Exit.DONE
    assert capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(command.__file__), run_name="__main__")
    assert ended.value.code == Exit.DONE


@pytest.mark.parametrize("flag", ["-V", "--version"])
async def test_version_has_a_short_option(shell: Shell, flag: str) -> None:
    assert (await shell.run(flag)).out == f"{__version__}\n"


async def test_help_is_a_command_too(shell: Shell) -> None:
    assert (await shell.run("help")).out == (await shell.run("--help")).out
    assert (await shell.run("help", "groups", "list")).out == (await shell.run("groups", "list", "--help")).out
