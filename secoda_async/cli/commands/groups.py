"""`secoda-async groups ...`."""

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from secoda_async import UNSET, Group, InvalidArgumentError, SecodaClient, Unset, to_dict
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Screen

_Name = Annotated[str | None, Parameter(help="Its name.")]
_Icon = Annotated[str | None, Parameter(help="Its icon: an emoji, as a rule.")]
_Description = Annotated[str | None, Parameter(help="What it is for.")]
_User = Annotated[list[str] | None, Parameter(name="--user", negative=(), help="A member, by id or e-mail address.")]
_Users = Annotated[list[str], Parameter(help="Ids or e-mail addresses.")]
_DEFAULT = Connection()


async def list_command(*, options: Connection = _DEFAULT) -> None:
    """List every group of the workspace."""
    screen = Screen(options)
    found: list[Group] = []
    async with options.client() as secoda:
        with screen.progress("reading groups", None) as bar:
            async for page in secoda.groups.pages():
                found += page.items
                bar.show(f"reading groups: {len(found)} of {page.count if page.count is not None else '?'}")
    if options.json:
        screen.document([to_dict(group) for group in found])
        return
    rows = [(group.icon or "", group.name, str(len(group.users)), group.description or "", group.id) for group in found]
    screen.table(f"{len(found)} groups", ("", "name", "members#", "description~", "id"), rows)


async def get_command(group_id: str, /, *, options: Connection = _DEFAULT) -> None:
    """Show one group."""
    async with options.client() as secoda:
        group = await secoda.groups.get(group_id)
    _show(Screen(options), group)


async def create_command(
    *,
    name: Annotated[str, Parameter(help="Its name.")],
    icon: _Icon = None,
    description: _Description = None,
    user: _User = None,
    options: Connection = _DEFAULT,
) -> None:
    """Create a group. A lost answer is looked into, so that there are never two."""
    _check_name(name)
    async with options.client() as secoda:
        group = await secoda.groups.create(
            name=name,
            icon=_given(icon),
            description=_given(description),
            users=UNSET if user is None else await _ids(secoda, user),
            on_unknown="reconcile",
        )
    _show(Screen(options), group)


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
            help="A member, by id or e-mail address. All others are removed; to keep them, use add-users.",
        ),
    ] = None,
    clear: Annotated[
        list[Literal["icon", "description", "users"]] | None, Parameter(negative=(), help="A field to empty.")
    ] = None,
    options: Connection = _DEFAULT,
) -> None:
    """Change what is given and nothing else. With --user, these are all the members there will be."""
    _check_name(name)
    cleared = clear or []
    for field, value in (("icon", icon), ("description", description), ("users", user)):
        if field in cleared and value is not None:
            raise CommandError(f"{field} is given and cleared at once: leave one out", Exit.USAGE)
    async with options.client() as secoda:
        users = [] if "users" in cleared else UNSET if user is None else await _ids(secoda, user)
        group = await secoda.groups.update(
            group_id,
            name=_given(name),
            icon=None if "icon" in cleared else _given(icon),
            description=None if "description" in cleared else _given(description),
            users=users,
        )
    _show(Screen(options), group)


async def delete_command(
    group_id: str,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=(), show_default=False, help="Do not ask.")] = False,
    options: Connection = _DEFAULT,
) -> None:
    """Delete a group. Asks first on a terminal; elsewhere it needs --yes."""
    screen = Screen(options)
    async with options.client() as secoda:
        if not yes:
            if not sys.stdin.isatty():
                raise CommandError("deleting without a terminal needs --yes: nothing was sent", Exit.USAGE)
            group = await secoda.groups.get(group_id)
            if not screen.ask(f"Delete {group.name!r} with {len(group.users)} members?"):
                raise CommandError("not deleted", Exit.ERROR)
        await secoda.groups.delete(group_id)
    if options.json:
        screen.document({"deleted": group_id})
    else:
        screen.say(f"deleted {group_id}", style="green")


async def add_users_command(group_id: str, users: _Users, /, *, options: Connection = _DEFAULT) -> None:
    """Add members to a group, with one write, or none if they all are members."""
    async with options.client() as secoda:
        group = await secoda.groups.add_users(group_id, await _ids(secoda, users))
    _show(Screen(options), group)


async def remove_users_command(group_id: str, users: _Users, /, *, options: Connection = _DEFAULT) -> None:
    """Remove members from a group, with one write, or none if nobody of them is a member."""
    async with options.client() as secoda:
        group = await secoda.groups.remove_users(group_id, await _ids(secoda, users))
    _show(Screen(options), group)


def _check_name(name: str | None) -> None:
    """The API takes a group without a name, which nobody finds again."""
    if name is not None and not name.strip():
        raise CommandError("the name is empty: nothing was sent", Exit.USAGE)


def _given(value: str | None) -> str | Unset:
    return UNSET if value is None else value


async def _ids(secoda: SecodaClient, users: Sequence[str]) -> list[str]:
    """Return ids for ids and e-mail addresses; the users are read only when there is an address among them.

    Ids pass unchecked: a user who is no longer listed can still be a member who is to be removed.
    """
    addresses = [user for user in users if "@" in user]
    if not addresses:
        return list(users)
    try:
        found = dict(zip(addresses, await secoda.users.resolve(addresses), strict=True))
    except InvalidArgumentError as error:
        raise CommandError(f"{error.message}: nothing was written", Exit.BAD_INPUT) from None
    return [found.get(user, user) for user in users]


def _show(screen: Screen, group: Group) -> None:
    if screen.output.json:
        screen.document(to_dict(group))
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
    screen.table(group.name, ("field", "value/"), fields)


def _time(value: object) -> str:
    return "(not said)" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"
