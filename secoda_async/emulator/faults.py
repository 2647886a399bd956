"""Recorded requests and scripted faults: a fault matches recorded requests, and a recorded request holds its fault."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, cast

import attrs
import orjson

from secoda_async.emulator.responses import Response, encode_body, json_response
from secoda_async.emulator.validators import not_negative, one_of, optional

Transform = Callable[[Any], Any]
Pairs = tuple[tuple[str, str], ...]

FOUND = 302
STATUSES = range(200, 600)
REDIRECT_STATUSES = range(300, 400)
# After these faults there is no response of the API that the other effects could change.
WITHOUT_RESPONSE = ("drop", "stall", "raw")
ON_RESPONSE = ("status", "headers", "body", "cut", "redirect", "transform")


@attrs.define(eq=False)
class RecordedRequest:
    """A request and its outcome: an entry of the request log. The API key is never part of it."""

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
    fault: "Fault | None" = None
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


Match = Callable[[RecordedRequest], object]


def as_pairs(headers: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> Pairs:
    """Return headers as pairs."""
    if headers is None:
        return ()
    if isinstance(headers, Mapping):
        return tuple(cast("Mapping[str, str]", headers).items())
    return tuple(headers)


def check_body(body: object) -> None:
    """Require a body that can be sent.

    Raises:
        ValueError: It can't be encoded.
    """
    try:
        encode_body(body)
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"body can't be encoded as JSON ({error}); pass bytes instead") from None


def has_line_breaks(headers: Pairs) -> bool:
    """Return whether a header would end early and begin another one."""
    return any(set(f"{name}{value}") & {"\r", "\n", "\0"} for name, value in headers)


@attrs.define(eq=False, kw_only=True)
class Fault:
    """A fault that `Faults.add` returned. The fields are the arguments of `add`; `used` counts the requests."""

    status: int | None = None
    headers: Pairs = attrs.field(default=None, converter=as_pairs)
    body: Any = None
    delay: float = attrs.field(default=0.0, validator=not_negative)
    drop: Literal["before", "after"] | None = attrs.field(default=None, validator=optional(one_of("before", "after")))
    cut: int | None = attrs.field(default=None, validator=optional(not_negative))
    redirect: str | None = None
    raw: bytes | None = None
    stall: Literal["unread", "before", "after"] | None = attrs.field(
        default=None, validator=optional(one_of("unread", "before", "after"))
    )
    transform: Transform | None = None
    carry_out: bool | None = None
    execute_after: float | None = attrs.field(default=None, validator=optional(not_negative))
    method: str | None = None
    path: str | None = None
    match: Match | None = None
    skip: int = attrs.field(default=0, validator=not_negative)
    times: int | None = attrs.field(default=1, validator=optional(not_negative))
    used: int = attrs.field(init=False, default=0)
    """The number of requests that the fault was applied to."""
    _skipped: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        if self.redirect is not None and self.status is None:
            self.status = FOUND
        self._check_status()
        self._check_content()
        self._check_combination()
        self._check_execution()

    def _check_status(self) -> None:
        if self.status is not None and self.status not in STATUSES:
            raise ValueError(f"status must be from 200 to 599, not {self.status}; use raw= for others")
        if self.redirect is not None and self.status not in REDIRECT_STATUSES:
            raise ValueError(f"a redirect needs a status from 300 to 399, not {self.status}")

    def _check_content(self) -> None:
        check_body(self.body)
        if has_line_breaks(self.headers):
            raise ValueError("headers can't contain line breaks; use raw= for malformed responses")

    def _check_combination(self) -> None:
        given = [name for name in (*WITHOUT_RESPONSE, *ON_RESPONSE) if getattr(self, name) not in (None, ())]
        if len(given) > 1 and given[0] in WITHOUT_RESPONSE:
            raise ValueError(f"{given[0]} sends no response of the API: it can't be combined with {given[1]}")
        if self.transform is not None and (self.status is not None or self.body is not None):
            raise ValueError("transform changes the API's response: it can't be combined with status or body")

    def _check_execution(self) -> None:
        if self.carry_out is not None and self.raw is None and self.status is None:
            raise ValueError("carry_out needs status or raw: the other faults determine whether a request is executed")
        if self.execute_after is not None and (self.carry_out is not None or not self._can_respond_first):
            raise ValueError(
                'execute_after needs status, raw, drop="after", stall="before" or stall="after", and no carry_out'
            )

    @property
    def _can_respond_first(self) -> bool:
        """Whether all that the client receives can be sent before the request is executed."""
        ends_early = self.drop == "after" or self.stall in {"before", "after"}
        return ends_early or self.status is not None or self.raw is not None

    @property
    def executes(self) -> bool:
        """Whether a request is executed in spite of the fault."""
        return self.status is None if self.carry_out is None else self.carry_out

    def matches(self, record: RecordedRequest) -> bool:
        """Return whether the fault is meant for a request, regardless of `skip` and `times`."""
        return (
            (self.method is None or self.method.upper() == record.method)
            and (self.path is None or self.path in record.target)
            and (self.match is None or bool(self.match(record)))
        )

    def claim(self, record: RecordedRequest) -> bool:
        """Return whether to apply the fault to a request, and count the request as skipped or used."""
        is_used_up = self.times is not None and self.used >= self.times
        if is_used_up or not self.matches(record):
            return False
        if self._skipped < self.skip:
            self._skipped += 1
            return False
        self.used += 1
        return True

    def apply_to(self, response: Response) -> Response:
        """Return the response to send in place of the API's."""
        if self.status is not None:
            response = Response(self.status)
        if self.redirect is not None:
            response = response.with_headers(("Location", self.redirect))
        if self.transform is not None:
            payload = orjson.loads(response.body) if response.body else None
            response = json_response(response.status, self.transform(payload))
        if self.body is not None:
            content_type, body = encode_body(self.body)
            response = attrs.evolve(response, body=body).with_headers(("Content-Type", content_type))
        return response.with_headers(*self.headers)


