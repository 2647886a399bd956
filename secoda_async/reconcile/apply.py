"""Carrying a plan out: read again before each write, write only what differs, check the answer, delete last."""

import logging
from asyncio import Event as StopEvent
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Literal

from attrs import define, evolve, field, frozen

from secoda_async.bulk import CreateGroup, Crew, DeleteGroup, Operation, Outcome, UpdateGroup, Work
from secoda_async.errors import (
    InvalidArgumentError,
    NotFoundError,
    ResponseError,
    SecodaError,
    StalePlanError,
    UnsafePlanError,
)
from secoda_async.groups import Groups
from secoda_async.models import Group
from secoda_async.reconcile.entry import normal
from secoda_async.reconcile.journal import Journal
from secoda_async.reconcile.plan import Change, Plan

__all__ = ["Applier", "Progress", "Report"]

_CONCURRENCY: Final = 20
_DONE: Final = ("applied", "unchanged")

_log: Final = logging.getLogger("secoda_async")


@frozen(kw_only=True)
class Progress:
    """How far a plan is carried out."""

    done: int
    """Changes that have an outcome."""
    total: int
    """Changes in all."""
    failed: int
    """Those of the done that failed, or whose end is not known."""
    seconds_left: float
    """How long the rest takes at least, by the write limit."""


@frozen(kw_only=True)
class Report:
    """What became of a plan."""

    outcomes: tuple[Outcome, ...]
    """One for each change, in the plan's order."""
    verified: bool
    """Whether a last read of the workspace shows every change that was made."""
    differences: tuple[str, ...] = ()
    """What the last read shows otherwise, in words."""
    conflicts: int = 0
    """Groups that could not be planned."""
    seconds: float = 0.0
    """How long it took."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many changes ended in each way."""
        counts: dict[str, int] = {}
        for outcome in self.outcomes:
            counts[outcome.status] = counts.get(outcome.status, 0) + 1
        return counts

    @property
    def writes(self) -> int:
        """Changes that were written now; the others were there already, or failed."""
        return self.counts.get("applied", 0)

    @property
    def ok(self) -> bool:
        """Whether all is as the plan says, and the last read has shown it."""
        return self.verified and not self.conflicts and all(outcome.status in _DONE for outcome in self.outcomes)


def _check_approval(plan: Plan, approve: str | None) -> None:
    if approve == plan.digest or (approve is None and not plan.breaches):
        return
    if approve is not None:
        why = f"the approval {approve!r} is not of this plan, whose digest is {plan.digest!r}: look at it again"
    else:
        why = f"the plan is beyond the safety limits, and nothing was written. To approve it: {plan.digest!r}"
    error = UnsafePlanError("\n".join([why, *(breach.message for breach in plan.breaches)]))
    error.breaches, error.digest = tuple(breach.message for breach in plan.breaches), plan.digest
    raise error


