"""`secoda-async demo`: the main job on an emulated workspace: load many groups under the write limit, and compare."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self, cast

from attrs import field, frozen
from cyclopts import Parameter

from secoda_async import UNSET, CreateGroup, Group, Outcome, ScaledClock, SecodaClient
from secoda_async.cli.exits import CommandError, Exit
from secoda_async.cli.options import Output
from secoda_async.cli.screen import Screen, duration
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredGroup, DesiredState

SAMPLE: Final = Path(__file__).with_name("sample.yaml")
"""A workspace of about sixty groups, made up for this purpose."""

_DEFAULT = Output()


async def demo(
    file: Annotated[
        Path, Parameter(show_default=False, help="Groups to load, YAML or JSON; a sample without it.")
    ] = SAMPLE,
    /,
    *,
    users: Annotated[Path | None, Parameter(help="The workspace's users: JSON, a list of id and email.")] = None,
    speed: Annotated[float, Parameter(help="How many times faster than the world the clock runs.")] = 60.0,
    options: Output = _DEFAULT,
) -> int:
    """Load groups into an emulated workspace, as many a minute as the limit allows, and read them back.

    Nothing leaves this machine and no account is needed. At the default speed a minute passes in a second.
    """
    screen = Screen(options)
    workspace = Workspace.read(str(file), users)
    clock = ScaledClock(speed)
    async with (
        Emulator(users=workspace.users, speed=speed) as emulator,
        SecodaClient(
            emulator.api_key,
            base_url=emulator.url,
            clock=clock,
            timeout=30 * speed,  # the machine is as slow as ever
        ) as secoda,
    ):
        screen.note(f"An emulated workspace on {emulator.url}: a minute lasts {60 / speed:.3g} s.")
        least = secoda.limiter.time_for(len(workspace.groups))
        began, began_here = clock.now(), time.perf_counter()
        outcomes = await _load(screen, secoda, workspace.groups)
        seconds = clock.now() - began
        found = await _read_back(screen, secoda)
        differences = await _differences(secoda, workspace.groups, found)
        summary = Summary(
            groups=len(found),
            memberships=sum(len(group.users) for group in found),
            requests=len(emulator.requests),
            writes=emulator.count(method="POST"),
            refused=emulator.refused,
            seconds=seconds,
            least=least,
            real_seconds=time.perf_counter() - began_here,
            failures=[outcome for outcome in outcomes if outcome.status != "applied"],
            differences=differences,
        )
    summary.show(screen, len(workspace.groups), speed)
    return Exit.DONE if summary.is_fine else Exit.SOME_FAILED


@frozen
class Workspace:
    """What is to be loaded, and the users that it speaks of."""

    groups: Sequence[DesiredGroup]
    users: Sequence[Mapping[str, str]]

    @classmethod
    def read(cls, file: str, users_file: Path | None) -> Self:
        """Read both files; without one for users, make up a user for each address.

        Raises:
            DesiredStateError: When the groups' file can't be used.
            CommandError: When the users' can't, or a member is not among them.
        """
        groups = DesiredState.load(file).groups
        members = list(dict.fromkeys(member for group in groups for member in group.members or ()))
        if users_file is None:
            return cls(groups, [_made_up(member) for member in members])
        users = _read_users(users_file)
        known = {name for user in users for name in user.values()}
        strangers = [member for member in members if member not in known]
        if strangers:
            shown = ", ".join(strangers[:5]) + (", ..." if len(strangers) > 5 else "")  # noqa: PLR2004
            raise CommandError(
                f"{file}: {len(strangers)} members are not in {users_file}: {shown}. Add them there or remove them",
                Exit.BAD_INPUT,
            )
        return cls(groups, users)

    def seeds(self) -> list[dict[str, Any]]:
        """The groups as the emulator takes them, to start with them."""
        ids = {user["email"]: user["id"] for user in self.users}
        return [
            {
                "name": group.name,
                "icon": group.icon or None,
                "description": group.description or None,
                "users": [ids.get(member, member) for member in group.members or ()],
            }
            for group in self.groups
        ]


def _made_up(member: str) -> dict[str, str]:
    """A user for somebody of whom only the e-mail address, or only the id, is known."""
    if "@" in member:
        return {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{member}")), "email": member}
    return {"id": member, "email": f"{member}@users.example"}


def _read_users(path: Path) -> list[dict[str, str]]:
    try:
        users: object = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: can't be read: {error.strerror}", Exit.BAD_INPUT) from None
    except ValueError as error:
        raise CommandError(f"{path}: is not JSON: {error}", Exit.BAD_INPUT) from None
    entries = cast("list[object]", users if isinstance(users, list) else [None])
    for index, entry in enumerate(entries):
        fields = cast("dict[object, object]", entry if isinstance(entry, dict) else {})
        if not isinstance(fields.get("email"), str) or not isinstance(fields.get("id", ""), str):
            where = f"[{index}]" if isinstance(users, list) else ""
            raise CommandError(
                f'{path}: {where} must be a list of {{"id": "...", "email": "..."}}, both text', Exit.BAD_INPUT
            )
    found = cast("list[dict[str, str]]", entries)
    return [{"email": user["email"], "id": user.get("id") or _made_up(user["email"])["id"]} for user in found]


async def _load(screen: Screen, secoda: SecodaClient, groups: Sequence[DesiredGroup]) -> list[Outcome]:
    """Create every group, concurrently, with a bar."""
    ids = await _ids_by_email(secoda)
    operations = [
        CreateGroup(
            name=group.name,
            icon=group.icon,
            description=group.description,
            users=UNSET if group.members is UNSET else [ids.get(member, member) for member in group.members],
        )
        for group in groups
    ]
    outcomes: list[Outcome] = []
    with screen.progress("creating groups", len(operations), secoda.time_left) as bar:
        async for outcome in secoda.bulk(operations):
            outcomes.append(outcome)
            bar.advance()
    return outcomes


async def _ids_by_email(secoda: SecodaClient) -> dict[str, str]:
    return {user.email: user.id for user in await secoda.users.snapshot() if user.email}


async def _read_back(screen: Screen, secoda: SecodaClient) -> list[Group]:
    """List every group, page by page."""
    found: list[Group] = []
    with screen.progress("reading them back", None) as bar:
        async for page in secoda.groups.pages():
            found += page.items
            bar.show(f"reading them back: page {page.number} of {page.total_pages}")
    return found


async def _differences(secoda: SecodaClient, wanted: Sequence[DesiredGroup], found: Sequence[Group]) -> list[str]:
    """What is not as the file says, in words: nothing, if all went well."""
    ids = await _ids_by_email(secoda)
    by_name = {group.name: group for group in found}
    differences = [f"{group.name}: not in the file" for group in found if group.name not in {w.name for w in wanted}]
    if len(by_name) < len(found):
        differences.append(f"{len(found) - len(by_name)} names are there twice")
    for group in wanted:
        there = by_name.get(group.name)
        if there is None:
            differences.append(f"{group.name}: missing")
            continue
        members = {ids.get(member, member) for member in group.members or ()}
        texts = ((there.icon, group.icon), (there.description, group.description))
        if set(there.users) != members or any((is_ or "") != (should or "").strip() for is_, should in texts):
            differences.append(f"{group.name}: differs")
    return differences


@frozen(kw_only=True)
class Summary:
    """How it went."""

    groups: int
    memberships: int
    requests: int
    writes: int
    refused: int
    seconds: float
    least: float
    real_seconds: float
    failures: Sequence[Outcome] = field(repr=False)
    differences: Sequence[str]

    @property
    def is_fine(self) -> bool:
        """Whether all is there and as it should be."""
        return not self.failures and not self.differences and not self.refused

    def show(self, screen: Screen, wanted: int, speed: float) -> None:
        """Print it."""
        if screen.output.json:
            screen.document(
                {
                    "ok": self.is_fine,
                    "groups": self.groups,
                    "memberships": self.memberships,
                    "requests": self.requests,
                    "writes": self.writes,
                    "too_many_requests": self.refused,
                    "seconds": round(self.seconds, 3),
                    "least_seconds": round(self.least, 3),
                    "real_seconds": round(self.real_seconds, 3),
                    "failures": [f"{outcome.operation}: {outcome.error}" for outcome in self.failures],
                    "differences": list(self.differences),
                }
            )
            return
        over = f", {self.seconds / self.least - 1:.1%} over" if self.least else ""
        rows = [
            ("groups", f"{self.groups} of {wanted}, {'all equal' if not self.differences else 'NOT equal'}"),
            ("memberships", f"{self.memberships}"),
            ("requests sent", f"{self.requests}, {self.writes} of them writes"),
            ("429 Too Many Requests", f"{self.refused}"),
            ("time in the workspace", f"{duration(self.seconds)}, the least possible is {duration(self.least)}{over}"),
            ("time on your clock", f"{duration(self.real_seconds)} ({speed:g} times as fast)"),
        ]
        screen.table("Done" if self.is_fine else "Not as it should be", ("", ""), rows)
        for problem in (*(f"{o.status}: {o.operation}: {o.error}" for o in self.failures), *self.differences):
            screen.say(problem, style="red")
