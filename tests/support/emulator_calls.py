"""Requests to an emulator without the SDK: through a plain aiohttp session, or as bytes on a socket."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import attrs
import orjson

from secoda_async.emulator import Emulator

GROUPS = "/api/v1/auth/group"
USERS = "/api/v1/user"


@attrs.frozen
class Reply:
    """A response with its body read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@attrs.frozen
class Caller:
    """Sends requests with the emulator's key, unless another key (None: no key) is given."""

    emulator: Emulator
    session: aiohttp.ClientSession

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "",
        **arguments: Any,
    ) -> Reply:
        headers = dict(arguments.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.emulator.api_key}"
        url = self.emulator.url + path
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **arguments) as response:
            return Reply(response.status, response.headers, await response.read())


async def call_json(session: aiohttp.ClientSession, method: str, path: str = GROUPS, **fields: object) -> Any:
    """Return the JSON of a response, None for an empty response, or the status of a failure."""
    async with session.request(method, path, json=fields or None) as response:
        if not response.ok:
            return response.status
        return await response.json() if await response.read() else None


async def group_names(session: aiohttp.ClientSession) -> list[str]:
    """Return the names of the groups on the first page of the list."""
    return [group["name"] for group in (await call_json(session, "GET"))["results"]]


async def post(session: aiohttp.ClientSession, name: str = "a") -> tuple[int, str, bytes]:
    """Create a group; return the status, the content type and the body."""
    async with session.post(GROUPS, json={"name": name}, allow_redirects=False) as response:
        return response.status, response.headers.get("Content-Type", ""), await response.read()


async def connect(emulator: Emulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TCP connection."""
    return await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))


def request_head(emulator: Emulator, method: str = "GET", path: str = GROUPS, headers: str = "") -> bytes:
    """Return the head of a request with the emulator's key."""
    key = f"Authorization: Bearer {emulator.api_key}"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{key}\r\n{headers}\r\n".encode()


def request_bytes(emulator: Emulator, body: bytes, length: int | None = None) -> bytes:
    """Return a POST with this body; `length` overrides its `Content-Length`."""
    size = len(body) if length is None else length
    return (
        request_head(emulator, "POST", headers=f"Content-Type: application/json\r\nContent-Length: {size}\r\n") + body
    )


async def exchange(emulator: Emulator, body: bytes = b"{}", length: int | None = None) -> bytes:
    """Send a POST and return every byte of the response, or `b"reset"` for a reset connection."""
    reader, writer = await connect(emulator)
    writer.write(request_bytes(emulator, body, length))
    try:
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()
