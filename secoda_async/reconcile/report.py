"""The progress and the results of an apply."""

from collections import Counter
from collections.abc import Mapping

from attrs import frozen

from secoda_async.bulk import Outcome
from secoda_async.reconcile.plan import Held

__all__ = ["Progress", "Report"]


@frozen(kw_only=True)
class Progress:
    """The progress of an apply."""

    done: int
    """Number of changes that have an outcome."""
    total: int
    """Number of all changes."""
    failed: int
    """Number of changes with an error: failed, or the outcome is unknown."""
    unknown: int = 0
    """Number of changes that may have been written; `failed` counts them too."""
    seconds_left: float
    """Seconds that the remaining writes take at least, by the write limit."""


@frozen(kw_only=True)
class Report:
    """The results of an apply."""

    outcomes: tuple[Outcome, ...]
    """One outcome for each change, in the plan's order."""
    verified: bool
    """Whether a final read of the workspace shows every change that succeeded; False when none succeeded."""
    differences: tuple[str, ...] = ()
    """A sentence for each contradiction in the final read, and for a journal that could not be written."""
    conflicts: int = 0
    """Number of groups that could not be planned."""
    held: tuple[Held, ...] = ()
    """The plan's members who are not users of the workspace: their groups gain members and lose none."""
    seconds: float = 0.0
    """Seconds from start to end."""
    stopped: str = ""
    """The reason why changes were not attempted; empty if all were."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of changes by status."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    @property
    def writes(self) -> int:
        """Number of changes that this apply wrote."""
        return self.counts.get("applied", 0)

    @property
    def ok(self) -> bool:
        """Whether the plan has no conflicts, every change succeeded, and the final read showed it."""
        is_clean = self.verified and not self.differences and not self.conflicts
        return is_clean and all(outcome.ok for outcome in self.outcomes)
