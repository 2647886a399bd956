"""Scripted faults: which requests they hit, and what they do to them."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs
import orjson

from secoda_async.emulator.responses import HTML_TYPE, JSON_TYPE, Response, json_response

if TYPE_CHECKING:
    from secoda_async.emulator.request_log import RecordedRequest

Match = Callable[["RecordedRequest"], object]
Transform = Callable[[Any], Any]
Pairs = tuple[tuple[str, str], ...]

FOUND = 302
# What leaves no answer of ours to shape, and what shapes one.
ENDINGS = ("drop", "stall", "raw")
SHAPES = ("status", "headers", "body", "cut", "redirect", "transform")


def _pairs(headers: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> Pairs:
    """Return headers as pairs, and none for None."""
    if headers is None:
        return ()
    if isinstance(headers, Mapping):
        return tuple(cast("Mapping[str, str]", headers).items())
    return tuple(headers)


@attrs.define(eq=False, kw_only=True)
class Fault:
    """What `Faults.add` made; `used` says how often it struck. The fields are the arguments of `add`."""

    status: int | None = None
    headers: Pairs = attrs.field(default=None, converter=_pairs)
    body: Any = None
    delay: float = 0.0
    drop: Literal["before", "after"] | None = None
    cut: int | None = None
    redirect: str | None = None
    raw: bytes | None = None
    stall: Literal["unread", "before", "after"] | None = None
    transform: Transform | None = None
    carry_out: bool | None = None
    execute_after: float | None = None
    method: str | None = None
    path: str | None = None
    match: Match | None = None
    skip: int = 0
    times: int | None = 1
    used: int = attrs.field(init=False, default=0)
    """How many requests it has struck."""
    _skipped: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self._check_numbers()
        self._check_combination()
        try:
            _content(self.body)
        except TypeError as error:
            raise ValueError(f"body cannot be written as JSON ({error}); give it as bytes") from None
        if any(set(f"{name}{value}") & {"\r", "\n", "\0"} for name, value in self.headers):
            raise ValueError("headers cannot hold line ends; use raw= for malformed answers")

    def _check_numbers(self) -> None:
        if self.redirect is not None and self.status is None:
            self.status = FOUND
        if self.status is not None and not 200 <= self.status <= 599:  # noqa: PLR2004 - the statuses of HTTP
            raise ValueError(f"status must be from 200 to 599, not {self.status}; use raw= for others")
        if self.redirect is not None and self.status is not None and self.status // 100 != 3:  # noqa: PLR2004 - 3xx
            raise ValueError(f"a redirect needs a status from 300 to 399, not {self.status}")
        if not (math.isfinite(self.delay) and self.delay >= 0):
            raise ValueError(f"delay must be seconds from 0, not {self.delay}")
        if self.execute_after is not None and not (math.isfinite(self.execute_after) and self.execute_after >= 0):
            raise ValueError(f"execute_after must be seconds from 0, not {self.execute_after}")
        for name, number in (("cut", self.cut), ("skip", self.skip), ("times", self.times)):
            if number is not None and number < 0:
                raise ValueError(f"{name} must not be negative, not {number}")

    def _check_combination(self) -> None:
        if self.drop not in {None, "before", "after"}:
            raise ValueError(f'drop must be "before" or "after", not {self.drop!r}')
        if self.stall not in {None, "unread", "before", "after"}:
            raise ValueError(f'stall must be "unread", "before" or "after", not {self.stall!r}')
        given = [name for name in (*ENDINGS, *SHAPES) if getattr(self, name) not in (None, ())]
        if len(given) > 1 and given[0] in ENDINGS:
            raise ValueError(f"{given[0]} sends no answer of the API: it cannot be combined with {given[1]}")
        if self.transform is not None and (self.status is not None or self.body is not None):
            raise ValueError("transform changes the real answer: it cannot be combined with status or body")
        if self.carry_out is not None and self.raw is None and self.status is None:
            raise ValueError("carry_out is only for raw and status: the other faults say it themselves")
        if self.execute_after is not None and (self.carry_out is not None or not self._leaves_early):
            raise ValueError(
                'execute_after needs status, raw, drop="after", stall="before" or stall="after", and no carry_out'
            )

    @property
    def _leaves_early(self) -> bool:
        """Whether the client gets all that it will get without the request's being carried out."""
        ends_early = self.drop == "after" or self.stall in {"before", "after"}
        return ends_early or self.status is not None or self.raw is not None

    @property
    def carries_out(self) -> bool:
        """Whether a request it strikes is carried out all the same."""
        return self.status is None if self.carry_out is None else self.carry_out

    def strikes(self, record: "RecordedRequest") -> bool:
        """Tell whether the fault is meant for the request, and count it."""
        if self.times is not None and self.used >= self.times:
            return False
        if self.method is not None and self.method.upper() != record.method:
            return False
        if self.path is not None and self.path not in record.target:
            return False
        if self.match is not None and not self.match(record):
            return False
        if self._skipped < self.skip:
            self._skipped += 1
            return False
        self.used += 1
        return True

    def shape(self, answer: Response) -> Response:
        """Return the answer to send, made of the one that the API would have sent."""
        if self.status is not None:
            answer = Response(self.status)
        if self.redirect is not None:
            answer = answer.with_headers(("Location", self.redirect))
        if self.transform is not None:
            payload = orjson.loads(answer.body) if answer.body else None
            answer = json_response(answer.status, self.transform(payload))
        if self.body is not None:
            content_type, body = _content(self.body)
            answer = attrs.evolve(answer, body=body).with_headers(("Content-Type", content_type))
        return answer.with_headers(*self.headers)


