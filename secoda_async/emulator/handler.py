"""One HTTP request from arrival to response: request log, fault, execution, response.

A request passes these steps; a fault can end it at each of them:

    log -> choose fault -> read body -> wait `delay` -> execute -> wait `latency` -> send

A stalled request ends with its client. A delayed request does not: like a real server, the emulator executes a write
whose client has disconnected. Hence each delayed request is executed in a task of its own.
"""

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import attrs
from aiohttp import web

from secoda_async.emulator.application import Application
from secoda_async.emulator.clock import Calendar, Waits
from secoda_async.emulator.faults import Fault, RecordedRequest
from secoda_async.emulator.idle_timeouts import IdleTimeouts
from secoda_async.emulator.responses import Response, html_response
from secoda_async.emulator.routes import Route
from secoda_async.emulator.state import EmulatorState
from secoda_async.emulator.views import RequestContext

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
NO_FAULT = Fault()


class ResponseWithoutDate(web.Response):
    """A response without the `Date` header that aiohttp adds."""


@attrs.define(eq=False)
class RequestHandler:
    """Handles the requests of an emulator, except those for its dashboard."""

    _state: EmulatorState
    _application: Application
    _calendar: Calendar
    origin: str = attrs.field(init=False, default="")
    """The emulator's own origin."""
    waits: Waits = attrs.field(init=False)
    _idle: IdleTimeouts = attrs.field(init=False)
    _tasks: set["asyncio.Task[Any]"] = attrs.field(init=False, factory=set["asyncio.Task[Any]"])
    _connections: "WeakKeyDictionary[asyncio.Task[None], int]" = attrs.field(
        init=False, factory=WeakKeyDictionary["asyncio.Task[None]", int]
    )
    _connection_count: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.waits = Waits(self._calendar.clock)
        self._idle = IdleTimeouts(self._calendar.clock)

    def cancel_waits(self) -> None:
        """Cancel all waits and idle timeouts, so that the requests in flight end."""
        self.waits.cancel_all()
        self._idle.cancel_all()

    async def cancel_tasks(self) -> None:
        """Cancel delayed requests, also those that began to wait after `cancel_waits`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Apply a fault, if one matches, and return the response."""
        if not self._idle.stop(request):
            return web.Response()  # aiohttp discards it, because the connection is closed
        record = self._record(request)
        self._state.requests.append(record)
        try:
            fault = await self._choose_fault_and_read(request, record)
        except web.HTTPRequestEntityTooLarge:
            return await self._send(request, record, NO_FAULT, html_response(413))
        except (ConnectionError, web.RequestPayloadError):
            return hang_up(request)
        if fault.drop == "before":
            return hang_up(request)
        if fault.stall == "before" and fault.execute_after is None:
            await self.waits.sleep_forever()
        response = await self._execute(request, record, fault)
        if fault.drop == "after":
            return hang_up(request)
        if fault.stall is not None:
            await self.waits.sleep_forever()
        return await self._send(request, record, fault, response)

    def _record(self, request: web.Request) -> RecordedRequest:
        """Return the log entry of a request, without its key and its body."""
        # aiohttp has one task for each connection; unlike the transport, the task exists until the connection ends.
        connection = self._connections.get(request.task)
        if connection is None:
            connection = self._connection_count = self._connection_count + 1
            self._connections[request.task] = connection
        return RecordedRequest(
            number=len(self._state.requests) + 1,
            method=request.method,
            path=request.rel_url.raw_path,
            query=dict(request.query.items()),  # the last value of a repeated name, as in the framework
            headers={k: v for k, v in request.headers.items() if k.lower() not in SECRET_HEADERS},
            authorized=self._application.is_authorized(joined_header(request, "Authorization")),
            connection=connection,
            at=self._state.clock.now(),
            target=request.rel_url.raw_path_qs,
        )

    async def _choose_fault_and_read(self, request: web.Request, record: RecordedRequest) -> Fault:
        """Choose the fault of a request, and read the body unless the fault prevents it."""
        faults = self._state.faults
        if faults.need_bodies:
            record.body = await request.read()
        record.fault = faults.choose(record)
        fault = record.fault or NO_FAULT
        if fault.drop == "before":
            await self.waits.sleep(fault.delay)
            return fault
        if fault.stall == "unread":
            await self.waits.sleep_forever()
        record.body = await request.read()
        return fault

    async def _execute(self, request: web.Request, record: RecordedRequest, fault: Fault) -> Response:
        """Execute a request after the fault's delay, and return the response."""
        context = RequestContext(
            record=record,
            has_credentials="Authorization" in request.headers,
            accept=joined_header(request, "Accept"),
            content_type=request.headers.get("Content-Type"),
            origin=f"http://{request.headers['Host']}" if "Host" in request.headers else self.origin,
        )
        if not fault.delay:
            return self._respond(context, fault)
        # The shield protects the execution when the handler is cancelled because its client has disconnected.
        return await asyncio.shield(self._start_task(self._respond_later(context, fault)))

    def _start_task(self, coroutine: "Coroutine[Any, Any, _T]") -> "asyncio.Task[_T]":
        """Start a task that outlives its client, and ends when the emulator closes."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _respond_later(self, context: RequestContext, fault: Fault) -> Response:
        await self.waits.sleep(fault.delay)
        return self._respond(context, fault)

    def _respond(self, context: RequestContext, fault: Fault) -> Response:
        """Execute a request if the fault says so, and return the response that the fault leaves."""
        if fault.execute_after is not None:
            accepted = self._application.accept(context)
            if not isinstance(accepted, Response):
                self._start_task(self._execute_later(fault.execute_after, accepted, context))
        elif fault.executes:
            return fault.apply_to(self._application.respond(context))
        return fault.apply_to(Response(200))

    async def _execute_later(self, seconds: float, route: Route, context: RequestContext) -> None:
        await self.waits.sleep(seconds)
        self._application.execute(route, context)

    async def _send(
        self, request: web.Request, record: RecordedRequest, fault: Fault, response: Response
    ) -> web.StreamResponse:
        """Send a response: complete, cut short, or replaced by raw bytes."""
        await self.waits.sleep(self._state.latency)
        record.answered_at = self._state.clock.now()
        if fault.raw is not None:
            return hang_up(request, fault.raw)
        record.status = response.status
        skew = self._state.date_skew
        date = () if skew is None else (("Date", self._calendar.date_header(skew)),)
        dated = Response(response.status, response.body, date).with_headers(*response.headers)
        if fault.cut is not None:
            head, body = dated.as_bytes()
            return hang_up(request, head + body[: fault.cut])
        self._idle.start(request, self._state.idle_408)
        has_date = any(name.lower() == "date" for name, _ in dated.headers)
        kind = web.Response if has_date else ResponseWithoutDate
        return kind(status=dated.status, body=dated.body, headers=dated.headers)


def joined_header(request: web.BaseRequest, name: str) -> str | None:
    """Return the values of a header that may be repeated, joined as in WSGI; None: the request has none."""
    values = request.headers.getall(name, None)
    return None if values is None else ",".join(values)


async def remove_date(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the `Date` header that aiohttp has added to a `ResponseWithoutDate`."""
    if isinstance(response, ResponseWithoutDate):
        del response.headers["Date"]


def hang_up(request: web.BaseRequest, last_bytes: bytes = b"") -> web.StreamResponse:
    """Close the connection after these bytes, or abort it if there are none.

    Returns:
        A response that aiohttp discards, because the connection is closed.
    """
    transport = request.transport
    if transport is not None and last_bytes:
        transport.write(last_bytes)
        transport.close()
    elif transport is not None:
        transport.abort()
    return web.Response()
