"""`secoda-async groups`."""

import sys
from collections.abc import Mapping
from typing import Annotated, Literal

from cyclopts import Parameter

from secoda_async import UNSET, Group, SecodaClient, Unset, User, to_dict
from secoda_async.cli import lookup
from secoda_async.cli.connection import Connection
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.options import Flag, Texts, Yes
from secoda_async.cli.output.console import Column, Console
from secoda_async.cli.output.times import format_time
from secoda_async.reconcile.wording import count

_GroupName = Annotated[str, Parameter(name="group", help="Name or id of the group.")]
_Name = Annotated[str | None, Parameter(help="Name.")]
_Icon = Annotated[str | None, Parameter(help="Icon, such as an emoji.")]
_Description = Annotated[str | None, Parameter(help="Description.")]
_User = Annotated[Texts, Parameter(name="--user", help="Id or e-mail address of a member; may be repeated.")]
_Users = Annotated[list[str], Parameter(help="Ids or e-mail addresses.")]
_AllowDuplicate = Annotated[
    Flag, Parameter(help="Use the name although another group has it, or one that looks alike.")
]
_DEFAULT = Connection()


async def list_command(
    *,
    members: Annotated[Flag, Parameter(help="Show the members' e-mail addresses.")] = False,
    options: Connection = _DEFAULT,
) -> None:
    """List every group of the workspace."""
    console = Console(options)
    async with options.client() as secoda:
        found = await lookup.read_all(console, secoda.groups.pages(), "groups")
        ids = {user for group in found for user in group.users} if members else set[str]()
        people = await lookup.read_people(secoda, ids, console)
    if options.json:
        console.print_json([to_dict(group) | (_members(group, people) if members else {}) for group in found])
    elif members:
        _print_members(console, found, people)
    else:
        _print_groups(console, found)


def _print_groups(console: Console, groups: list[Group]) -> None:
    rows = [
        (group.icon or "", group.name, str(len(group.users)), group.description or "", group.id) for group in groups
    ]
    columns = (
        Column(""),
        Column("name"),
        Column("members", align="right"),
        Column("description", "shrink"),
        Column("id", "keep"),
    )
    console.table(count(len(groups), "group"), columns, rows)


def _print_members(console: Console, groups: list[Group], people: Mapping[str, User]) -> None:
    rows: list[tuple[str, str, str]] = []
    for group in groups:
        first, *others = sorted(lookup.address_of(user, people) for user in group.users) or ["(nobody)"]
        rows += [(group.icon or "", group.name, first), *(("", "", member) for member in others)]
    console.table(count(len(groups), "group"), (Column(""), Column("name"), Column("members")), rows)


def _members(group: Group, people: Mapping[str, User]) -> dict[str, object]:
    emails = [people[user].email if user in people else None for user in group.users]
    return {"members": [{"id": user, "email": email} for user, email in zip(group.users, emails, strict=True)]}


async def get_command(group_name: _GroupName, /, *, options: Connection = _DEFAULT) -> None:
    """Show one group."""
    async with options.client() as secoda:
        await _show(Console(options), secoda, await lookup.find_group(secoda, group_name))


async def create_command(
    *,
    name: Annotated[str, Parameter(help="Name.")],
    icon: _Icon = None,
    description: _Description = None,
    user: _User = None,
    allow_duplicate: _AllowDuplicate = False,
    options: Connection = _DEFAULT,
) -> None:
    """Create a group. If the response is lost, the command checks whether the group exists; it never creates two.

    A name that another group has, or that looks alike, is refused.
    """
    _check_name(name)
    async with options.client() as secoda:
        users = UNSET if user is None else await lookup.user_ids(secoda, user)
        if not allow_duplicate:
            await lookup.check_name_is_free(secoda, name)
        group = await secoda.groups.create(
            name=name, icon=_or_unset(icon), description=_or_unset(description), users=users, on_unknown="reconcile"
        )
        await _show(Console(options), secoda, group)


async def update_command(  # noqa: PLR0913 - each is an option
    group_name: _GroupName,
    /,
    *,
    name: _Name = None,
    icon: _Icon = None,
    description: _Description = None,
    user: Annotated[
        Texts,
        Parameter(
            name="--user",
            help="Id or e-mail address of a member; may be repeated. All other members are removed (see add-users).",
        ),
    ] = None,
    clear: Annotated[
        list[Literal["icon", "description", "users"]] | None,
        Parameter(negative=(), help="Field to clear; may be repeated."),
    ] = None,
    allow_duplicate: _AllowDuplicate = False,
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
        found = await lookup.find_group(secoda, group_name)
        users = [] if "users" in cleared else UNSET if user is None else await lookup.user_ids(secoda, user)
        if name is not None and not allow_duplicate:
            await lookup.check_name_is_free(secoda, name, except_id=found.id)
        group = await secoda.groups.update(
            found.id,
            name=_or_unset(name),
            icon=None if "icon" in cleared else _or_unset(icon),
            description=None if "description" in cleared else _or_unset(description),
            users=users,
        )
        await _show(Console(options), secoda, group)


async def delete_command(
    group_name: _GroupName,
    /,
    *,
    yes: Yes = False,
    options: Connection = _DEFAULT,
) -> None:
    """Delete a group. Without a terminal to ask on, --yes is required."""
    console = Console(options)
    if not yes and not sys.stdin.isatty():
        raise CommandError("deleting a group without a terminal needs --yes: nothing was written", Exit.USAGE)
    async with options.client() as secoda:
        group = await lookup.find_group(secoda, group_name)
        if not yes and not console.confirm(
            f"Delete {group.name!r} ({group.id}) with {count(len(group.users), 'member')}?"
        ):
            raise CommandError("not deleted", Exit.ERROR)
        await secoda.groups.delete(group.id)
    if options.json:
        console.print_json({"deleted": group.id})
    else:
        console.print(f"deleted {group.name} ({group.id})", style="green")


async def add_users_command(group_name: _GroupName, users: _Users, /, *, options: Connection = _DEFAULT) -> None:
    """Add members to a group, with at most one write."""
    async with options.client() as secoda:
        found = await lookup.find_group(secoda, group_name)
        group = await secoda.groups.add_users(found.id, await lookup.user_ids(secoda, users))
        await _show(Console(options), secoda, group)


async def remove_users_command(group_name: _GroupName, users: _Users, /, *, options: Connection = _DEFAULT) -> None:
    """Remove members from a group, with at most one write."""
    async with options.client() as secoda:
        found = await lookup.find_group(secoda, group_name)
        group = await secoda.groups.remove_users(found.id, await lookup.user_ids(secoda, users))
        await _show(Console(options), secoda, group)


def _check_name(name: str | None) -> None:
    """Refuse an empty name, which the API would accept."""
    if name is not None and not name.strip():
        raise CommandError("the name is empty: nothing was written", Exit.USAGE)


def _or_unset(value: str | None) -> str | Unset:
    return UNSET if value is None else value


async def _show(console: Console, secoda: SecodaClient, group: Group) -> None:
    """Print a group; the users are read for the members' addresses, unless a program reads the output."""
    if console.output.json:
        console.print_json(to_dict(group))
        return
    people = await lookup.read_people(secoda, group.users, console)
    fields = [
        ("name", f"{group.icon or ''} {group.name}".strip()),
        ("description", group.description or "(none)"),
        ("id", group.id),
        ("created", format_time(group.created_at)),
        ("updated", format_time(group.updated_at)),
        ("members", str(len(group.users))),
        *(("", member) for member in sorted(lookup.description_of(user, people) for user in group.users)),
    ]
    console.table(group.name, (Column("field"), Column("value", "wrap")), fields)
