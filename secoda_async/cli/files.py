"""Files that a command writes: never over what it reads, never half, and readable by their owner alone."""

import asyncio
import errno
import os
import stat
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from secoda_async.cli.exit_codes import CommandError, Exit

_STANDARD_INPUT: Final = 0
_PAUSE: Final = 0.1
_PRIVATE: Final = 0o600


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse outputs that are one file with an input or with each other, by whatever name.

    Args:
        outputs: Files to be written, by the option that names each.
        inputs: Files to be read; `-` is standard input.

    Raises:
        CommandError: When a file would be lost; nothing was read or sent.
    """
    seen: dict[object, str] = {}
    for file in inputs:
        if file is not None and (identity := _identity(file)) is not None:
            seen[identity] = "what is read: the command would overwrite it"
    for option, file in outputs.items():
        if file is None:
            continue
        identity = _identity(file)
        if identity in seen:
            raise CommandError(f"{file}: {option} is the same file as {seen[identity]}. Name another file", Exit.USAGE)
        if identity is not None:
            seen[identity] = option


def _identity(file: Path) -> object:
    """Return what tells whether two paths are one file; None for a device, which cannot be overwritten."""
    try:
        found = os.fstat(_STANDARD_INPUT) if str(file) == "-" else file.stat()
    except OSError:
        return None if str(file) == "-" else os.path.realpath(file)
    except ValueError:  # a NUL in the path: reading or writing the file says so
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode) else None


def check_writable(file: Path) -> None:
    """Refuse a file that `write` would fail to write.

    Raises:
        CommandError: When it would.
    """
    with _failures_named(file):
        target = _target(file)
        if _is_replaceable(target):
            Path(_temporary(target)).unlink()


def write(file: Path, text: str) -> None:
    """Write a file whole, or leave it as it was; a new file is readable by its owner alone.

    Raises:
        CommandError: When it can't be written.
    """
    with _failures_named(file):
        target = _target(file)
        if not _is_replaceable(target):
            target.write_text(text, "utf-8")
            return
        temporary = Path(_temporary(target))
        try:
            temporary.write_text(text, "utf-8", newline="\n")
            temporary.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else _PRIVATE)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


async def reader_of(file: Path) -> None:
    """Wait until a FIFO has a reader: to open it would block, and neither a signal nor the deadline would end that."""
    while not _has_reader(file):  # noqa: ASYNC110 - the system tells nobody of it
        await asyncio.sleep(_PAUSE)


def _has_reader(file: Path) -> bool:
    if not file.is_fifo():
        return True
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno != errno.ENXIO  # opening it says what else is wrong
    return True


@contextmanager
def _failures_named(file: Path) -> Generator[None, None, None]:
    try:
        yield
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{file}: can't be written: {why}", Exit.USAGE) from None


def _target(file: Path) -> Path:
    """Return the file that a path leads to: a symbolic link stays, and what it names is written."""
    return Path(os.path.realpath(file))


def _is_replaceable(target: Path) -> bool:
    """Whether a file is there or can be made: not a device, which is written in place.

    Raises:
        OSError: When the file may not be written.
    """
    if not target.exists():
        return True
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return target.is_file()


def _temporary(target: Path) -> str:
    """Make an empty file beside a file, to be renamed to it; return its path."""
    handle, path = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    os.close(handle)
    return path
