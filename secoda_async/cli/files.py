"""Files that a command writes: never an input, never partially, and with mode 0600."""

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
_POLL_INTERVAL: Final = 0.1
_PRIVATE: Final = 0o600

_PATH_ERRORS: Final = frozenset(
    {errno.EACCES, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
    | {errno.EPERM, errno.EROFS}
)
"""Numbers of the errors that another path avoids: the argument is invalid."""

_ROOM: Final = "Make room, or name a file on another disk"
_ADVICE: Final = {
    errno.ENOENT: "Create its directory, or name another file",
    errno.ENOSPC: _ROOM,
    getattr(errno, "EDQUOT", errno.ENOSPC): _ROOM,  # Windows has no quota error
    errno.EFBIG: "Raise the limit of a file's size (ulimit -f)",
}
"""Advice for some errors, by their number."""


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse an output that is the same file as an input or another output, through links too.

    The outputs are given by their option; the input `-` is standard input.

    Raises:
        CommandError: If a file would be overwritten. Nothing was read or sent.
    """
    seen: dict[object, str] = {}
    for file in inputs:
        if file is not None and (identity := _identity(file)) is not None:
            seen[identity] = "an input: the command would overwrite it"
    for option, file in outputs.items():
        if file is None:
            continue
        identity = _identity(file)
        if identity in seen:
            raise CommandError(f"{file}: {option} is the same file as {seen[identity]}. Name another file", Exit.USAGE)
        if identity is not None:
            seen[identity] = option


def _identity(file: Path) -> object:
    """Return a value that is equal for two paths to one file; None for a device, which can't be overwritten."""
    try:
        status = os.fstat(_STANDARD_INPUT) if str(file) == "-" else file.stat()
    except OSError:
        return None if str(file) == "-" else os.path.realpath(file)
    except ValueError:  # a NUL in the path: reading or writing the file reports it
        return None
    is_file = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)
    return (status.st_dev, status.st_ino) if is_file else None


def check_writable(file: Path) -> None:
    """Check that `write` can write a file.

    Raises:
        CommandError: If it can't: with `Exit.USAGE` if another path could be written, else with `Exit.ERROR`.
    """
    with _as_command_error(file):
        target = _target(file)
        if _is_replaceable(target):
            Path(_create_temporary(target)).unlink()


def write(file: Path, text: str, *, mode: int = _PRIVATE) -> None:
    """Replace a file atomically; a new file gets the mode, 0600 by default.

    Raises:
        CommandError: As by `check_writable`; the file is unchanged.
    """
    with _as_command_error(file):
        target = _target(file)
        if not _is_replaceable(target):
            target.write_text(text, "utf-8")
            return
        temporary = Path(_create_temporary(target))
        try:
            temporary.write_text(text, "utf-8", newline="\n")
            temporary.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else mode)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


async def wait_for_reader(file: Path) -> None:
    """Wait until a FIFO has a reader; opening it earlier would block signals and the deadline."""
    while not _has_reader(file):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(_POLL_INTERVAL)


def _has_reader(file: Path) -> bool:
    if not file.is_fifo():
        return True
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        return error.errno != errno.ENXIO  # opening the file later reports any other error
    return True


@contextmanager
def _as_command_error(file: Path) -> Generator[None, None, None]:
    try:
        yield
    except ValueError as error:  # a NUL in the path
        raise CommandError(f"{file}: can't be written: {error}. Name another file", Exit.USAGE) from None
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Name another file")
        code = Exit.USAGE if error.errno in _PATH_ERRORS else Exit.ERROR
        raise CommandError(f"{file}: can't be written: {error.strerror or error}. {advice}", code) from None


def _target(file: Path) -> Path:
    """Resolve symbolic links: the link stays, and its target is replaced."""
    return Path(os.path.realpath(file))


def _is_replaceable(target: Path) -> bool:
    """Return whether a path is a file or is free; a device is written in place.

    Raises:
        OSError: If the file can't be written.
    """
    if not target.exists():
        return True
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return target.is_file()


def _create_temporary(target: Path) -> str:
    """Create an empty file in the same directory, to be renamed to the target; return its path."""
    handle, path = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    os.close(handle)
    return path
