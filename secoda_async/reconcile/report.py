"""What became of a plan, while it is carried out and afterwards."""

from collections import Counter
from collections.abc import Mapping

from attrs import frozen

from secoda_async.bulk import Outcome

__all__ = ["Progress", "Report"]


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
    """Whether a last read of the workspace shows every change that was made; False when none was."""
    differences: tuple[str, ...] = ()
    """What the last read shows otherwise, or could not be logged, in words."""
    conflicts: int = 0
    """Groups that could not be planned."""
    seconds: float = 0.0
    """How long it took."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many changes ended in each way."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    @property
    def writes(self) -> int:
        """Changes that were written now; the others were there already, or failed."""
        return self.counts.get("applied", 0)

    @property
    def ok(self) -> bool:
        """Whether all is as the plan says, and the last read has shown it."""
        is_quiet = self.verified and not self.differences and not self.conflicts
        return is_quiet and all(outcome.ok for outcome in self.outcomes)
