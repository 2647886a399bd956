"""Samples that several tests of the soak use."""

import json

from secoda_async.emulator import RecordedRequest
from tests.soak.emulated.expected_state import (
    Finding,
)
from tests.soak.emulated.faults import (
    START,
)

TEAM = {"name": "Team", "icon": "🧪", "description": None, "users": ["user-1"]}


def request_of(method: str, path: str, *, number: int = 0, **fields: object) -> RecordedRequest:
    path = f"/api/v1/auth/{path}"
    body = json.dumps(fields).encode() if fields else b""
    return RecordedRequest(
        number=number, method=method, path=path, query={}, headers={}, authorized=True, connection=1,
        at=START, target=path, body=body,
    )  # fmt: skip


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]
