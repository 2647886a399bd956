"""The emulator as a server: its life, its log, and what the faults do to the wire."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakKeyDictionary

import attrs
from aiohttp import web

from secoda_async.emulator.application import Application, RequestContext, Route
from secoda_async.emulator.clock import Calendar, Clock, ScaledClock, Waits
from secoda_async.emulator.dashboard import Dashboard
from secoda_async.emulator.faults import Fault, Faults
from secoda_async.emulator.idle_timeouts import IdleTimeouts
from secoda_async.emulator.request_log import RecordedRequest
from secoda_async.emulator.responses import Response, html_response
from secoda_async.emulator.seed import SeedFactory
from secoda_async.emulator.settings import Settings, loopback, port_number, positive
from secoda_async.emulator.store import Store

if TYPE_CHECKING:
    from types import TracebackType

_T = TypeVar("_T")
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
LARGEST_BODY = 2_621_440  # bytes: what Django takes into memory
CLOSING_TIME = 0.05  # seconds for handlers to end, after every wait of theirs was cancelled
NO_FAULT = Fault()


@attrs.define(kw_only=True, eq=False)
class Emulator(Settings):
    """A Secoda workspace on 127.0.0.1 (the other switches: `Settings`).

    Example::

        async with Emulator(groups=315, users=500) as emulator:
            client = SecodaClient(api_key=emulator.api_key, base_url=emulator.url)

    Args:
        groups: How many groups to make up, or the groups themselves: mappings with any of `name`, `icon`,
            `description`, `users` (ids) and `id`.
        users: How many people to make up, or mappings with `email` and any other field of a user.
        clock: A clock to use instead of one that runs at `speed`, for the limit, all waits and all times.

    Raises:
        ValueError: An argument is out of its range, or a group or user is not as the API would have it.
    """

    host: str = attrs.field(default="127.0.0.1", validator=loopback, on_setattr=attrs.setters.frozen)
    """The loopback address to listen on."""
    port: int = attrs.field(default=0, validator=port_number, on_setattr=attrs.setters.frozen)
    """The port to listen on; 0: any that is free."""
    speed: float = attrs.field(default=1.0, validator=positive, on_setattr=attrs.setters.frozen)
    """How fast its clock runs: at 60 a minute lasts a second."""
    seed: int = attrs.field(default=0, on_setattr=attrs.setters.frozen)
    """What ids, and made-up groups and people, follow from."""
    page: bool = attrs.field(default=False, on_setattr=attrs.setters.frozen)
    """Serve a page at `/` that shows what goes on, and switches faults on."""
    requests: list[RecordedRequest] = attrs.field(init=False, factory=list[RecordedRequest], repr=False)
    """All requests, in order of arrival."""
    faults: Faults = attrs.field(init=False, factory=Faults, repr=False)
    """What goes wrong: see `Faults.add`."""

    _seed_groups: int | Iterable[Mapping[str, Any]] = attrs.field(default=0, alias="groups", repr=False)
    _seed_users: int | Iterable[Mapping[str, Any]] = attrs.field(default=0, alias="users", repr=False)
    _given_clock: Clock | None = attrs.field(default=None, alias="clock", repr=False)
    _calendar: Calendar = attrs.field(init=False, repr=False)
    _application: Application = attrs.field(init=False, repr=False)
    _runner: web.AppRunner | None = attrs.field(init=False, default=None, repr=False)
    _origin: str = attrs.field(init=False, default="", repr=False)
    _waits: Waits = attrs.field(init=False, repr=False)
    _idle: IdleTimeouts = attrs.field(init=False, repr=False)
    _delayed: set["asyncio.Task[Any]"] = attrs.field(init=False, factory=set["asyncio.Task[Any]"], repr=False)
    _connections: "WeakKeyDictionary[asyncio.Task[None], int]" = attrs.field(
        init=False, factory=WeakKeyDictionary["asyncio.Task[None]", int], repr=False
    )
    _connections_seen: int = attrs.field(init=False, default=0, repr=False)

    def __attrs_post_init__(self) -> None:
        clock = ScaledClock(self.speed) if self._given_clock is None else self._given_clock
        self._calendar = Calendar(clock)
        self._waits = Waits(clock)
        self._idle = IdleTimeouts(clock)
        maker = SeedFactory(self._calendar.stamp, self.seed)
        users = maker.users(self._seed_users)
        groups = maker.groups(self._seed_groups, list(users))
        workspace = Store(groups=groups, users=users, calendar=self._calendar, maker=maker)
        self._application = Application(self, workspace)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. After `close` it can be started again, with the same store and log.

        Raises:
            RuntimeError: It runs already.
            OSError: The port is in use.
        """
        if self._runner is not None:
            raise RuntimeError("the emulator runs already")
        application = web.Application(client_max_size=LARGEST_BODY)
        application.on_response_prepare.append(_remove_date)
        if self.page:
            application.add_routes(Dashboard(self).routes())
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            application,
            access_log=None,
            # A stalled request ends with its client. A delayed one does not: see `_carried_out`.
            handler_cancellation=True,
            shutdown_timeout=CLOSING_TIME,
        )
        await runner.setup()
        # "localhost" can be two addresses, each with a port of its own when any will do.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        try:
            await web.TCPSite(runner, host, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self._origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening and end every request under way; does nothing when it does not run."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._waits.cancel()
        self._idle.cancel()
        await runner.cleanup()
        # What was delayed after the waits were cancelled, by a request that was just being read.
        for task in self._delayed:
            task.cancel()
        await asyncio.gather(*self._delayed, return_exceptions=True)

    @property
    def url(self) -> str:
        """The origin, on this machine and with its port, below which the API is (`/api/v1`).

        Raises:
            RuntimeError: The emulator does not run.
        """
        if self._runner is None:
            raise RuntimeError("the emulator has no address until it is started")
        return self._origin

    @property
    def clock(self) -> Clock:
        """The clock that everything here is timed with."""
        return self._calendar.clock

    @property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The store itself: each group, by id, as the API shows it."""
        return self._application.store.groups

    @property
    def users(self) -> dict[str, dict[str, Any]]:
        """The people, by id, as the API shows them but for `user_groups`, which follows from the groups."""
        return self._application.store.users

    @property
    def writes(self) -> list[RecordedRequest]:
        """The POST, PUT, PATCH and DELETE requests."""
        return [record for record in self.requests if record.method in WRITES]

    @property
    def refused(self) -> int:
        """How many 429 were sent, by the limit or by a fault."""
        return self.count(status=429)

    @property
    def open_connections(self) -> int:
        """How many TCP connections are open."""
        server = None if self._runner is None else self._runner.server
        return 0 if server is None else len(server.connections)

    def count(self, method: str | None = None, path: str | None = None, status: int | None = None) -> int:
        """Count the requests.

        Args:
            method: Only with this method.
            path: Only with a path that ends so, slashes at the end aside: "/auth/group" is the list.
            status: Only those answered with it.
        """
        return sum(
            (method is None or record.method == method.upper())
            and (path is None or record.path.rstrip("/").endswith(path.rstrip("/")))
            and (status is None or record.status == status)
            for record in self.requests
        )

    def busiest_window(self) -> int:
        """Return the most POST, PUT and PATCH, accepted or refused, within any `window` seconds.

        Counted by their arrival at the application, so without those that a fault kept from it.
        """
        return self._application.throttle.busiest(self.window)

    def limit_state(self) -> dict[str, float | None]:
        """Return the limit now: `used` places `of` so many (None: any) in `window` seconds; seconds to the `next`."""
        used, wait = self._application.throttle.used(self.clock.now(), self.window)
        limit = self.writes_per_window
        is_full = limit is not None and used >= limit
        return {"of": limit, "window": self.window, "used": used, "next": wait if is_full else 0.0}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Take a request through its fault, if it has one, to an answer."""
        if not self._idle.stop(request):
            return web.Response()  # the server drops it: the connection is closed
        record = self._record(request)
        self.requests.append(record)
        try:
            if self.faults.need_bodies:
                record.body = await request.read()
            record.fault = self.faults.choose(record)
            fault = record.fault or NO_FAULT
            if fault.drop == "before":
                await self._waits.pause(fault.delay)
                return _hang_up(request)
            if fault.stall == "unread":
                await self._waits.stall()
            record.body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return await self._send(request, record, NO_FAULT, html_response(413))
        except (ConnectionError, web.RequestPayloadError):
            return _hang_up(request)
        if fault.stall == "before" and fault.execute_after is None:
            await self._waits.stall()
        answer = await self._carried_out(request, record, fault)
        if fault.drop == "after":
            return _hang_up(request)
        if fault.stall is not None:
            await self._waits.stall()
        return await self._send(request, record, fault, answer)

    def _record(self, request: web.Request) -> RecordedRequest:
        """Write down what a request is, all but its key and its body."""
        # The server has one task for each connection, which unlike the transport is there to the end.
        connection = self._connections.get(request.task)
        if connection is None:
            connection = self._connections_seen = self._connections_seen + 1
            self._connections[request.task] = connection
        return RecordedRequest(
            number=len(self.requests) + 1,
            method=request.method,
            path=request.rel_url.raw_path,
            query=dict(request.query.items()),  # of a name that comes twice the last value, as in the framework
            headers={k: v for k, v in request.headers.items() if k.lower() not in SECRET_HEADERS},
            authorized=self._application.admits(request.headers.get("Authorization")),
            connection=connection,
            at=self.clock.now(),
            target=request.rel_url.raw_path_qs,
        )

    async def _carried_out(self, request: web.Request, record: RecordedRequest, fault: Fault) -> Response:
        """Carry a request out, after its delay, and return the answer."""
        sent = RequestContext(
            has_credentials="Authorization" in request.headers,
            content_type=request.content_type,
            origin=self._origin,
        )
        if not fault.delay:
            return self._answer(record, sent, fault)
        # A server goes on with a write whose client has lost patience: the shield keeps it from being
        # cancelled along with its handler.
        return await asyncio.shield(self._start(self._answer_later(record, sent, fault)))

    def _start(self, work: "Coroutine[Any, Any, _T]") -> "asyncio.Task[_T]":
        """Start work that goes on when its client has gone, and ends when the emulator closes."""
        task = asyncio.create_task(work)
        self._delayed.add(task)
        task.add_done_callback(self._delayed.discard)
        return task

    async def _answer_later(self, record: RecordedRequest, sent: RequestContext, fault: Fault) -> Response:
        await self._waits.pause(fault.delay)
        return self._answer(record, sent, fault)

    def _answer(self, record: RecordedRequest, sent: RequestContext, fault: Fault) -> Response:
        """Return the answer as the fault would have it."""
        if fault.execute_after is not None:
            accepted = self._application.accept(record, sent, now=self.clock.now())
            if not isinstance(accepted, Response):
                self._start(self._execute_later(fault.execute_after, accepted, record, sent))
            return fault.shape(Response(200))
        if not fault.carries_out:
            return fault.shape(Response(200))
        return fault.shape(self._application.carry_out(record, sent, now=self.clock.now()))

    async def _execute_later(self, seconds: float, route: Route, record: RecordedRequest, sent: RequestContext) -> None:
        await self._waits.pause(seconds)
        self._application.call(route, record, sent)

    async def _send(
        self, request: web.Request, record: RecordedRequest, fault: Fault, answer: Response
    ) -> web.StreamResponse:
        """Send an answer, whole, cut short, or replaced by raw bytes."""
        await self._waits.pause(self.latency)
        record.answered_at = self.clock.now()
        if fault.raw is not None:
            return _hang_up(request, fault.raw)
        record.status = answer.status
        skew = self.date_skew
        header = self._calendar.date_header(skew) if skew else self._calendar.date_header()
        date = () if skew is None else (("Date", header),)
        dated = Response(answer.status, answer.body, date).with_headers(*answer.headers)
        if fault.cut is not None:
            head, body = dated.as_bytes()
            return _hang_up(request, head + body[: fault.cut])
        self._idle.start(request, self.idle_408)
        is_dated = any(name.lower() == "date" for name, _ in dated.headers)
        kind = web.Response if is_dated else _ResponseWithoutDate
        return kind(status=dated.status, body=dated.body, headers=dated.headers)


class _ResponseWithoutDate(web.Response):
    """A response without `Date`."""


async def _remove_date(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the `Date` that the server adds to every answer without one, if there should be none."""
    if isinstance(response, _ResponseWithoutDate):
        del response.headers["Date"]


def _hang_up(request: web.BaseRequest, farewell: bytes = b"") -> web.StreamResponse:
    """End the connection: with these bytes and in order, or without any and at once.

    Returns:
        A response for form's sake: there is nowhere left to write it to, and the server drops it silently.
    """
    transport = request.transport
    if transport is not None and farewell:
        transport.write(farewell)
        transport.close()
    elif transport is not None:
        transport.abort()
    return web.Response()
