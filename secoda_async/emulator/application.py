"""From a recorded request to an answer: routes, the key, the limit, and the calls themselves.

Follows what a Django REST Framework application was seen to answer (FACTS.md), in the same order of checks.
"""

import hmac
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import attrs

from secoda_async.emulator.pagination import PageNotFoundError, PageStyle, paginate
from secoda_async.emulator.responses import (
    JSON_TYPE,
    Response,
    detail_response,
    html_response,
    json_response,
)
from secoda_async.emulator.settings import Settings
from secoda_async.emulator.store import Store
from secoda_async.emulator.throttle import Throttle
from secoda_async.emulator.validation import ValidationError, parse_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from secoda_async.emulator.request_log import RecordedRequest

THROTTLED = frozenset({"POST", "PUT", "PATCH"})
NOT_FOUND = detail_response(404, "Not found.")
LOCAL_OFFSET = timedelta(hours=5)


@attrs.frozen
class Route:
    """A known path, and what it can be asked."""

    pattern: re.Pattern[str]
    kind: str
    methods: tuple[str, ...]


ROUTES = (
    Route(re.compile(r"/healthcheck/?"), "health", ("GET", "HEAD")),
    Route(re.compile(r"/api/v1/auth/group/?"), "groups", ("GET", "HEAD", "POST")),
    Route(re.compile(r"/api/v1/auth/group/([^/]+)/?"), "group", ("GET", "HEAD", "PATCH", "DELETE")),
    Route(re.compile(r"/api/v1/user/?"), "users", ("GET", "HEAD")),
    Route(re.compile(r"/api/v1/user/([^/]+)/?"), "user", ("GET", "HEAD")),
)


@attrs.frozen(kw_only=True)
class RequestContext:
    """What a request carries besides its record."""

    has_credentials: bool
    content_type: str
    origin: str
    """The emulator's own origin, for links."""


