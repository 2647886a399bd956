"""The front door: `SecodaClient`. It owns or borrows the connections, and hands each call to the engine."""

import ssl as ssl_module
from asyncio import Event as StopEvent
from asyncio import sleep as asyncio_sleep
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TextIO, cast

from attrs import evolve

from secoda_async._engine.call import Scope
from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.limits.registry import shared_limiter
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.credentials import Credentials
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async._engine.wire.raw import raw_request
from secoda_async._engine.wire.transport import Transport
from secoda_async.clock import SYSTEM_CLOCK, Clock
from secoda_async.config import (
    API_PREFIX,
    ApiKeyProvider,
    CallOptions,
    Priority,
    RateLimit,
    Region,
    RetryPolicy,
    check_callbacks,
    check_kind,
    check_parts,
    key_source,
    origin_of,
)
from secoda_async.errors import ConfigurationError, NotFoundError, ResponseError
from secoda_async.events import Event
from secoda_async.groups import Groups
from secoda_async.models import UNSET, Unset
from secoda_async.users import Users

if TYPE_CHECKING:
    import aiohttp

    from secoda_async.bulk import Bulk, Operation
    from secoda_async.reconcile import DesiredState, Limit, Plan, Progress, Report, UnknownMembers

__all__ = ["SecodaClient"]

_RETRY: Final = RetryPolicy()
_WRITE_LIMIT: Final = RateLimit(30, per_seconds=60)

ParamValue = str | int | float | bool