@define
class Applier:
    """Carries one plan out, once; see `SecodaClient.apply`."""

    groups: Groups
    plan: Plan
    journal: Journal
    now: Callable[[], float]
    time_left: Callable[[int], float]
    on_progress: Callable[[Progress], object] | None = None
    stop: StopEvent | None = None
    _outcomes: dict[int, Outcome] = field(factory=dict[int, Outcome], init=False)
    _failed: int = field(default=0, init=False)
    _writes_left: int = field(init=False)
    _drift: dict[int, str] = field(factory=dict[int, str], init=False)
    """What was in the way of a change at the first look."""
    _made: dict[int, Group | None] = field(factory=dict[int, Group | None], init=False)
    """Changes that somebody had made already by the first look."""

    def __attrs_post_init__(self) -> None:
        self._writes_left = sum(change.kind != "delete" for change in self.plan.changes)

    async def run(self, approve: str | None, on_drift: Literal["raise", "skip"]) -> Report:
        """Look, write, delete, verify.

        Raises:
            UnsafePlanError: Before anything is read, when the plan is beyond the limits and not approved.
            StalePlanError: Before anything is written, when the workspace has moved on and `on_drift` is "raise".
        """
        if on_drift not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_drift must be 'raise' or 'skip', not {on_drift!r}")
        _check_approval(self.plan, approve)
        began = self.now()
        differences: tuple[str, ...] = ()
        if not self.plan.is_empty:
            await self._look(on_drift)
            indexes = range(len(self.plan.changes))
            deletes = [index for index in indexes if self.plan.changes[index].kind == "delete"]
            await self._carry_out([index for index in indexes if index not in set(deletes)])
            if all(outcome.status in _DONE for outcome in self._outcomes.values()):
                await self._carry_out(deletes)
            else:
                self._leave(deletes)
            differences = await self._verify()
        return Report(
            outcomes=tuple(outcome for _, outcome in sorted(self._outcomes.items())),
            verified=not differences,
            differences=differences,
            conflicts=len(self.plan.conflicts),
            seconds=self.now() - began,
        )

    async def _look(self, on_drift: Literal["raise", "skip"]) -> None:
        """Read everything once, to find out before the first write what has changed since the plan was made."""
        present = await self.groups.snapshot()
        by_id = {group.id: group for group in present}
        by_name: dict[str, list[Group]] = {}
        for group in present:
            by_name.setdefault(normal(group.name), []).append(group)
        for index, change in enumerate(self.plan.changes):
            found = by_name.get(change.name, []) if change.id is None else [by_id.get(change.id)]
            if change.id is None and not found:
                continue
            standing = _standing(change, found)
            if standing is None:
                self._made[index] = found[0]
            elif standing:
                self._drift[index] = standing
        if self._drift and on_drift == "raise":
            names = tuple(self.plan.changes[index].name for index in self._drift)
            reasons = (f"{name!r} {why}" for name, why in zip(names, self._drift.values(), strict=True))
            error = StalePlanError(
                f"the workspace has changed since the plan was made, and nothing was written: {'; '.join(reasons)}. "
                "Plan again, or apply with on_drift='skip'"
            )
            error.names = names
            raise error

    async def _carry_out(self, indexes: Sequence[int]) -> None:
        """Make some of the changes, concurrently."""
        crew = Crew(self._make, self._operation, stop=self.stop)
        try:
            async with aclosing(crew.run(indexes, _CONCURRENCY)) as outcomes:
                async for outcome in outcomes:
                    self._note(indexes[outcome.index], outcome)
        finally:
            for outcome in crew.rest:  # cancelled: the journal says what is not known
                self._note(indexes[outcome.index], outcome)

    def _leave(self, indexes: Iterable[int]) -> None:
        """Don't attempt these."""
        for index in indexes:
            operation = self._operation(index)
            self._note(index, Outcome(operation=operation, index=index, status="not_attempted"))

    async def _verify(self) -> tuple[str, ...]:
        """Read everything once more; what is not as it was made, in words."""
        done = {index: outcome for index, outcome in self._outcomes.items() if outcome.status in _DONE}
        if not done:
            return ()
        try:
            present = {group.id: group for group in await self.groups.snapshot()}
        except SecodaError as error:
            return (f"the last read failed: {error.message}",)
        differences: list[str] = []
        for index, outcome in sorted(done.items()):
            change = self.plan.changes[index]
            group_id = outcome.group.id if change.id is None and outcome.group is not None else change.id
            group = present.get(group_id or "")
            if change.kind == "delete":
                differences += [] if group is None else [f"{change.name!r} is still there"]
            elif group is None:
                differences.append(f"{change.name!r} is not there")
            elif not change.after.fit(group):
                differences.append(f"{change.name!r} is not as it was written")
        return tuple(differences)

    def _operation(self, index: int) -> Operation:
        change = self.plan.changes[index]
        fields = {name: getattr(change.after, name) for name in ("name", "icon", "description", "users")}
        if change.kind == "create":
            return CreateGroup(**fields)
        if change.kind == "update":
            return UpdateGroup(change.id or "", **fields)
        return DeleteGroup(change.id or "", missing_ok=True)

    async def _make(self, index: int) -> Work:
        """Make one change, unless it is made already or something else has happened to its group."""
        change = self.plan.changes[index]
        if index in self._made:
            return "unchanged", self._made[index]
        if index in self._drift:
            raise _stale(change, self._drift[index])
        if change.id is not None:
            group = await self._read(change.id)
            standing = _standing(change, [group])
            if standing is None:
                return "unchanged", group
            if standing:
                raise _stale(change, standing)
        self.journal.intent(self.plan, index)
        group = await self._write(change)
        if group is not None and not change.after.fit(group):
            raise ResponseError(f"the answer shows {change.name!r} otherwise than it was written")
        return "applied", group

    async def _read(self, group_id: str) -> Group | None:
        try:
            return await self.groups.get(group_id)
        except NotFoundError:
            return None

    async def _write(self, change: Change) -> Group | None:
        after = change.after
        if change.kind == "delete":
            await self.groups.delete(change.id or "", missing_ok=True)
            return None
        if change.kind == "update":
            return await self.groups.update(
                change.id or "", name=after.name, icon=after.icon, description=after.description, users=after.users
            )
        return await self.groups.create(
            name=after.name,
            icon=after.icon,
            description=after.description,
            users=after.users,
            on_unknown="reconcile",
        )

    def _note(self, index: int, outcome: Outcome) -> None:
        outcome = evolve(outcome, index=index)
        self._outcomes[index] = outcome
        self._failed += outcome.status in ("failed", "unknown")
        self._writes_left -= self.plan.changes[index].kind != "delete"
        self.journal.outcome(self.plan, outcome)
        if self.on_progress is None:
            return
        progress = Progress(
            done=len(self._outcomes),
            total=len(self.plan.changes),
            failed=self._failed,
            seconds_left=self.time_left(self._writes_left),
        )
        try:
            self.on_progress(progress)
        except Exception:  # noqa: BLE001 - the caller's code; the writes go on
            _log.exception("the on_progress hook failed; the plan goes on")


def _standing(change: Change, found: Sequence[Group | None]) -> str | None:
    """How a change stands: to be made (empty), made already (None), or what is in the way."""
    group = found[0]
    if change.kind == "create":
        if len(found) == 1 and group is not None and change.after.fit(group):
            return None
        return "is there already, otherwise than planned"
    if group is None:
        return None if change.kind == "delete" else "is not there any more"
    if change.kind == "update" and change.after.fit(group):
        return None
    return "" if change.before.fit(group) else "is not as it was"


def _stale(change: Change, why: str) -> StalePlanError:
    error = StalePlanError(f"{change.name!r} {why}: left alone, plan again")
    error.names = (change.name,)
    return error
