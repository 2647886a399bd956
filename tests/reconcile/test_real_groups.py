"""The teams of a large project at two dates, in an emulated workspace: the fewest writes, whatever goes wrong.

Where they are not at hand, the sample that comes with the demo stands in for them.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from secoda_async import AutojumpClock, DesiredState, Plan, RetryPolicy, SecodaClient
from secoda_async.cli.seed_files import SeedFiles
from secoda_async.emulator import Emulator, RecordedRequest

HERE: Final = Path(__file__).parents[2]
REAL: Final = HERE.parent / "shared" / "data" / "kubernetes-teams"
SAMPLES: Final = HERE / "secoda_async" / "cli" / "commands"

SPEED: Final = 1000.0
"""Of the clock, where a process is killed: a minute lasts 60 ms."""

KILLS: Final = 10
"""For each of the two dates."""

READS: Final = 30 if REAL.is_dir() else 5
"""About as many requests does a run take before its first write."""

FAULT_RATE: Final = 0.1

PATIENT: Final = RetryPolicy(attempts=10)
"""Five attempts all fail for one read in 100,000, and thousands of reads are made here."""

FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"drop": "before"},
    {"drop": "after"},
    {"drop": "after"},  # the lost answer: the one that makes groups exist twice
    {"status": 500},
    {"status": 502, "body": "<html>Bad Gateway</html>", "carry_out": True},
    {"status": 503},
    {"status": 504, "carry_out": True},
    {"status": 429, "headers": {"Retry-After": "7"}},
    {"stall": "before"},
    {"stall": "after"},
    {"cut": 7},
)


@frozen
class Date:
    """The groups as they should be, and what it takes to get there from the date before."""

    file: Path
    writes: Mapping[str, int]

    def state(self, users: Mapping[str, str]) -> Mapping[str, object]:
        """Each group by its name, as the emulator should hold it: icon, description, members."""
        return {
            group.name: (group.icon or None, group.description or None, {users[one] for one in group.members or ()})
            for group in DesiredState.load(self.file).groups
        }


DATES: Final = (
    (
        Date(REAL / "2026-05-01.yaml", {"POST": 760}),
        Date(REAL / "2026-08-01.yaml", {"POST": 11, "PATCH": 57, "DELETE": 5}),
    )
    if REAL.is_dir()
    else (
        Date(SAMPLES / "sample.yaml", {"POST": 61}),
        Date(SAMPLES / "sample-next.yaml", {"POST": 2, "PATCH": 9, "DELETE": 1}),
    )
)


def people() -> list[dict[str, Any]]:
    """Return every user that one of the files names."""
    if REAL.is_dir():
        found: list[dict[str, Any]] = json.loads((REAL / "users.json").read_text("utf-8"))
        return found
    return [dict(user) for user in SeedFiles.read(date.file for date in DATES).users]


USERS: Final = people()
IDS: Final = {user["email"]: user["id"] for user in USERS}


def state_of(emulator: Emulator) -> Mapping[str, object]:
    """Return the groups by name, after a check that names are unique."""
    assert len({group["name"] for group in emulator.groups.values()}) == len(emulator.groups)
    return {
        group["name"]: (group["icon"], group["description"], set(group["users"])) for group in emulator.groups.values()
    }


def count_mutations(emulator: Emulator) -> Counter[str]:
    """Count the requests of each method that changed the workspace."""
    return Counter(record.method for record in emulator.requests if record.applied)


def patched(emulator: Emulator) -> set[str | None]:
    """Return the ids of the groups that a PATCH changed."""
    return {record.group_id for record in emulator.requests if record.applied and record.method == "PATCH"}


def writes_of(plan: Plan) -> Counter[str]:
    methods = {"create": "POST", "update": "PATCH", "delete": "DELETE"}
    return Counter(methods[change.kind] for change in plan.changes)


@pytest.mark.slow
@pytest.mark.requirement("BS-4", "RL-1", "RL-5")
async def test_apply_makes_the_fewest_writes_at_two_dates(clock: AutojumpClock) -> None:
    async with (
        Emulator(users=USERS, clock=clock) as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as secoda,
    ):
        for date in DATES:
            desired = DesiredState.load(date.file)
            before = count_mutations(emulator)
            plan = await secoda.plan(desired, prune=True)
            assert writes_of(plan) == date.writes
            began = clock.now()
            report = await secoda.apply(plan)
            assert (report.ok, report.writes) == (True, plan.writes)
            assert clock.now() - began <= plan.seconds * 1.02
            assert count_mutations(emulator) - before == date.writes  # and not one more
            assert state_of(emulator) == date.state(IDS)
            assert (await secoda.plan(desired, prune=True)).is_empty
        assert emulator.count() - emulator.count("GET") == sum(sum(date.writes.values()) for date in DATES)
        assert emulator.refused == 0


@pytest.mark.requirement("BS-4", "BS-5", "RT-1", "PG-3")
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.slow
async def test_apply_converges_with_one_request_in_ten_faulted(clock: AutojumpClock, seed: int) -> None:
    def struck_by(kind: int) -> Callable[[RecordedRequest], bool]:
        def strikes(record: RecordedRequest) -> bool:
            lot = random.Random(f"{seed}/{record.number}")
            return lot.random() < FAULT_RATE and lot.randrange(len(FAULTS)) == kind

        return strikes

    async with (
        Emulator(users=USERS, clock=clock) as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock, retry=PATIENT) as secoda,
    ):
        for kind, fault in enumerate(FAULTS):
            emulator.faults.add(**fault, match=struck_by(kind), times=None)
        for date in DATES:
            desired = DesiredState.load(date.file)
            before, patched_before = count_mutations(emulator), patched(emulator)
            plan, runs = await secoda.plan(desired, prune=True), 0
            while not (await secoda.apply(plan)).ok:  # rarely: only if four responses to one create are lost
                plan, runs = await secoda.plan(desired, prune=True), runs + 1
                assert runs < 3
            made = count_mutations(emulator) - before
            assert (made["POST"], made["DELETE"]) == (date.writes.get("POST", 0), date.writes.get("DELETE", 0))
            # A PATCH whose response was lost is sent again, with the same effect; a POST never.
            assert len(patched(emulator) - patched_before) == date.writes.get("PATCH", 0)
            assert state_of(emulator) == date.state(IDS)
            assert (await secoda.plan(desired, prune=True)).is_empty
        faulted = sum(record.fault is not None for record in emulator.requests)
        assert faulted > len(emulator.requests) * FAULT_RATE / 2


@pytest.mark.requirement("BS-5")
@pytest.mark.slow
async def test_apply_converges_when_killed_at_twenty_moments(tmp_path: Path) -> None:
    dice = random.Random(4)
    log = tmp_path / "log.jsonl"
    killed = 0
    async with Emulator(users=USERS, speed=SPEED) as emulator:
        environment = os.environ | {"SECODA_BASE_URL": emulator.url, "SECODA_API_KEY": emulator.api_key}

        async def run(file: Path, kill_at: int | None) -> int:
            """Apply the file in a process of its own; kill the process when its n-th request arrives or is executed."""
            last = None if kill_at is None else emulator.count() + kill_at
            program = (str(HERE / "tests" / "support" / "apply_until_killed.py"), str(file), str(log), str(SPEED))
            process = await asyncio.create_subprocess_exec(sys.executable, *program, env=environment)

            def strikes(record: RecordedRequest) -> bool:
                if record.number != last:
                    return False
                process.kill()
                return dice.random() < 0.5  # executed, or not

            emulator.faults.clear()
            emulator.faults.add(drop="before", match=strikes)
            try:
                return await process.wait()
            finally:
                if process.returncode is None:  # the test was cut off
                    process.kill()
                    await process.wait()

        for date in DATES:
            before = count_mutations(emulator)
            total = sum(date.writes.values())
            for _ in range(KILLS):
                killed += await run(date.file, dice.randrange(1, READS + total // KILLS)) != 0
            assert await run(date.file, None) == 0
            assert state_of(emulator) == date.state(IDS)
            assert count_mutations(emulator) - before == date.writes  # as many as without the kills
    assert killed == 2 * KILLS
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]  # raises if a line is incomplete
    meant = {(line["kind"], line["name"]) for line in lines if line["event"] == "intent"}
    assert len(meant) == sum(sum(date.writes.values()) for date in DATES)  # every write has its intent in the journal
