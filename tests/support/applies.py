"""A desired state for the small workspace of `tests/reconcile/conftest.py`, and conditions on its requests."""

import asyncio
from collections.abc import Callable

from secoda_async import DesiredGroup, DesiredState, Plan, SecodaClient
from secoda_async.emulator import Emulator, RecordedRequest


def desired_state(*groups: DesiredGroup) -> DesiredState:
    return DesiredState.from_groups(groups)


DESIRED = desired_state(
    DesiredGroup(name="a", description="changed", members=("ana@example.com", "eve@example.com")),
    DesiredGroup(name="b"),
    DesiredGroup(name="d", icon="i", members=("joe@example.com",)),
)


async def make_plan(secoda: SecodaClient, desired: DesiredState = DESIRED) -> Plan:
    return await secoda.plan(desired, prune=True)


def mutations(emulator: Emulator) -> list[tuple[str, str | None]]:
    """Return the method and the group of each executed mutation, in order."""
    return [(record.method, record.group_id) for record in emulator.requests if record.applied]


def has_target(target: str) -> Callable[[RecordedRequest], bool]:
    return lambda record: record.target == target


def set_when_sent(stop: asyncio.Event) -> Callable[[RecordedRequest], bool]:
    """Return a condition that matches each request, and sets `stop`."""

    def match(_: RecordedRequest) -> bool:
        stop.set()
        return True

    return match
