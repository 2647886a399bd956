"""The async Python SDK for Secoda user groups."""

from typing import TYPE_CHECKING, Any

from secoda_async._engine.convert import to_dict
from secoda_async._engine.limits import LimitState, Permit, RateLimiter, SlidingWindowLimiter
from secoda_async._version import __version__
from secoda_async.client import SecodaClient
from secoda_async.clock import AutojumpClock, Clock, ScaledClock, SystemClock
from secoda_async.config import RateLimit, Region, RetryPolicy
from secoda_async.errors import (
    AmbiguousNameError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    DesiredStateError,
    InvalidArgumentError,
    LockedError,
    NotFoundError,
    OutcomeUnknownError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    RequestTimeoutError,
    ResponseError,
    SecodaError,
    ServerError,
    StalePlanError,
    TransportError,
    UnsafePlanError,
)
from secoda_async.events import AttemptEvent, Event, WaitEvent
from secoda_async.models import UNSET, Group, Page, Unset, User

if TYPE_CHECKING:
    from secoda_async.bulk import Bulk, CreateGroup, DeleteGroup, Operation, Outcome, Status, UpdateGroup
    from secoda_async.reconcile import (
        Breach,
        Change,
        Conflict,
        DesiredGroup,
        DesiredState,
        Plan,
        Progress,
        Report,
    )

__all__ = [
    "UNSET",
    "APIError",
    "AmbiguousNameError",
    "AttemptEvent",
    "AuthenticationError",
    "AutojumpClock",
    "BadRequestError",
    "Breach",
    "Bulk",
    "Change",
    "ClientClosedError",
    "Clock",
    "ConfigurationError",
    "Conflict",
    "ConflictError",
    "CreateGroup",
    "DeadlineExceededError",
    "DeleteGroup",
    "DesiredGroup",
    "DesiredState",
    "DesiredStateError",
    "Event",
    "Group",
    "InvalidArgumentError",
    "LimitState",
    "LockedError",
    "NotFoundError",
    "Operation",
    "Outcome",
    "OutcomeUnknownError",
    "Page",
    "PaginationError",
    "PermissionDeniedError",
    "Permit",
    "Plan",
    "Progress",
    "RateLimit",
    "RateLimitError",
    "RateLimiter",
    "RedirectError",
    "Region",
    "Report",
    "RequestTimeoutError",
    "ResponseError",
    "RetryPolicy",
    "ScaledClock",
    "SecodaClient",
    "SecodaError",
    "ServerError",
    "SlidingWindowLimiter",
    "StalePlanError",
    "Status",
    "SystemClock",
    "TransportError",
    "UnsafePlanError",
    "Unset",
    "UpdateGroup",
    "User",
    "WaitEvent",
    "__version__",
    "to_dict",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the module's names
    """Load the modules for many operations when one of their names is asked for: single calls need none of them."""
    if name in __all__:
        from secoda_async import bulk, reconcile  # noqa: PLC0415

        return getattr(bulk if hasattr(bulk, name) else reconcile, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
