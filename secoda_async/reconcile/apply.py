"""Carrying a plan out: read again before each write, write only what differs, check the answer, delete last."""

import logging
from asyncio import Event as StopEvent
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, Literal

from attrs import define, evolve, field

from secoda_async.bulk import CreateGroup, Crew, DeleteGroup, Operation, Outcome, UpdateGroup, Work
from secoda_async.clock import Clock, sleep
from secoda_async.errors import (
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    SecodaError,
    ServerError,
    StalePlanError,
    TransportError,
    UnsafePlanError,
)
from secoda_async.groups import Groups
from secoda_async.models import Group
from secoda_async.reconcile.entry import normal
from secoda_async.reconcile.journal import Journal
from secoda_async.reconcile.plan import Change, Plan
from secoda_async.reconcile.report import Progress, Report

__all__ = ["Applier"]

_CONCURRENCY: Final = 20

_PASSING: Final = (OutcomeUnknownError, TransportError, ServerError)
"""Failures of the network and the service: in a run of an hour a few changes meet one even after all their attempts."""

_LOOKS: Final = (0.0, 1.0, 3.0)
"""Seconds before each look of the last read: what was written may show late in a list."""

_log: Final = logging.getLogger("secoda_async")


@define
class Applier:
    """Carries one plan out, once; see `SecodaClient.apply`."""

    groups: Groups
    plan: Plan
    journal: Journal
    clock: Clock
    time_left: Callable[[int], float]
    on_progress: Callable[[Progress], object] | None = None
    stop: StopEvent = field(factory=StopEvent)
    _outcomes: dict[int, Outcome] = field(factory=dict[int, Outcome], init=False)
    _drift: dict[int, str] = field(factory=dict[int, str], init=False)
    """What is in the way of a change."""
    _made: dict[int, Group | None] = field(factory=dict[int, Group | None], init=False)
    """Changes that are there already."""
    _announced: set[int] = field(factory=set[int], init=False)
    """Changes that were sent at least once."""

    async def run(self, approve: str | None, on_drift: Literal["raise", "skip"]) -> Report:
        """Look, write, delete, verify.

        Raises:
            UnsafePlanError: Before anything is read, when the plan is beyond the limits and not approved.
            StalePlanError: Before anything is written, when the workspace has moved on and `on_drift` is "raise".
        """
        if on_drift not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_drift must be 'raise' or 'skip', not {on_drift!r}")
        _check_approval(self.plan, approve)
        began = self.clock.now()
        differences: tuple[str, ...] = ()
        if not self.plan.is_empty:
            await self._look(on_drift)
            await self._carry_out_all()
            differences = await self._verify()
        return Report(
            outcomes=tuple(outcome for _, outcome in sorted(self._outcomes.items())),
            verified=not differences,
            differences=differences,
            conflicts=len(self.plan.conflicts),
            seconds=self.clock.now() - began,
        )

    async def _look(self, on_drift: Literal["raise", "skip"]) -> None:
        """Read everything once, to find out before the first write what has changed since the plan was made."""
        self._compare(await self.groups.snapshot(), range(len(self.plan.changes)))
        if self._drift and on_drift == "raise":
            names = tuple(self.plan.changes[index].name for index in self._drift)
            reasons = (f"{name!r} {why}" for name, why in zip(names, self._drift.values(), strict=True))
            error = StalePlanError(
                f"the workspace has changed since the plan was made, and nothing was written: {'; '.join(reasons)}. "
                "Plan again, or apply with on_drift='skip'"
            )
            error.names = names
            raise error

    def _compare(self, present: Sequence[Group], indexes: Iterable[int]) -> None:
        """Note which of the changes are there already, and what is in the way of others."""
        by_id = {group.id: group for group in present}
        others = self._by_name(present)
        for index in indexes:
            change = self.plan.changes[index]
            found = others.get(change.name, []) if change.id is None else [by_id.get(change.id)]
            standing = _standing(change, found)
            if standing is None:
                self._made[index] = found[0]
            elif standing:
                self._drift[index] = standing

    def _by_name(self, present: Iterable[Group]) -> Mapping[str, Sequence[Group]]:
        """The groups by name, without those that the plan itself changes or deletes: they may give up their names."""
        own = {change.id for change in self.plan.changes}
        by_name: dict[str, list[Group]] = defaultdict(list)
        for group in present:
            if group.id not in own:
                by_name[normal(group.name)].append(group)
        return by_name

    async def _carry_out_all(self) -> None:
        indexes = range(len(self.plan.changes))
        deletes = [index for index in indexes if self.plan.changes[index].kind == "delete"]
        writes = [index for index in indexes if self.plan.changes[index].kind != "delete"]
        await self._carry_out(writes)
        await self._carry_out(await self._unsettled(writes))
        if all(outcome.ok for outcome in self._outcomes.values()):
            await self._carry_out(deletes)
        else:
            for index in deletes:
                self._note(index, Outcome(operation=self._operation(index), index=index, status="not_attempted"))

    async def _unsettled(self, indexes: Sequence[int]) -> Sequence[int]:
        """The changes that get a second try, after another look at how they stand."""
        outcomes = {index: self._outcomes[index] for index in indexes}
        again = [index for index, outcome in outcomes.items() if isinstance(outcome.error, _PASSING)]
        statuses = {outcome.status for outcome in outcomes.values()}
        if not again or self.stop.is_set() or "not_attempted" in statuses or "applied" not in statuses:
            return ()  # stopped, or the service is down: a second try would only take as long again
        try:
            self._compare(await self.groups.snapshot(), again)
        except SecodaError:
            return ()
        for index in again:
            del self._outcomes[index]
        return again

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
            return self._as_it_is(index, self._made[index])
        if index in self._drift:
            raise _stale(change, self._drift[index])
        if change.id is not None:
            group = await self._read(change.id)
            standing = _standing(change, [group])
            if standing is None:
                return self._as_it_is(index, group)
            if standing:
                raise _stale(change, standing)
        self.journal.intent(self.plan, index)
        self._announced.add(index)
        group = await self._write(change)
        if group is not None and not change.after.fit(group):
            raise ResponseError(f"the answer shows {change.name!r} otherwise than it was written")
        return "applied", group

    def _as_it_is(self, index: int, group: Group | None) -> Work:
        """Nothing is to be written (any more)."""
        return "applied" if index in self._announced else "unchanged", group

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
        self.journal.outcome(self.plan, outcome)
        if self.on_progress is None:
            return
        changes = self.plan.changes
        progress = Progress(
            done=len(self._outcomes),
            total=len(changes),
            failed=sum(outcome.error is not None for outcome in self._outcomes.values()),
            seconds_left=self.time_left(
                sum(change.kind != "delete" and n not in self._outcomes for n, change in enumerate(changes))
            ),
        )
        try:
            self.on_progress(progress)
        except Exception:  # noqa: BLE001 - the caller's code; the writes go on
            _log.exception("the on_progress hook failed; the plan goes on")

    # --- the last read -----------------------------------------------------------------------------------------

    async def _verify(self) -> tuple[str, ...]:
        """Read everything once more, a few times if need be; what is not as it was made, in words."""
        differences: tuple[str, ...] = ()
        for pause in _LOOKS if any(outcome.ok for outcome in self._outcomes.values()) else ():
            await sleep(self.clock, pause)
            try:
                differences = tuple(self._differences(await self.groups.snapshot()))
            except SecodaError as error:
                return (f"the last read failed: {error.message}",)
            if not differences:
                break
        return differences

    def _differences(self, present: Sequence[Group]) -> Iterable[str]:
        by_id = {group.id: group for group in present}
        by_name = self._by_name(present)
        for index, outcome in sorted(self._outcomes.items()):
            if not outcome.ok:
                continue
            change = self.plan.changes[index]
            group_id = outcome.group.id if change.id is None and outcome.group is not None else change.id
            group = by_id.get(group_id or "")
            if change.kind == "delete":
                if group is not None:
                    yield f"{change.name!r} is still there"
            elif group is None:
                yield f"{change.name!r} is not there"
            elif not change.after.fit(group):
                yield f"{change.name!r} is not as it was written"
            elif change.kind == "create" and len(by_name[change.name]) > 1:
                ids = ", ".join(sorted(group.id for group in by_name[change.name]))
                yield f"{change.name!r} is there {len(by_name[change.name])} times ({ids}): somebody else made it too"


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


def _standing(change: Change, found: Sequence[Group | None]) -> str | None:
    """How a change stands: to be made (empty), made already (None), or what is in the way."""
    group = found[0] if found else None
    if change.kind == "create":
        if not found:
            return ""
        return None if len(found) == 1 and group is not None and change.after.fit(group) else _TAKEN
    if group is None:
        return None if change.kind == "delete" else "is not there any more"
    if change.kind == "update" and change.after.fit(group):
        return None
    return "" if change.before.fit(group) else "is not as it was"


_TAKEN: Final = "is there already, otherwise than planned"


def _stale(change: Change, why: str) -> StalePlanError:
    error = StalePlanError(f"{change.name!r} {why}: left alone, plan again")
    error.names = (change.name,)
    return error
