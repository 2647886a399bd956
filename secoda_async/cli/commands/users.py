"""`secoda-async users`."""

from typing import Annotated

from cyclopts import Parameter

from secoda_async import to_dict
from secoda_async.cli import lookup
from secoda_async.cli.connection import Connection
from secoda_async.cli.output.console import Column, Console
from secoda_async.cli.output.times import format_time
from secoda_async.reconcile.wording import count, natural_key

_DEFAULT = Connection()


async def list_command(*, options: Connection = _DEFAULT) -> None:
    """List every user of the workspace."""
    console = Console(options)
    async with options.client() as secoda:
        found = await lookup.read_all(console, secoda.users.pages(), "users")
    if options.json:
        console.print_json([to_dict(user) for user in found])
        return
    rows = [(user.email or "", lookup.full_name(user), user.role or "", user.id) for user in found]
    columns = (Column("e-mail"), Column("name", "shrink"), Column("role"), Column("id", "keep"))
    console.table(count(len(found), "user"), columns, rows)


async def get_command(
    user_name: Annotated[str, Parameter(name="user", help="Id or e-mail address of the user.")],
    /,
    *,
    options: Connection = _DEFAULT,
) -> None:
    """Show one user, and the user's groups."""
    console = Console(options)
    async with options.client() as secoda:
        user = await lookup.find_user(secoda, user_name)
        if options.json:
            console.print_json(to_dict(user))
            return
        groups = await lookup.read_groups(secoda, user.user_groups, console)
    names = sorted((groups[group].name if group in groups else group for group in user.user_groups), key=natural_key)
    fields = [
        ("e-mail", user.email or "(none)"),
        ("name", lookup.full_name(user) or "(none)"),
        ("role", user.role or "(none)"),
        ("id", user.id),
        ("state", "disabled" if user.disabled else "invited, has not signed in" if user.pending else "active"),
        ("last login", format_time(user.last_login)),
        ("groups", str(len(names))),
        *(("", name) for name in names),
    ]
    console.table(user.email or user.id, (Column("field"), Column("value", "wrap")), fields)
