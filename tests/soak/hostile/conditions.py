"""Conditions of the hostile server: everything that goes wrong in one run."""

import random
from collections.abc import Mapping
from typing import Final, Literal

from attrs import field, frozen


@frozen(kw_only=True)
class Fault:
    """A fault: when the request is executed, and the response that the client gets."""

    name: str
    executes: Literal["now", "later", "never"]
    ends: Literal["status", "drop", "stall", "foreign", "cut", "cut without length", "page"]
    status: int = 0
    headers: Mapping[str, str] = field(factory=dict[str, str])


FAULTS: Final = (
    Fault(name="response lost", executes="now", ends="drop"),
    Fault(name="dropped", executes="never", ends="drop"),
    Fault(name="504, executed later", executes="later", ends="status", status=504),
    Fault(name="dropped, executed later", executes="later", ends="drop"),
    Fault(name="stalled, executed later", executes="later", ends="stall"),
    Fault(name="503 after commit", executes="now", ends="status", status=503, headers={"Retry-After": "2"}),
    Fault(name="503", executes="never", ends="status", status=503, headers={"Retry-After": "1"}),
    Fault(name="500 after commit", executes="now", ends="status", status=500),
    Fault(name="502", executes="never", ends="status", status=502),
    Fault(name="429", executes="never", ends="status", status=429, headers={"Retry-After": "1"}),
    Fault(name="another group's body", executes="now", ends="foreign"),
    Fault(name="cut", executes="now", ends="cut"),
    Fault(name="cut without length", executes="now", ends="cut without length"),
    Fault(name="login page", executes="never", ends="page", status=200),
    Fault(name="a gateway's 404", executes="never", ends="page", status=404),
)
CONTRADICTIONS: Final = ("top-level next", "no next", "item missing", "empty", "results alone")


@frozen(kw_only=True)
class Conditions:
    """The server's behaviour in one run."""

    date_skew: float | None = 0.0
    """Seconds; None: no `Date` header."""
    created_at: Literal["full", "null", "absent", "local"] = "full"
    created_skew: float = 0.0
    """Seconds by which `created_at` is ahead of the server's clock."""
    lists_lag: float = 0.0
    reads_lag: float = 0.0
    page_size: int = 50
    collapses: bool = False
    """Collapse white space inside names; names are trimmed in any case."""
    idle: float | None = None
    """Seconds until an idle connection is sent a 408."""
    fault_rate: float = 0.0
    """Fraction of the requests that are faulted."""
    contradictions: float = 0.0
    """Fraction of the lists that contradict themselves."""
    edits: float = 0.0
    """Probability of an edit by a third party before a request is handled."""


def conditions(rng: random.Random) -> Conditions:
    """Draw the conditions of a run."""
    skews = (0.0, 0.0, -3.5, 3.5, -60.0, 60.0, 3600.0, None)
    return Conditions(
        date_skew=rng.choice(skews),
        created_at=rng.choice(("full", "full", "null", "absent", "local")),
        created_skew=rng.choice((0.0, 0.0, -3.0, -5.0, -60.0, 3.0, 60.0)),
        lists_lag=rng.choice((0.0, rng.uniform(0.0, 3.0))),
        reads_lag=rng.choice((0.0, 0.0, rng.uniform(0.0, 1.0))),
        page_size=rng.choice((2, 3, 5, 50)),
        collapses=rng.random() < 0.3,
        idle=rng.choice((None, rng.uniform(0.5, 20.0))),
        fault_rate=rng.choice((0.0, 0.1, 0.25, 0.4)),
        contradictions=rng.choice((0.0, 0.0, 0.2)),
        edits=rng.choice((0.0, 0.05, 0.2)),
    )
