"""The adversarial soak: the client passes it, and each of its checks can fail."""

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


@pytest.mark.requirement("RT-10", "RT-12", "RT-13", "BS-8", "PG-6")
async def test_invariants_hold_against_a_hostile_server() -> None:
    lines = list[str]()
    assert await soak(2, range(20), lines.append) == 0, "\n".join(lines)


def test_the_command_prints_one_line_when_nothing_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_run, "Run", lambda seed, number: calm(Run(seed, number)))
    assert main(["hostile", "--seed", "3", "--runs", "2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("duplicates 0, lost 0, partial reads 0, false outcomes 0, untyped 0, ")
    assert "seed 3, 2 runs: applied " in line


def test_the_command_names_seed_and_run_of_a_violation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_run, "violations", lambda _: [("lost", "somebody was lost")])
    assert main(["hostile", "--seed", "3", "--run", "7"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Weather(")
    assert any("#1 GET " in line or "#1 POST " in line for line in lines)
    assert any(line.startswith("lost: seed 3 run 7 (") for line in lines)
    assert "lost 0" not in lines[-1]


async def test_a_run_that_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_run, "PATIENCE", 0.02)
    run = calm(Run(1, 1, "bulk"))
    monkeypatch.setattr(Run, "_bulk", lambda _: asyncio.Event().wait())
    ((name, text),) = await run.play()
    assert name == "hangs"
    assert "it waits in " in text


async def test_an_untyped_error_is_found() -> None:
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


def found(record: Record) -> list[str]:
    return [name for name, _ in violations(record)]


def ours(record: Record, method: str) -> Write:
    return record.ours(method)[0]


def end(record: Record, kind: str, status: str, **changes: Any) -> None:  # noqa: ANN401 - fields of an ending
    """Let the first operation of a kind that was applied end otherwise."""
    place = next(i for i, e in enumerate(record.endings) if e.kind == kind and e.status == "applied")
    record.endings[place] = evolve(record.endings[place], status=status, **changes)


class TestChecksCanFail:
    @staticmethod
    async def bulk() -> Record:
        kinds = ("create", "update", "delete")
        return await clean("bulk", lambda record: {ending.kind for ending in record.endings} == {*kinds})

    async def test_a_group_that_is_created_twice(self) -> None:
        record = await self.bulk()
        record.writes.append(evolve(ours(record, "POST"), group_id="another"))
        assert found(record) == ["duplicates"]
        record.touched.add("another")  # somebody deleted one in between, say
        assert found(record) == []

    async def test_a_create_of_a_group_that_was_not_seen(self) -> None:
        record = await self.bulk()
        name = next(iter(record.before.values()))["name"]
        record.writes.append(evolve(ours(record, "POST"), group_id="another", fields={"name": name}))
        assert found(record) == ["partial reads"]

    async def test_a_delete_that_nobody_asked_for(self) -> None:
        record = await self.bulk()
        record.writes.append(evolve(ours(record, "DELETE"), group_id="another"))
        assert found(record) == ["partial reads"]

    @pytest.mark.parametrize("kind", ["create", "update", "delete"])
    @pytest.mark.parametrize("status", ["failed", "not_attempted"])
    async def test_an_executed_write_that_is_said_not_to_be(self, kind: str, status: str) -> None:
        record = await self.bulk()
        end(record, kind, status)
        assert found(record) == ["false outcomes"]

    @pytest.mark.parametrize("kind", ["create", "update", "delete"])
    async def test_an_unknown_outcome_of_what_was_never_sent(self, kind: str) -> None:
        record = await self.bulk()
        end(record, kind, "unknown")
        assert found(record) == []
        record.arrivals.clear()
        assert found(record) == ["false outcomes"]

    @pytest.mark.parametrize("kind", ["create", "update"])
    async def test_an_applied_change_that_is_not_there(self, kind: str) -> None:
        record = await self.bulk()
        groups = {ending.group_id for ending in record.endings if ending.kind == kind}
        group_id = min(groups & record.after.keys())
        record.after = {**record.after, group_id: {**record.after[group_id], "icon": "another"}}
        assert found(record) == ["false outcomes"]
        record.after = {other: group for other, group in record.after.items() if other != group_id}
        assert found(record) == ["false outcomes"]

    @pytest.mark.parametrize("status", ["applied", "unchanged"])
    async def test_a_deleted_group_that_is_there(self, status: str) -> None:
        record = await self.bulk()
        end(record, "delete", status)
        group_id = ours(record, "DELETE").group_id
        record.after = {**record.after, group_id: record.before[group_id]}
        assert found(record) == ["false outcomes"]

    async def test_operations_without_an_outcome_or_with_two(self) -> None:
        record = await self.bulk()
        ending = record.endings.pop()
        assert found(record) == ["unaccounted"]
        record.endings += [ending, ending]
        assert found(record) == ["unaccounted"]

    async def test_errors_and_hangs(self) -> None:
        record = await self.bulk()
        record.untyped.append("KeyError")
        record.hangs.append("close()")
        assert found(record) == ["untyped", "hangs"]

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
            by="person",
            fields={},
            before=without,
            after=with_user,
            at=joined,
            arrived=joined,
            answered=answered,
        )
        loss = evolve(join, by="us", before=with_user, after=without, at=arrived, arrived=arrived, arrival=10**6)
        record.writes += [join, loss]

    async def test_a_member_who_was_lost(self) -> None:
        record = await clean("members", lambda _: True)
        self.losing(record, USERS[0], joined=10.0, arrived=12.5)
        assert found(record) == ["lost"]
        record.reads_lag = 2.0  # a replica: nobody could have known
        assert found(record) == []
        record.reads_lag = 0.0
        record.removed.add((min(record.shared), USERS[0]))
        assert found(record) == []

    async def test_a_member_who_was_lost_although_our_own_write_was_answered(self) -> None:
        record = await clean("members", lambda _: True)
        self.losing(record, USERS[0], joined=10.0, arrived=10.0)
        assert found(record) == []  # in the moment between the read and the write
        del record.writes[-2:]
        self.losing(record, USERS[0], joined=10.0, arrived=10.0, answered=10**6 - 1)
        assert found(record) == ["lost"]

    async def test_a_member_of_old_who_was_lost(self) -> None:
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
    async def test_a_membership_that_never_was(self, kind: Any, is_member: bool) -> None:  # noqa: ANN401, FBT001
        record = await clean("members", lambda _: True)
        group_id = min(record.shared)
        record.before[group_id]["users"] = [USERS[0]] * is_member
        record.writes.clear()
        fields = {"users": (USERS[0],)}
        record.endings = [Ending(kind=kind, status="applied", group_id=group_id, fields=fields)]
        record.expected = 1
        assert found(record) == ["false outcomes"]

    async def test_groups_that_people_changed_prove_nothing(self) -> None:
        record = await self.bulk()
        end(record, "update", "failed")
        record.touched.add(ours(record, "PATCH").group_id)
        end(record, "create", "not_attempted")
        record.touched |= {" ".join(ending.name.split()) for ending in record.endings if ending.name}
        assert found(record) == []

    def test_all_checks_are_tried(self) -> None:
        assert [*CHECKS] == [
            *("duplicates", "lost", "partial reads", "false outcomes", "untyped", "unaccounted", "hangs"),
        ]
