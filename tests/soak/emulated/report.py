"""The report of one run of the soak."""

from collections.abc import Mapping, Sequence
from typing import get_args

from attrs import frozen

from tests.soak.emulated.leaks import Memory
from tests.soak.emulated.scenarios import End


@frozen(kw_only=True)
class Report:
    """The result of one run."""

    seed: int
    wanted: int
    """Operations that were requested."""
    operations: int
    """Operations that were made: scenarios that have begun continue to their end."""
    ends: Mapping[str, Mapping[str, int]]
    """Operations by kind and end."""
    failures: Mapping[str, int]
    """Errors by class."""
    requests: Mapping[str, int]
    """Requests by method, as the emulator counts them."""
    faulted: int
    """Requests with a fault."""
    faults: Mapping[str, int]
    """Faults by kind."""
    retries: int
    searches: Mapping[str, int]
    """Creates without a clear answer: all, those that were reconciled, those that stayed unknown."""
    groups: int
    """Groups in the store at the end."""
    memory: Sequence[Memory]
    """The memory in use after a fifth of the operations, and after all of them."""
    duplicates: int
    lost: int
    false_outcomes: int
    findings: Sequence[str]
    seconds: float
    emulated_seconds: int

    def __str__(self) -> str:
        requests = sum(self.requests.values())
        share = self.faulted / max(1, requests)
        searches = self.searches
        memory = [f"{moment.blocks} blocks, peak {moment.peak} MiB" for moment in self.memory]
        lines = [
            f"seed {self.seed}: {self.operations} operations in {self.seconds} s for {self.emulated_seconds} s",
            f"  requests {requests}, faults {self.faulted} ({share:.1%}), retries {self.retries}",
            f"  unclear creates {searches['all']}, reconciled {searches['done']}, unknown {searches['unknown']}",
            f"  groups at the end {self.groups}",
            f"  duplicates {self.duplicates}, lost {self.lost}, false outcomes {self.false_outcomes}",
            f"  memory {' -> '.join(memory)}",
            f"  {'operations':<26}" + "".join(f"{end:>14}" for end in get_args(End)),
            *(
                f"{'':14}{kind:<12}" + "".join(f"{count:>14}" for count in ends.values())
                for kind, ends in self.ends.items()
            ),
            *_columns("errors", self.failures),
            *_columns("requests", self.requests),
            *_columns("faults", self.faults),
        ]
        if self.findings:
            lines += ["  WRONG:", *(f"    {finding}" for finding in self.findings)]
            lines.append(f"  again: python -m tests.soak emulator --seed {self.seed} --operations {self.wanted}")
        return "\n".join(lines)


def _columns(title: str, counts: Mapping[str, int]) -> list[str]:
    cells = [f"{name:<27}{count:>6}" for name, count in counts.items()]
    rows = ["   ".join(cells[start : start + 3]) for start in range(0, len(cells), 3)]
    return [f"  {title if row is rows[0] else '':<11} {row}" for row in rows]