@attrs.define(eq=False)
class Application:
    """The API, without a server around it."""

    switches: Settings
    store: Store
    throttle: Throttle = attrs.field(init=False, factory=Throttle)

    def admits(self, authorization: str | None) -> bool:
        """Tell whether an `Authorization` header carries the key, in a time that does not tell how nearly."""
        scheme, _, key = (authorization or "").partition(" ")
        given = key.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self.switches.api_key.encode())

    def carry_out(self, record: "RecordedRequest", sent: RequestContext, *, now: float) -> Response:
        """Do what the request asks for, and return the answer.

        Args:
            record: The request; what it changed is noted there.
            sent: What else it carries.
            now: The time in seconds of the emulator's clock.
        """
        accepted = self.accept(record, sent, now=now)
        return accepted if isinstance(accepted, Response) else self.call(accepted, record, sent)

    def accept(self, record: "RecordedRequest", sent: RequestContext, *, now: float) -> Route | Response:
        """Count a request and return its route, or the answer that refuses it."""
        route = next((route for route in ROUTES if route.pattern.fullmatch(record.path)), None)
        if route is None:
            return html_response(404)
        if self.switches.trailing_slash and not record.path.endswith("/"):
            # The framework appends the slash before any view, and so before the key is looked at.
            return Response(301, headers=(("Location", _with_slash(record.target)),))
        return self._refusal(route, record, sent, now) or route

    def call(self, route: Route, record: "RecordedRequest", sent: RequestContext) -> Response:
        """Carry out a request that was accepted, and return the answer."""
        try:
            return self._call(route.kind, record, sent)
        except ValidationError as error:
            return json_response(400, error.payload)
        except PageNotFoundError as error:
            return detail_response(404, error.detail)

    def _refusal(self, route: Route, record: "RecordedRequest", sent: RequestContext, now: float) -> Response | None:
        """Return the 401, 429 or 405 that the request gets before it is looked at any further."""
        if route.kind != "health" and not record.authorized:
            detail = "Invalid token." if sent.has_credentials else "Authentication credentials were not provided."
            return detail_response(401, detail, ("WWW-Authenticate", "Bearer"))
        if route.kind != "health" and record.method in THROTTLED:
            switches = self.switches
            wait = self.throttle.admit(now, limit=switches.writes_per_window, window=switches.window)
            if wait is not None:
                seconds = f"{wait} second{'' if wait == 1 else 's'}"
                detail = f"Request was throttled. Expected available in {seconds}."
                return detail_response(429, detail, ("Retry-After", str(wait)))
        if record.method not in route.methods:
            allow = ("Allow", ", ".join(route.methods))
            return detail_response(405, f'Method "{record.method}" not allowed.', allow)
        return None

    def _call(self, kind: str, record: "RecordedRequest", sent: RequestContext) -> Response:
        """Carry out a request that was let in, with a method that its path knows."""
        subject = unquote(record.path.rstrip("/").rpartition("/")[2])
        switches = self.switches
        if kind == "health":
            return json_response(200, {"status": "OK"})
        if kind == "users":
            users = self.store.user_objects(literals=switches.docs_literals)
            return self._list(users, record, sent)
        if kind == "user":
            users = self.store.user_objects(literals=switches.docs_literals)
            user = next((user for user in users if user["id"] == subject), None)
            return NOT_FOUND if user is None else json_response(200, user)
        if record.method not in {"GET", "HEAD"}:
            return self._write(subject, record, sent)
        if kind == "groups":
            groups = self.store.visible_groups(after=switches.visible_after, lag=switches.lists_lag)
            return self._list([self._shown(group) for group in groups], record, sent)
        group = self.store.visible_group(subject, after=switches.visible_after, lag=switches.reads_lag)
        return NOT_FOUND if group is None else json_response(200, self._shown(group))

    def _write(self, group_id: str, record: "RecordedRequest", sent: RequestContext) -> Response:
        """Create, change or delete a group, and note it in the record."""
        creates = record.method == "POST"
        if not creates and group_id not in self.store.groups:
            return NOT_FOUND
        if record.method == "DELETE":
            self.store.delete(group_id)
            record.applied, record.group_id = True, group_id
            return Response(204)
        if record.body and sent.content_type != JSON_TYPE:
            return detail_response(415, f'Unsupported media type "{sent.content_type}" in request.')
        payload = parse_body(record.body)
        collapse = self.switches.collapse_names
        if creates:
            group = self.store.create(payload, collapse=collapse)
        else:
            group = self.store.update(group_id, payload, collapse=collapse)
        record.applied, record.group_id = True, group["id"]
        return json_response(201 if creates else 200, self._shown(group))

    def _shown(self, group: "Mapping[str, Any]") -> "Mapping[str, Any]":
        """Return the group as answers show it."""
        switches = self.switches
        if switches.hide_pending:
            users = self.store.users
            members = [user_id for user_id in group["users"] if not users.get(user_id, {}).get("pending")]
            group = {**group, "users": members}
        if switches.created_at_shown == "absent":
            group = {name: value for name, value in group.items() if name != "created_at"}
        elif switches.created_at_shown == "null":
            group = {**group, "created_at": None}
        elif switches.created_at_shown == "local":
            local = datetime.fromisoformat(group["created_at"]).replace(tzinfo=None) - LOCAL_OFFSET
            group = {**group, "created_at": local.isoformat()}
        return group

    def _list(self, items: "Sequence[object]", record: "RecordedRequest", sent: RequestContext) -> Response:
        """Response with a page of a list."""
        style = PageStyle(
            size=self.switches.page_size,
            url=(self.switches.link_origin or sent.origin) + record.path,
            cursor=self.switches.cursor_lists,
            literals=self.switches.docs_literals,
            next_link=self.switches.next_link,
        )
        return json_response(200, paginate(items, record.query, style))


def _with_slash(target: str) -> str:
    """Return the path with a slash at its end, and its query."""
    path, mark, query = target.partition("?")
    return f"{path}/{mark}{query}"
