"""Usage errors in plain words: the problem, a near spelling, and the command whose help to read.

An option that approves, deletes or replaces is never proposed: a typing error must not lead to it.
"""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal, get_args, get_origin

from attrs import frozen
from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

__all__ = ["UnknownFileOptionError", "usage_message"]

_NEVER_PROPOSED: Final = frozenset(
    {"--allow-duplicate", "--approve", "--clear", "--max-delete", "--max-remove", "--probe", "--prune", "--yes"}
)

_NEAR: Final = 0.8
"""Similarity of a near spelling, from 0 to 1: `--fromat` is near to `--format`, and `--force` is not."""

_LEAST_PREFIX: Final = 3
"""Letters from which on the start of an option stands for it, as in `--verb` for `--verbose`."""

_HINTS: Final = {
    "--api-key": "set SECODA_API_KEY or use --api-key-file, because other users of this machine can see arguments",
    "--dry-run": "`plan` shows the changes and writes nothing, and `apply --dry-run` does the same",
    "version": "use --version",
}
"""Hints for options and commands that other programs have."""


class UnknownFileOptionError(ValueError):
    """An argument that was read as a file looks like an option, and no file has the name."""

    def __init__(self, option: str) -> None:
        super().__init__(f"unknown option {option}")
        self.option = option


@frozen
class _Command:
    """The command of a command line."""

    app: App
    names: Sequence[str]
    rest: Sequence[str]
    """The arguments after its names."""


def usage_message(app: App, error: CycloptsError, arguments: Sequence[str]) -> str:
    """Return the problem of a command line, and the command whose help to read, in one line."""
    names, apps, rest = app.parse_commands(list(arguments))
    command = _Command(apps[-1], names, rest)
    explain = next((explain for kind, explain in _EXPLANATIONS if isinstance(error, kind)), None)
    problem = str(error) if explain is None else explain(error, command)
    return f"{' '.join(problem.split())} (see {' '.join((app.name[0], *names))} --help)"


def _unknown_option(error: UnknownOptionError, command: _Command) -> str:
    return _describe_option(error.token.keyword or error.token.value, command)


def _describe_option(text: str, command: _Command) -> str:
    option = text.partition("=")[0]
    if hint := _HINTS.get(option):
        return f"unknown option {option}: {hint}"
    names = (name for argument in command.app.assemble_argument_collection() for name in argument.names)
    return f"unknown option {option}{_proposal(option, names)}"


def _unknown_command(_: UnknownCommandError, command: _Command) -> str:
    text = command.rest[0]
    if text.startswith("-"):
        return f"unknown option {text}: options follow the command, as in `groups list --json`"
    if hint := _HINTS.get(text):
        return f"unknown command {text!r}: {hint}"
    names = [name for name in command.app if not name.startswith("-")]
    return f"unknown command {text!r}{_proposal(text, names) or ': use one of ' + ', '.join(names)}"


def _proposal(text: str, names: Iterable[str]) -> str:
    """Return the end of a message with the name that is nearest to a text, if one is near."""
    safe = {name.strip("-"): name for name in names if len(name.strip("-")) > 1 and name not in _NEVER_PROPOSED}
    wanted = text.strip("-")
    near = [key for key in safe if len(wanted) >= _LEAST_PREFIX and key.startswith(wanted)]
    near += get_close_matches(wanted, safe, 1, _NEAR)
    return f". Did you mean {safe[near[0]]}?" if near else ""


def _missing(error: MissingArgumentError, command: _Command) -> str:
    argument = error.argument
    if argument is None:
        return "a value is missing"
    given = next((text for text in command.rest if text.startswith("-") and text in argument.names), None)
    if given is None and argument.required:
        return f"{' '.join(command.names)} needs {_label(argument.name)}"
    return f"{given or argument.name} needs a value"


def _label(name: str) -> str:
    """Return an option as it is, and the name of an argument in capitals, as in the help."""
    return name if name.startswith("-") else name.upper()


def _invalid(error: ValidationError, command: _Command) -> str:
    if isinstance(error.__cause__, UnknownFileOptionError):
        return _describe_option(error.__cause__.option, command)
    return error.exception_message or str(error)


def _not_convertible(error: CoercionError, _: _Command) -> str:
    token, expected = error.token, _expected(error)
    if token is None or error.argument is None or expected is None:
        return str(error)
    name = _label(token.keyword or error.argument.name)
    return f"{name} takes no value" if error.target_type is bool else f"{name} must be {expected}, not {token.value!r}"


def _expected(error: CoercionError) -> str | None:
    """Return the values that an option takes, if they are known; our own converters say it."""
    if error.msg is not None or error.target_type is bool:
        return str(error.msg)
    if get_origin(error.target_type) is Literal:
        *others, last = map(str, get_args(error.target_type))
        return f"{', '.join(others)} or {last}"
    return None


def _unused(error: UnusedCliTokensError, _: _Command) -> str:
    return f"unexpected argument {' '.join(error.unused_tokens or ())!r}"


def _repeated(error: RepeatArgumentError, _: _Command) -> str:
    return f"{error.token.keyword} is given more than once"


_EXPLANATIONS: Final[Sequence[tuple[type[CycloptsError], Callable[[Any, _Command], str]]]] = (
    (UnknownOptionError, _unknown_option),
    (UnknownCommandError, _unknown_command),
    (MissingArgumentError, _missing),
    (ValidationError, _invalid),
    (CoercionError, _not_convertible),
    (UnusedCliTokensError, _unused),
    (RepeatArgumentError, _repeated),
)
"""The errors of cyclopts whose own text uses terms of Python. Other errors are shown as they are."""
