"""The paths of the API, and the view for each method."""

import re
from collections.abc import Callable, Mapping

import attrs

from secoda_async.emulator.responses import Response
from secoda_async.emulator.views import RequestContext, Views

View = Callable[[Views, RequestContext], Response]


@attrs.frozen
class Route:
    """A path with its views by method, in the order of the `Allow` header."""

    pattern: re.Pattern[str]
    views: Mapping[str, View]
    is_public: bool = False
    """Neither the key nor the write limit nor the `Accept` header is checked."""
    name: str = ""
    """The name of the view in the response to OPTIONS."""

    @property
    def allow(self) -> str:
        """The methods, for the `Allow` header."""
        return ", ".join((*self.views, "OPTIONS"))


def _views(read: View, **writes: View) -> Mapping[str, View]:
    return {"GET": read, **writes, "HEAD": read}


ROUTES = (
    Route(re.compile(r"/healthcheck/?"), _views(Views.health), is_public=True, name="Health"),
    Route(re.compile(r"/api/v1/auth/group/?"), _views(Views.list_groups, POST=Views.create_group), name="Group List"),
    Route(
        re.compile(r"/api/v1/auth/group/[^/]+/?"),
        _views(Views.get_group, PATCH=Views.update_group, DELETE=Views.delete_group),
        name="Group Instance",
    ),
    Route(re.compile(r"/api/v1/user/?"), _views(Views.list_users), name="User List"),
    Route(re.compile(r"/api/v1/user/[^/]+/?"), _views(Views.get_user), name="User Instance"),
)


def find_route(path: str) -> Route | None:
    """Return the route of a path, or None for an unknown path."""
    return next((route for route in ROUTES if route.pattern.fullmatch(path)), None)
