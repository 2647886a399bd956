"""Command lines to print: the options of a run, quoted for a POSIX shell, without secrets."""

import os
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from attrs import NOTHING, Attribute, fields

__all__ = ["command_line"]

_VARIABLES: Final[Mapping[str, str]] = {"redis": "SECODA_REDIS_URL", "workspace": "SECODA_WORKSPACE"}
"""The environment variables that set an option. Such an option is not printed: the variable is still set."""


def command_line(command: str, files: Sequence[Path], *options: object, without: Collection[str] = ()) -> str:
    """Return a command line, quoted for a shell.

    Args:
        command: The command, such as `apply`.
        files: The arguments.
        options: Objects whose attributes are options; those with their default value are left out.
        without: Names of attributes to leave out.
    """
    words = ["secoda-async", command, *map(str, files)]
    for each in options:
        attributes: tuple[Attribute[Any], ...] = fields(type(each))  # type: ignore[arg-type]
        for attribute in attributes:
            if attribute.name not in without:
                words += _option(attribute, getattr(each, attribute.name))
    return shlex.join(words)


def _option(attribute: "Attribute[Any]", value: object) -> Iterable[str]:
    """Return the words of an option, none if it has its default value or comes from the environment."""
    variable = _VARIABLES.get(attribute.name)
    is_default = attribute.default is not NOTHING and value == attribute.default
    if is_default or (variable is not None and value == os.environ.get(variable)):
        return []
    name = f"--{attribute.name.replace('_', '-')}"
    if value is True:
        return [name]
    values = cast("Sequence[object]", value) if isinstance(value, list) else [value]
    return [word for each in values for word in _words(name, _without_password(str(each)))]


def _words(name: str, value: str) -> Sequence[str]:
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _without_password(value: str) -> str:
    """Return a URL of Redis without its password, which a log of the output must not have."""
    if "://" not in value or "@" not in value:
        return value
    try:
        password = urlsplit(value).password
    except ValueError:
        return "URL"
    return value if password is None else value.replace(f":{password}@", ":PASSWORD@")
