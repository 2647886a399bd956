# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.12.14", "secoda-async"]
# ///
"""Make Secoda's groups match the groups of Google Workspace, read through the Directory API.

    GOOGLE_TOKEN=$(gcloud auth print-access-token) SECODA_API_KEY=... uv run google_workspace.py [--apply]

Google pages lists with `nextPageToken`. Every page is read, or nothing is planned.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from secoda_async import DesiredGroup, DesiredState, SecodaClient


class UnfinishedReadError(Exception):
    """The directory was not read to its end: nothing may be planned."""


async def items(session: aiohttp.ClientSession, url: URL, name: str) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the items of all pages, which the API keeps under `name`.

    Raises:
        UnfinishedReadError: When a page is missing or comes twice.
    """
    seen = set[str]()
    token = ""
    while True:
        query = {"maxResults": "200"} | ({"pageToken": token} if token else {})
        async with session.get(url.update_query(query), allow_redirects=False) as response:
            page: Any = await response.json() if response.status == HTTPStatus.OK else {}
        if page.get("kind") != f"admin#directory#{name}":  # an empty list has no other key
            raise UnfinishedReadError(f"{response.status} for page {len(seen) + 1} of {url.path}")
        for item in page.get(name, ()):
            yield item
        token = page.get("nextPageToken", "")
        if not token:
            return
        if token in seen:
            raise UnfinishedReadError(f"a page of {url.path} came twice")
        seen.add(token)


async def read_groups(session: aiohttp.ClientSession, google: URL) -> DesiredState:
    """Read the groups and the people in them; suspended people are left out.

    Raises:
        UnfinishedReadError: When a page is missing, or a group has fewer members than Google counts.
    """
    groups: list[DesiredGroup] = []
    url = google / "admin/directory/v1/groups"
    async for group in items(session, url.with_query(customer="my_customer"), "groups"):
        members = [member async for member in items(session, url / group["id"] / "members", "members")]
        if len(members) < int(group["directMembersCount"]):
            raise UnfinishedReadError(
                f"{len(members)} of {group['directMembersCount']} members of {group['email']} came"
            )
        people = (each["email"] for each in members if each["type"] == "USER" and each.get("status") != "SUSPENDED")
        groups.append(DesiredGroup(name=group["name"], description=group.get("description"), members=tuple(people)))
    return DesiredState.from_groups(groups)


async def main() -> None:
    """Print the plan; with `--apply`, apply it unless it removes more than the limits allow."""
    headers = {"Authorization": f"Bearer {os.environ['GOOGLE_TOKEN']}"}
    async with aiohttp.ClientSession(headers=headers) as directory, SecodaClient() as secoda:
        desired = await read_groups(directory, URL("https://admin.googleapis.com"))
        plan = await secoda.plan(desired, unknown_members="hold")
        print(plan.summary())
        if "--apply" in sys.argv:
            print(dict((await secoda.apply(plan)).counts))


if __name__ == "__main__":
    asyncio.run(main())
