"""The options that all commands share."""

from pathlib import Path
from typing import Annotated

from attrs import define
from cyclopts import Group, Parameter

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""An option without a value."""
Yes = Annotated[Flag, Parameter(name=("--yes", "-y"), help="Do not ask.")]
OutputFile = Annotated[
    Path | None, Parameter(name=("--output", "-o"), help="Write to this file instead of stdout, only on success.")
]
Texts = Annotated[list[str] | None, Parameter(negative=())]
"""An option that may be repeated."""


@Parameter(name="*", group=Group("Output", sort_key=9))
@define(kw_only=True)
class Output:
    """The output of a command."""

    json: Annotated[Flag, Parameter(help="Print one JSON document.")] = False
    quiet: Annotated[Flag, Parameter(name=("--quiet", "-q"), help="Show no progress and no notes on stderr.")] = False
    no_color: Annotated[Flag, Parameter(help="Use no colors and no bold text, as with NO_COLOR.")] = False
    debug: Annotated[Flag, Parameter(help="Log to stderr and show tracebacks.")] = False
