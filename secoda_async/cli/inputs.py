"""The files of groups that a command reads: `FILE...`, `--columns` and `--input`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from attrs import define
from cyclopts import Group, Parameter

from secoda_async import DesiredState
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.files import check_outputs
from secoda_async.cli.signals import interrupt_on_signal
from secoda_async.cli.usage import UnknownFileOptionError
from secoda_async.reconcile.files.find_files import find_files, is_groups_file
from secoda_async.reconcile.wording import abbreviate

__all__ = ["DEFAULT_INPUTS", "Files", "Inputs", "source_name"]


def _reject_unknown_options(_: object, files: Sequence[Path]) -> None:
    """Refuse an unknown option, which would be taken for a file; `-x.yaml` may be the name of a file."""
    for file in files:
        if file.name.startswith("-") and str(file) == file.name != "-" and not file.exists():
            raise UnknownFileOptionError(file.name)


Files = Annotated[
    list[Path],
    Parameter(
        allow_leading_hyphen=True,  # for the file "-"
        negative=(),
        validator=_reject_unknown_options,
        help="Groups: YAML, JSON or CSV files, or directories of such files; - is standard input.",
    ),
]
"""The argument `FILE...` of a command."""

_MAX_NAMED: Final = 3
"""Files that `source_name` names."""


@Parameter(name="*", group=Group("Files", sort_key=6))
@define(kw_only=True)
class Inputs:
    """The options for reading files of groups."""

    columns: Annotated[
        str | None,
        Parameter(help="Columns of a table with other names: group='Group name',member=Email,where:Status=ACTIVE."),
    ] = None
    input: Annotated[
        Literal["csv", "yaml", "json"] | None,
        Parameter(help="Format of the files (default: the suffix decides, or the content)."),
    ] = None

    def load(self, files: Sequence[Path]) -> DesiredState:
        """Read the files; a signal ends the wait for standard input or a FIFO.

        Raises:
            DesiredStateError: If a file can't be used.
        """
        with interrupt_on_signal():
            return DesiredState.load(*files, columns=self.columns, input=self.input)

    def check_outputs(
        self, outputs: Mapping[str, Path | None], files: Sequence[Path], others: Sequence[Path | None] = ()
    ) -> None:
        """Refuse an output that is an input, in a directory of groups that is read, or another output.

        Raises:
            CommandError: If a file would be overwritten, or read as groups by the next run. Nothing was read or sent.
        """
        inputs = [Path(name) for name in find_files(map(str, files))[0]]
        check_outputs(outputs, [*inputs, *others])
        directories = [file.resolve() for file in files if file.is_dir()]
        for option, output in outputs.items():
            if output is None or not is_groups_file(output.name):
                continue
            inside = [directory for directory in directories if output.resolve().is_relative_to(directory)]
            if inside:
                raise CommandError(
                    f"{output}: {option} is in {inside[0]}, and the next run would read it as groups. "
                    "Name a file outside",
                    Exit.USAGE,
                )


DEFAULT_INPUTS: Final = Inputs()


def source_name(files: Sequence[Path]) -> str:
    """Return the names of the files for people."""
    return abbreviate([file.name or str(file) for file in files], _MAX_NAMED)
