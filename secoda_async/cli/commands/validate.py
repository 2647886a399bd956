"""`secoda-async validate`: check files of groups without a key and without the network."""

from secoda_async.cli.inputs import DEFAULT_INPUTS, Files, Inputs, source_name
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Console
from secoda_async.reconcile.wording import count

_DEFAULT = Output()


def validate_command(files: Files, /, *, inputs: Inputs = DEFAULT_INPUTS, options: Output = _DEFAULT) -> None:
    """Check files of groups as `plan` reads them, and print every problem with its location.

    Needs no key and no network. Whether the members are users of the workspace is checked by `plan`.
    """
    console = Console(options)
    desired = inputs.load(files)
    members = sum(len(group.members or ()) for group in desired.groups)
    if options.json:
        console.print_json({"ok": True, "groups": len(desired.groups), "memberships": members})
    else:
        console.print(
            f"{source_name(files)}: {count(len(desired.groups), 'group')}, {count(members, 'membership')}, no problems",
            style="green",
        )
