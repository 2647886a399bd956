"""`secoda-async completion`."""

from typing import Annotated, Final, Literal

from cyclopts import Parameter

from secoda_async.cli.options import OutputFile
from secoda_async.cli.output.console import write_or_print

Shell = Literal["bash", "zsh", "fish"]

_INSTALL: Final[dict[Shell, tuple[str, ...]]] = {
    "bash": (
        "mkdir -p ~/.local/share/bash-completion/completions",
        "secoda-async completion bash -o ~/.local/share/bash-completion/completions/secoda-async",
        "or, without the package bash-completion, in ~/.bashrc:",
        'eval "$(secoda-async completion bash)"',
    ),
    "zsh": (
        "mkdir -p ~/.zfunc",
        "secoda-async completion zsh -o ~/.zfunc/_secoda-async",
        "and in ~/.zshrc:",
        "fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit",
    ),
    "fish": (
        "mkdir -p ~/.config/fish/completions",
        "secoda-async completion fish -o ~/.config/fish/completions/secoda-async.fish",
    ),
}


def completion_command(
    shell: Annotated[Shell, Parameter(help="Shell that runs the script.")],
    /,
    *,
    output: OutputFile = None,
) -> None:
    """Print the completion script of a shell. Its last lines say how to install it."""
    from secoda_async.cli.app import app  # noqa: PLC0415 - app imports the commands by name

    hints = "\n".join(f"#   {line}" for line in _INSTALL[shell])
    write_or_print(
        f"{app.generate_completion(shell=shell).rstrip()}\n\n# Install, then open a new shell:\n{hints}\n", output
    )
