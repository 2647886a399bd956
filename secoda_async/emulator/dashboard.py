"""The dashboard that the emulator serves at `/`: groups, requests and buttons that add faults."""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import attrs
import orjson
from aiohttp import web

from secoda_async.emulator.faults import Fault
from secoda_async.emulator.state import MUTATIONS, EmulatorState
from secoda_async.emulator.validators import is_loopback

if TYPE_CHECKING:
    from secoda_async.emulator.faults import RecordedRequest

_MAX_REQUESTS: Final = 200
"""Requests in one response; a browser tab that was suspended for longer misses some."""

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'"
)

_MAX_DIGITS: Final = 12


@attrs.frozen
class Preset:
    """A fault with a button."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, Any]
    """The arguments of `Faults.add`."""


def _is_mutation(record: "RecordedRequest") -> bool:
    return record.method in MUTATIONS


PRESETS: Final = (
    Preset(
        "lost",
        "Lose a response",
        "Execute the next write, then close the connection.",
        {"drop": "after", "match": _is_mutation},
    ),
    Preset("unavailable", "503 Service Unavailable", "Fail the next five requests.", {"status": 503, "times": 5}),
    Preset(
        "limited",
        "429 Too Many Requests",
        "Refuse the next write, with Retry-After: 5.",
        {"status": 429, "headers": {"Retry-After": "5"}, "match": _is_mutation},
    ),
    Preset(
        "gateway",
        "502 Bad Gateway",
        "Fail the next three requests with an HTML page, as a proxy does.",
        {"status": 502, "body": "<html><h1>Bad Gateway</h1></html>", "times": 3},
    ),
    Preset("slow", "Slow responses", "Delay the next twenty requests by two seconds.", {"delay": 2.0, "times": 20}),
    Preset("hung", "No response", "Never respond to the next request.", {"stall": "before"}),
)


@attrs.define(eq=False)
class Dashboard:
    """The handlers of the dashboard. Its own requests are not part of the emulator's request log."""

    _emulator: EmulatorState
    _get_url: Callable[[], str]
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
            web.route("*", "/_emulator/{rest:.*}", self._not_found),
            web.get("/favicon.ico", self._not_found),
        ]

    async def _get_page(self, request: web.Request) -> web.Response:
        _check_origin(request)
        text = files("secoda_async.emulator").joinpath("dashboard.html").read_text("utf-8")
        presets = orjson.dumps([[preset.name, preset.title, preset.description] for preset in PRESETS]).decode()
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return web.Response(
            text=text.replace("of PRESETS)", f"of {presets})"), content_type="text/html", headers=headers
        )

    async def _not_found(self, request: web.Request) -> web.Response:
        """Refuse every other path that a browser may ask for."""
        _check_origin(request)
        raise web.HTTPNotFound

    async def _get_state(self, request: web.Request) -> web.Response:
        """Return all that the page shows; of the requests only those after number `after`."""
        _check_origin(request)
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
            }
        )

    async def _add_fault(self, request: web.Request) -> web.Response:
        """Add the fault of a preset; once more if it was added before."""
        _check_origin(request, changes=True)
        try:
            name: object = orjson.loads(await request.read())["name"]
            preset = next(preset for preset in PRESETS if preset.name == name)
        except (orjson.JSONDecodeError, KeyError, TypeError, StopIteration):
            raise web.HTTPBadRequest(text="unknown fault") from None
        self._added.append((preset.name, self._emulator.faults.add(**preset.arguments)))
        return _json_response(self._fault_row(preset.name))

    async def _clear_faults(self, request: web.Request) -> web.Response:
        """Remove all faults, including those that a program has added."""
        _check_origin(request, changes=True)
        self._emulator.faults.clear()
        self._added.clear()
        return _json_response({})

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


def _check_origin(request: web.Request, *, changes: bool = False) -> None:
    """Refuse requests of other web sites.

    A name of another site that resolves to this machine is recognized by the `Host` header; a cross-site form by the
    missing `X-Emulator` header, which only a script of the dashboard can set.
    """
    if not is_loopback(request.url.host or "") or (changes and "X-Emulator" not in request.headers):
        raise web.HTTPForbidden(text="only the emulator's own dashboard may send this request")


def _json_response(document: object) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(document), content_type="application/json", headers=headers)
