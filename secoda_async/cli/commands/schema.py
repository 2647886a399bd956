"""`secoda-async schema`."""

from secoda_async.cli.output.console import write_stdout
from secoda_async.reconcile.files.reading import SCHEMA


def schema_command() -> None:
    """Print the JSON Schema of a groups file."""
    write_stdout(SCHEMA.read_text("utf-8"))
