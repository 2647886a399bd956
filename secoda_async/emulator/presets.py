"""The faults that have a button on the dashboard."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from secoda_async.emulator.state import MUTATIONS

if TYPE_CHECKING:
    from secoda_async.emulator.faults import RecordedRequest


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
    Preset(
        "late",
        "504, then executed",
        "Send a 504 for the next write, and execute it five seconds later.",
        {"status": 504, "execute_after": 5.0, "match": _is_mutation},
    ),
    Preset("dropped", "Drop a request", "Close the connection before the next request is read.", {"drop": "before"}),
    Preset("cut", "Cut a body", "Close the connection within the body of the next response.", {"cut": 10}),
    Preset("garbage", "Not HTTP", "Send bytes that are not HTTP for the next request.", {"raw": b"\x15\x03\x01"}),
)
