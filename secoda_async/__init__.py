"""The async Python SDK for Secoda user groups."""

from importlib import import_module
from typing import TYPE_CHECKING

from secoda_async._version import __version__

if TYPE_CHECKING:
    from secoda_async._engine.limits.limiter import LimitState, Permit, RateLimiter, SlidingWindowLimiter
    from secoda_async._engine.wire.codec import to_dict
    from secoda_async.bulk import Bulk, CreateGroup, DeleteGroup, Operation, Outcome, Status, UpdateGroup
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
    from secoda_async.reconcile import (
        Breach,
        Change,
        Conflict,
        DesiredGroup,
        DesiredState,
        Held,
        Plan,
        Progress,
        Report,
    )
else:
    # Names are imported on first use, because pytest imports this package at each start to load the fixtures' plugin.
    _MODULES = ("errors", "models", "config", "clock", "_engine.limits.limiter", "_engine.wire.codec")
    _MODULES += ("users", "groups", "client", "events", "bulk", "reconcile")

    def __getattr__(name: str) -> object:
        """Import a public name or module on first use; `_MODULES` lists those that every client needs first."""
        if name in __all__:
            modules = (import_module(f"{__name__}.{module}") for module in _MODULES)
            return globals().setdefault(name, next(getattr(each, name) for each in modules if hasattr(each, name)))
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """List every public name, imported or not."""
        return sorted({*globals(), *__all__})


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
    "Held",
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