def _content(body: Any) -> tuple[str, bytes]:  # noqa: ANN401 - any JSON value
    """Return the content type and the bytes of a fault's body."""
    if isinstance(body, bytes):  # bytes are there to spoil JSON: bad UTF-8, bad syntax
        return JSON_TYPE, body
    if isinstance(body, str):
        content_type = HTML_TYPE if body.startswith("<") else "text/plain; charset=utf-8"
        return content_type, body.encode()
    return JSON_TYPE, orjson.dumps(body)


@attrs.define(eq=False)
class Faults:
    """The faults of an emulator: the first, in order of adding, that is meant for a request strikes it."""

    _faults: list[Fault] = attrs.field(init=False, factory=list[Fault])

    def add(  # noqa: PLR0913 - one call that reads like the sentence it stands for
        self,
        status: int | None = None,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: Any = None,  # noqa: ANN401 - any JSON value
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
        """Add a fault.

        What it does (`delay` goes with everything; the rest as the errors say):

        Args:
            status: Response with this status instead of carrying the request out.
            headers: More headers; a mapping, or pairs where a name comes more than once. Without `status`
                they are added to the real answer.
            body: The answer's body: bytes (as JSON), a str (HTML when it begins with "<", else plain
                text), or any JSON value but null. Without `status` it replaces the real answer's body.
            delay: Seconds of the emulator's clock to wait before carrying out. A client that goes away
                meanwhile does not call the request back: like a real server's, its write is still done.
            drop: Abort the connection without an answer: "before" the body is read, nothing carried out;
                or "after" the request was carried out and counted (the lost answer).
            cut: Send headers with the full length, this many bytes of the body, and close.
            redirect: Response with this `Location`; the status is 302 unless given.
            raw: Write exactly these bytes instead of an answer, then close.
            stall: Never answer, until the client goes away or the emulator closes: with the body "unread",
                "before" the request is carried out, or "after".
            transform: Change the JSON of the real answer (None where it has no body).
            carry_out: Whether a request answered by `status` or `raw` is carried out. By default `raw`
                is, `status` is not.
            execute_after: Seconds of the emulator's clock after which the request is carried out although the
                client had its `status`, `raw` bytes, `drop="after"` or `stall` before: a gateway that gave up
                on a server that goes on. The write counts for the limit when it arrives.

        Which requests it strikes:

        Args:
            method: Only this method.
            path: Only where this is part of the path with its query, as sent.
            match: Only where this returns true. With it, the body is read before a fault is chosen.
            skip: Let so many requests pass first.
            times: Strike so many, then no more; None: always.

        Returns:
            The fault, whose `used` counts.

        Raises:
            ValueError: The arguments cannot go together.
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
        """Forget all faults."""
        self._faults.clear()

    def __len__(self) -> int:
        return len(self._faults)

    @property
    def need_bodies(self) -> bool:
        """Whether a request's body must be read before a fault can be chosen for it."""
        return any(fault.match is not None for fault in self._faults)

    def choose(self, record: "RecordedRequest") -> Fault | None:
        """Return the fault that strikes the request, or None."""
        return next((fault for fault in self._faults if fault.strikes(record)), None)
