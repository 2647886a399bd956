"""The sheet of a probe: Markdown to paste into an issue, without names, addresses, ids or the key."""

import platform
from collections.abc import Mapping

from secoda_async import __version__
from secoda_async.cli.contract import ListContract
from secoda_async.cli.probe import QUESTIONS, Probe
from secoda_async.config import Region


def sheet(origin: str, contracts: Mapping[str, ListContract], probe: Probe) -> str:
    """Return the sheet. Each line is one statement, so that any width of a terminal shows it."""
    region = next((f"region {region.value}" for region in Region if region.origin == origin), "a custom host")
    python = f"Python {platform.python_version()} on {platform.system()}"
    lines = ["### What this API does (secoda-async doctor --probe)", ""]
    lines += [f"secoda-async {__version__}, {python}; {region}; {probe.writes} writes.", ""]
    lines += [f"- {question} **{probe.findings[key]}**" for key, question in QUESTIONS.items()]
    for kind, contract in contracts.items():
        lines += ["", f"List of {kind}:", "", *(f"- {each}" for each in contract.sentences(show_hosts=False))]
    lines += ["", _rest(probe)]
    return "\n".join(lines) + "\n"


def _rest(probe: Probe) -> str:
    if probe.left:
        return f"Groups of the probe that could not be deleted: {len(probe.left)}."
    if probe.is_create_unclear:
        return "The outcome of a create is not known: a group of the probe may exist."
    return "The groups of the probe were deleted."