class SecodaClient:
    """A client of the Secoda API: `async with SecodaClient(api_key="...") as secoda`.

    It can be made anywhere, at import time too: nothing is opened before the first call. Calls may be made
    concurrently.

    Attributes:
        groups: The calls on groups.
        users: The calls on users.
        limiter: The write limit in use; `limiter.state` and `limiter.time_for(n)` can be read at any time.
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
        retry: RetryPolicy = _RETRY,
        write_limit: RateLimit = _WRITE_LIMIT,
        limiter: RateLimiter | None = None,
        timeout: float = 30.0,
        deadline: float | None = None,
        max_wait: float | None = None,
        max_connections: int = 100,
        session: "aiohttp.ClientSession | None" = None,
        ssl: ssl_module.SSLContext | None = None,
        trust_env: bool = False,
        on_event: Callable[[Event], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            api_key: The key, or an async callable that returns it (asked again once after a 401). Without it, the
                environment's `SECODA_API_KEY`.
            base_url: Where the API is: an origin, or one ending in `/api/v1`. Plain http only for loopback. Without
                it and `region`, the environment's `SECODA_BASE_URL` or `SECODA_REGION`.
            region: `us` (the default), `eu` or `apac`: a name for a URL.
            retry: How often and how patiently a call is tried again.
            write_limit: How many POST, PUT and PATCH may start in a window. All clients of this process that have the
                same key (or the same callable) and origin share one limit, the strictest of theirs. Leave a share to
                other programs that use the key.
            limiter: A limit of your own in place of `write_limit`, such as one that several machines share.
            timeout: Seconds that one attempt may take on the wire.
            deadline: Seconds that a whole call may take, every wait in it included. None: as long as its attempts
                and a moving queue take.
            max_wait: Seconds that a write may wait for the limit; a longer wait fails at once. None: any.
            max_connections: Requests in flight at a time, per event loop; writes take three in four at most.
            session: An aiohttp session to use, left open at the end. Its cookies and default headers are sent; its
                timeouts and middlewares do not apply, and creates share its kept connections.
            ssl: Which certificates to trust, such as a company's own CA.
            trust_env: Use the proxy that the environment names (read once, now).
            on_event: Called with an `AttemptEvent` or `WaitEvent` after each attempt and wait. An
                `events.CallHook`, such as `ext.opentelemetry.Telemetry`, is told of whole calls too.
            clock: Where time comes from; tests pass one that jumps.

        Raises:
            ConfigurationError: When a setting can't work.
        """
        source = key_source(api_key)
        del api_key  # a traceback with locals must not show it
        if isinstance(source, ConfigurationError):
            raise source
        options = CallOptions(timeout=timeout, deadline=deadline, max_wait=max_wait, retry=retry)
        check_parts(write_limit, limiter, max_connections, session, ssl)
        check_callbacks(on_event, clock)
        origin = origin_of(base_url, region)
        clock = clock or SYSTEM_CLOCK
        self.limiter = shared_limiter(origin, source, write_limit, clock) if limiter is None else limiter
        transport = Transport(
            origin,
            max_connections=max_connections,
            session=session,
            ssl=ssl,
            trust_env=trust_env,
        )
        pipeline = Pipeline(
            transport,
            Credentials(source),
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
        if not hasattr(self, "_pipeline"):  # a traceback with locals shows it half made
            return f"<{type(self).__name__}>"
        return f"<{type(self).__name__} of {self.origin}>"

    @property
    def origin(self) -> str:
        """Where the API is, without its path."""
        return self._pipeline.transport.origin

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless the session is yours. Calls that wait or are under way end at once.

        They end with `ClientClosedError`, a create that was sent with `OutcomeUnknownError`. Closing twice does no
        harm; closing a copy made by `with_options` does nothing.
        """
        if self._is_copy:
            return
        self._pipeline.scopes.close()
        await asyncio_sleep(0)  # let what is under way end with the right error
        await self._pipeline.transport.close()

    def with_options(
        self,
        *,
        timeout: float | Unset = UNSET,
        deadline: float | Unset | None = UNSET,
        max_wait: float | Unset | None = UNSET,
        retry: RetryPolicy | Unset = UNSET,
        priority: Priority | Unset = UNSET,
    ) -> "SecodaClient":
        """Return a light copy for calls with other options, on the same connections and the same limit.

        Args:
            timeout: As for the client.
            deadline: As for the client.
            max_wait: As for the client.
            retry: As for the client; the retry budget stays the client's.
            priority: "background" lets interactive writes go first at the limit.

        Raises:
            ConfigurationError: When an option can't work.
        """
        present = self._options
        options = CallOptions(
            timeout=present.timeout if timeout is UNSET else timeout,
            deadline=present.deadline if deadline is UNSET else deadline,
            max_wait=present.max_wait if max_wait is UNSET else max_wait,
            retry=present.retry if retry is UNSET else retry,
            priority=present.priority if priority is UNSET else priority,
        )
        copy = object.__new__(type(self))
        copy.limiter = self.limiter
        copy._use(self._pipeline, options, is_copy=True)
        return copy

    def bulk(
        self,
        operations: "Iterable[Operation] | AsyncIterable[Operation]",
        *,
        concurrency: int = 20,
        fail_fast: bool = False,
        stop: StopEvent | None = None,
    ) -> "Bulk":
        """Carry out many operations concurrently, and yield one outcome for each, as they end.

        They run in the background: interactive writes of the same client go first. A failure does not stop the
        others, but a refused key does, since all would fail alike. Creates look for their group after a lost answer.

        Args:
            operations: `CreateGroup`, `UpdateGroup` and `DeleteGroup`, from any iterable or async iterable.
            concurrency: How many are under way at a time.
            fail_fast: Stop after the first failure: what is under way ends, the rest is `not_attempted`.
            stop: Once set, likewise.

        Raises:
            InvalidArgumentError: When `concurrency` is below 1.
        """
        from secoda_async import bulk  # noqa: PLC0415 - who only makes calls needs none of it

        groups = partial(Groups, self._pipeline, evolve(self._options, priority="background"))
        return bulk.run(groups, operations, concurrency=concurrency, fail_fast=fail_fast, stop=stop)

    async def plan(
        self,
        desired: "DesiredState",
        *,
        prune: bool = False,
        unknown_members: "UnknownMembers" = "error",
        max_delete: "Limit" = "10%",
        max_remove: "Limit" = "25%",
    ) -> "Plan":
        """Compare the workspace with a desired state: the fewest writes in between. Nothing is written.

        A group that the desired state does not speak of stays, as does every field that it leaves out.

        Args:
            desired: What should be, such as `DesiredState.load("groups.yaml")`.
            prune: Delete the groups that it does not speak of.
            unknown_members: Members who are no users of the workspace are an error; with "hold" their groups gain
                members and lose none.
            max_delete: How many groups, or which part of all ("10%", but one always), may be deleted without approval.
            max_remove: Likewise for memberships that are removed from groups that stay ("25%", but ten always).

        Raises:
            DesiredStateError: When members are unknown: each of them, with its place.
            PaginationError: When the workspace could not be read whole: no part of it is ever taken for all.
        """
        from secoda_async.reconcile.binding import learn_workspace  # noqa: PLC0415 - as in bulk
        from secoda_async.reconcile.desired import DesiredState  # noqa: PLC0415
        from secoda_async.reconcile.diff import diff  # noqa: PLC0415
        from secoda_async.reconcile.safety import Rules  # noqa: PLC0415

        check_kind("desired", desired, DesiredState)
        rules = Rules(prune=prune, unknown_members=unknown_members, max_delete=max_delete, max_remove=max_remove)
        scope = Scope(began=self._pipeline.clock.now())
        groups = await Groups(self._pipeline, self._options, scope).snapshot_with_own_writes()
        user_calls = Users(self._pipeline, self._options, scope)
        users = await user_calls.snapshot() if any(group.members for group in desired.groups) else []
        workspace = await learn_workspace([*groups, *users], user_calls)
        return diff(desired, groups, users, rules, self.limiter.time_for, origin=self.origin, workspace=workspace)

    async def apply(
        self,
        plan: "Plan",
        *,
        approve: str | None = None,
        on_drift: Literal["raise", "skip"] = "raise",
        log: str | PathLike[str] | TextIO | None = None,
        on_progress: "Callable[[Progress], object] | None" = None,
        stop: StopEvent | None = None,
    ) -> "Report":
        """Carry a plan out, in the background of other writes; run it again after a crash, and it goes on.

        The workspace is read once before the first write and once after the last, and each group again just before
        it is changed. Deletes come last, and only when all before went well. Two at once on one client take turns.

        Args:
            plan: What `plan` returned, or `Plan.load`.
            approve: The plan's digest, to carry it out although it is beyond the safety limits.
            on_drift: What to do about groups that are not as the plan found them: raise before the first write, or
                leave them alone and report them as failed.
            log: A file to append to, or a stream: a line of JSON before and after each write.
            on_progress: Called after each change.
            stop: Once set, what is on the wire ends, and the rest is `not_attempted`.

        Raises:
            UnsafePlanError: When the plan is beyond the safety limits and not approved; nothing was written.
            StalePlanError: When the workspace has changed since, or the plan was made at another origin or for another
                workspace; nothing was written.
        """
        from secoda_async.reconcile.apply import Applier  # noqa: PLC0415 - as in bulk
        from secoda_async.reconcile.binding import learn_workspace  # noqa: PLC0415
        from secoda_async.reconcile.journal import Journal  # noqa: PLC0415
        from secoda_async.reconcile.plan import Plan  # noqa: PLC0415

        check_kind("plan", plan, Plan)
        if stop is not None:
            check_kind("stop", stop, StopEvent)
        # Serialize the applies of one client: two at once would both create what is missing.
        async with self._pipeline.lock("apply"):
            with Journal(log) as journal:
                applier = Applier(
                    groups=partial(Groups, self._pipeline, evolve(self._options, priority="background")),
                    plan=plan,
                    origin=self.origin,
                    workspace_of=partial(learn_workspace, users=self.users),
                    journal=journal,
                    clock=self._pipeline.clock,
                    time_left=self.time_left,
                    on_progress=on_progress,
                    stop=stop or StopEvent(),
                )
                return await applier.run(approve, on_drift)

    def time_left(self, writes: int) -> float:
        """Seconds until the last of a job's `writes` that have not ended could start, by the write limit.

        Other than `limiter.time_for`, it takes those that wait or are under way for a part of the job.
        """
        limit = self.limiter.state
        more = writes - limit.queued - limit.in_flight
        return self.limiter.time_for(max(more, min(writes, limit.queued, 1)))

    async def health(self) -> str:
        """Ask whether the service is up (`GET /healthcheck`), and return the status it gives, such as "OK".

        The docs do not say whether it lives beside or below `/api/v1`: the first is tried, then the second.

        Raises:
            SecodaError: As any call.
        """
        scope = Scope(began=self._pipeline.clock.now())
        try:
            return await self._health("/healthcheck", scope)
        except NotFoundError:
            pass
        return await self._health(f"{API_PREFIX}/healthcheck", scope)

    async def _health(self, path: str, scope: Scope) -> str:
        call = self._pipeline.call(Request("GET", path, route=path), self._options, scope)
        return await self._pipeline.send(call, _status)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, ParamValue | Sequence[ParamValue]] | None = None,
        json: object = None,
    ) -> Any:  # noqa: ANN401 - plain JSON
        """Call any endpoint that the SDK does not model: the same engine, plain JSON in and out.

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: Below `/api/v1`, for example "tag" or "table/tables".
            params: The query.
            json: The body; None sends none.

        Returns:
            The parsed body, or None when there is none.

        Raises:
            InvalidArgumentError: When an argument can't be sent, or the path leads elsewhere or carries a query.
            OutcomeUnknownError: When a POST may have happened.
        """
        request = raw_request(method, path, params, json)
        return await self._pipeline.send(self._pipeline.call(request, self._options), protocol.json_of)


def _status(reply: Reply) -> str:
    payload = protocol.json_of(reply)
    status = cast("dict[str, object]", payload).get("status") if isinstance(payload, dict) else None
    if not isinstance(status, str):
        error = ResponseError("status: the health check says nothing of it")
        error.location = "status"
        raise error
    return status
