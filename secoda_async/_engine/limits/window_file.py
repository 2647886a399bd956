"""Share the write limit between the commands that one user runs on one machine, through small files.

The server counts the writes of all commands in one window. Each process writes the permits that it uses to its own
file, and reads the other processes' files when it starts, so no lock is needed. A file holds times only, and its name
is a hash of the origin and the key. No command fails because of a file: one that can't be used is ignored.
"""

import contextlib
import hashlib
import json
import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

from attrs import define, field

from secoda_async._engine.limits.limiter import SlidingWindowLimiter
from secoda_async._engine.limits.window import Usage
from secoda_async.config import Secret

_log: Final = logging.getLogger("secoda_async")

_PROCESS: Final = uuid4().hex[:16]
"""The name of this process in file names. A process id is not unique: containers may share the directory."""

_MAX_AGE: Final = 600.0
"""Seconds: older files are deleted."""

_MAX_FILES: Final = 500
_MAX_BYTES: Final = 65_536
_MAX_PERMITS: Final = 1000
"""Bounds for reading: other programs may have written the files."""

_LONGEST_CALL: Final = 30.0
"""Seconds: the default timeout of an attempt. A call that was in flight when its process was killed has reached the
server within this time, if at all."""

_CLOCK_STEP: Final = 1.0
"""Seconds that the machine's clock may be set back: times further in the future are ignored."""


def share_window(limiter: SlidingWindowLimiter, origin: str, key: object) -> None:
    """Make a limiter count the permits of other processes, and report its own to them.

    `SECODA_NO_STATE=1` turns this off.
    """
    directory = cache_directory()
    if directory is None or os.environ.get("SECODA_NO_STATE") or not isinstance(key, Secret):
        return
    file = WindowFile(directory, fingerprint(origin, key))
    limiter.share(file.read(limiter.limit.per_seconds), file.write)


def fingerprint(origin: str, key: Secret) -> str:
    """Return the name of a window; it does not reveal the key."""
    return hashlib.sha256(b"\0".join((b"secoda-async window", origin.encode(), key.encode()))).hexdigest()[:32]


def cache_directory() -> Path | None:
    """Return the user's cache directory for this program, or None if there is no home directory."""
    defaults = {"win32": ("LOCALAPPDATA", "AppData/Local"), "darwin": ("", "Library/Caches")}
    variable, below_home = defaults.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    base = Path(os.environ.get(variable, ""))
    if not base.is_absolute():  # unset, or invalid by the XDG specification
        try:
            base = Path.home() / below_home
        except RuntimeError:  # a container without HOME and without an entry for its user
            return None
    return base / "secoda-async" if base.is_absolute() else None


@define(eq=False, repr=False)
class WindowFile:
    """The files of one window. This process writes one of them and reads the others."""

    directory: Path
    name: str
    wall_clock: Callable[[], float] = field(default=time.time, kw_only=True)
    process: str = field(default=_PROCESS, kw_only=True)
    _has_failed: bool = field(default=False, init=False)

    def read(self, window: float) -> Usage:
        """Return the permits of all other processes; none is used for longer than `window` seconds."""
        others: list[Usage] = []
        try:
            if _is_private(self.directory):
                others = self._read_others(self.wall_clock(), window)
        except FileNotFoundError:  # the first run, or another process deleted an old file
            pass
        except OSError as error:
            self._log_once(error)
        return Usage(
            free_in=tuple(sorted(seconds for other in others for seconds in other.free_in)),
            paused_for=max((other.paused_for for other in others), default=0.0),
            paced_for=max((other.paced_for for other in others), default=0.0),
        )

    def write(self, usage: Usage) -> None:
        """Write the permits of this process. It is called before a call starts, so a killed process has reported it."""
        now = self.wall_clock()
        document = {
            "saved_at": now,
            "free_at": [now + seconds for seconds in usage.free_in],
            "in_flight": usage.in_flight,
            "opens_at": now + usage.paused_for,
            "spaced_until": now + usage.paced_for,
        }
        path = self.directory / f"{self.name}-{self.process}.json"
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_private(self.directory):
                _replace(path, json.dumps(document).encode())
        except OSError as error:
            self._log_once(error)

    def _read_others(self, now: float, window: float) -> list[Usage]:
        others: list[Usage] = []
        for path in islice(self.directory.iterdir(), _MAX_FILES):
            self._delete_if_old(path, now)
            if path.suffix == ".json" and path.name.startswith(self.name) and self.process not in path.name:
                others.append(_usage(_read(path), now, window))
        return others

    def _delete_if_old(self, path: Path, now: float) -> None:
        with contextlib.suppress(OSError):  # another process was faster
            if path.suffix in (".json", ".new") and abs(now - path.lstat().st_mtime) > _MAX_AGE:
                path.unlink()

    def _log_once(self, error: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            _log.debug("the write limit is not shared with other runs: %s: %s", self.directory, error.strerror)


def _is_private(directory: Path) -> bool:
    """Return whether no other user can put a file or a symbolic link there."""
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and _is_mine(found)


def _is_mine(found: os.stat_result) -> bool:
    """Return whether the user owns it and no one else may write to it. Windows protects a user's directories itself."""
    return not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)


def _read(path: Path) -> dict[str, Any]:
    """Return the document in a file; an empty one if it holds anything else."""
    # Follow no link, and do not wait for a FIFO.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not _is_mine(found):
                return {}
            document: object = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", document) if isinstance(document, dict) else {}


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically: readers see the old or the new content."""
    new = path.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def _usage(document: dict[str, Any], now: float, window: float) -> Usage:
    """Return the permits in a document that are still used."""

    def remaining(value: object, longest: float) -> float:
        """Return the seconds until a moment: 0 if it has passed, or is too far away to be true."""
        seconds = value - now if isinstance(value, float) else 0.0
        return min(seconds, longest) if 0 < seconds <= longest + _CLOCK_STEP else 0.0

    moments: object = document.get("free_at")
    permits = islice(cast("Iterable[object]", moments if isinstance(moments, list) else ()), _MAX_PERMITS)
    free_in = [seconds for moment in permits if (seconds := remaining(moment, window))]
    in_flight: object = document.get("in_flight")
    saved_at: object = document.get("saved_at")
    if isinstance(in_flight, int) and isinstance(saved_at, float):
        answered = min(now, saved_at + _LONGEST_CALL)  # at the latest
        free_in += [seconds] * min(in_flight, _MAX_PERMITS) if (seconds := remaining(answered + window, window)) else []
    return Usage(
        free_in=tuple(free_in),
        paused_for=(paused_for := remaining(document.get("opens_at"), 5 * window)),
        paced_for=remaining(document.get("spaced_until"), paused_for + window),
    )
