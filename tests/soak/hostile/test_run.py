"""The hostile soak: the client passes, and each invariant can be violated."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

import tests.soak.hostile.run as hostile_run
from tests.soak.__main__ import main
from tests.soak.hostile.invariants import CHECKS, Ending, Record, violations
from tests.soak.hostile.run import Run, soak
from tests.soak.hostile.server import USERS
from tests.soak.hostile.store import Group, Write

pytestmark = pytest.mark.slow


@pytest.mark.requirement("RT-10", "RT-12", "RT-13", "BS-8", "PG-6")
async def test_invariants_hold_against_a_hostile_server() -> None:
    lines = list[str]()
    assert await soak(2, range(20), lines.append) == 0, "\n".join(lines)


def test_command_prints_one_line_without_violations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_run, "Run", lambda seed, number: calm(Run(seed, number)))
    assert main(["hostile", "--seed", "3", "--runs", "2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("duplicates 0, lost 0, partial reads 0, false outcomes 0, untyped 0, ")
    assert "seed 3, 2 runs: applied " in line


def test_command_prints_seed_and_run_of_a_violation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_run, "violations", lambda _: [("lost", "somebody was lost")])
    assert main(["hostile", "--seed", "3", "--run", "7"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Conditions(")
    assert any("#1 GET " in line or "#1 POST " in line for line in lines)
    assert any(line.startswith("lost: seed 3 run 7 (") for line in lines)
    assert "lost 0" not in lines[-1]


async def test_run_that_hangs_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_run, "RUN_TIMEOUT", 0.02)
    run = calm(Run(1, 1, "bulk"))
    monkeypatch.setattr(Run, "_bulk", lambda _: asyncio.Event().wait())
    ((name, text),) = await run.play()
    assert name == "hangs"
    assert "it waits in " in text


async def test_untyped_error_is_a_violation() -> None:
    run = calm(Run(1, 1))
    async with run.server:
        record = run.begin()
        await run.recorded(record, run.outcome_of(_fail()), settle=False)
    ((name, text),) = run.found
    assert name == "untyped"
    assert text.endswith("LookupError: planted")


async def _fail() -> None:
    raise LookupError("planted")


def calm(run: Run) -> Run:
    run.server.is_calm = True
    return run


async def clean(scenario: str, is_good: Callable[[Record], object]) -> Record:
    """Return a record of a run against a calm server."""
    for number in range(1000):
        run = calm(Run(1, number, scenario))
        if await run.play():
            continue
        for record in run.records:
            if not record.was_interrupted and is_good(record):
                return copy.deepcopy(record)
    raise AssertionError(f"no such record of {scenario}")


def violated(record: Record) -> list[str]:
    return [name for name, _ in violations(record)]


def ours(record: Record, method: str) -> Write:
    return record.ours(method)[0]


def end(record: Record, kind: str, status: str, **changes: Any) -> None:
    """Let the first operation of a kind that was applied end otherwise."""
    place = next(i for i, e in enumerate(record.endings) if e.kind == kind and e.status == "applied")
    record.endings[place] = evolve(record.endings[place], status=status, **changes)


class TestInvariants:
    @staticmethod
    async def bulk() -> Record:
        kinds = ("create", "update", "delete")
        return await clean("bulk", lambda record: {ending.kind for ending in record.endings} == {*kinds})

    async def test_duplicate_create_is_found(self) -> None:
        record = await self.bulk()
        record.writes.append(evolve(ours(record, "POST"), group_id="another"))
        assert violated(record) == ["duplicates"]
        record.touched.add("another")  # somebody deleted one in between, say
        assert violated(record) == []

    async def test_create_of_an_existing_group_is_a_partial_read(self) -> None:
        record = await self.bulk()
        name = next(iter(record.before.values()))["name"]
        record.writes.append(evolve(ours(record, "POST"), group_id="another", fields={"name": name}))
        assert violated(record) == ["partial reads"]

    async def test_delete_without_a_request_is_a_partial_read(self) -> None:
        record = await self.bulk()
        record.writes.append(evolve(ours(record, "DELETE"), group_id="another"))
        assert violated(record) == ["partial reads"]

    @pytest.mark.parametrize("kind", ["create", "update", "delete"])
    @pytest.mark.parametrize("status", ["failed", "not_attempted"])
    async def test_executed_write_reported_as_failed_is_a_false_outcome(self, kind: str, status: str) -> None:
        record = await self.bulk()
        end(record, kind, status)
        assert violated(record) == ["false outcomes"]

    @pytest.mark.parametrize("kind", ["create", "update", "delete"])
    async def test_unknown_outcome_of_an_unsent_write_is_a_false_outcome(self, kind: str) -> None:
        record = await self.bulk()
        end(record, kind, "unknown")
        assert violated(record) == []
        record.arrivals.clear()
        assert violated(record) == ["false outcomes"]

    @pytest.mark.parametrize("kind", ["create", "update"])
    async def test_applied_change_missing_from_the_store_is_a_false_outcome(self, kind: str) -> None:
        record = await self.bulk()
        groups = {ending.group_id for ending in record.endings if ending.kind == kind}
        group_id = min(groups & record.after.keys())
        record.after = {**record.after, group_id: {**record.after[group_id], "icon": "another"}}
        assert violated(record) == ["false outcomes"]
        record.after = {other: group for other, group in record.after.items() if other != group_id}
        assert violated(record) == ["false outcomes"]

    @pytest.mark.parametrize("status", ["applied", "unchanged"])
    async def test_deleted_group_in_the_store_is_a_false_outcome(self, status: str) -> None:
        record = await self.bulk()
        end(record, "delete", status)
        group_id = ours(record, "DELETE").group_id
        record.after = {**record.after, group_id: record.before[group_id]}
        assert violated(record) == ["false outcomes"]

    async def test_missing_and_extra_outcomes_are_unaccounted(self) -> None:
        record = await self.bulk()
        ending = record.endings.pop()
        assert violated(record) == ["unaccounted"]
        record.endings += [ending, ending]
        assert violated(record) == ["unaccounted"]

    async def test_untyped_errors_and_hangs_are_found(self) -> None:
        record = await self.bulk()
        record.untyped.append("KeyError")
        record.hangs.append("close()")
        assert violated(record) == ["untyped", "hangs"]

    @staticmethod
    def losing(record: Record, user: str, *, joined: float, arrived: float, answered: int | None = None) -> None:
        """Plant a member who joins, and a PATCH of ours that takes the member away."""
        group_id = min(record.shared)
        group = record.after[group_id]
        without: Group = {**group, "users": []}
        with_user: Group = {**group, "users": [user]}
        join = Write(
            method="PATCH",
            group_id=group_id,
            by="third_party",
            fields={},
            before=without,
            after=with_user,
            at=joined,
            arrived=joined,
            answered=answered,
        )
        loss = evolve(join, by="us", before=with_user, after=without, at=arrived, arrived=arrived, arrival=10**6)
        record.writes += [join, loss]

    async def test_lost_member_is_found(self) -> None:
        record = await clean("members", lambda _: True)
        self.losing(record, USERS[0], joined=10.0, arrived=12.5)
        assert violated(record) == ["lost"]
        record.reads_lag = 2.0  # a replica: nobody could have known
        assert violated(record) == []
        record.reads_lag = 0.0
        record.removed.add((min(record.shared), USERS[0]))
        assert violated(record) == []

    async def test_member_lost_after_our_own_write_got_its_response_is_found(self) -> None:
        record = await clean("members", lambda _: True)
        self.losing(record, USERS[0], joined=10.0, arrived=10.0)
        assert violated(record) == []  # in the moment between the read and the write
        del record.writes[-2:]
        self.losing(record, USERS[0], joined=10.0, arrived=10.0, answered=10**6 - 1)
        assert violated(record) == ["lost"]

    async def test_loss_of_an_initial_member_is_found(self) -> None:
        record = await clean("members", lambda record: not record.writes)
        group_id = min(record.shared)
        group = record.before[group_id]
        user = group["users"][0]
        record.writes.append(
            Write(
                method="PATCH",
                group_id=group_id,
                by="us",
                fields={},
                before=group,
                after=group | {"users": []},
                at=1.0,
                arrived=1.0,
            )
        )
        assert f"{user} of {group_id} was lost" in violations(record)[0][1]

    @pytest.mark.parametrize(("kind", "is_member"), [("add", False), ("remove", True)])
    async def test_membership_that_never_existed_is_a_false_outcome(self, kind: Any, is_member: bool) -> None:  # noqa: FBT001
        record = await clean("members", lambda _: True)
        group_id = min(record.shared)
        record.before[group_id]["users"] = [USERS[0]] * is_member
        record.writes.clear()
        fields = {"users": (USERS[0],)}
        record.endings = [Ending(kind=kind, status="applied", group_id=group_id, fields=fields)]
        record.expected = 1
        assert violated(record) == ["false outcomes"]

    async def test_groups_that_people_changed_are_not_checked(self) -> None:
        record = await self.bulk()
        end(record, "update", "failed")
        record.touched.add(ours(record, "PATCH").group_id)
        end(record, "create", "not_attempted")
        record.touched |= {" ".join(ending.name.split()) for ending in record.endings if ending.name}
        assert violated(record) == []

    def test_every_invariant_has_a_test(self) -> None:
        assert [*CHECKS] == [
            *("duplicates", "lost", "partial reads", "false outcomes", "untyped", "unaccounted", "hangs"),
        ]
