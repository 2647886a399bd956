"""Files that are read whole, with a bound: a device or a wrong file fills no memory."""

import sys
from pathlib import Path
from typing import Final

__all__ = ["FileTooLargeError", "read_bytes"]

_LARGEST: Final = 64 * 2**20


class FileTooLargeError(ValueError):
    """A file is larger than any that this package reads."""

    def __init__(self) -> None:
        super().__init__(f"is larger than {_LARGEST / 2**20:g} MiB: is it the right file?")


def read_bytes(name: str) -> bytes:
    """Read a file; `-` is standard input.

    Raises:
        OSError: When it can't be read.
        ValueError: When its name can't be one; FileTooLargeError when it holds too much.
    """
    if name == "-":
        stream = getattr(sys.stdin, "buffer", None)  # a test's may have none
        content = sys.stdin.read(_LARGEST + 1).encode() if stream is None else stream.read(_LARGEST + 1)
    else:
        with Path(name).open("rb") as file:
            content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise FileTooLargeError
    return bytes(content)
