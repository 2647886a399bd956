"""Stubs: fixed responses to calls that the emulator does not model."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from secoda_async.emulator.faults import STATUSES, Pairs, RecordedRequest, as_pairs, check_body, has_line_breaks
from secoda_async.emulator.responses import Response, encode_body
from secoda_async.emulator.routes import Route, find_route
from secoda_async.emulator.views import RequestContext, Views

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PARAMETER = re.compile(r"\{[^{}/]+\}")


def _upper(method: str) -> str:
    return method.upper()


@attrs.define(eq=False, kw_only=True)
class Stub:
    """A stub that `Stubs.add` returned. The fields are the arguments of `add`; `used` counts the requests."""

    method: str = attrs.field(converter=_upper)
    path: str
    status: int = 200
    body: Any = None
    headers: Pairs = attrs.field(default=None, converter=as_pairs)
    used: int = attrs.field(init=False, default=0)
    """The number of requests that got this response."""
    route: Route = attrs.field(init=False, repr=False)
    """The stub as a route, so that the key and the write limit are checked as for every other call."""

    def __attrs_post_init__(self) -> None:
        self.path = self.path.rstrip("/")
        self._check()
        views = {"GET": self._view, "HEAD": self._view} if self.method == "GET" else {self.method: self._view}
        pattern = "[^/]+".join(map(re.escape, PARAMETER.split(self.path)))
        self.route = Route(re.compile(f"{pattern}/?"), views, name=f"{self.method} {self.path}")

    def _check(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if not self.path.startswith("/") or set(self.path) & set("?# "):
            raise ValueError(f"path must be an absolute path, such as /api/v1/tag/{{id}}, not {self.path!r}")
        modelled = find_route(self.path)
        if modelled is not None and self.method in modelled.views:
            raise ValueError(f"{self.method} {self.path} is a call that the emulator models: use a fault to change it")
        if self.status not in STATUSES:
            raise ValueError(f"status must be from 200 to 599, not {self.status}")
        if has_line_breaks(self.headers):
            raise ValueError("headers can't contain line breaks")
        if not callable(self.body):
            check_body(self.body)

    def _view(self, _views: Views, request: RequestContext) -> Response:
        self.used += 1
        body: object = self.body(request.record) if callable(self.body) else self.body
        if body is None:
            return Response(self.status).with_headers(*self.headers)
        content_type, encoded = encode_body(body)
        return Response(self.status, encoded, (("Content-Type", content_type),)).with_headers(*self.headers)


@attrs.define(eq=False)
class Stubs:
    """The stubs of an emulator. The first stub in order of adding that matches a request responds to it."""

    _stubs: list[Stub] = attrs.field(init=False, factory=list[Stub])

    def add(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        body: Callable[[RecordedRequest], object] | object = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> Stub:
        """Respond to a call that the emulator does not model. A stub of the same method and path is replaced.

        The key and the write limit are checked first, as for the calls that are modelled.

        Args:
            method: GET (with HEAD), POST, PUT, PATCH or DELETE.
            path: The path, such as `/api/v1/tag/{id}`; a name in braces stands for any segment.
            status: The status of the response.
            body: The body: bytes (sent as JSON), a str (HTML if it begins with "<", otherwise plain text), any JSON
                value (None: no body), or a function of the recorded request that returns one of these.
            headers: More headers: a mapping, or pairs if a name is repeated.

        Returns:
            The stub; its `used` counts the requests.

        Raises:
            ValueError: An argument is out of range, or the emulator models the call.
        """
        stub = Stub(method=method, path=path, status=status, body=body, headers=headers)
        self._stubs[:] = [each for each in self._stubs if (each.method, each.path) != (stub.method, stub.path)]
        self._stubs.append(stub)
        return stub

    def clear(self) -> None:
        """Remove all stubs."""
        self._stubs.clear()

    def __len__(self) -> int:
        return len(self._stubs)

    def __iter__(self) -> Iterator[Stub]:
        return iter(self._stubs)

    def find_route(self, path: str, method: str) -> Route | None:
        """Return the route of a call; for a method that the path lacks, one of the path's routes, if it has any."""
        modelled = find_route(path)
        routes = [] if modelled is None else [modelled]
        routes += [stub.route for stub in self._stubs if stub.route.pattern.fullmatch(path)]
        return next((route for route in routes if method in route.views), routes[0] if routes else None)
