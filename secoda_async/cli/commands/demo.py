"""`secoda-async demo`: load many groups into an emulated workspace, then change them to match a later file."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import define, frozen
from cyclopts import Parameter

from secoda_async import Group, Plan, Report, ScaledClock, SecodaClient
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.inputs import DEFAULT_INPUTS, Inputs
from secoda_async.cli.lookup import read_all
from secoda_async.cli.numbers import Factor
from secoda_async.cli.options import Flag, Output
from secoda_async.cli.output.console import Column, Console
from secoda_async.cli.output.plans import print_plan
from secoda_async.cli.output.times import at_least, duration
from secoda_async.cli.seed_files import SeedFiles
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredGroup, DesiredState

SAMPLE: Final = Path(__file__).with_name("sample.yaml")
"""About sixty fictional groups."""

NEXT: Final = Path(__file__).with_name("sample-next.yaml")
"""The same groups a month later."""

_MAX_CHANGES: Final = 20
"""Changes of a plan that are printed."""

_DEFAULT = Output()


async def demo_command(
    file: Annotated[
        Path | None, Parameter(show_default=False, help="Groups to load: YAML, JSON or CSV (default: a sample).")
    ] = None,
    /,
    *,
    then: Annotated[Path | None, Parameter(help="Apply this later version of the file afterwards.")] = None,
    users: Annotated[Path | None, Parameter(help="JSON list of users, each with id and email.")] = None,
    loaded: Annotated[Flag, Parameter(help="Start with the groups of the first file already loaded.")] = False,
    speed: Annotated[Factor, Parameter(help="Clock speed-up factor (1 = real time).")] = 60.0,
    inputs: Inputs = DEFAULT_INPUTS,
    options: Output = _DEFAULT,
) -> int:
    """Load groups as fast as the write limit allows, then apply a later version of the file."""
    console = Console(options)
    files = _files(file, then)
    seeds = SeedFiles.read(files, users, inputs)
    clock = ScaledClock(speed)
    async with (
        Emulator(users=seeds.users, groups=seeds.groups() if loaded else 0, speed=speed) as emulator,
        SecodaClient(
            emulator.api_key,
            base_url=emulator.url,
            clock=clock,
            timeout=30 * speed,  # 30 s of real time: the machine is not faster than the clock
        ) as secoda,
    ):
        console.info(f"An emulated workspace on {emulator.url}: a minute takes {60 / speed:.3g} s.")
        walkthrough = _Walkthrough(console, emulator, secoda, seeds)
        steps = [
            await walkthrough.apply_file(path, state, shows_plan=index > 0 or loaded)
            for index, (path, state) in enumerate(zip(files, seeds.states, strict=True))
        ]
    is_ok = all(step.is_ok for step in steps)
    if options.json:
        first, *others = (step.document() for step in steps)
        console.print_json(first | {"ok": is_ok} | ({"then": others[0]} if others else {}))
    return Exit.DONE if is_ok else Exit.SOME_FAILED


def _files(file: Path | None, then: Path | None) -> Sequence[Path]:
    if file is None:
        return [SAMPLE, then or NEXT]
    return [file] if then is None else [file, then]


@define
class _Walkthrough:
    """Applies one file after the other to an emulated workspace."""

    console: Console
    emulator: Emulator
    secoda: SecodaClient
    seeds: SeedFiles

    async def apply_file(self, file: Path, state: DesiredState, *, shows_plan: bool) -> "_Step":
        """Plan, apply, read back, compare, and plan again."""
        emulator, console = self.emulator, self.console
        started, requests, refused = time.perf_counter(), len(emulator.requests), emulator.refused
        plan = await self.secoda.plan(state, prune=True)
        if shows_plan and not console.output.json:
            print_plan(console.out, plan, most=_MAX_CHANGES)
        console.info(f"{file.name}: {plan.summary()}; {at_least(plan.seconds)}")
        report = await self.apply(plan)
        found = await read_all(console, self.secoda.groups.pages(), "groups")
        step = _Step(
            plan=plan,
            report=report,
            groups=found,
            desired=len(state.groups),
            requests=len(emulator.requests) - requests,
            writes=sum(record.applied for record in emulator.requests[requests:]),
            refused=emulator.refused - refused,
            real_seconds=time.perf_counter() - started,
            differences=tuple(_differences(self.seeds, state, found)),
            is_converged=(await self.secoda.plan(state, prune=True)).is_empty,
        )
        if not console.output.json:
            step.print(console, emulator.speed)
        return step

    async def apply(self, plan: Plan) -> Report:
        """Apply the plan, with a progress bar."""
        with self.console.progress("writing", plan.writes, self.secoda.time_left) as bar:
            return await self.secoda.apply(
                plan,
                approve=plan.digest if plan.breaches else None,  # the workspace is not real
                on_progress=lambda now: bar.update(now.done, now.failed - now.unknown, now.unknown),
            )


def _differences(seeds: SeedFiles, state: DesiredState, found: Sequence[Group]) -> Iterable[str]:
    """Yield a line for each group that differs from the file."""
    by_name = {group.name: group for group in found}
    yield from (f"{name}: not in the file" for name in by_name.keys() - {group.name for group in state.groups})
    if len(by_name) < len(found):
        yield f"{len(found) - len(by_name)} names exist twice"
    for group in state.groups:
        actual = by_name.get(group.name)
        if actual is None:
            yield f"{group.name}: missing"
        elif not _is_equal(actual, group, seeds.ids_of(group)):
            yield f"{group.name}: differs"


def _is_equal(actual: Group, desired: DesiredGroup, members: set[str]) -> bool:
    return (
        set(actual.users) == members
        and (actual.icon or "") == (desired.icon or "")
        and (actual.description or "") == (desired.description or "")
    )


@frozen(kw_only=True)
class _Step:
    """The result of applying one file."""

    plan: Plan
    report: Report
    groups: Sequence[Group]
    desired: int
    requests: int
    writes: int
    refused: int
    real_seconds: float
    differences: Sequence[str]
    is_converged: bool

    @property
    def is_ok(self) -> bool:
        """Whether the workspace matches the file, and no write was refused."""
        return self.report.ok and not self.differences and not self.refused and self.is_converged

    @property
    def failures(self) -> Sequence[str]:
        """A line for each change that was not applied."""
        failed = [outcome for outcome in self.report.outcomes if not outcome.ok]
        return [f"{each.status}: {self.plan.changes[each.index].name}: {each.error}" for each in failed]

    @property
    def memberships(self) -> int:
        """The members of all groups together."""
        return sum(len(group.users) for group in self.groups)

    def document(self) -> dict[str, Any]:
        """Return the result for a program."""
        return {
            "ok": self.is_ok,
            "summary": self.plan.summary(),
            "groups": len(self.groups),
            "memberships": self.memberships,
            "requests": self.requests,
            "writes": self.writes,
            "too_many_requests": self.refused,
            "seconds": round(self.report.seconds, 3),
            "least_seconds": round(self.plan.seconds, 3),
            "real_seconds": round(self.real_seconds, 3),
            "failures": list(self.failures),
            "differences": list(self.differences),
            "plan_again_is_empty": self.is_converged,
        }

    def print(self, console: Console, speed: float) -> None:
        """Print the result for a person."""
        seconds, least = self.report.seconds, self.plan.seconds
        minimum = f"; the write limit requires {duration(least)} ({seconds / least - 1:.1%} over)" if least else ""
        rows = [
            ("groups", f"{len(self.groups)} of {self.desired}, {'NOT' if self.differences else 'all'} equal"),
            ("memberships", f"{self.memberships}"),
            ("requests", f"{self.requests}, {self.writes} of them writes"),
            ("429 Too Many Requests", f"{self.refused}"),
            ("emulated time", f"{duration(seconds)}{minimum}"),
            ("real time", f"{duration(self.real_seconds)} ({speed:g} times as fast)"),
            ("plan again", "nothing to do" if self.is_converged else "NOT empty"),
        ]
        console.table("Done" if self.is_ok else "Not as expected", (Column(""), Column("", "wrap")), rows)
        for problem in (*self.failures, *self.report.differences, *self.differences):
            console.print(problem, style="red")
        console.print("")
