"""`secoda-async doctor`: how far a call gets, and what to do about it."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

from attrs import frozen
from rich.text import Text

from secoda_async import RetryPolicy, SecodaClient, SecodaError
from secoda_async.cli.exit_codes import Exit, advice_for, exit_for
from secoda_async.cli.options import Connection
from secoda_async.cli.output.console import Screen, duration

if TYPE_CHECKING:
    from secoda_async.ext.redis import RedisRateLimiter

_DEFAULT = Connection()


@frozen
class Finding:
    """What one check showed."""

    check: str
    detail: str
    seconds: float
    error: SecodaError | None = None


async def doctor(*, options: Connection = _DEFAULT) -> int:
    """Say which host is asked, whether it answers and takes the key, what is there, and what to do if not.

    It only reads.
    """
    screen = Screen(options)
    async with options.client() as client:
        host = client.origin
        patience = client.with_options(retry=RetryPolicy(attempts=2), timeout=10)
        with screen.progress(f"asking {host}", None):
            findings = [await _found(check, ask, patience) for check, ask in (*_CHECKS, *_shared(options))]
        hundred = client.limiter.time_for(100)
    # Where the health check lives is not documented: one that is missing says little, and decides nothing.
    failures = [finding.error for finding in findings if finding.error is not None and finding.check != "service"]
    code = exit_for(failures[0]) if failures else Exit.DONE
    if options.json:
        checks = {
            finding.check: {
                "ok": finding.error is None,
                "detail": finding.detail,
                "seconds": round(finding.seconds, 4),
            }
            for finding in findings
        }
        screen.document({"host": host, "ok": not failures, "checks": checks, "seconds_for_100_writes": hundred})
        return code
    fine, bad = Text("ok", "green"), Text("no", "bold red")
    rows = [
        (fine if finding.error is None else bad, finding.check, f"{finding.seconds * 1000:.0f} ms", finding.detail)
        for finding in findings
    ]
    screen.table(host, ("", "check", "took#", "what it showed/"), rows)
    if failures:
        screen.say(advice_for(failures[0]) or "The message above says what is wrong.", style="yellow")
    else:
        screen.say(f"A hundred writes take at least {duration(hundred)} under the write limit.", style="dim")
    return code


async def _found(check: str, ask: Callable[[SecodaClient], Awaitable[str]], secoda: SecodaClient) -> Finding:
    began = time.perf_counter()
    try:
        detail = await ask(secoda)
    except SecodaError as error:
        return Finding(check, str(error), time.perf_counter() - began, error)
    return Finding(check, detail, time.perf_counter() - began)


async def _service(secoda: SecodaClient) -> str:
    return f"it says {await secoda.health()}"


async def _key(secoda: SecodaClient) -> str:
    async with contextlib.aclosing(secoda.groups.pages()) as pages:
        await anext(pages)
    return "accepted"


async def _groups(secoda: SecodaClient) -> str:
    return f"{len(await secoda.groups.snapshot())} groups, all read"


async def _users(secoda: SecodaClient) -> str:
    return f"{len(await secoda.users.snapshot())} users, all read"


async def _limit(secoda: SecodaClient) -> str:
    state = await cast("RedisRateLimiter", secoda.limiter).look()
    return f"{state.free} writes could start now, for all who share it"


def _shared(options: Connection) -> Sequence[tuple[str, Callable[[SecodaClient], Awaitable[str]]]]:
    """What is asked of Redis, when there is one."""
    if options.redis is None:
        return ()

    async def lock(_: SecodaClient) -> str:
        holder = await options.lock().holder()
        return "free" if holder is None else f"held by {holder}"

    return (("limit in Redis", _limit), ("lock in Redis", lock))


_CHECKS: Final = (("service", _service), ("key", _key), ("groups", _groups), ("users", _users))
"""What is asked, in the order in which things break."""
