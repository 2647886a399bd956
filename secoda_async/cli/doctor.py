"""`secoda-async doctor`: how far a call gets, and what to do about it."""

import time
from collections.abc import Awaitable, Callable

from attrs import frozen
from rich.text import Text

from secoda_async import RetryPolicy, SecodaClient, SecodaError
from secoda_async.cli.exits import Exit, exit_for, told
from secoda_async.cli.options import Connection
from secoda_async.cli.screen import Screen

_DEFAULT = Connection()


@frozen
class Finding:
    """What one check showed."""

    check: str
    is_fine: bool
    detail: str
    seconds: float
    exit_code: Exit = Exit.DONE


async def doctor(*, options: Connection = _DEFAULT) -> int:
    """Say which host is asked, whether it answers and takes the key, what is there, and what to do if not.

    It only reads.
    """
    screen = Screen(options)
    findings: list[Finding] = []
    async with options.client() as client:
        host = repr(client).removesuffix(">").rpartition(" ")[2]
        secoda = client.with_options(retry=RetryPolicy(attempts=2), timeout=10)
        with screen.progress(f"asking {host}", None):
            for check, ask in (
                ("service", _service),
                ("key", _key),
                ("groups", _groups),
                ("users", _users),
            ):
                findings.append(await _found(check, ask, secoda))
        limit = client.limiter.time_for(100)
    # A missing health check says little: it is not known on every host.
    code = next((finding.exit_code for finding in findings if not finding.is_fine and finding.check != "service"), Exit.DONE)
    if options.json:
        checks = {
            finding.check: {"ok": finding.is_fine, "detail": finding.detail, "seconds": round(finding.seconds, 4)}
            for finding in findings
        }
        screen.document({"host": host, "ok": code == Exit.DONE, "checks": checks, "seconds_for_100_writes": limit})
        return code
    rows = [
        (Text("ok", "green") if finding.is_fine else Text("no", "bold red"), finding.check, f"{finding.seconds * 1000:.0f} ms", finding.detail)
        for finding in findings
    ]
    screen.table(host, ("", "check", "took#", "what it showed"), rows)
    screen.say(f"A hundred writes take at least {limit:.0f} s under the write limit.", style="dim")
    return code


async def _found(check: str, ask: Callable[[SecodaClient], Awaitable[str]], secoda: SecodaClient) -> Finding:
    began = time.perf_counter()
    try:
        detail = await ask(secoda)
    except SecodaError as error:
        return Finding(check, False, told(error), time.perf_counter() - began, exit_for(error))
    return Finding(check, True, detail, time.perf_counter() - began)


async def _service(secoda: SecodaClient) -> str:
    return f"it says {await secoda.health()}"


async def _key(secoda: SecodaClient) -> str:
    async for _ in secoda.groups.pages():
        break
    return "accepted"


async def _groups(secoda: SecodaClient) -> str:
    return f"{len(await secoda.groups.snapshot())} groups, all read"


async def _users(secoda: SecodaClient) -> str:
    return f"{len(await secoda.users.snapshot())} users, all read"
