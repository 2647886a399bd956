"""The API without a server: route, trailing slash, key, write limit and method are checked in this order."""

import hmac
from collections.abc import Callable
from urllib.parse import unquote

import attrs

from secoda_async.emulator.clock import Clock
from secoda_async.emulator.exceptions import ApiError
from secoda_async.emulator.parsers import PARSED_TYPES
from secoda_async.emulator.responses import JSON_TYPE, Response, detail_response, html_response, json_response
from secoda_async.emulator.routes import Route
from secoda_async.emulator.settings import Settings
from secoda_async.emulator.store import Store
from secoda_async.emulator.stubs import Stubs
from secoda_async.emulator.throttle import Throttle
from secoda_async.emulator.views import RequestContext, Views

THROTTLED = frozenset({"POST", "PUT", "PATCH"})


@attrs.define(eq=False)
class Application:
    """The API of one workspace."""

    _settings: Settings
    store: Store
    _clock: Clock
    _stubs: Stubs
    _on_change: Callable[[], object]
    """Called after each request that has changed the store, before its response is sent."""
    throttle: Throttle = attrs.field(init=False, factory=Throttle)
    _views: Views = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._views = Views(self._settings, self.store)

    def is_authorized(self, authorization: str | None) -> bool:
        """Return whether an `Authorization` header carries the key, compared in constant time."""
        scheme, _, key = (authorization or "").partition(" ")
        given = key.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._settings.api_key.encode())

    def respond(self, request: RequestContext) -> Response:
        """Execute a request, note in its record what it changed, and return the response."""
        accepted = self.accept(request)
        return accepted if isinstance(accepted, Response) else self.execute(accepted, request)

    def accept(self, request: RequestContext) -> Route | Response:
        """Count a request; return its route, or the response that refuses it."""
        record = request.record
        route = self._stubs.find_route(unquote(record.path), record.method)
        if route is None:
            return html_response(404)
        if self._settings.trailing_slash and not record.path.endswith("/"):
            # The framework appends the slash in a middleware, before any view checks the key.
            return Response(301, headers=(("Location", _with_slash(record.target)),))
        return self._refusal(route, request) or route

    def execute(self, route: Route, request: RequestContext) -> Response:
        """Call the view of a request that was accepted."""
        try:
            response = route.views[request.record.method](self._views, request)
        except ApiError as error:
            return json_response(error.status, error.payload)
        if request.record.applied:
            self._on_change()
        return response

    def _refusal(self, route: Route, request: RequestContext) -> Response | None:
        """Return the 406, 401, 429 or 405 of a request, or the response to OPTIONS; None if it may be executed."""
        refusal = None if route.is_public else self._access_refusal(request)
        if refusal is not None:
            return refusal
        method = request.record.method
        if method == "OPTIONS":
            return json_response(200, _description(route), ("Allow", route.allow))
        if method not in route.views:
            return detail_response(405, f'Method "{method}" not allowed.', ("Allow", route.allow))
        return None

    def _access_refusal(self, request: RequestContext) -> Response | None:
        """Return the 406, 401 or 429 of a request; None if it has none of them."""
        if not accepts_json(request.accept):
            return detail_response(406, "Could not satisfy the request Accept header.")
        if not request.record.authorized:
            detail = "Invalid token." if request.has_credentials else "Authentication credentials were not provided."
            return detail_response(401, detail, ("WWW-Authenticate", "Bearer"))
        return self._throttle() if request.record.method in THROTTLED else None

    def _throttle(self) -> Response | None:
        """Count a write, and return the 429 if the window is full."""
        settings = self._settings
        wait = self.throttle.admit(self._clock.now(), limit=settings.writes_per_window, window=settings.window)
        if wait is None:
            return None
        seconds = f"{wait} second{'' if wait == 1 else 's'}"
        detail = f"Request was throttled. Expected available in {seconds}."
        return detail_response(429, detail, ("Retry-After", str(wait)))


def accepts_json(accept: str | None) -> bool:
    """Return whether an `Accept` header admits JSON; as in the framework, `q` is ignored."""
    if accept is None:
        return True
    types = (each.partition(";")[0].strip().lower().partition("/") for each in accept.split(","))
    return any(main in {"*", "application"} and sub in {"*", "json"} for main, _, sub in types)


def _description(route: Route) -> dict[str, object]:
    """Return the body of the response to OPTIONS, without the fields of the serializer."""
    return {"name": route.name, "description": "", "renders": [JSON_TYPE], "parses": PARSED_TYPES}


def _with_slash(target: str) -> str:
    path, mark, query = target.partition("?")
    return f"{path}/{mark}{query}"
