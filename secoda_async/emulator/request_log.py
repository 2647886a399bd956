"""What the emulator remembers of each request. The key is never part of it."""

from typing import Any

import attrs
import orjson

from secoda_async.emulator.faults import Fault


@attrs.define(eq=False)
class RecordedRequest:
    """One request, in order of arrival, and what became of it."""

    number: int
    """Counts from 1, in order of arrival."""
    method: str
    path: str
    """The path as it was sent, still percent-encoded, without the query."""
    query: dict[str, str]
    headers: dict[str, str]
    """The headers as they were sent, without `Authorization` and `Cookie`."""
    authorized: bool
    """Whether it carried the right key."""
    connection: int
    """The number of its TCP connection, from 1."""
    at: float
    """When it arrived, in seconds of the emulator's clock."""
    target: str
    """The path with its query, as it was sent: what a fault's `path` is looked for in."""
    body: bytes = b""
    """Empty, too, when a fault kept the body from being read."""
    answered_at: float | None = None
    """When an answer was sent, in seconds of the emulator's clock; None: none was."""
    status: int | None = None
    """The status that was sent; None when there was no answer, or only a fault's raw bytes."""
    fault: Fault | None = None
    applied: bool = False
    """Whether it was a write that changed the store."""
    group_id: str | None = None
    """The group that it created, changed or deleted."""

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the client sent
        """The body as JSON; None when it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
