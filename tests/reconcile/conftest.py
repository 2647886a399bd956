"""A small workspace for plans and applies."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from secoda_async import AutojumpClock
from secoda_async.emulator import Emulator

TIMES = {"created_at": "2024-01-02T03:04:05.000006Z", "updated_at": "2024-02-03T04:05:06.000007Z"}


@pytest.fixture
async def emulator(clock: AutojumpClock) -> AsyncIterator[Emulator]:
    """A workspace of three groups and four users."""
    users = [{"id": f"u-{name}", "email": f"{name}@example.com"} for name in ("ana", "ben", "eve", "joe")]
    async with Emulator(users=users, clock=clock, page_size=2) as emulator:
        for name, members in (("a", ["u-ana"]), ("b", ["u-ana", "u-ben"]), ("c", [])):
            fields: dict[str, Any] = {"name": name, "icon": None, "description": None, "users": members}
            emulator.groups[name] = {"id": name, "workspace_id": "w", "snowflake_role": None} | fields | TIMES
        yield emulator
