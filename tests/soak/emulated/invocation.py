"""Operations in flight, the source of a bulk, and the numbers of a run."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Final, overload

from attrs import define, field

from secoda_async import (
    CreateGroup,
    DeleteGroup,
    Operation,
    UpdateGroup,
)
from tests.soak.emulated.expected_state import (
    Expected,
)
from tests.soak.emulated.scenarios import (
    End,
    Job,
    Kind,
    Value,
)


@define(eq=False)
class Invocation:
    """An operation in flight."""

    job: Job
    group_id: str = ""
    expected: Expected | None = None
    before: dict[str, frozenset[Value]] = field(factory=dict[str, frozenset[Value]])
    """The values that were possible when it began."""
    certain: set[str] = field(factory=set[str])
    """The groups that a list must show."""
    deleted: set[str] = field(factory=set[str])
    """The groups that a list must not show."""
    began: float = 0.0
    arrived_before: int = 0
    """Requests of its method about its group before it began."""
    is_begun: bool = False
    is_reported_unknown: bool = False
    """Whether the client has reported its outcome as unknown."""
    has_posted: bool = False
    has_searched: bool = False
    """Whether a create has searched for its group after its POST."""

    @property
    def subject(self) -> str:
        """The group that its requests are about; of a create its name."""
        return self.job.fields["name"] if self.job.kind == "create" else self.group_id


CURRENT: Final[ContextVar[Invocation | None]] = ContextVar("soak_current", default=None)
"""The operation of a request."""


@define(eq=False)
class Counters:
    """The numbers of a run."""

    ends: Counter[tuple[Kind, End]] = field(factory=Counter[tuple[Kind, End]])
    failures: Counter[str] = field(factory=Counter[str])
    attempts: Counter[str] = field(factory=Counter[str])
    """Requests by method, as the client reports them, without those that got a 408."""
    answered: Counter[str] = field(factory=Counter[str])
    """Attempts that got a response, by method."""
    retries: int = 0
    searches: Counter[End] = field(factory=Counter[End])
    """Ends of creates whose response was lost."""
    refused: int = 0
    """429 responses of the limit itself."""

    @property
    def operations(self) -> int:
        return self.ends.total()


class BulkSource(Sequence[Operation]):
    """The operations of a bulk; each begins when a worker takes it."""

    def __init__(self, invocations: Sequence[Invocation], begin: Callable[[Invocation], None]) -> None:
        self._invocations = invocations
        self._begin = begin

    def __len__(self) -> int:
        return len(self._invocations)

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Operation]: ...
    def __getitem__(self, index: int | slice) -> Operation | Sequence[Operation]:
        return list(map(operation_of, self._invocations))[index]

    def __iter__(self) -> Iterator[Operation]:
        for invocation in self._invocations:
            self._begin(invocation)  # in the worker's task, so that its requests are known to be this operation's
            yield operation_of(invocation)


def operation_of(invocation: Invocation) -> Operation:
    """Return an operation as a bulk takes it."""
    match invocation.job.kind:
        case "create":
            return CreateGroup(**invocation.job.fields)
        case "update":
            return UpdateGroup(invocation.group_id, **invocation.job.fields)
        case _:
            return DeleteGroup(invocation.group_id)
