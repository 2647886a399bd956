"""Clients of the benchmark, each used as its own documentation shows.

Each client imports its library when it is opened, so that a process holds one library only.
"""

import json
from collections.abc import AsyncIterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import GenericAlias
from typing import Any, ClassVar

from tests.bench.canned import COLLECTION, PAGE_SIZE, TOKEN

AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


class Contender:
    """A client of the canned server; a subclass for each."""

    name: ClassVar[str]
    module: ClassVar[str]
    """Module that must be installed."""
    gives: ClassVar[str] = "dict"
    """Type of a group that the caller gets."""
    shape: ClassVar[str] = ""
    """Variant of the server's responses; see `server`."""
    jobs: ClassVar[str] = "abcde"
    """Jobs that the client supports."""
    reads_whole: ClassVar[bool] = False
    """Whether the client reads a list in one call, not page by page."""
    is_slow: ClassVar[bool] = False
    """Whether it makes fewer calls, since it takes several times the CPU time of the others."""
    note: ClassVar[str] = ""

    async def open(self, base: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def get(self, group_id: str) -> Any:
        raise NotImplementedError

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        raise NotImplementedError

    def pages(self) -> AsyncIterator[Sequence[Any]]:
        raise NotImplementedError

    def pages_ahead(self) -> AsyncIterator[Sequence[Any]]:
        """Iterate over all pages with the fastest way of this client."""
        return self.pages()

    def id_of(self, group: Any) -> str:
        return str(group["id"] if isinstance(group, dict) else group.id)


class Aiohttp(Contender):
    """Hand-written aiohttp, the baseline of all ratios."""

    name = "aiohttp"
    module = "aiohttp"
    note = "`ClientSession` and `json.loads`: no retry, no limit, no checks"

    def session(self) -> Any:
        return import_module("aiohttp").ClientSession(headers=AUTHORIZATION)

    async def open(self, base: str) -> None:
        self._session = self.session()
        self._url = base + COLLECTION

    async def close(self) -> None:
        await self._session.close()

    async def get(self, group_id: str) -> Any:
        async with self._session.get(f"{self._url}/{group_id}") as response:
            return json.loads(await response.read())

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        async with self._session.patch(f"{self._url}/{group_id}", json=change) as response:
            return json.loads(await response.read())

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        url = f"{self._url}?page=1"
        while url:
            async with self._session.get(url) as response:
                page = json.loads(await response.read())
            yield page["results"]
            url = page["links"]["next"]


class AiohttpAgain(Aiohttp):
    name = "aiohttp again"
    note = "the very same, as a control: how far it is from 1.00 is how far to trust the rest"


class AiohttpRetry(Aiohttp):
    name = "aiohttp_retry"
    module = "aiohttp_retry"
    note = "retries"

    def session(self) -> Any:
        library = import_module("aiohttp_retry")
        return library.RetryClient(retry_options=library.ExponentialRetry(attempts=4), headers=AUTHORIZATION)


class Gidgethub(Contender):
    name = "gidgethub"
    module = "gidgethub"
    shape = "/gh"

    async def open(self, base: str) -> None:
        self._session = import_module("aiohttp").ClientSession()
        api = import_module("gidgethub.aiohttp").GitHubAPI
        self._client = api(self._session, "bench", oauth_token=TOKEN, base_url=base)

    async def close(self) -> None:
        await self._session.close()

    async def get(self, group_id: str) -> Any:
        return await self._client.getitem(f"{COLLECTION}/{group_id}")

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        return await self._client.patch(f"{COLLECTION}/{group_id}", data=change)

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        page = list[Any]()
        async for group in self._client.getiter(f"{COLLECTION}?page=1", iterable_key="results"):
            page.append(group)
            if len(page) == PAGE_SIZE:
                yield page
                page = []


class SlackSdk(Contender):
    name = "slack_sdk"
    module = "slack_sdk"
    shape = "/slack"
    gives = "AsyncSlackResponse"
    note = "writes go as POST, since it sends JSON with nothing else"

    async def open(self, base: str) -> None:
        self._session = import_module("aiohttp").ClientSession()
        client = import_module("slack_sdk.web.async_client").AsyncWebClient
        self._client = client(token=TOKEN, base_url=f"{base}/api/v1/", session=self._session)

    async def close(self) -> None:
        await self._session.close()

    async def get(self, group_id: str) -> Any:
        return await self._client.api_call(f"auth/group/{group_id}", http_verb="GET")

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        return await self._client.api_call(f"auth/group/{group_id}", http_verb="POST", json=dict(change))

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        number: str | None = "1"
        while number:
            page = await self._client.api_call("auth/group", http_verb="GET", params={"page": number})
            yield page["results"]
            following = page["links"]["next"]
            number = following and following.rpartition("=")[2]

    def id_of(self, group: Any) -> str:
        return str(group["id"])


class Httpx(Contender):
    name = "httpx"
    module = "httpx"
    is_slow = True

    async def open(self, base: str) -> None:
        library = import_module("httpx")
        limits = library.Limits(max_connections=100, max_keepalive_connections=100)
        self._client = library.AsyncClient(headers=AUTHORIZATION, limits=limits)
        self._url = base + COLLECTION

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, group_id: str) -> Any:
        return (await self._client.get(f"{self._url}/{group_id}")).json()

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        return (await self._client.patch(f"{self._url}/{group_id}", json=change)).json()

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        url = f"{self._url}?page=1"
        while url:
            page = (await self._client.get(url)).json()
            yield page["results"]
            url = page["links"]["next"]


