"""Load files of groups strictly: all problems are reported together, each with its location.

A file is `groups:` and a list of entries with `name` and, each optional, `icon`, `description`, `members`,
`membership`, `previously` and `id`; or a table with a row for each membership.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final, Literal

from attrs import frozen

from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.files import json_nodes, yaml_nodes
from secoda_async.reconcile.files.columns import Columns
from secoda_async.reconcile.files.decoding import decode_text
from secoda_async.reconcile.files.input_file import InputError, OtherFormatError, read_bytes
from secoda_async.reconcile.files.nodes import Node
from secoda_async.reconcile.files.tables import looks_like_table, parse_table
from secoda_async.reconcile.files.validation import Validator

__all__ = ["SCHEMA", "FileFormat", "LoadedFile", "load_file"]

SCHEMA: Final = Path(__file__).with_name("groups.schema.json")
"""The format as a JSON Schema, for editors."""

FileFormat = Literal["csv", "yaml", "json"]
"""The format of a file of groups."""

_SUFFIXES: Final[Mapping[str, FileFormat]] = {".csv": "csv", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}

_JSON_LINES: Final = (".jsonl", ".ndjson")


@frozen(kw_only=True)
class LoadedFile:
    """The content of a file of groups."""

    groups: tuple[DesiredGroup, ...]
    ignore: tuple[str, ...]
    """Patterns of the names of groups that are never changed."""
    problems: tuple[str, ...]
    """Problems of the file, each with its location."""
    is_table: bool


def load_file(name: str, *, columns: Columns | None = None, file_format: FileFormat | None = None) -> LoadedFile:
    """Read a file; `-` is standard input. The content decides the format if the suffix does not."""
    validator = Validator("standard input" if name == "-" else name)
    kind = file_format
    try:
        text = decode_text(read_bytes(name))
        kind = kind or _format_of(name, text)
        document = parse_table(text, validator.report, columns) if kind == "csv" else _parse(text, kind)
    except OtherFormatError as error:
        validator.report(error.location, f"{error.problem}: {_advice(error.formats, is_given=file_format is not None)}")
    except InputError as error:
        validator.report(error.location, error.problem)
    else:
        if document is not None:
            validator.validate(document)
    return LoadedFile(
        groups=tuple(validator.groups),
        ignore=validator.ignore,
        problems=tuple(validator.problems),
        is_table=kind == "csv",
    )


def _format_of(name: str, text: str) -> FileFormat:
    suffix = PurePath(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix in _JSON_LINES:
        raise InputError('is JSON Lines, such as a journal: write one JSON document, {"groups": [...]}')
    if looks_like_table(text, suffix):
        return "csv"
    return "json" if json_nodes.is_json(text) else "yaml"


def _advice(formats: Sequence[str], *, is_given: bool) -> str:
    """Return how to have a file read in another format; `is_given` says that `--input` decided the present one."""
    suffixes, options = (" or ".join(f"{prefix}{name}" for name in formats) for prefix in (".", "--input "))
    return f"{'leave out --input' if is_given else f'name the file {suffixes}'}, or pass {options}"


def _parse(text: str, file_format: FileFormat) -> Node:
    if looks_like_table(text, ""):
        raise OtherFormatError("a table", ["csv"], ":1")
    if file_format == "json":
        return json_nodes.parse(text)
    try:
        return yaml_nodes.compose(text)
    except ModuleNotFoundError:
        raise InputError("reading YAML needs PyYAML: pip install 'secoda-async[cli]' (or use a .json file)") from None
