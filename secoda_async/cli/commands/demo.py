"""`secoda-async demo`: the main job on an emulated workspace: load many groups, then bring them to another date."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from attrs import define, frozen
from cyclopts import Parameter

from secoda_async import Group, Plan, Report, ScaledClock, SecodaClient
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.options import Output
from secoda_async.cli.output.console import Screen, at_least, duration, show_plan
from secoda_async.cli.workspace import Workspace
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredState

SAMPLE: Final = Path(__file__).with_name("sample.yaml")
"""A workspace of about sixty groups, made up for this purpose."""

NEXT: Final = Path(__file__).with_name("sample-next.yaml")
"""The same a month later."""

_MOST_SHOWN: Final = 20
"""Changes of a plan that are shown one by one."""

_DEFAULT = Output()


async def demo(
    file: Annotated[
        Path | None, Parameter(show_default=False, help="Groups to load: YAML, JSON or CSV; a sample without it.")
    ] = None,
    /,
    *,
    then: Annotated[
        Path | None, Parameter(help="Groups as they should be afterwards: what changes is planned and applied.")
    ] = None,
    users: Annotated[Path | None, Parameter(help="The workspace's users: JSON, a list of id and email.")] = None,
    loaded: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Begin with the first file's groups already there.")
    ] = False,
    speed: Annotated[float, Parameter(help="How many times faster than the world the clock runs.")] = 60.0,
    options: Output = _DEFAULT,
) -> int:
    """Load groups into an emulated workspace, as many a minute as the limit allows; then bring them to a later date.

    Each time: plan, apply, read all of it back, compare it with the file, and plan again. Nothing leaves this machine
    and no account is needed. At the default speed a minute passes in a second.
    """
    screen = Screen(options)
    files = [SAMPLE, then or NEXT] if file is None else [file, *([then] if then else [])]
    workspace = Workspace.read(files, users)
    clock = ScaledClock(speed)
    async with (
        Emulator(users=workspace.users, groups=workspace.seeds() if loaded else 0, speed=speed) as emulator,
        SecodaClient(
            emulator.api_key,
            base_url=emulator.url,
            clock=clock,
            timeout=30 * speed,  # the machine is as slow as ever
        ) as secoda,
    ):
        screen.note(f"An emulated workspace on {emulator.url}: a minute lasts {60 / speed:.3g} s.")
        tour = _Tour(screen, emulator, secoda, workspace)
        stops = [
            await tour.reach(path, state, shows_plan=index > 0 or loaded)
            for index, (path, state) in enumerate(zip(files, workspace.dates, strict=True))
        ]
    is_fine = all(stop.is_fine for stop in stops)
    if options.json:
        first, *others = (stop.document() for stop in stops)
        screen.document(first | {"ok": is_fine} | ({"then": others[0]} if others else {}))
    return Exit.DONE if is_fine else Exit.SOME_FAILED


@define
class _Tour:
    """Brings a workspace from one file to the next."""

    screen: Screen
    emulator: Emulator
    secoda: SecodaClient
    workspace: Workspace

    async def reach(self, file: Path, state: DesiredState, *, shows_plan: bool) -> "_Stop":
        """Plan, apply, read back, compare, and plan again."""
        emulator, screen = self.emulator, self.screen
        began, requests, refused = time.perf_counter(), len(emulator.requests), emulator.refused
        plan = await self.secoda.plan(state, prune=True)
        if shows_plan and not screen.output.json:
            show_plan(screen, plan, most=_MOST_SHOWN)
        screen.note(f"{file.name}: {plan.summary()}; {at_least(plan.seconds)}")
        report = await self.apply(plan)
        found = await self.read_back()
        stop = _Stop(
            plan=plan,
            report=report,
            groups=found,
            wanted=len(state.groups),
            requests=len(emulator.requests) - requests,
            writes=sum(record.applied for record in emulator.requests[requests:]),
            refused=emulator.refused - refused,
            real_seconds=time.perf_counter() - began,
            differences=tuple(_differences(self.workspace, state, found)),
            is_settled=(await self.secoda.plan(state, prune=True)).is_empty,
        )
        if not screen.output.json:
            stop.show(screen, emulator.speed)
        return stop

    async def apply(self, plan: Plan) -> Report:
        """Carry the plan out, with a bar."""
        with self.screen.progress("writing", plan.writes, self.secoda.time_left) as bar:
            return await self.secoda.apply(
                plan,
                approve=plan.digest if plan.breaches else None,  # nobody is harmed
                on_progress=lambda now: bar.reach(now.done, now.failed),
            )

    async def read_back(self) -> list[Group]:
        """List every group, page by page."""
        found: list[Group] = []
        with self.screen.progress("reading them back", None) as bar:
            async for page in self.secoda.groups.pages():
                found += page.items
                bar.show(f"reading them back: page {page.number} of {page.total_pages}")
        return found


def _differences(workspace: Workspace, state: DesiredState, found: Sequence[Group]) -> Iterable[str]:
    """What is not as the file says, in words: nothing, if all went well."""
    by_name = {group.name: group for group in found}
    yield from (f"{name}: not in the file" for name in by_name.keys() - {group.name for group in state.groups})
    if len(by_name) < len(found):
        yield f"{len(found) - len(by_name)} names are there twice"
    for group in state.groups:
        there = by_name.get(group.name)
        if there is None:
            yield f"{group.name}: missing"
            continue
        texts = ((there.icon, group.icon), (there.description, group.description))
        if set(there.users) != workspace.ids_of(group) or any((is_ or "") != (should or "") for is_, should in texts):
            yield f"{group.name}: differs"


@frozen(kw_only=True)
class _Stop:
    """How it went to bring the workspace to one file."""

    plan: Plan
    report: Report
    groups: Sequence[Group]
    wanted: int
    requests: int
    writes: int
    refused: int
    real_seconds: float
    differences: Sequence[str]
    is_settled: bool

    @property
    def is_fine(self) -> bool:
        """Whether all is there and as it should be."""
        return self.report.ok and not self.differences and not self.refused and self.is_settled

    @property
    def failures(self) -> Sequence[str]:
        """What could not be written, in words."""
        failed = [outcome for outcome in self.report.outcomes if not outcome.ok]
        return [f"{one.status}: {self.plan.changes[one.index].name}: {one.error}" for one in failed]

    @property
    def memberships(self) -> int:
        """Members of all groups."""
        return sum(len(group.users) for group in self.groups)

    def document(self) -> dict[str, Any]:
        """For a program."""
        return {
            "ok": self.is_fine,
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
            "plan_again_is_empty": self.is_settled,
        }

    def show(self, screen: Screen, speed: float) -> None:
        """For a person."""
        seconds, least = self.report.seconds, self.plan.seconds
        over = f", {seconds / least - 1:.1%} over" if least else ""
        rows = [
            ("groups", f"{len(self.groups)} of {self.wanted}, {'NOT' if self.differences else 'all'} equal"),
            ("memberships", f"{self.memberships}"),
            ("requests sent", f"{self.requests}, {self.writes} of them writes"),
            ("429 Too Many Requests", f"{self.refused}"),
            ("time in the workspace", f"{duration(seconds)}, {at_least(least)} by the limit{over}"),
            ("time on your clock", f"{duration(self.real_seconds)} ({speed:g} times as fast)"),
            ("plan again", "nothing to do" if self.is_settled else "NOT empty"),
        ]
        screen.table("Done" if self.is_fine else "Not as it should be", ("", "/"), rows)
        for problem in (*self.failures, *self.report.differences, *self.differences):
            screen.say(problem, style="red")
        screen.say("")
