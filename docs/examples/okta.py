# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.12.14", "secoda-async"]
# ///
"""Make Secoda's groups match the groups of Okta.

    OKTA_URL=https://acme.okta.com OKTA_TOKEN=... SECODA_API_KEY=... uv run okta.py [--apply]

Okta pages lists with a `Link` header. Every page is read, or nothing is planned.
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
        UnfinishedReadError: When a page is missing or comes twice, or the next link leads to another host.
    """
    origin, seen = url.origin(), set[URL]()
    following: URL | None = url
    while following is not None:
        if following.origin() != origin:  # it would get the token
            raise UnfinishedReadError(f"the next page of {url.path} is on another host: {following.host}")
        if following in seen:
            raise UnfinishedReadError(f"a page of {url.path} came twice")
        seen.add(following)
        async with session.get(following, allow_redirects=False) as response:
            page: Any = await response.json() if response.status == HTTPStatus.OK else None
            link = response.links.get("next")
        if not isinstance(page, list):
            raise UnfinishedReadError(f"{response.status} for page {len(seen)} of {url.path}")
        for item in page:  # pyright: ignore[reportUnknownVariableType]
            yield item
        following = None if link is None else URL(str(link["url"]), encoded=True)


async def read_groups(session: aiohttp.ClientSession, okta: URL) -> DesiredState:
    """Read the groups that were made in Okta, and their members; suspended and deprovisioned people are left out."""
    groups: list[DesiredGroup] = []
    url = okta / "api/v1/groups"
    async for group in items(session, url.with_query(filter='type eq "OKTA_GROUP"', limit=200)):
        members = [
            user["profile"]["email"]
            async for user in items(session, (url / group["id"] / "users").with_query(limit=200))
            if user["status"] not in ("SUSPENDED", "DEPROVISIONED")
        ]
        profile = group["profile"]
        groups.append(
            DesiredGroup(name=profile["name"], description=profile.get("description"), members=tuple(members))
        )
    return DesiredState.from_groups(groups)


async def main() -> None:
    """Print the plan; with `--apply`, apply it unless it removes more than the limits allow."""
    headers = {"Authorization": f"SSWS {os.environ['OKTA_TOKEN']}"}
    async with aiohttp.ClientSession(headers=headers) as directory, SecodaClient() as secoda:
        desired = await read_groups(directory, URL(os.environ["OKTA_URL"]))
        plan = await secoda.plan(desired, unknown_members="hold")
        print(plan.summary())
        if "--apply" in sys.argv:
            print(dict((await secoda.apply(plan)).counts))


if __name__ == "__main__":
    asyncio.run(main())
