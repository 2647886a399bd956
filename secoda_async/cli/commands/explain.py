"""`secoda-async explain`: one person's groups, and the effect of a plan on each."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import asdict
from cyclopts import Parameter
from rich.text import Text

from secoda_async import to_dict
from secoda_async.cli.commands.plan import DEFAULT_RULES, Rules
from secoda_async.cli.connection import Connection
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.inputs import DEFAULT_INPUTS, Files, Inputs
from secoda_async.cli.lookup import description_of
from secoda_async.cli.output.console import Column, Console
from secoda_async.reconcile import safety
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.explanation import Explanation, Membership, explain
from secoda_async.reconcile.wording import count

_DEFAULT = Connection()
_FILES: Final = Parameter(
    show_default=False, help="Files of groups, as for plan. Without files, the present groups are shown."
)
_NO_FILES: Final[list[Path]] = []
_STYLES: Final = {"added": "green", "removed": "red", "none": "yellow", "stays": ""}
"""The style of each effect, in the order in which the groups are shown."""


async def explain_command(
    person: Annotated[str, Parameter(name="email", help="E-mail address or id of the person.")],
    files: Annotated[Files, _FILES] = _NO_FILES,
    /,
    *,
    inputs: Inputs = DEFAULT_INPUTS,
    rules: Rules = DEFAULT_RULES,
    options: Connection = _DEFAULT,
) -> None:
    """Show a person's groups, where files list the person, and the effect of a plan of these files. Read-only."""
    console = Console(options)
    desired = inputs.load(files) if files else None
    async with options.client() as secoda:
        with console.progress("reading the workspace", None):
            groups, users = await secoda.groups.snapshot(), await secoda.users.snapshot()
    found = explain(person, desired, groups, users, safety.Rules(**rules.arguments()))
    if found.user is None and not found.memberships:
        where = ", nor do the files list it" if files else ""
        kind = "address" if "@" in person else "id"
        raise CommandError(f"no user has the {kind} {person}{where}: `users list` shows all users", Exit.BAD_INPUT)
    if options.json:
        console.print_json(_document(found))
    elif desired is None:
        _print_present(console, found)
    else:
        _print_effects(console, found)


def _document(found: Explanation) -> Mapping[str, Any]:
    return {
        "person": found.person,
        "user": None if found.user is None else to_dict(found.user),
        "groups": [asdict(membership) | {"effect": membership.effect} for membership in found.memberships],
        "refusals": list(found.refusals),
        "breaches": [breach.message for breach in found.plan.breaches] if found.plan else [],
    }


def _title(found: Explanation) -> str:
    user = found.user
    return f"{found.person} (not a user)" if user is None else description_of(user.id, {user.id: user})


def _print_present(console: Console, found: Explanation) -> None:
    rows = [(membership.group, membership.id or "") for membership in found.memberships]
    console.print(f"{_title(found)}: {count(len(rows), 'group')}", style="bold")
    if rows:
        console.table("", (Column("group"), Column("id", "keep")), rows)


def _print_effects(console: Console, found: Explanation) -> None:
    order = list(_STYLES)
    shown = sorted(found.memberships, key=lambda membership: order.index(membership.effect))
    columns = (Column("group", "wrap"), Column("now"), Column("plan"), Column("reason", "wrap"))
    console.print(_title(found), style="bold")
    if shown:
        console.table("", columns, map(_row, shown))
    for line in _warnings(found):
        console.print(line, style="yellow")
    effects = Counter(membership.effect for membership in found.memberships)
    before, after = effects["removed"] + effects["stays"], effects["added"] + effects["stays"]
    console.print(f"{count(before, 'group')} now, {after} after the plan", style="bold")


def _row(membership: Membership) -> tuple[Text, ...]:
    cells = (
        membership.group,
        "member" if membership.is_member else "-",
        "-" if membership.effect == "none" else membership.effect,
        membership.detail,
    )
    return tuple(Text(escape_control(cell), style=_STYLES[membership.effect]) for cell in cells)


def _warnings(found: Explanation) -> list[str]:
    """Return the reasons why the plan is not applied as it is."""
    lines: list[str] = []
    if found.refusals:
        lines.append(
            "The plan is refused, because members in the files are not users of this workspace: `plan` names them. "
            "The table shows a plan that holds them."
        )
    if found.plan is not None and found.plan.breaches:
        lines.append("The plan needs an approval: `plan` has the reasons, and `apply` refuses it without one.")
    return lines