class OpenAI(Contender):
    name = "openai"
    module = "openai"
    is_slow = True
    gives = "pydantic, not checked"
    note = "its generic `get` and `patch`, with models for groups and pages"

    async def open(self, base: str) -> None:
        library = import_module("openai")
        model, create = library.BaseModel, import_module("pydantic").create_model
        moment, text = import_module("datetime").datetime, (str | None, ...)
        self._group = create(
            "Group",
            __base__=model,
            id=(str, ...),
            created_at=(moment, ...),
            updated_at=(moment, ...),
            users=(list[str], ...),
            name=(str, ...),
            icon=text,
            description=text,
            workspace_id=(str, ...),
            snowflake_role=text,
        )
        links = create("Links", __base__=model, next=text, previous=text)
        self._page = create("Page", __base__=model, links=(links, ...), results=(GenericAlias(list, self._group), ...))
        self._client = library.AsyncOpenAI(api_key=TOKEN, base_url=f"{base}/api/v1", max_retries=2)

    async def close(self) -> None:
        await self._client.close()

    async def get(self, group_id: str) -> Any:
        return await self._client.get(f"/auth/group/{group_id}", cast_to=self._group)

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        return await self._client.patch(f"/auth/group/{group_id}", cast_to=self._group, body=change)

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        url = "/auth/group?page=1"
        while url:
            page = await self._client.get(url, cast_to=self._page)
            yield page.results
            url = page.links.next


class Pysecoda(Contender):
    name = "pysecoda"
    module = "pysecoda"
    is_slow = True
    shape = "/rel"
    jobs = "ac"
    reads_whole = True
    note = "not async: a new connection for each call"

    async def open(self, base: str) -> None:
        library = import_module("pysecoda.pysecoda")
        library.REGION_URL["NA"] = f"{base}/api/v1/"
        self._client = library.PySecoda(TOKEN)

    async def close(self) -> None:
        pass

    async def get(self, group_id: str) -> Any:
        return self._client.groups.get_group_by_id(group_id)

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        return self._client.groups.update_group(group_id, **change)

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        groups = list(self._client.groups.get_groups())
        for first in range(0, len(groups), PAGE_SIZE):
            yield groups[first : first + PAGE_SIZE]


class SecodaAsync(Contender):
    """Default settings, but for a write limit high enough not to apply."""

    name = "secoda_async"
    module = "secoda_async"
    gives = "Group (attrs), checked"
    settings: ClassVar[dict[str, Any]] = {}

    async def open(self, base: str) -> None:
        library = import_module("secoda_async")
        limit = library.RateLimit(10**9, per_seconds=60)
        self.client = library.SecodaClient(TOKEN, base_url=base, write_limit=limit, **self.settings)

    async def close(self) -> None:
        await self.client.close()

    async def get(self, group_id: str) -> Any:
        return await self.client.groups.get(group_id)

    async def patch(self, group_id: str, change: dict[str, Any]) -> Any:
        return await self.client.groups.update(group_id, **change)

    async def pages(self) -> AsyncIterator[Sequence[Any]]:
        async for page in self.client.groups.pages():
            yield page.items

    async def pages_ahead(self) -> AsyncIterator[Sequence[Any]]:
        async for page in self.client.groups.pages(concurrency=8):
            yield page.items


class SecodaAsyncEvents(SecodaAsync):
    name = "with on_event"
    jobs = "abcd"
    note = "secoda_async with a callback for the event of each attempt"
    settings: ClassVar[dict[str, Any]] = {"on_event": lambda _: None}


KINDS: tuple[type[Contender], ...] = (
    Aiohttp,
    AiohttpAgain,
    SecodaAsync,
    SecodaAsyncEvents,
    AiohttpRetry,
    Gidgethub,
    SlackSdk,
    Httpx,
    OpenAI,
    Pysecoda,
)
CONTENDERS = {kind.name: kind for kind in KINDS}
FLOOR, OURS = Aiohttp.name, SecodaAsync.name


def is_installed(name: str) -> bool:
    """Whether it can be measured here."""
    return find_spec(CONTENDERS[name].module) is not None
