"""One entry of the request log. The API key is never part of an entry."""

from typing import Any

import attrs
import orjson

from secoda_async.emulator.faults import Fault


@attrs.define(eq=False)
class RecordedRequest:
    """A request and its outcome."""

    number: int
    """Counts from 1, in order of arrival."""
    method: str
    path: str
    """The path as it was sent, still percent-encoded, without the query."""
    query: dict[str, str]
    headers: dict[str, str]
    """The headers as they were sent, without `Authorization` and `Cookie`."""
    authorized: bool
    """Whether the request carried the right key."""
    connection: int
    """The number of its TCP connection, from 1."""
    at: float
    """The time of arrival, in seconds of the emulator's clock."""
    target: str
    """The path with its query, as it was sent: a fault's `path` is searched for in this text."""
    body: bytes = b""
    """Also empty when a fault kept the body from being read."""
    answered_at: float | None = None
    """The time of the response, in seconds of the emulator's clock; None: no response was sent."""
    status: int | None = None
    """The status that was sent; None without a response, or with only a fault's raw bytes."""
    fault: Fault | None = None
    applied: bool = False
    """Whether the request changed the store."""
    group_id: str | None = None
    """The group that the request created, changed or deleted."""

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body as JSON; None when it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
