# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.12.14", "secoda-async"]
# ///
"""Make Secoda's groups match the groups of a SCIM 2.0 server (RFC 7644).

    SCIM_URL=https://idp.example.com/scim/v2 SCIM_TOKEN=... SECODA_API_KEY=... uv run scim.py [--apply]

SCIM numbers the items of a list from 1, and counts them. Every page is read, or nothing is planned.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from secoda_async import UNSET, DesiredGroup, DesiredState, SecodaClient


class UnfinishedReadError(Exception):
    """The directory was not read to its end: nothing may be planned."""


async def items(session: aiohttp.ClientSession, url: URL) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the items of all pages.

    Raises:
        UnfinishedReadError: When a page is missing, an item comes twice, or the server's count changes.
    """
    ids, total = set[str](), None
    while len(ids) != total:
        start = len(ids) + 1
        async with session.get(url.with_query(startIndex=start, count=100), allow_redirects=False) as response:
            page: Any = await response.json(content_type=None) if response.status == HTTPStatus.OK else {}
        found, count = page.get("Resources", []), page.get("totalResults")
        if total not in (None, count) or page.get("startIndex", start) != start or (not found and count != len(ids)):
            raise UnfinishedReadError(f"{response.status}: {url.path} ends before item {start}, or has changed")
        total = count
        for item in found:
            if item["id"] in ids:
                raise UnfinishedReadError(f"item {item['id']} of {url.path} came twice")
            ids.add(item["id"])
            yield item


async def read_groups(session: aiohttp.ClientSession, scim: URL) -> DesiredState:
    """Read the groups and their members; inactive people are left out.

    A group that shows no members keeps those that it has: many servers leave them out of lists.

    Raises:
        UnfinishedReadError: When a member is not a user, such as a group in a group.
    """
    users = {user["id"]: user async for user in items(session, scim / "Users")}
    groups: list[DesiredGroup] = []
    async for group in items(session, scim / "Groups"):
        ids = [member["value"] for member in group.get("members", ())]
        if not users.keys() >= set(ids):
            raise UnfinishedReadError(f"members of {group['displayName']!r} are not among the users")
        people = tuple(users[each]["userName"] for each in ids if users[each].get("active", True))
        groups.append(DesiredGroup(name=group["displayName"], members=people if ids else UNSET))
    return DesiredState.from_groups(groups)


async def main() -> None:
    """Print the plan; with `--apply`, apply it unless it removes more than the limits allow."""
    headers = {"Authorization": f"Bearer {os.environ['SCIM_TOKEN']}"}
    async with aiohttp.ClientSession(headers=headers) as directory, SecodaClient() as secoda:
        desired = await read_groups(directory, URL(os.environ["SCIM_URL"]))
        plan = await secoda.plan(desired, unknown_members="hold")
        print(plan.summary())
        if "--apply" in sys.argv:
            print(dict((await secoda.apply(plan)).counts))


if __name__ == "__main__":
    asyncio.run(main())
