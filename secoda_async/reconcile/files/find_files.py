"""Find the files of groups in directories, so that a directory can stand for all its files."""

import os
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, field

__all__ = ["find_files", "is_groups_file"]

_SUFFIXES: Final = (".yaml", ".yml", ".json", ".csv", ".tsv")


def is_groups_file(name: str) -> bool:
    """Return whether a file of a directory is read, by its name: no hidden files, schemas and lock files of Excel."""
    lower = name.lower()
    return lower.endswith(_SUFFIXES) and not lower.endswith(".schema.json") and not lower.startswith((".", "~$"))


def find_files(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the files of paths, each file once, and the problems of directories; `-` is standard input.

    A directory stands for its files of groups in the order of their names. Subdirectories are included, because
    `prune` would delete the groups of a file that is skipped silently.
    """
    files: dict[str, str] = {}
    problems: list[str] = []
    for path in paths:
        found = _files_of(path, problems) if path != "-" and os.path.isdir(path) else [path]  # noqa: PTH112 - any string
        for file in found:
            files.setdefault(file if file == "-" else _real_path(file), file)
    return list(files.values()), problems


def _files_of(directory: str, problems: list[str]) -> list[str]:
    walk = _Walk()
    files = list(walk.files(directory))
    problems += walk.problems
    if not files and not walk.problems:
        problems.append(f"{directory}: the directory has no files of groups (*.yaml, *.yml, *.json, *.csv, *.tsv)")
    return files


@define
class _Walk:
    """Walks through a directory, and follows links; each directory is read once."""

    problems: list[str] = field(factory=list[str])
    _seen: set[str] = field(factory=set[str])

    def files(self, directory: str) -> Iterator[str]:
        """Yield the files of groups."""
        real = _real_path(directory)
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(f"{directory}: can't be read: {error.strerror or type(error).__name__}")
            return
        for entry in entries:
            if entry.is_dir():
                if not entry.name.startswith("."):
                    yield from self.files(entry.path)
            elif is_groups_file(entry.name):
                yield entry.path


def _real_path(path: str) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL in the path: reading the file reports it
        return path
