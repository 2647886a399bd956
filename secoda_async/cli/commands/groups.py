"""`secoda-async groups`."""

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from secoda_async import UNSET, Group, InvalidArgumentError, SecodaClient, Unset, to_dict
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Column, Console

_Name = Annotated[str | None, Parameter(help="Name.")]
_Icon = Annotated[str | None, Parameter(help="Icon, such as an emoji.")]
_Description = Annotated[str | None, Parameter(help="Description.")]
_User = Annotated[
    list[str] | None, Parameter(name="--user", negative=(), help="Id or e-mail address of a member; may be repeated.")
]
_Users = Annotated[list[str], Parameter(help="Ids or e-mail addresses.")]
_DEFAULT = Connection()


async def list_command(*, options: Connection = _DEFAULT) -> None:
    """List every group of the workspace."""
    console = Console(options)
    found: list[Group] = []
    async with options.client() as secoda:
        with console.progress("reading groups", None) as bar:
            async for page in secoda.groups.pages():
                found += page.items
                bar.describe(f"reading groups: {len(found)} of {page.count if page.count is not None else '?'}")
    if options.json:
        console.print_json([to_dict(group) for group in found])
        return
    rows = [(group.icon or "", group.name, str(len(group.users)), group.description or "", group.id) for group in found]
    columns = (
        Column(""),
        Column("name"),
        Column("members", align="right"),
        Column("description", "shrink"),
        Column("id", "keep"),
    )
    console.table(f"{len(found)} groups", columns, rows)


async def get_command(group_id: str, /, *, options: Connection = _DEFAULT) -> None:
    """Show one group."""
    async with options.client() as secoda:
        group = await secoda.groups.get(group_id)
    _show(Console(options), group)


async def create_command(
    *,
    name: Annotated[str, Parameter(help="Name.")],
    icon: _Icon = None,
    description: _Description = None,
    user: _User = None,
    options: Connection = _DEFAULT,
) -> None:
    """Create a group. If the response is lost, the command checks whether the group exists; it never creates two."""
    _check_name(name)
    async with options.client() as secoda:
        group = await secoda.groups.create(
            name=name,
            icon=_or_unset(icon),
            description=_or_unset(description),
            users=UNSET if user is None else await _ids(secoda, user),
            on_unknown="reconcile",
        )
    _show(Console(options), group)


async def update_command(
    group_id: str,
    /,
    *,
    name: _Name = None,
    icon: _Icon = None,
    description: _Description = None,
    user: Annotated[
        list[str] | None,
        Parameter(
            name="--user",
            negative=(),
            help="Id or e-mail address of a member; may be repeated. All other members are removed (see add-users).",
        ),
    ] = None,
    clear: Annotated[
        list[Literal["icon", "description", "users"]] | None,
        Parameter(negative=(), help="Field to clear; may be repeated."),
    ] = None,
    options: Connection = _DEFAULT,
) -> None:
    """Change the given fields and no others. --user replaces all members."""
    _check_name(name)
    cleared = clear or []
    for option, field, value in (
        ("icon", "icon", icon),
        ("description", "description", description),
        ("user", "users", user),
    ):
        if field in cleared and value is not None:
            raise CommandError(f"--{option} and --clear {field} are mutually exclusive", Exit.USAGE)
    async with options.client() as secoda:
        users = [] if "users" in cleared else UNSET if user is None else await _ids(secoda, user)
        group = await secoda.groups.update(
            group_id,
            name=_or_unset(name),
            icon=None if "icon" in cleared else _or_unset(icon),
            description=None if "description" in cleared else _or_unset(description),
            users=users,
        )
    _show(Console(options), group)


async def delete_command(
    group_id: str,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=(), show_default=False, help="Do not ask.")] = False,
    options: Connection = _DEFAULT,
) -> None:
    """Delete a group. Without a terminal to ask on, --yes is required."""
    console = Console(options)
    async with options.client() as secoda:
        if not yes:
            if not sys.stdin.isatty():
                raise CommandError("deleting a group without a terminal needs --yes: nothing was sent", Exit.USAGE)
            group = await secoda.groups.get(group_id)
            if not console.confirm(f"Delete {group.name!r} with {len(group.users)} members?"):
                raise CommandError("not deleted", Exit.ERROR)
        await secoda.groups.delete(group_id)
    if options.json:
        console.print_json({"deleted": group_id})
    else:
        console.print(f"deleted {group_id}", style="green")


async def add_users_command(group_id: str, users: _Users, /, *, options: Connection = _DEFAULT) -> None:
    """Add members to a group, with at most one write."""
    async with options.client() as secoda:
        group = await secoda.groups.add_users(group_id, await _ids(secoda, users))
    _show(Console(options), group)


async def remove_users_command(group_id: str, users: _Users, /, *, options: Connection = _DEFAULT) -> None:
    """Remove members from a group, with at most one write."""
    async with options.client() as secoda:
        group = await secoda.groups.remove_users(group_id, await _ids(secoda, users))
    _show(Console(options), group)


def _check_name(name: str | None) -> None:
    """Refuse an empty name, which the API would accept."""
    if name is not None and not name.strip():
        raise CommandError("the name is empty: nothing was sent", Exit.USAGE)


def _or_unset(value: str | None) -> str | Unset:
    return UNSET if value is None else value


async def _ids(secoda: SecodaClient, users: Sequence[str]) -> list[str]:
    """Return the ids of users given by id or e-mail address. The user list is read only for addresses.

    Ids are not checked: a user who is no longer listed can still be a member to remove.
    """
    addresses = [user for user in users if "@" in user]
    if not addresses:
        return list(users)
    try:
        ids = dict(zip(addresses, await secoda.users.resolve(addresses), strict=True))
    except InvalidArgumentError as error:
        raise CommandError(f"{error.message}: nothing was written", Exit.BAD_INPUT) from None
    return [ids.get(user, user) for user in users]


def _show(console: Console, group: Group) -> None:
    if console.output.json:
        console.print_json(to_dict(group))
        return
    fields = [
        ("name", f"{group.icon or ''} {group.name}".strip()),
        ("description", group.description or "(none)"),
        ("id", group.id),
        ("created", _time(group.created_at)),
        ("updated", _time(group.updated_at)),
        ("members", str(len(group.users))),
        *(("", user) for user in group.users),
    ]
    console.table(group.name, (Column("field"), Column("value", "wrap")), fields)


def _time(value: object) -> str:
    return "(unknown)" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"
