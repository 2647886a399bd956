"""The command `completion`."""

import asyncio
import shutil
from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from tests.support.shell import Shell

SHELLS = ["bash", "zsh", "fish"]


async def run(*command: str) -> str:
    """Return what a program prints; it must print no errors."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return out.decode()


@pytest.mark.parametrize("name", SHELLS)
async def test_completion_script_is_accepted_by_its_shell(shell: Shell, name: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    result = await shell.run("completion", name, "-o", str(script))
    assert (result.code, result.out, result.err) == (Exit.DONE, "", "")
    text = script.read_text("utf-8")
    assert "remove-users" in text
    assert "summary-only" in text
    if (program := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed")
    assert await run(program, "-n", str(script)) == ""


@pytest.mark.parametrize("name", SHELLS)
async def test_completion_script_ends_with_the_lines_that_install_it(shell: Shell, name: str) -> None:
    result = await shell.run("completion", name)
    *_, hints = result.out.partition("# Install, then open a new shell:\n")
    assert f"secoda-async completion {name} -o ~/." in hints
    assert all(line.startswith("#   ") for line in hints.splitlines())


async def complete(script: str, *words: str) -> list[str]:
    """Return what bash proposes for the last of the words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    line = (
        f"source {script}; COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); "
        "_secoda_async; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return [word.strip() for word in (await run(bash, "--norc", "-c", line)).splitlines()]


async def test_bash_completes_commands_and_options(shell: Shell, tmp_path: Path) -> None:
    script = str(tmp_path / "script")
    await shell.run("completion", "bash", "-o", script)
    assert await complete(script, "secoda-async", "pl") == ["plan"]
    assert await complete(script, "secoda-async", "groups", "de") == ["delete"]
    assert await complete(script, "secoda-async", "apply", "--dry") == ["--dry-run"]
