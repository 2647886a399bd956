"""Read whole files up to a maximum size, so that a device or a wrong file can't fill the memory."""

import os
import select
import stat
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

__all__ = ["FileTooLargeError", "InputError", "OtherFormatError", "read_bytes"]

_MAX_BYTES: Final = 512 * 2**20
"""A plan that changes a hundred thousand groups of fifty members is smaller."""

_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0) if sys.platform == "linux" else 0
"""For opening a FIFO without a wait for its writer: elsewhere such a FIFO reads as empty."""

_POLL_INTERVAL: Final = 0.2
"""Seconds between returns to Python while waiting for a pipe: a signal that arrives just before a blocking system call
does not interrupt that call."""


class InputError(ValueError):
    """Raised for a file that can't be read or parsed."""

    def __init__(self, problem: str, location: str = "") -> None:
        super().__init__(f"{location}: {problem}" if location else problem)
        self.problem = problem
        """The predicate of a sentence about the file."""
        self.location = location
        """`:3:7` for line 3, column 7; empty for the whole file."""


class OtherFormatError(InputError):
    """Raised for a file that is in another format than the one it was read in."""

    def __init__(self, kind: str, formats: Sequence[str], location: str) -> None:
        super().__init__(f"looks like {kind}", location)
        self.formats = formats
        """The formats that it may be in: `csv`, `yaml` and `json`."""


class FileTooLargeError(InputError):
    """Raised for a file that exceeds the maximum size."""

    def __init__(self) -> None:
        super().__init__(f"is larger than {_MAX_BYTES / 2**20:g} MiB: is it the right file?")


def read_bytes(name: str) -> bytes:
    """Read a file; `-` is standard input.

    Raises:
        InputError: When the file can't be read.
        FileTooLargeError: When the file exceeds the maximum size.
    """
    try:
        content = _read_stdin() if name == "-" else _read_file(name)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or type(error).__name__}") from None
    except FileTooLargeError:
        raise
    except ValueError:  # a NUL in the name
        raise InputError("is not a valid file name") from None
    if len(content) > _MAX_BYTES:
        raise FileTooLargeError
    return content


def _read_stdin() -> bytes:
    stream = getattr(sys.stdin, "buffer", None)  # a replaced stdin may have none
    return sys.stdin.read(_MAX_BYTES + 1).encode() if stream is None else _read(stream)


def _read_file(name: str) -> bytes:
    with open(name, "rb", opener=_open) as file:
        return _read(file)


def _open(name: str, flags: int) -> int:
    return os.open(name, flags | _NONBLOCK)


def _read(file: BinaryIO) -> bytes:
    try:
        status = os.fstat(file.fileno())
    except ValueError:  # a stream in memory
        return file.read(_MAX_BYTES + 1)
    if status.st_size > _MAX_BYTES:
        raise FileTooLargeError
    if not (stat.S_ISFIFO(status.st_mode) and hasattr(os, "O_NONBLOCK")):
        return file.read(_MAX_BYTES + 1)
    content = bytearray()
    while len(content) <= _MAX_BYTES and (chunk := _next_chunk(file.fileno())):
        content += chunk
    return bytes(content)


def _next_chunk(descriptor: int) -> bytes:
    """Wait for the next chunk of a pipe, and return it; empty at the end."""
    is_ready = False
    while not is_ready:
        is_ready = bool(select.select([descriptor], [], [], _POLL_INTERVAL)[0])
    return os.read(descriptor, 2**16)
