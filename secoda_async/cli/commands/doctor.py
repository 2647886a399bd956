"""`secoda-async doctor`: check each step of a call, say what to do about the first that fails, and probe the API."""

import platform
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final, cast

from attrs import define, field, frozen
from cyclopts import Parameter
from rich.text import Text

from secoda_async import (
    AttemptEvent,
    ConfigurationError,
    Event,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    User,
    __version__,
)
from secoda_async.cli.connection import Connection
from secoda_async.cli.contract import ListContract, read_contract
from secoda_async.cli.exit_codes import CommandError, Exit, advice_for, exit_for
from secoda_async.cli.options import Flag
from secoda_async.cli.output.console import Column, Console, write_stdout
from secoda_async.cli.output.times import duration
from secoda_async.cli.probe import MAX_WRITES, QUESTIONS, Probe
from secoda_async.cli.signals import handle_signals
from secoda_async.config import Region
from secoda_async.reconcile.wording import count

if TYPE_CHECKING:
    from secoda_async.ext.redis import RedisRateLimiter

_DEFAULT = Connection()

_COLUMNS: Final = (Column(""), Column("check"), Column("took", align="right"), Column("result", "wrap"))

_PATHS: Final[Mapping[str, str]] = {"groups": "auth/group", "users": "user"}


@frozen
class CheckResult:
    """The result of one check."""

    check: str
    detail: str
    seconds: float
    error: SecodaError | None = None


async def doctor_command(
    *,
    probe: Annotated[
        Flag,
        Parameter(
            help=f"Also learn what only writes show: at most {MAX_WRITES} writes on groups that are made for it."
        ),
    ] = False,
    yes: Annotated[Flag, Parameter(help="Probe without asking.")] = False,
    options: Connection = _DEFAULT,
) -> int:
    """Check connectivity, credentials and access. Without --probe, only reads."""
    console = Console(options)
    if probe and not yes and not sys.stdin.isatty():
        raise CommandError("doctor --probe writes: without a terminal it needs --yes; nothing was written", Exit.USAGE)
    checkup = Checkup(options)
    async with options.client_without_key() as client:
        with console.progress(f"checking {client.origin}", None):
            await checkup.check_service(client)
    try:
        async with options.client(checkup.events.append) as client:
            with console.progress(f"checking {client.origin}", None):
                await checkup.check_access(client)
            code = checkup.exit_code
            if probe and code is Exit.DONE:
                return await _probe(console, checkup, client, ask=not yes)
    except ConfigurationError as error:
        checkup.results.append(CheckResult("key", str(error), 0.0, error))
        code = checkup.exit_code
    if options.json:
        console.print_json(checkup.document())
    else:
        _print(console, checkup)
    return code


@define
class Checkup:
    """The checks, and what they have found so far."""

    options: Connection
    host: str = field(default="", init=False)
    results: list[CheckResult] = field(factory=list[CheckResult], init=False)
    contracts: dict[str, ListContract] = field(factory=dict[str, ListContract], init=False)
    users: Sequence[User] = field(default=(), init=False)
    events: list[Event] = field(factory=list[Event], init=False)
    seconds_for_100_writes: float = field(default=0.0, init=False)

    @property
    def errors(self) -> Sequence[SecodaError]:
        """The errors of the checks. The path of the health check is not documented, so its failure decides nothing."""
        return [result.error for result in self.results if result.error is not None and result.check != "service"]

    @property
    def exit_code(self) -> Exit:
        """The exit code of the first error."""
        return exit_for(self.errors[0]) if self.errors else Exit.DONE

    async def check_service(self, client: SecodaClient) -> None:
        """Check that the host responds, before any key is sent to it."""
        self.host = client.origin
        await self._run("service", client.with_options(retry=RetryPolicy(attempts=2), timeout=10).health)

    async def check_access(self, client: SecodaClient) -> None:
        """Check the key, the lists, the limit, and Redis if it is used."""
        self.seconds_for_100_writes = client.limiter.time_for(100)
        client = client.with_options(retry=RetryPolicy(attempts=2), timeout=10)

        async def check_key() -> str:
            page = await client.request("GET", _PATHS["groups"])
            self.contracts["groups"] = read_contract(page, "groups", self.host)
            return "accepted"

        async def check_groups() -> str:
            return f"{count(len(await client.groups.snapshot()), 'group')}, list complete"

        async def check_users() -> str:
            self.contracts["users"] = read_contract(await client.request("GET", _PATHS["users"]), "users", self.host)
            self.users = await client.users.snapshot()
            return f"{count(len(self.users), 'user')}, list complete"

        await self._run("key", check_key)
        await self._run("groups", check_groups)
        await self._run("users", check_users)
        if self.options.redis is not None:
            await self._check_redis(client)

    @property
    def facts(self) -> Sequence[tuple[str, str]]:
        """The form of the responses, and what no check can tell; a name and a sentence each."""
        return (
            *(
                (f"{kind} as sent", "; ".join(contract.sentences(show_hosts=True)))
                for kind, contract in self.contracts.items()
            ),
            ("limit headers", ", ".join(f"{name}: {value}" for name, value in self._limit_headers()) or "none seen"),
            ("may write", "not known: no read shows the rights of the key; --probe tries it"),
        )

    def document(self) -> dict[str, object]:
        """Return the results as JSON."""
        checks = {
            result.check: {"ok": result.error is None, "detail": result.detail, "seconds": round(result.seconds, 4)}
            for result in self.results
        }
        return {
            "host": self.host,
            "ok": not self.errors,
            "checks": checks,
            "seconds_for_100_writes": self.seconds_for_100_writes,
            "contract": {kind: contract.to_document() for kind, contract in self.contracts.items()},
            "limit_headers": dict(self._limit_headers()),
            "may_write": None,
        }

    def _limit_headers(self) -> Sequence[tuple[str, str]]:
        attempts = [event for event in self.events if isinstance(event, AttemptEvent)]
        found = {name: value for event in attempts for name, value in event.limits.items()}
        return sorted(found.items())

    async def _check_redis(self, client: SecodaClient) -> None:
        async def check_limit() -> str:
            state = await cast("RedisRateLimiter", client.limiter).look()
            return f"{state.free} writes could start now, on all machines together"

        async def check_lock() -> str:
            holder = await self.options.lock().holder()
            return "free" if holder is None else f"held by {holder}"

        await self._run("limit in Redis", check_limit)
        await self._run("lock in Redis", check_lock)

    async def _run(self, name: str, check: Callable[[], Awaitable[str]]) -> None:
        started = time.perf_counter()
        try:
            detail, failed = await check(), None
        except SecodaError as error:
            detail, failed = str(error), error
        self.results.append(CheckResult(name, detail, time.perf_counter() - started, failed))