@attrs.define(eq=False)
class Faults:
    """The faults of an emulator. The first fault in order of adding that matches a request is applied to it."""

    _faults: list[Fault] = attrs.field(init=False, factory=list[Fault])

    def add(  # noqa: PLR0913 - one argument for each field of a fault
        self,
        status: int | None = None,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: object = None,
        delay: float = 0.0,
        drop: Literal["before", "after"] | None = None,
        cut: int | None = None,
        redirect: str | None = None,
        raw: bytes | None = None,
        stall: Literal["unread", "before", "after"] | None = None,
        transform: Transform | None = None,
        carry_out: bool | None = None,
        execute_after: float | None = None,
        method: str | None = None,
        path: str | None = None,
        match: Match | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Fault:
        """Add a fault. Seconds are seconds of the emulator's clock.

        The effect (`delay` can be combined with every other argument):

        Args:
            status: Respond with this status and do not execute the request.
            headers: More headers: a mapping, or pairs if a name is repeated. Without `status` they are added to the
                API's response.
            body: The body of the response: bytes (sent as JSON), a str (HTML if it begins with "<", otherwise plain
                text), or any JSON value but null. Without `status` it replaces the body of the API's response.
            delay: Seconds to wait before the request is executed. If the client disconnects meanwhile, the request is
                executed nevertheless, as on a real server.
            drop: Abort the connection without a response: "before" the body is read and without executing the
                request, or "after" the request was executed and counted (a lost response).
            cut: Send headers with the full length, this many bytes of the body, and close the connection.
            redirect: Respond with this `Location`; the status is 302 by default.
            raw: Send exactly these bytes instead of a response, and close the connection.
            stall: Never respond, until the client disconnects or the emulator closes: with the body "unread",
                "before" the request is executed, or "after".
            transform: Change the JSON of the API's response (None if it has no body).
            carry_out: Whether a request with `status` or `raw` is executed. By default it is executed with `raw` and
                not executed with `status`.
            execute_after: Seconds after which the request is executed although the client has already received its
                `status` or `raw` bytes, or `drop="after"` or `stall` has hidden the response: a gateway that gave up
                while the server continues. The write limit counts the write when it arrives.

        The requests that it applies to:

        Args:
            method: Only this method.
            path: Only if the path with its query, as sent, contains this text.
            match: Only if this function returns true. With `match`, bodies are read before a fault is chosen.
            skip: The number of matching requests to ignore first.
            times: The number of requests to apply the fault to; None: unlimited.

        Returns:
            The fault; its `used` counts the requests that it was applied to.

        Raises:
            ValueError: An argument is out of range, or two arguments can't be combined.
        """
        fault = Fault(
            status=status,
            headers=headers,
            body=body,
            delay=delay,
            drop=drop,
            cut=cut,
            redirect=redirect,
            raw=raw,
            stall=stall,
            transform=transform,
            carry_out=carry_out,
            execute_after=execute_after,
            method=method,
            path=path,
            match=match,
            skip=skip,
            times=times,
        )
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def __len__(self) -> int:
        return len(self._faults)

    @property
    def need_bodies(self) -> bool:
        """Whether a request's body must be read before a fault can be chosen for it."""
        return any(fault.match is not None for fault in self._faults)

    def choose(self, record: RecordedRequest) -> Fault | None:
        """Return the fault to apply to a request, or None."""
        return next((fault for fault in self._faults if fault.claim(record)), None)
