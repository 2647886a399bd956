"""The page that `secoda-async emulator` serves at `/`: what is there, what comes in, and switches for faults."""

from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import attrs
import orjson
from aiohttp import web

from secoda_async.emulator.faults import Fault
from secoda_async.emulator.settings import is_loopback

if TYPE_CHECKING:
    from secoda_async.emulator.request_log import RecordedRequest
    from secoda_async.emulator.server import Emulator

_MOST: Final = 200
"""Requests in one answer: a page that was away for longer misses some."""

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'"
)

_MOST_DIGITS: Final = 12

_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@attrs.frozen
class Preset:
    """A fault that can be switched on."""

    name: str
    title: str
    about: str
    fault: Mapping[str, Any]


def _is_write(record: "RecordedRequest") -> bool:
    return record.method in _WRITES


PRESETS: Final = (
    Preset("lost", "Lose an answer", "carry the next write out, and hang up", {"drop": "after", "match": _is_write}),
    Preset("unavailable", "503", "for the next five requests", {"status": 503, "times": 5}),
    Preset(
        "limited",
        "429",
        "for the next write, with Retry-After: 5",
        {"status": 429, "headers": {"Retry-After": "5"}, "match": _is_write},
    ),
    Preset(
        "gateway",
        "502 as HTML",
        "for the next three requests, as a proxy answers",
        {"status": 502, "body": "<html><h1>Bad Gateway</h1></html>", "times": 3},
    ),
    Preset("slow", "Slow", "two seconds before each of the next twenty requests", {"delay": 2.0, "times": 20}),
    Preset("hung", "Hang", "never answer the next request", {"stall": "before"}),
)


@attrs.define(eq=False)
class Dashboard:
    """Answers what the page asks for. None of it is in the emulator's log."""

    emulator: "Emulator"
    _began: float = attrs.field(init=False)
    _added: list[tuple[str, Fault]] = attrs.field(init=False, factory=list[tuple[str, Fault]])

    def __attrs_post_init__(self) -> None:
        self._began = self.emulator.clock.now()

    def routes(self) -> list[web.RouteDef]:
        """What is served, and by which method."""
        return [
            web.get("/", self.show),
            web.get("/_emulator/state", self.state),
            web.post("/_emulator/faults", self.add),
            web.delete("/_emulator/faults", self.clear),
            web.route("*", "/_emulator/{rest:.*}", self.nothing),
            web.get("/favicon.ico", self.nothing),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        _check(request)
        text = files("secoda_async.emulator").joinpath("dashboard.html").read_text("utf-8")
        presets = orjson.dumps([[preset.name, preset.title, preset.about] for preset in PRESETS]).decode()
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return web.Response(
            text=text.replace("of FAULTS)", f"of {presets})"), content_type="text/html", headers=headers
        )

    async def nothing(self, request: web.Request) -> web.Response:
        """What a browser asks for beside the page, and is not there."""
        _check(request)
        raise web.HTTPNotFound

    async def state(self, request: web.Request) -> web.Response:
        """All that the page shows; requests only from `after` on."""
        _check(request)
        after = request.query.get("after", "0")
        emulator = self.emulator
        groups = emulator.groups.values()
        requests = emulator.requests[int(after) if after.isdecimal() and len(after) < _MOST_DIGITS else 0 :][-_MOST:]
        return _json(
            {
                "url": emulator.url,
                "key": emulator.api_key,
                "numbers": {
                    "groups-count": len(emulator.groups),
                    "users-count": len(emulator.users),
                    "requests-count": len(emulator.requests),
                    "refused": emulator.refused,
                },
                "limit": emulator.limit_state(),
                "groups": [{"name": group["name"], "members": len(group["users"])} for group in groups],
                "requests": [self._shown(record) for record in requests],
                "faults": [self._switch(preset.name) for preset in PRESETS],
            }
        )

    async def add(self, request: web.Request) -> web.Response:
        """Switch a fault on, once more if it is on."""
        _check(request, changes=True)
        try:
            name: object = orjson.loads(await request.read())["name"]
            preset = next(preset for preset in PRESETS if preset.name == name)
        except (orjson.JSONDecodeError, KeyError, TypeError, StopIteration):
            raise web.HTTPBadRequest(text="there is no such fault") from None
        self._added.append((preset.name, self.emulator.faults.add(**preset.fault)))
        return _json(self._switch(preset.name))

    async def clear(self, request: web.Request) -> web.Response:
        """Switch all faults off, those that a program has added too."""
        _check(request, changes=True)
        self.emulator.faults.clear()
        self._added.clear()
        return _json({})

    def _switch(self, name: str) -> Mapping[str, Any]:
        faults = [fault for added, fault in self._added if added == name]
        left = sum((fault.times or 0) - fault.used for fault in faults)
        return {"name": name, "left": left, "used": sum(fault.used for fault in faults)}

    def _shown(self, record: "RecordedRequest") -> Mapping[str, Any]:
        ended = record.answered_at
        return {
            "number": record.number,
            "at": record.at - self._began,
            "method": record.method,
            "target": record.target,
            "status": record.status,
            "ended": ended is not None or (record.fault is not None and record.fault.drop is not None),
            "ms": None if ended is None else round((ended - record.at) * 1000),
            "fault": record.fault is not None,
        }


def _check(request: web.Request, *, changes: bool = False) -> None:
    """Refuse what another site's page sends: by a name that leads here, or without a header only our page can set."""
    if not is_loopback(request.url.host or "") or (changes and "X-Emulator" not in request.headers):
        raise web.HTTPForbidden(text="only for the page of this emulator")


def _json(document: object) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(document), content_type="application/json", headers=headers)