def _print(console: Console, checkup: Checkup) -> None:
    ok, failed = Text("ok", "green"), Text("failed", "bold red")
    rows: list[tuple[str | Text, ...]] = [
        (ok if result.error is None else failed, result.check, f"{result.seconds * 1000:.0f} ms", result.detail)
        for result in checkup.results
    ]
    if not checkup.errors:
        rows += [("", name, "", detail) for name, detail in checkup.facts]
    console.table(checkup.host, _COLUMNS, rows)
    if checkup.errors:
        console.print(advice_for(checkup.errors[0]) or "The message above names the problem.", style="yellow")
    else:
        at_least = duration(checkup.seconds_for_100_writes)
        console.print(f"A hundred writes take at least {at_least} under the write limit.", style="dim")


async def _probe(console: Console, checkup: Checkup, client: SecodaClient, *, ask: bool) -> int:
    """Ask, probe, and print the sheet; name the groups that could not be deleted."""
    with handle_signals(console.warn, None) as stops:
        probe = Probe(client, checkup.users, checkup.events, stops.event)
        if ask and not console.confirm(_consent(checkup.host, probe.name)):
            raise CommandError("nothing was written", Exit.ERROR)
        stops.has_begun_writing = True
        try:
            with console.progress("probing", None):
                await probe.run()
            stops.is_finished = True
        finally:
            _warn_of_rest(console, probe)
    if checkup.options.json:
        console.print_json(checkup.document() | {"probe": probe.document()})
    else:
        write_stdout(_sheet(checkup.host, checkup.contracts, probe))
    code = Exit.SOME_FAILED if probe.left or probe.is_create_unclear else Exit.DONE
    return stops.code if stops.event.is_set() else code


def _consent(host: str, name: str) -> str:
    return (
        f"Write to {host}? The probe creates two groups named {name!r}, with up to three users as members, changes one "
        f"of them, and deletes both. It takes at most {MAX_WRITES} writes and touches no other group."
    )


def _warn_of_rest(console: Console, probe: Probe) -> None:
    for group_id in sorted(probe.left):
        console.error(
            f"the group {group_id} ({probe.name}) was not deleted: run `secoda-async groups delete {group_id}`"
        )
    if probe.is_create_unclear:
        console.error(f"a group named {probe.name!r} may exist or appear later: look for it, and delete it")


def _sheet(origin: str, contracts: Mapping[str, ListContract], probe: Probe) -> str:
    """Return Markdown to paste into an issue, without names, addresses, ids or the key.

    Each line is one statement, so that any width of a terminal shows it.
    """
    region = next((f"region {region.value}" for region in Region if region.origin == origin), "a custom host")
    python = f"Python {platform.python_version()} on {platform.system()}"
    lines = ["### What this API does (secoda-async doctor --probe)", ""]
    lines += [f"secoda-async {__version__}, {python}; {region}; {probe.writes} writes.", ""]
    lines += [f"- {question} **{probe.findings[key]}**" for key, question in QUESTIONS.items()]
    for kind, contract in contracts.items():
        lines += ["", f"List of {kind}:", "", *(f"- {each}" for each in contract.sentences(show_hosts=False))]
    lines += ["", _rest(probe)]
    return "\n".join(lines) + "\n"


def _rest(probe: Probe) -> str:
    if probe.left:
        return f"Groups of the probe that could not be deleted: {len(probe.left)}."
    if probe.is_create_unclear:
        return "The outcome of a create is not known: a group of the probe may exist."
    return "The groups of the probe were deleted."
