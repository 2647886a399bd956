"""The API calls. Each view takes a request that was accepted and returns a response, or raises an `ApiError`.

The views follow the observed responses of a Django REST Framework application (docs/api-facts.md).
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import attrs

from secoda_async.emulator.exceptions import NotFoundError
from secoda_async.emulator.pagination import PageStyle, paginate
from secoda_async.emulator.parsers import parse_body
from secoda_async.emulator.responses import Response, json_response
from secoda_async.emulator.settings import Settings
from secoda_async.emulator.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from secoda_async.emulator.faults import RecordedRequest

LOCAL_OFFSET = timedelta(hours=5)


@attrs.frozen(kw_only=True)
class RequestContext:
    """A request: its entry in the log, and what the log does not keep."""

    record: "RecordedRequest"
    has_credentials: bool
    accept: str | None
    """The `Accept` header; None: the request has none."""
    content_type: str | None
    """The `Content-Type` header; None: the request has none."""
    origin: str
    """The origin that the client has used, for links."""

    @property
    def object_id(self) -> str:
        """The last segment of the decoded path: the id of a group or user."""
        return unquote(self.record.path).rstrip("/").rpartition("/")[2]

    def payload(self) -> object:
        """Return the parsed body.

        Raises:
            UnsupportedMediaTypeError: The body is not labelled as JSON or as a form.
            ValidationError: The body can't be parsed.
        """
        return parse_body(self.record.body, self.content_type)

    def mark_applied(self, group_id: str) -> None:
        """Note in the log that the request changed this group."""
        self.record.applied, self.record.group_id = True, group_id


@attrs.define(eq=False)
class Views:
    """One method for each call of the API."""

    _settings: Settings
    _store: Store

    def health(self, _request: RequestContext) -> Response:
        """Return the health check."""
        return json_response(200, {"status": "OK"})

    def list_users(self, request: RequestContext) -> Response:
        """Return a page of the users."""
        return json_response(200, self._page(self._users(), request))

    def get_user(self, request: RequestContext) -> Response:
        """Return one user."""
        user = next((user for user in self._users() if user["id"] == request.object_id), None)
        return json_response(200, _found(user))

    def list_groups(self, request: RequestContext) -> Response:
        """Return a page of the groups."""
        settings = self._settings
        groups = self._store.visible_groups(after=settings.visible_after, lag=settings.lists_lag)
        page = self._page(groups, request)
        return json_response(200, page | {"results": [self._group_object(group) for group in page["results"]]})

    def get_group(self, request: RequestContext) -> Response:
        """Return one group."""
        settings = self._settings
        group = self._store.visible_group(request.object_id, after=settings.visible_after, lag=settings.reads_lag)
        return json_response(200, self._group_object(_found(group)))

    def create_group(self, request: RequestContext) -> Response:
        """Create a group."""
        group = self._store.create(request.payload(), collapse=self._settings.collapse_names)
        request.mark_applied(group["id"])
        return json_response(201, self._group_object(group))

    def update_group(self, request: RequestContext) -> Response:
        """Change a group."""
        group_id = self._existing_id(request)
        group = self._store.update(group_id, request.payload(), collapse=self._settings.collapse_names)
        request.mark_applied(group_id)
        return json_response(200, self._group_object(group))

    def delete_group(self, request: RequestContext) -> Response:
        """Delete a group."""
        group_id = self._existing_id(request)
        self._store.delete(group_id)
        request.mark_applied(group_id)
        return Response(204)

    def _existing_id(self, request: RequestContext) -> str:
        """Return the id of the requested group; writes see groups that reads do not show yet."""
        _found(self._store.groups.get(request.object_id))
        return request.object_id

    def _users(self) -> list[dict[str, Any]]:
        return self._store.user_objects(literals=self._settings.docs_literals)

    def _group_object(self, group: "Mapping[str, Any]") -> "Mapping[str, Any]":
        settings = self._settings
        if settings.hide_pending:
            users = self._store.users
            members = [user_id for user_id in group["users"] if not users.get(user_id, {}).get("pending")]
            group = {**group, "users": members}
        if settings.created_at_shown == "absent":
            group = {name: value for name, value in group.items() if name != "created_at"}
        elif settings.created_at_shown == "null":
            group = {**group, "created_at": None}
        elif settings.created_at_shown == "local":
            local = datetime.fromisoformat(group["created_at"]).replace(tzinfo=None) - LOCAL_OFFSET
            group = {**group, "created_at": local.isoformat()}
        return group

    def _page(self, items: "Sequence[object]", request: RequestContext) -> dict[str, Any]:
        style = PageStyle(
            size=self._settings.page_size,
            url=(self._settings.link_origin or request.origin) + request.record.path,
            cursor=self._settings.cursor_lists,
            literals=self._settings.docs_literals,
            next_link=self._settings.next_link,
        )
        return paginate(items, request.record.query, style)


def _found(item: dict[str, Any] | None) -> dict[str, Any]:
    """Return the group or user.

    Raises:
        NotFoundError: There is none.
    """
    if item is None:
        raise NotFoundError({"detail": "Not found."})
    return item
