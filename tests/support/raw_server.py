"""Servers that write raw bytes: what no well-behaved server does, such as cut bodies, silence and bad headers."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.support.waiting import drain_loop

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DEEP = b"[" * 100_000 + b"]" * 100_000


def sized(body: bytes, *headers: bytes) -> bytes:
    """Return a 200 response with a Content-Length."""
    return b"".join([OK, *(header + b"\r\n" for header in headers), b"Content-Length: %d\r\n\r\n" % len(body), body])


def chain(error: BaseException) -> list[BaseException]:
    """Return an error with all its causes and contexts."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__]
    return found


def assert_only_sdk_errors(error: BaseException) -> None:
    """Check that no exception of another library is chained: it could hold the key."""
    assert {type(one).__module__ for one in chain(error)} == {"secoda_async.errors"}


@asynccontextmanager
async def respond_once(answer: bytes) -> AsyncGenerator[tuple[int, list[bytes]], None]:
    """Run a server that reads a request, writes `answer` and closes; yield its port and the requests it read."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65_536))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1], received


@asynccontextmanager
async def serve_with(
    respond: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[str, None]:
    """Run a server whose connections `respond` serves; yield its origin."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await respond(reader, writer)
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        for task in tasks:
            task.cancel()
        await drain_loop()


async def respond_with_group(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond with a group."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(sized(b'{"id": "g", "name": "G"}', b"Connection: close"))
    await writer.drain()


async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Read nothing and write nothing."""
    await asyncio.Event().wait()
