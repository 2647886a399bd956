"""A server on raw sockets that behaves as badly as a real groups API can.

The server shares no code with the SDK or the emulator, and so none of their misunderstandings. A random generator
determines its behaviour, and every change of the store is recorded.
"""

import asyncio
import copy
import json
import random
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import define, field, frozen

from tests.soak.hostile.conditions import CONTRADICTIONS, FAULTS, Conditions, Fault
from tests.soak.hostile.store import NOT_FOUND, Clock, Group, Store

KEY: Final = "adversary-key-0123456789"
USERS: Final = tuple(f"user-{number}" for number in range(16))
LATEST: Final = 10.0  # seconds after the response until a late request is executed, at most
LISTS: Final = re.compile(r"/api/v1/(auth/group|user)/?")
ONE: Final = re.compile(r"/api/v1/auth/group/([^/]+)/?")


@frozen(kw_only=True)
class Arrival:
    """A request as the server received it."""

    number: int
    """Its number in the order of all arrivals and responses."""
    at: float
    method: str
    path: str
    query: Mapping[str, list[str]]
    fields: Mapping[str, Any]

    @property
    def group_id(self) -> str:
        match = ONE.fullmatch(self.path)
        return unquote(match[1]) if match else ""


@define
class HostileServer:
    """The server: `async with HostileServer(...) as server`, then `server.url`."""

    conditions: Conditions
    rng: random.Random
    clock: Clock
    edit: Callable[[], object] | None = None
    """Makes an edit by a third party; called before some requests."""
    is_calm: bool = False
    """Whether faults, contradictions and edits are switched off."""
    store: Store = field(init=False)
    arrivals: list[Arrival] = field(init=False, factory=list[Arrival])
    url: str = field(init=False, default="")
    _number: int = field(init=False, default=0)
    _server: asyncio.Server | None = field(init=False, default=None)
    _tasks: set["asyncio.Task[Any]"] = field(init=False, factory=set["asyncio.Task[Any]"])

    def __attrs_post_init__(self) -> None:
        self.store = Store(self.clock, self.rng, self.conditions.collapses, self.conditions.created_skew)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Respond to one request, and return whether the connection stays open."""
        idle = self.conditions.idle
        timer = None if idle is None else self.clock.call_later(idle, lambda: _time_out(writer))
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        finally:
            if timer is not None:
                timer.cancel()
        match = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(match[1]) if match else 0)
        if writer.is_closing():  # the 408 crossed the request, which is ignored
            return False
        arrival = self._arrival(head, body)
        if self.edit is not None and not self.is_calm and self.rng.random() < self.conditions.edits:
            self.edit()
        return await self._respond(arrival, writer)

    def _arrival(self, head: str, body: bytes) -> Arrival:
        method, target, _ = head.partition("\r\n")[0].split(" ")
        parts = urlsplit(target)
        arrival = Arrival(
            number=self._next_number(), at=self.clock.now(), method=method, path=parts.path,
            query=parse_qs(parts.query), fields=json.loads(body) if body else {},
        )  # fmt: skip
        self.arrivals.append(arrival)
        self.store.note(f"#{arrival.number} {method} {target} {arrival.fields or ''}")
        return arrival

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # --- responses

    async def _respond(self, arrival: Arrival, writer: asyncio.StreamWriter) -> bool:
        fault = None
        if not self.is_calm and self.rng.random() < self.conditions.fault_rate:
            fault = self.rng.choice(FAULTS)
        if fault is None:
            status, body = self._execute(arrival)
            await self._send(writer, status, _json(body))
            if self.store.writes and self.store.writes[-1].arrival == arrival.number:
                self.store.writes[-1].answered = self._next_number()
            return True
        self.store.note(f"#{arrival.number} {fault.name}")
        status, body = 0, None
        if fault.executes == "now":
            status, body = self._execute(arrival)
        elif fault.executes == "later" and arrival.method != "GET":
            self.clock.call_later(self.rng.uniform(0.0, LATEST), lambda: self._execute(arrival))
        return await self._end(fault, status, body, writer)

    async def _end(self, fault: Fault, status: int, body: object, writer: asyncio.StreamWriter) -> bool:
        """Respond to a faulted request, and return whether the connection stays open."""
        match fault.ends:
            case "status":
                await self._send(writer, fault.status, b'{"detail": "trouble"}', fault.headers)
                return True
            case "page":
                page = b"<!doctype html><title>Sign in</title>"
                await self._send(writer, fault.status, page, {"Content-Type": "text/html"})
                return True
            case "foreign":
                await self._send(writer, 200 if status == 204 else status, _json(self._another(body)))
                return True
            case "stall":
                await asyncio.get_running_loop().create_future()
            case "drop":
                writer.transport.abort()
            case _:
                await self._cut(writer, status, _json(body), has_length=fault.ends == "cut")
        return False

    def _another(self, body: object) -> object:
        """Replace the body of a group by that of another group."""
        own = str(_dict(body).get("id", ""))
        if "detail" in _dict(body):
            return body  # an error
        others = [group for group_id, group in self.store.groups.items() if group_id != own]
        return self._shown(self.rng.choice(others)) if others else body

    def _execute(self, arrival: Arrival) -> tuple[int, object]:
        if arrival.method != "GET":
            status, group = self.store.execute(
                arrival.method, arrival.group_id, arrival.fields,
                by="us", arrived=arrival.at, arrival=arrival.number,
            )  # fmt: skip
            if group is None or status == NOT_FOUND[0]:
                return status, group
            return status, self._shown(group)
        if match := LISTS.fullmatch(arrival.path):
            return self._list(match[1], arrival)
        group = self.store.at(self.clock.now() - self.conditions.reads_lag).get(arrival.group_id)
        return NOT_FOUND if group is None else (200, self._shown(group))

    def _list(self, kind: str, arrival: Arrival) -> tuple[int, object]:
        if kind == "user":
            items: list[Group] = [{"id": user, "email": f"{user}@example.com"} for user in USERS]
        else:
            past = self.store.at(self.clock.now() - self.conditions.lists_lag)
            items = [self._shown(group) for group in past.values()]
        size = self.conditions.page_size
        pages = max(1, -(-len(items) // size))
        page = int(arrival.query.get("page", ["1"])[0])
        if not 1 <= page <= pages:
            return 404, {"detail": "Invalid page."}
        more = page < pages
        body: dict[str, Any] = {
            "links": {"next": f"{self.url}{arrival.path}?page={page + 1}" if more else None, "previous": None},
            "meta": {"page": page, "previous_page": None, "next_page": page + 1 if more else None},
            "count": len(items),
            "total_pages": pages,
            "results": items[(page - 1) * size : page * size],
        }
        if not self.is_calm and self.rng.random() < self.conditions.contradictions:
            body = self._contradict(body)
        return 200, body

    def _contradict(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a page that contradicts itself."""
        kind = self.rng.choice(CONTRADICTIONS)
        self.store.note(f"{kind} in the list")
        links: dict[str, Any] = body["links"]
        match kind:
            case "top-level next":
                return {name: value for name, value in body.items() if name != "links"} | links
            case "no next":
                return body | {"links": links | {"next": None}}
            case "item missing":
                return body | {"results": body["results"][:-1]}
            case "empty":
                return body | {"results": [], "total_pages": 2, "count": max(1, body["count"])}
            case _:
                return {"results": body["results"][:-1]}

    def _shown(self, group: Group) -> Group:
        shown = copy.deepcopy(group)
        match self.conditions.created_at:
            case "null":
                shown["created_at"] = None
            case "absent":
                del shown["created_at"]
            case "local":
                local = datetime.fromisoformat(shown["created_at"]) - timedelta(hours=5)
                shown["created_at"] = local.replace(tzinfo=None).isoformat()
            case "full":
                pass
        return shown

    # --- bytes

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        if status == 204:
            del given["Content-Length"]
        writer.write(self._head(status, given) + body)
        await writer.drain()

    async def _cut(self, writer: asyncio.StreamWriter, status: int, body: bytes, *, has_length: bool) -> None:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if has_length:
            headers["Content-Length"] = str(len(body) + 1)
        writer.write(self._head(status, headers) + body[: len(body) // 2])
        await writer.drain()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        if self.conditions.date_skew is not None:
            lines.append(f"Date: {format_datetime(self.store.date(self.conditions.date_skew), usegmt=True)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _dict(body: object) -> Mapping[str, Any]:
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _json(body: object) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


def _time_out(writer: asyncio.StreamWriter) -> None:
    """Send a 408 to an idle connection and close it."""
    if not writer.is_closing():
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()
