"""`secoda-async doctor`: check each step of a call, and say what to do about the first that fails."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from attrs import frozen
from rich.text import Text

from secoda_async import RetryPolicy, SecodaClient, SecodaError
from secoda_async.cli.exit_codes import Exit, advice_for, exit_for
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Column, Console, duration

if TYPE_CHECKING:
    from secoda_async.ext.redis import RedisRateLimiter

_DEFAULT = Connection()

_Check: TypeAlias = tuple[str, Callable[[SecodaClient], Awaitable[str]]]

_COLUMNS: Final = (Column(""), Column("check"), Column("took", align="right"), Column("result", "wrap"))


@frozen
class CheckResult:
    """The result of one check."""

    check: str
    detail: str
    seconds: float
    error: SecodaError | None = None


async def doctor(*, options: Connection = _DEFAULT) -> int:
    """Check connectivity, credentials and access. Only reads."""
    console = Console(options)
    async with options.client() as client:
        host = client.origin
        probe_client = client.with_options(retry=RetryPolicy(attempts=2), timeout=10)
        with console.progress(f"checking {host}", None):
            results = [await _run(check, probe_client) for check in (*_CHECKS, *_redis_checks(options))]
        seconds = client.limiter.time_for(100)
    # The path of the health check is not documented, so a failure of it alone decides nothing.
    errors = [result.error for result in results if result.error is not None and result.check != "service"]
    if options.json:
        console.print_json(_document(host, results, seconds, is_ok=not errors))
    else:
        _print(console, host, results, seconds, errors)
    return exit_for(errors[0]) if errors else Exit.DONE


def _document(host: str, results: Sequence[CheckResult], seconds: float, *, is_ok: bool) -> dict[str, object]:
    checks = {
        result.check: {"ok": result.error is None, "detail": result.detail, "seconds": round(result.seconds, 4)}
        for result in results
    }
    return {"host": host, "ok": is_ok, "checks": checks, "seconds_for_100_writes": seconds}


def _print(
    console: Console, host: str, results: Sequence[CheckResult], seconds: float, errors: Sequence[SecodaError]
) -> None:
    ok, failed = Text("ok", "green"), Text("failed", "bold red")
    rows = [
        (ok if result.error is None else failed, result.check, f"{result.seconds * 1000:.0f} ms", result.detail)
        for result in results
    ]
    console.table(host, _COLUMNS, rows)
    if errors:
        console.print(advice_for(errors[0]) or "The message above names the problem.", style="yellow")
    else:
        console.print(f"A hundred writes take at least {duration(seconds)} under the write limit.", style="dim")


async def _run(check: _Check, client: SecodaClient) -> CheckResult:
    name, call = check
    started = time.perf_counter()
    try:
        detail = await call(client)
    except SecodaError as error:
        return CheckResult(name, str(error), time.perf_counter() - started, error)
    return CheckResult(name, detail, time.perf_counter() - started)


async def _check_service(client: SecodaClient) -> str:
    return await client.health()


async def _check_key(client: SecodaClient) -> str:
    async with contextlib.aclosing(client.groups.pages()) as pages:
        await anext(pages)
    return "accepted"


async def _check_groups(client: SecodaClient) -> str:
    return f"{len(await client.groups.snapshot())} groups, list complete"


async def _check_users(client: SecodaClient) -> str:
    return f"{len(await client.users.snapshot())} users, list complete"


async def _check_limit(client: SecodaClient) -> str:
    state = await cast("RedisRateLimiter", client.limiter).look()
    return f"{state.free} writes could start now, on all machines together"


def _redis_checks(options: Connection) -> Sequence[_Check]:
    if options.redis is None:
        return ()

    async def check_lock(_: SecodaClient) -> str:
        holder = await options.lock().holder()
        return "free" if holder is None else f"held by {holder}"

    return (("limit in Redis", _check_limit), ("lock in Redis", check_lock))


_CHECKS: Final[tuple[_Check, ...]] = (
    ("service", _check_service),
    ("key", _check_key),
    ("groups", _check_groups),
    ("users", _check_users),
)
"""The checks, each of which needs the ones before it."""
