"""The state of one change while its plan is applied."""

from collections.abc import Iterable

from attrs import define, field

from secoda_async.errors import PaginationError, StalePlanError
from secoda_async.models import Group
from secoda_async.operations import CreateGroup, DeleteGroup, Operation, Outcome, UpdateGroup
from secoda_async.reconcile.drift import ChangeStatus, DriftCheck, WorkspaceSnapshot
from secoda_async.reconcile.plan import Change
from secoda_async.worker_pool import TRANSIENT, Result

__all__ = ["ChangeState", "check_drift", "is_service_down"]


@define
class ChangeState:
    """One change, and what is known of it so far."""

    index: int
    """Its position in the plan."""
    change: Change
    check: DriftCheck = field(init=False, default=DriftCheck(ChangeStatus.PENDING, None))
    """The result of the last complete read."""
    is_intent_logged: bool = field(init=False, default=False)
    """Whether the journal has its intent: the write was sent, or was about to be."""
    outcome: Outcome | None = field(init=False, default=None)

    @property
    def operation(self) -> Operation:
        """The operation that executes the change."""
        after = self.change.after
        fields = {name: getattr(after, name) for name in ("name", "icon", "description", "users")}
        if self.change.kind == "create":
            return CreateGroup(**fields)
        if self.change.kind == "update":
            return UpdateGroup(self.change.id or "", **fields)
        return DeleteGroup(self.change.id or "", missing_ok=True)

    @property
    def is_ok(self) -> bool:
        """Whether the change succeeded."""
        return self.outcome is not None and self.outcome.ok

    @property
    def has_transient_error(self) -> bool:
        """Whether another attempt may succeed."""
        return self.outcome is not None and isinstance(self.outcome.error, (*TRANSIENT, PaginationError))

    @property
    def is_retry_safe(self) -> bool:
        """Whether another attempt can't create a second group."""
        is_unclear = self.outcome is not None and self.outcome.status == "unknown"
        return self.check.status is ChangeStatus.DONE or not (is_unclear and self.change.kind == "create")

    def noop_result(self, group: Group | None) -> Result:
        """Return the result when nothing is left to write; an earlier attempt may have written it."""
        return "applied" if self.is_intent_logged else "unchanged", group

    def stale_error(self, reason: str) -> StalePlanError:
        """Return the error for a change whose group has drifted."""
        return StalePlanError(f"{self.change.name!r} {reason}: skipped, plan again", names=(self.change.name,))


def is_service_down(states: Iterable[ChangeState]) -> bool:
    """Return whether no write succeeded, or the writes ended early: a second attempt would only take as long."""
    statuses = {state.outcome.status for state in states if state.outcome is not None}
    return "not_attempted" in statuses or "applied" not in statuses


def check_drift(states: Iterable[ChangeState], snapshot: WorkspaceSnapshot) -> None:
    """Compare changes with a complete read."""
    for state in states:
        state.check = snapshot.status_of(state.change)
