"""Files that are read whole, with a bound: a device or a wrong file fills no memory."""

import os
import select
import stat
import sys
from typing import BinaryIO, Final

__all__ = ["FileTooLargeError", "read_bytes"]

_LARGEST: Final = 64 * 2**20

_NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0) if sys.platform == "linux" else 0
"""For opening a FIFO without a wait for its writer: elsewhere such a FIFO reads as empty."""

_TURN: Final = 0.2
"""Seconds after which a wait for a pipe lets Python handle signals: one that comes just before a blocking call of the
system does not interrupt it."""


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
        content = sys.stdin.read(_LARGEST + 1).encode() if stream is None else _read(stream)
    else:
        with open(name, "rb", opener=_open) as file:
            content = _read(file)
    if len(content) > _LARGEST:
        raise FileTooLargeError
    return content


def _open(name: str, flags: int) -> int:
    return os.open(name, flags | _NONBLOCK)


def _read(file: BinaryIO) -> bytes:
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode) and hasattr(os, "O_NONBLOCK")
    except ValueError:  # a stream in memory
        is_pipe = False
    if not is_pipe:
        return file.read(_LARGEST + 1)
    content = bytearray()
    while len(content) <= _LARGEST and (chunk := _next_chunk(file.fileno())):
        content += chunk
    return bytes(content)


def _next_chunk(descriptor: int) -> bytes:
    """Wait for more of a pipe, and return it; nothing at its end."""
    is_ready = False
    while not is_ready:
        is_ready = bool(select.select([descriptor], [], [], _TURN)[0])
    return os.read(descriptor, 2**16)
