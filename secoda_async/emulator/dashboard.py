"""The dashboard that the emulator serves at `/`: groups, requests, faults, stubs and settings."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import orjson
from aiohttp import web

from secoda_async.emulator.controls import CONTROLS, change_setting
from secoda_async.emulator.faults import Fault
from secoda_async.emulator.presets import PRESETS
from secoda_async.emulator.state import EmulatorState
from secoda_async.emulator.validators import is_address, is_loopback

if TYPE_CHECKING:
    from secoda_async.emulator.faults import RecordedRequest

_MAX_REQUESTS: Final = 200
"""Requests in one response; a browser tab that was suspended for longer misses some."""

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'"
)

_MAX_DIGITS: Final = 12


@attrs.define(eq=False)
class Dashboard:
    """The handlers of the dashboard. Its own requests are not part of the emulator's request log."""

    _emulator: EmulatorState
    _get_url: Callable[[], str]
    _is_local: bool
    """Whether the emulator listens on a loopback address."""
    _started_at: float = attrs.field(init=False)
    _added: list[tuple[str, Fault]] = attrs.field(init=False, factory=list[tuple[str, Fault]])

    def __attrs_post_init__(self) -> None:
        self._started_at = self._emulator.clock.now()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the dashboard."""
        return [
            web.get("/", self._get_page),
            web.get("/_emulator/state", self._get_state),
            web.post("/_emulator/faults", self._add_fault),
            web.delete("/_emulator/faults", self._clear_faults),
            web.post("/_emulator/stubs", self._add_stub),
            web.delete("/_emulator/stubs", self._clear_stubs),
            web.patch("/_emulator/settings", self._change_setting),
            web.post("/_emulator/reset", self._reset),
            web.route("*", "/_emulator/{rest:.*}", self._not_found),
            web.get("/favicon.ico", self._not_found),
        ]

    async def _get_page(self, request: web.Request) -> web.Response:
        self._check_origin(request)
        text = files("secoda_async.emulator").joinpath("dashboard.html").read_text("utf-8")
        presets = orjson.dumps([[preset.name, preset.title, preset.description] for preset in PRESETS]).decode()
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return web.Response(
            text=text.replace("of PRESETS)", f"of {presets})"), content_type="text/html", headers=headers
        )

    async def _not_found(self, request: web.Request) -> web.Response:
        """Refuse every other path that a browser may ask for."""
        self._check_origin(request)
        raise web.HTTPNotFound

    async def _get_state(self, request: web.Request) -> web.Response:
        """Return all that the page shows; of the requests only those after number `after`."""
        self._check_origin(request)
        text = request.query.get("after", "0")
        after = int(text) if text.isdecimal() and len(text) < _MAX_DIGITS else 0
        emulator = self._emulator
        return _json_response(
            {
                "url": self._get_url(),
                "key": emulator.api_key,
                "counts": {
                    "groups-count": len(emulator.groups),
                    "users-count": len(emulator.users),
                    "requests-count": len(emulator.requests),
                    "refused": emulator.refused,
                },
                "limit": emulator.limit_state(),
                "groups": [{"name": each["name"], "members": len(each["users"])} for each in emulator.groups.values()],
                "requests": [self._request_row(record) for record in emulator.requests[after:][-_MAX_REQUESTS:]],
                "faults": [self._fault_row(preset.name) for preset in PRESETS],
                "other_faults": len(emulator.faults) - len(self._added),
                "stubs": [{"call": f"{each.method} {each.path}", "used": each.used} for each in emulator.stubs],
                "settings": [control.describe(emulator) for control in CONTROLS],
            }
        )

    async def _add_fault(self, request: web.Request) -> web.Response:
        """Add the fault of a preset; once more if it was added before."""
        self._check_origin(request, changes=True)
        name = (await _read_fields(request)).get("name")
        preset = next((preset for preset in PRESETS if preset.name == name), None)
        if preset is None:
            raise web.HTTPBadRequest(text="unknown fault")
        self._added.append((preset.name, self._emulator.faults.add(**preset.arguments)))
        return _json_response(self._fault_row(preset.name))

    async def _clear_faults(self, request: web.Request) -> web.Response:
        """Remove all faults, including those that a program has added."""
        self._check_origin(request, changes=True)
        self._emulator.faults.clear()
        self._added.clear()
        return _json_response({})

    async def _add_stub(self, request: web.Request) -> web.Response:
        """Add a stub; its `body` is JSON as text, or empty for no body."""
        self._check_origin(request, changes=True)
        fields = await _read_fields(request)
        method, path, status, text = (fields.get(name) for name in ("method", "path", "status", "body"))
        if not (isinstance(method, str) and isinstance(path, str) and isinstance(text, str)):
            raise web.HTTPBadRequest(text="a stub needs method, path and body")
        if not isinstance(status, int):
            raise web.HTTPBadRequest(text="the status must be a whole number")
        try:
            body: object = orjson.loads(text) if text.strip() else None
            self._emulator.stubs.add(method, path, status=status, body=body)
        except orjson.JSONDecodeError:
            raise web.HTTPBadRequest(text="the body is not JSON") from None
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return _json_response({})

    async def _clear_stubs(self, request: web.Request) -> web.Response:
        self._check_origin(request, changes=True)
        self._emulator.stubs.clear()
        return _json_response({})

    async def _change_setting(self, request: web.Request) -> web.Response:
        self._check_origin(request, changes=True)
        fields = await _read_fields(request)
        try:
            change_setting(self._emulator, fields.get("name"), fields.get("value"))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return _json_response({})

    async def _reset(self, request: web.Request) -> web.Response:
        """Restore the workspace of the start."""
        self._check_origin(request, changes=True)
        self._emulator.reset()
        self._added.clear()
        return _json_response({})

    def _check_origin(self, request: web.Request, *, changes: bool = False) -> None:
        """Refuse requests of other web sites.

        A name of another site that resolves to this machine is recognized by the `Host` header; a cross-site form by
        the missing `X-Emulator` header, which only a script of the dashboard can set.
        """
        host = request.url.host or ""
        if not is_loopback(host) and (self._is_local or not is_address(host)):
            raise web.HTTPForbidden(text="open the dashboard at localhost or at an IP address")
        if changes and "X-Emulator" not in request.headers:
            raise web.HTTPForbidden(text="only the emulator's own dashboard may send this request")

    def _fault_row(self, name: str) -> Mapping[str, Any]:
        """Return how often the faults of a preset have been applied, and how often they will be."""
        faults = [fault for added, fault in self._added if added == name]
        left = sum((fault.times or 0) - fault.used for fault in faults)
        return {"name": name, "left": left, "used": sum(fault.used for fault in faults)}

    def _request_row(self, record: "RecordedRequest") -> Mapping[str, Any]:
        ended = record.answered_at
        return {
            "number": record.number,
            "at": record.at - self._started_at,
            "method": record.method,
            "target": record.target,
            "status": record.status,
            "ended": ended is not None or (record.fault is not None and record.fault.drop is not None),
            "ms": None if ended is None else round((ended - record.at) * 1000),
            "fault": record.fault is not None,
        }


async def _read_fields(request: web.Request) -> Mapping[str, object]:
    """Return the fields of a JSON object; none for other bodies."""
    try:
        body: object = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}
    return cast("Mapping[str, object]", body) if isinstance(body, dict) else {}


def _json_response(document: object) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(document), content_type="application/json", headers=headers)
