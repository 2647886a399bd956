"""`secoda-async schema`."""

from secoda_async.cli.options import OutputFile
from secoda_async.cli.output.console import write_or_print
from secoda_async.reconcile.files.reading import SCHEMA


def schema_command(*, output: OutputFile = None) -> None:
    """Print the JSON Schema of a groups file."""
    write_or_print(SCHEMA.read_text("utf-8"), output)
