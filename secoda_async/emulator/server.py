"""The emulator as an HTTP server on a loopback address."""

from typing import TYPE_CHECKING, Self

import attrs
from aiohttp import web

from secoda_async.emulator.dashboard import Dashboard
from secoda_async.emulator.handler import RequestHandler, remove_date
from secoda_async.emulator.state import EmulatorState
from secoda_async.emulator.validators import between, loopback

if TYPE_CHECKING:
    from types import TracebackType

MAX_BODY = 2_621_440  # bytes: Django's DATA_UPLOAD_MAX_MEMORY_SIZE
SHUTDOWN_SECONDS = 0.05  # for handlers to end, after all their waits were cancelled


@attrs.define(kw_only=True, eq=False)
class Emulator(EmulatorState):
    """A Secoda workspace on 127.0.0.1.

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
    """

    host: str = attrs.field(default="127.0.0.1", validator=loopback, on_setattr=attrs.setters.frozen)
    """The loopback address to listen on."""
    port: int = attrs.field(default=0, validator=between(0, 65_535), on_setattr=attrs.setters.frozen)
    """The port to listen on; 0: any free port."""
    page: bool = attrs.field(default=False, on_setattr=attrs.setters.frozen)
    """Serve a dashboard at `/`: the groups, the requests, and buttons that add faults."""

    _handler: RequestHandler = attrs.field(init=False, repr=False)
    _runner: web.AppRunner | None = attrs.field(init=False, default=None, repr=False)

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
            OSError: The port is in use.
        """
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        application = web.Application(client_max_size=MAX_BODY)
        application.on_response_prepare.append(remove_date)
        if self.page:
            application.add_routes(Dashboard(self, lambda: self.url).routes())
        application.router.add_route("*", "/{path:.*}", self._handler.handle)
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await runner.setup()
        # "localhost" can resolve to two addresses, and port 0 would give each of them another port.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        try:
            await web.TCPSite(runner, host, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self._handler.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening and end all requests in flight; do nothing if the emulator is not running."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._handler.cancel_waits()
        await runner.cleanup()
        await self._handler.cancel_tasks()

    @property
    def url(self) -> str:
        """The origin to pass as `base_url`, on loopback.

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
