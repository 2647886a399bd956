"""Groups and users that the command line gives by name, e-mail address or id, and the names to show for members.

A text means the group with this id; if there is none, the group with this name. Names that only look alike are proposed
in the error and never used.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from difflib import get_close_matches
from typing import Final, TypeVar

from secoda_async import (
    AmbiguousNameError,
    Group,
    InvalidArgumentError,
    NotFoundError,
    Page,
    SecodaClient,
    SecodaError,
    User,
)
from secoda_async._engine.group_names import find_by_name, validate_name
from secoda_async._engine.name_keys import confusable_key
from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.cli.output.console import Console
from secoda_async.models import normalize
from secoda_async.reconcile.escape import spell_name
from secoda_async.reconcile.files.members import UUID

_DISPLAY_SECONDS: Final = 10.0
"""Time for a read that only makes the output nicer."""

_MOST_PROPOSALS: Final = 3

_Item = TypeVar("_Item", Group, User)


async def find_group(secoda: SecodaClient, text: str) -> Group:
    """Return the group that a text means by id or by name.

    Raises:
        AmbiguousNameError: When several groups have the name.
        CommandError: When no group has the id or the name; the message proposes names that look alike.
        InvalidArgumentError: When the text is empty: it never means a group without a name.
        NotFoundError: When no group has the id or the name, and the text has the form of an id.
    """
    name = validate_name(text)
    missing: NotFoundError | None = None
    if UUID.fullmatch(text):  # before the list of groups is read
        try:
            return await secoda.groups.get(text)
        except NotFoundError as error:
            if error.is_missing_route:
                raise
            missing = error
    groups = await secoda.groups.snapshot()
    found = next((group for group in groups if group.id == text), None) or find_by_name(groups, name)
    if found is None:
        raise missing or CommandError(
            f"no group has the id or name {spell_name(text)}{_proposals(groups, text)}", Exit.BAD_INPUT
        )
    return found


def _proposals(groups: Iterable[Group], text: str) -> str:
    """Return the end of an error message: the groups whose names are close to a text."""
    by_key: dict[str, list[Group]] = {}
    for group in groups:
        by_key.setdefault(confusable_key(group.name), []).append(group)
    key = confusable_key(text)
    keys = [key] if key in by_key else get_close_matches(key, by_key, _MOST_PROPOSALS, 0.75)
    close = [f"{spell_name(group.name)} ({group.id})" for key in keys for group in by_key[key]]
    return f". Did you mean {' or '.join(close[:_MOST_PROPOSALS])}?" if close else ": `groups list` shows all groups"


async def check_name_is_free(secoda: SecodaClient, name: str, *, except_id: str | None = None) -> None:
    """Refuse a name that another group has, or that looks like the name of another group.

    Raises:
        AmbiguousNameError: When the name is taken; `candidates` holds the ids of the groups.
    """
    key = confusable_key(name)
    similar = [
        group for group in await secoda.groups.snapshot() if confusable_key(group.name) == key and group.id != except_id
    ]
    if similar:
        names = ", ".join(f"{spell_name(group.name)} ({group.id})" for group in similar)
        is_taken = any(normalize(group.name) == normalize(name) for group in similar)
        problem = "is taken" if is_taken else "looks like the name of another group"
        raise AmbiguousNameError(
            f"the name {spell_name(name)} {problem}: {names}. Nothing was written. Choose another name, or change "
            "that group with `groups update`",
            candidates=tuple(group.id for group in similar),
        )


async def find_user(secoda: SecodaClient, text: str) -> User:
    """Return the user that a text means: an e-mail address if it contains `@`, else an id.

    Raises:
        AmbiguousNameError: When the address fits several users.
        CommandError: When the address or id is unknown.
        NotFoundError: When the id is unknown, and has the form of the service's ids.
    """
    if "@" not in text:
        return await _user_of(secoda, text)
    user = await secoda.users.find(email=text)
    if user is None:
        raise CommandError(f"no user has the address {text}: `users list` shows all users", Exit.BAD_INPUT)
    return user


async def _user_of(secoda: SecodaClient, user_id: str) -> User:
    try:
        return await secoda.users.get(user_id)
    except NotFoundError as error:
        if error.is_missing_route or UUID.fullmatch(user_id):
            raise
    message = f"no user has the id {user_id!r}: give an e-mail address or an id; `users list` shows all users"
    raise CommandError(message, Exit.BAD_INPUT)


async def user_ids(secoda: SecodaClient, users: Sequence[str]) -> list[str]:
    """Return the ids of users given by id or e-mail address. The user list is read only for addresses.

    Ids are not checked: a user who is no longer listed can still be a member to remove.

    Raises:
        AmbiguousNameError: When addresses fit several users.
        CommandError: When an address is unknown.
    """
    addresses = [user for user in users if "@" in user]
    if not addresses:
        return list(users)
    try:
        ids = dict(zip(addresses, await secoda.users.resolve(addresses), strict=True))
    except InvalidArgumentError as error:
        raise CommandError(f"{error.message}: nothing was written", Exit.BAD_INPUT) from None
    return [ids.get(user, user) for user in users]


async def read_all(console: Console, pages: AsyncGenerator[Page[_Item], None], kind: str) -> list[_Item]:
    """Return the items of all pages, with a progress bar."""
    found: list[_Item] = []
    with console.progress(f"reading {kind}", None) as bar:
        async for page in pages:
            found += page.items
            bar.describe(f"reading {kind}: {len(found)} of {page.count if page.count is not None else '?'}")
    return found


async def read_people(secoda: SecodaClient, ids: Collection[str], console: Console) -> Mapping[str, User]:
    """Return the users with these ids, as far as the users can be read: they only make the output nicer."""
    return await _read_some(secoda.users.list(concurrency=4), ids, "users", console)


async def read_groups(secoda: SecodaClient, ids: Collection[str], console: Console) -> Mapping[str, Group]:
    """Return the groups with these ids, as far as the groups can be read: they only make the output nicer."""
    return await _read_some(secoda.groups.list(concurrency=4), ids, "groups", console)


async def _read_some(
    items: AsyncGenerator[_Item, None], ids: Collection[str], kind: str, console: Console
) -> Mapping[str, _Item]:
    """Read a list until all ids are found. An error changes no exit code: the command itself has succeeded."""
    missing, found = set(ids), dict[str, _Item]()
    if not missing:
        return found
    try:
        async with asyncio.timeout(_DISPLAY_SECONDS), aclosing(items):
            async for item in items:
                if item.id in missing:
                    found[item.id] = item
                    missing.remove(item.id)
                if not missing:
                    break
    except (SecodaError, TimeoutError) as error:
        console.info(f"the {kind} can't be read, so ids are shown: {str(error) or 'the read takes too long'}")
    return found


def address_of(user_id: str, people: Mapping[str, User]) -> str:
    """Return the e-mail address of a user, or the id where the address is not known."""
    return (people[user_id].email if user_id in people else None) or user_id


def description_of(user_id: str, people: Mapping[str, User]) -> str:
    """Return a user's address, name and unusual state: `ana@example.com (Ana Example, invited)`."""
    user = people.get(user_id)
    if user is None:
        return user_id
    notes = [full_name(user), "invited" if user.pending else "", "disabled" if user.disabled else ""]
    shown = ", ".join(filter(None, notes))
    return f"{user.email or user_id} ({shown})" if shown else user.email or user_id


def full_name(user: User) -> str:
    """Return a user's first and last name; empty if there is neither."""
    return f"{user.first_name or ''} {user.last_name or ''}".strip()
