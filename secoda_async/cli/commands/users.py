"""`secoda-async users`."""

from secoda_async import User, to_dict
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Column, Console

_DEFAULT = Connection()


async def list_command(*, options: Connection = _DEFAULT) -> None:
    """List every user of the workspace."""
    console = Console(options)
    found: list[User] = []
    async with options.client() as secoda:
        with console.progress("reading users", None) as bar:
            async for page in secoda.users.pages():
                found += page.items
                bar.describe(f"reading users: {len(found)} of {page.count if page.count is not None else '?'}")
    if options.json:
        console.print_json([to_dict(user) for user in found])
        return
    rows = [
        (user.email or "", f"{user.first_name or ''} {user.last_name or ''}".strip(), user.role or "", user.id)
        for user in found
    ]
    columns = (Column("e-mail"), Column("name", "shrink"), Column("role"), Column("id", "keep"))
    console.table(f"{len(found)} users", columns, rows)
