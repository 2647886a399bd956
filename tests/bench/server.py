"""Serve prepared bytes from a separate process, with as little work for each request as possible.

    python -m tests.bench.server [--core 1] [--pages 200] [--latency 0] [--write-latency 0] [--kind members]

Prints `{"port": ...}` when it listens; ends when standard input ends. `GET /count` returns the numbers of requests,
connections and bytes. The first segment of a path chooses the shape that some clients insist on: `slack` (`"ok": true`
in each body), `gh` (the next page in a `Link` header), `rel` (relative links).
"""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final, cast

from tests.bench.canned import one_group, page_of_groups, page_with_members, with_new_field
from tests.bench.cores import pin

_HEADERS: Final = (
    b"Server: nginx\r\nDate: Mon, 23 Nov 2026 11:22:33 GMT\r\nContent-Type: application/json\r\n"
    b"Vary: Accept, origin\r\nAllow: GET, PUT, PATCH, DELETE, HEAD, OPTIONS\r\n"
    b"X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\n"
    b"Referrer-Policy: same-origin\r\nStrict-Transport-Security: max-age=31536000\r\n"
)
"""Typical headers of a Django service behind nginx."""


def response(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    """Return a complete response."""
    return b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (status, _HEADERS, more, len(body), body)


class Canned:
    """Responses by request line."""

    def __init__(self, pages: int, kind: str) -> None:
        self.pages = pages
        self.port = 0
        self.requests = self.connections = self.sent = 0
        self.of = cache(self._of) if pages < 1000 else self._of  # 150 KB each
        self._page_of = KINDS[kind]

    def _of(self, line: bytes) -> bytes:
        target = line.split(b" ")[1].decode()
        path, _, query = target.partition("?")
        shape, _, path = path.lstrip("/").partition("api/v1/")
        shape = shape.rstrip("/")
        name = path.rstrip("/").rpartition("/")[2]
        if line == b"GET /count":
            counts = {"requests": self.requests - 1, "connections": self.connections, "bytes": self.sent}
            return response(json.dumps(counts).encode())
        if name == "group":
            number = int(query.rpartition("=")[2] or 1)
            return self._page(shape, number)
        return response(_shaped(shape, one_group(name)))

    def _page(self, shape: str, number: int) -> bytes:
        root = "" if shape == "rel" else f"http://127.0.0.1:{self.port}/{shape + '/' if shape else ''}api/v1"
        link = b""
        if shape == "gh" and number < self.pages:
            link = f'Link: <{root}/auth/group?page={number + 1}>; rel="next"\r\n'.encode()
        return response(_shaped(shape, self._page_of(number, self.pages, root)), more=link)


KINDS: Final[dict[str, Callable[[int, int, str], bytes]]] = {
    "plain": page_of_groups,
    "members": page_with_members,
    "new_field": lambda number, pages, base: with_new_field(page_of_groups(number, pages, base)),
}
"""Contents of the pages."""


def _shaped(shape: str, body: bytes) -> bytes:
    return b'{"ok":true,' + body[1:] if shape == "slack" else body


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, canned: Canned, read_latency: float, write_latency: float) -> None:
        self._canned = canned
        self._read_latency = read_latency
        self._write_latency = write_latency
        self._transport: asyncio.Transport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._canned.connections += 1

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := _end_of_request(self._read)) is not None:
            line = self._read[: self._read.index(b" HTTP/1.")]
            self._read = self._read[end:]
            self._canned.requests += 1
            reply = self._canned._of(line) if line == b"GET /count" else self._canned.of(line)
            latency = self._read_latency if line.startswith(b"GET") else self._write_latency
            if latency:
                asyncio.get_running_loop().call_later(latency, self._send, reply)
            else:
                self._send(reply)

    def _send(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._canned.sent += len(reply)
            self._transport.write(reply)


def _end_of_request(data: bytes) -> int | None:
    """Return the end of the first request, or None if it is incomplete."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    end = head + 4
    if not data.startswith(b"GET"):
        lower = data[:head].lower()
        start = lower.find(b"content-length:")
        if start >= 0:
            end += int(lower[start + 15 :].split(b"\r\n")[0])
        elif b"transfer-encoding:" in lower:
            last = data.find(b"0\r\n\r\n", end)
            return None if last < 0 else last + 5
    return end if len(data) >= end else None


async def serve(canned: Canned, read_latency: float, write_latency: float) -> None:
    """Listen until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(canned, read_latency, write_latency), "127.0.0.1", 0, backlog=2048
    )
    canned.port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": canned.port}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=int, default=None)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--write-latency", type=float, default=None, help="the same for writes (default: --latency)")
    parser.add_argument("--kind", choices=KINDS, default="plain", help="contents of the pages (default: plain)")
    arguments = parser.parse_args()
    pin(arguments.core)
    gc.disable()
    run = import_module("uvloop").run if find_spec("uvloop") else asyncio.run  # faster, if it is installed
    writes = arguments.latency if arguments.write_latency is None else arguments.write_latency
    run(serve(Canned(arguments.pages, arguments.kind), arguments.latency, writes))


if __name__ == "__main__":
    main()
