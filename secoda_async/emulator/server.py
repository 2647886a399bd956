"""The emulator as an HTTP server."""

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any, Self, cast

import attrs
import orjson
from aiohttp import web

from secoda_async.emulator.connections import LOGGER, HalfClosableProtocol
from secoda_async.emulator.dashboard import Dashboard
from secoda_async.emulator.handler import RequestHandler, remove_date
from secoda_async.emulator.openapi import openapi_document
from secoda_async.emulator.state import EmulatorState
from secoda_async.emulator.validators import between, is_loopback

if TYPE_CHECKING:
    from types import TracebackType

MAX_BODY = 2_621_440  # bytes: Django's DATA_UPLOAD_MAX_MEMORY_SIZE
BACKLOG = 128
SHUTDOWN_SECONDS = 0.05  # for handlers to end, after all their waits were cancelled


@attrs.define(kw_only=True, eq=False)
class Emulator(EmulatorState):
    """A Secoda workspace on 127.0.0.1, or on another address of this machine.

    Example::

        async with Emulator(groups=315, users=500) as emulator:
            client = SecodaClient(api_key=emulator.api_key, base_url=emulator.url)

    Args:
        groups: The number of groups to generate, or the groups: mappings with any of `name`, `icon`, `description`,
            `users` (ids) and `id`.
        users: The number of users to generate, or mappings with `email` and any other field of a user.
        clock: The clock of the write limit, all waits and all timestamps, instead of a clock that runs at `speed`.

    Raises:
        ValueError: An argument is out of range, or the API would refuse a group or user.
        StateFileError: The state file is damaged.
    """

    host: str = attrs.field(default="127.0.0.1", on_setattr=attrs.setters.frozen)
    """The address to listen on. If it is no loopback address, such as "0.0.0.0" in a container, everybody who can reach
    this machine can read and change the workspace."""
    port: int = attrs.field(default=0, validator=between(0, 65_535), on_setattr=attrs.setters.frozen)
    """The port to listen on; 0: any free port."""
    page: bool = attrs.field(default=False, on_setattr=attrs.setters.frozen)
    """Serve a dashboard at `/`: the groups, the requests, and buttons that add faults."""

    _handler: RequestHandler = attrs.field(init=False, repr=False)
    _runner: web.AppRunner | None = attrs.field(init=False, default=None, repr=False)
    _server: asyncio.Server | None = attrs.field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._handler = RequestHandler(self, self._application, self._calendar)

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
        """Listen. After `close` the emulator can be started again, with the same store and request log.

        Raises:
            RuntimeError: The emulator is already running.
            OSError: The port is in use, or `host` is no address of this machine.
            StateFileError: The state file can't be written.
        """
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        self.save()
        application = web.Application(client_max_size=MAX_BODY)
        application.on_response_prepare.append(remove_date)
        if self.page:
            application.add_routes(Dashboard(self, lambda: self.url, is_loopback(self.host)).routes())
        application.router.add_get("/openapi.json", self._get_openapi)
        application.router.add_route("*", "/{path:.*}", self._handler.handle)
        runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_SECONDS,
            auto_decompress=False,  # the framework does not decode the bodies of requests
            logger=LOGGER,
        )
        await runner.setup()
        # "localhost" can resolve to two addresses, and port 0 would give each of them another port.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        try:
            server = await _listen(runner, host, self.port)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._server = runner, server
        address, port = server.sockets[0].getsockname()[:2]
        loopback = "::1" if ":" in address else "127.0.0.1"
        host = loopback if ipaddress.ip_address(address).is_unspecified else address
        self._handler.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening, end all requests in flight and write the state file; do nothing if it is not running.

        Raises:
            StateFileError: The state file can't be written, or another program has changed it.
        """
        runner, self._runner = self._runner, None
        server, self._server = self._server, None
        if runner is None or server is None:
            return
        server.close()
        self._handler.cancel_waits()
        await runner.cleanup()
        await self._handler.cancel_tasks()
        self.save()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of the calls, stubs included, that is also served at `/openapi.json`."""
        return openapi_document(None if self._runner is None else self.url, self.stubs)

    async def _get_openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.openapi()), content_type="application/json")

    @property
    def url(self) -> str:
        """The origin to pass as `base_url`; on loopback if the emulator listens on all addresses.

        Raises:
            RuntimeError: The emulator is not running.
        """
        if self._runner is None:
            raise RuntimeError("the emulator has no url until it is started")
        return self._handler.origin

    @property
    def open_connections(self) -> int:
        """The number of open TCP connections."""
        server = None if self._runner is None else self._runner.server
        return 0 if server is None else len(server.connections)


async def _listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    """Listen, with a protocol that responds to half-closed connections too."""
    protocol_factory = cast("web.Server", runner.server)  # it is there after `setup`
    return await asyncio.get_running_loop().create_server(
        lambda: HalfClosableProtocol(protocol_factory()), host, port, backlog=BACKLOG
    )
