"""The public client: its settings and its calls. `_engine/pipeline.py` sends every request."""

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from attrs import evolve

from secoda_async._engine.concurrency.per_loop import running_loop
from secoda_async._engine.health import read_health
from secoda_async._engine.limits.limiter import RateLimiter, time_left
from secoda_async._engine.limits.registry import shared_limiter
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.settings import (
    check_callbacks,
    check_limits_and_connections,
    extra_headers,
    key_source,
    set_up_logging,
)
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.raw import ParamValue, raw_request
from secoda_async._engine.wire.transport import Transport
from secoda_async.clock import SYSTEM_CLOCK, Clock
from secoda_async.config import ApiKeyProvider, CallOptions, Priority, RateLimit, Region, RetryPolicy, origin_of
from secoda_async.errors import ConfigurationError
from secoda_async.groups import Groups
from secoda_async.models import UNSET, Unset, without_unset
from secoda_async.users import Users
from secoda_async.workspace import Workspace

if TYPE_CHECKING:
    import aiohttp

    from secoda_async.events import Event

__all__ = ["SecodaClient"]


class SecodaClient(Workspace):
    """A client of the Secoda API: `async with SecodaClient(api_key="...") as secoda`.

    A client can be created anywhere, also at import: it opens nothing before the first call. Calls may be concurrent.

    Example:
        >>> async with SecodaClient() as secoda:  # reads SECODA_API_KEY
        ...     group = await secoda.groups.ensure(name="Data Stewards", icon="🧪")
        >>> group.icon
        '🧪'

    Attributes:
        groups: The calls on groups.
        users: The calls on users.
        limiter: The write limit; `limiter.state` and `limiter.time_for(n)` can be read at any time.
    """

    groups: Groups
    users: Users
    limiter: RateLimiter

    def __init__(  # noqa: PLR0913 - the settings of a client, all but one by name
        self,
        api_key: str | ApiKeyProvider | None = None,
        *,
        base_url: str | None = None,
        region: Region | str | None = None,
        retry: RetryPolicy = RetryPolicy(),
        write_limit: RateLimit = RateLimit(30, per_seconds=60),
        limiter: RateLimiter | None = None,
        timeout: float = 30.0,
        deadline: float | None = None,
        max_wait: float | None = None,
        max_connections: int = 100,
        session: "aiohttp.ClientSession | None" = None,
        ssl: ssl_module.SSLContext | None = None,
        trust_env: bool = False,
        headers: Mapping[str, str] | None = None,
        on_event: "Callable[[Event], object] | None" = None,
        clock: Clock | None = None,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            api_key: The key, or an async callable for it, called again once after a 401. Default: `SECODA_API_KEY`.
            base_url: An origin, or a URL ending in `/api/v1`; http only for loopback. Default: `SECODA_BASE_URL`.
            region: `us`, `eu` or `apac`, in place of `base_url`. Default: `SECODA_REGION`, or `us`.
            retry: The number of attempts and the length of the backoffs.
            write_limit: POST, PUT and PATCH requests per window. Clients of a process with the same key (or callable)
                and origin share one limit; the strictest holds. Set `share` if other programs use the key.
            limiter: A custom rate limiter in place of `write_limit`, such as one that several machines share.
            timeout: Seconds for one attempt, from the connection to the end of the response.
            deadline: Seconds for a whole call, with every wait. None: no deadline.
            max_wait: Seconds that a write may wait for the limit; a longer wait raises immediately. None: no bound.
            max_connections: Maximum number of requests in flight, per event loop; writes use at most three quarters.
            session: An aiohttp session to borrow; it is not closed. Its cookies and default headers are sent, its
                timeouts and middlewares do not apply, and creates share its idle connections.
            ssl: The trusted certificates, such as a company's own CA.
            trust_env: Use the proxy of the environment (read once, now).
            headers: Extra headers of every request, such as those that a gateway asks for; not `Authorization`, which
                carries the key. Their values are secrets: no log, error or event shows them.
            on_event: Called with an event after each attempt and wait. An `events.CallHook`, such as
                `ext.opentelemetry.Telemetry`, is also called at the start and end of each call.
            clock: The source of time; tests pass a clock that skips waiting time.

        Raises:
            ConfigurationError: When a setting can't work.
        """
        source, extra = key_source(api_key), extra_headers(headers)
        del api_key, headers  # a traceback with locals must not show them
        if isinstance(source, ConfigurationError):
            raise source
        if isinstance(extra, ConfigurationError):
            raise extra
        options = CallOptions(timeout=timeout, deadline=deadline, max_wait=max_wait, retry=retry)
        check_limits_and_connections(write_limit, limiter, max_connections, session, ssl)
        check_callbacks(on_event, clock)
        set_up_logging()
        origin = origin_of(base_url, region)
        clock = clock or SYSTEM_CLOCK
        self.limiter = shared_limiter(origin, source, write_limit, clock) if limiter is None else limiter
        transport = Transport(
            origin,
            max_connections=max_connections,
            session=session,
            ssl=ssl,
            trust_env=trust_env,
            headers=extra,
        )
        pipeline = Pipeline(
            transport,
            source,
            self.limiter,
            clock=clock,
            retry_budget=retry.budget,
            window=write_limit.per_seconds,
            on_event=on_event,
        )
        self._use(pipeline, options, is_copy=False)

    def _use(self, pipeline: Pipeline, options: CallOptions, *, is_copy: bool) -> None:
        self._pipeline = pipeline
        self._options = options
        self._is_copy = is_copy
        self.groups = Groups(pipeline, options)
        self.users = Users(pipeline, options)

    def __repr__(self) -> str:
        if not hasattr(self, "_pipeline"):  # in a traceback with locals, __init__ may not have finished
            return f"<{type(self).__name__}>"
        return f"<{type(self).__name__} of {self.origin}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the API."""
        return self._pipeline.transport.origin

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    if not TYPE_CHECKING:  # type checkers report `with` by themselves, as long as these are absent

        def __enter__(self) -> NoReturn:
            raise TypeError("use `async with SecodaClient(...) as secoda:` inside an async function")

        __exit__ = __enter__  # `with` looks both up before it calls one

    async def close(self) -> None:
        """Close the connections, except those of a borrowed session, and end all calls immediately.

        The calls raise `ClientClosedError`, or `OutcomeUnknownError` if a create was sent. A second close, and the
        close of a copy made by `with_options`, do nothing.

        Example:
            >>> await secoda.close()
        """
        running_loop()
        if self._is_copy:
            return
        self._pipeline.scopes.close()
        await asyncio.sleep(0)  # let the calls in flight end with the right error
        await self._pipeline.transport.close()

    async def aclose(self) -> None:
        """Do the same as `close`, for `contextlib.aclosing` and by the usual name for async objects.

        Example:
            >>> async with contextlib.aclosing(SecodaClient()) as secoda:
            ...     user = await secoda.users.find(email="ana@example.com")
        """
        await self.close()

    def with_options(
        self,
        *,
        timeout: float | Unset = UNSET,
        deadline: float | Unset | None = UNSET,
        max_wait: float | Unset | None = UNSET,
        retry: RetryPolicy | Unset = UNSET,
        priority: Priority | Unset = UNSET,
    ) -> "SecodaClient":
        """Return a copy with other options, on the same connections and the same limit.

        Example:
            >>> patient = secoda.with_options(deadline=300, priority="background")
            >>> group = await patient.groups.create(name="Analysts")

        Args:
            timeout: As for the client; so are `deadline`, `max_wait` and `retry`.
            deadline: None removes the deadline.
            max_wait: None allows any wait.
            retry: The retry budget stays the client's.
            priority: "background" lets interactive writes go first at the limit.

        Raises:
            ConfigurationError: When an option can't work.
        """
        given = without_unset(timeout=timeout, deadline=deadline, max_wait=max_wait, retry=retry, priority=priority)
        clone = copy(self)
        SecodaClient._use(clone, self._pipeline, evolve(self._options, **given), is_copy=True)
        return clone

    def time_left(self, writes: int) -> float:
        """Return the seconds until the last of a job's remaining `writes` could start.

        Unlike `limiter.time_for`, queued and in-flight writes count as part of the job.

        Example:
            >>> secoda.time_left(45)
            60.0
        """
        return time_left(self.limiter, writes)

    async def health(self) -> str:
        """Return the status of the service, such as "OK" (`GET /healthcheck`).

        Example:
            >>> await secoda.health()
            'OK'
        """
        return await read_health(self._pipeline, self._options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, ParamValue | Sequence[ParamValue]] | None = None,
        json: object = None,
    ) -> Any:  # noqa: ANN401 - plain JSON
        """Call any endpoint that the SDK does not model, with plain JSON.

        Example:
            >>> page = await secoda.request("GET", "user", params={"page": 1})
            >>> page["count"]
            2

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: A path below `/api/v1`, for example "tag" or "table/tables".
            params: The query parameters.
            json: The body; None sends no body.

        Returns:
            The parsed body, or None if it is empty.

        Raises:
            InvalidArgumentError: When an argument can't be sent, or the path leads elsewhere or carries a query.
            OutcomeUnknownError: When the write may have been executed.
        """
        request = raw_request(method, path, params, json)
        return await self._pipeline.send(self._pipeline.call(request, self._options), protocol.json_of)
