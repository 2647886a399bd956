# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.12.14", "secoda-async"]
# ///
"""Make Secoda's groups match the groups of Entra ID, read through Microsoft Graph.

    GRAPH_TOKEN=$(az account get-access-token --resource-type ms-graph --query accessToken --output tsv)
    GRAPH_TOKEN=$GRAPH_TOKEN SECODA_API_KEY=... uv run microsoft_graph.py [--apply]

Graph pages lists with `@odata.nextLink`, and counts them. Every page is read, or nothing is planned.
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


async def items(session: aiohttp.ClientSession, url: URL) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the items of all pages.

    Raises:
        UnfinishedReadError: When a page is missing or comes twice, the next link leads to another host, or the number
            of items is not the server's count.
    """
    origin, seen, count, total = url.origin(), set[URL](), 0, None
    following: URL | None = url.update_query({"$count": "true", "$top": "999"})
    while following is not None:
        if following.origin() != origin:  # it would get the token
            raise UnfinishedReadError(f"the next page of {url.path} is on another host: {following.host}")
        if following in seen:
            raise UnfinishedReadError(f"a page of {url.path} came twice")
        seen.add(following)
        async with session.get(following, allow_redirects=False) as response:
            page: Any = await response.json() if response.status == HTTPStatus.OK else {}
        if not isinstance(page.get("value"), list):
            raise UnfinishedReadError(f"{response.status} for page {len(seen)} of {url.path}")
        for item in page["value"]:
            yield item
        count, total = count + len(page["value"]), page.get("@odata.count", total)
        link = page.get("@odata.nextLink")
        following = None if link is None else URL(link, encoded=True)
    if count != total:
        raise UnfinishedReadError(f"{count} items of {url.path} came, and the server counts {total}")


async def read_groups(session: aiohttp.ClientSession, graph: URL) -> DesiredState:
    """Read the groups and their direct members; disabled accounts are left out."""
    groups: list[DesiredGroup] = []
    url = graph / "v1.0/groups"
    fields = {"$select": "mail,userPrincipalName,accountEnabled"}
    async for group in items(session, url.with_query({"$select": "id,displayName,description"})):
        members = [
            user["mail"] or user["userPrincipalName"]
            async for user in items(session, (url / group["id"] / "members/microsoft.graph.user").with_query(fields))
            if user["accountEnabled"]
        ]
        name, description = group["displayName"], group["description"]
        groups.append(DesiredGroup(name=name, description=description, members=tuple(members)))
    return DesiredState.from_groups(groups)


async def main() -> None:
    """Print the plan; with `--apply`, apply it unless it removes more than the limits allow."""
    headers = {"Authorization": f"Bearer {os.environ['GRAPH_TOKEN']}", "ConsistencyLevel": "eventual"}
    async with aiohttp.ClientSession(headers=headers) as directory, SecodaClient() as secoda:
        desired = await read_groups(directory, URL("https://graph.microsoft.com"))
        plan = await secoda.plan(desired, unknown_members="hold")
        print(plan.summary())
        if "--apply" in sys.argv:
            print(dict((await secoda.apply(plan)).counts))


if __name__ == "__main__":
    asyncio.run(main())
