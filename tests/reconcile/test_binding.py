"""A plan is for one workspace at one origin, and is refused everywhere else."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from attrs import evolve

from secoda_async import AutojumpClock, DesiredState, Plan, SecodaClient, StalePlanError
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredGroup
from tests.support.clients import Connect
from tests.support.shell import Shell
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("BS-10")

NEW = DesiredState((DesiredGroup(name="New"),))


def move(emulator: Emulator, workspace: str | None) -> None:
    """Give everything in the workspace another workspace's id."""
    for item in (*emulator.groups.values(), *emulator.users.values()):
        item["workspace_id"] = workspace


async def test_plan_names_its_origin_and_workspace_without_groups(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.groups.clear()
    move(emulator, "ours")
    plan = await secoda.plan(NEW)
    assert (plan.origin, plan.workspace) == (secoda.origin, "ours")
    assert emulator.count("GET", "/user") == 1
    assert (await secoda.apply(plan)).ok


async def groups_of_ours(emulator: Emulator) -> None:
    move(emulator, "theirs")


async def empty_both(emulator: Emulator) -> None:
    emulator.groups.clear()
    move(emulator, "theirs")


async def unknown(emulator: Emulator) -> None:
    emulator.groups.clear()
    move(emulator, None)


async def nobody(emulator: Emulator) -> None:
    emulator.groups.clear()
    emulator.users.clear()


@pytest.mark.parametrize("change", [groups_of_ours, empty_both, unknown, nobody])
async def test_plan_is_refused_in_another_or_an_unknown_workspace(
    emulator: Emulator, secoda: SecodaClient, change: Callable[[Emulator], Awaitable[None]]
) -> None:
    if change is not groups_of_ours:
        emulator.groups.clear()
    move(emulator, "ours")
    plan = await secoda.plan(NEW)
    await change(emulator)
    with pytest.raises(StalePlanError, match=r"nothing was written\. Plan again here"):
        await secoda.apply(plan)
    assert not emulator.writes


async def test_apply_stopped_during_the_workspace_check_writes_nothing(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    emulator.groups.clear()
    plan = await secoda.plan(NEW)
    stop = asyncio.Event()
    emulator.faults.add(stall="before", path="/user", times=None)
    running = asyncio.create_task(secoda.apply(plan, stop=stop))
    read = emulator.count("GET", "/user")
    await wait_until(lambda: emulator.count("GET", "/user") > read)
    stop.set()
    assert (await running).counts == {"not_attempted": 1}
    assert not emulator.writes


async def test_plan_is_refused_at_another_origin_before_any_request(
    emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock, connect: Connect
) -> None:
    plan = await secoda.plan(NEW)
    async with Emulator(clock=clock) as other:
        elsewhere = connect(base_url=other.url, api_key=other.api_key)
        with pytest.raises(StalePlanError, match=f"the plan was made at {emulator.url} and this is {other.url}"):
            await elsewhere.apply(plan)
        assert other.requests == []


async def test_plan_without_origin_and_workspace_applies_anywhere(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = evolve(await secoda.plan(NEW), origin="", workspace=None)
    read = emulator.count("GET", "/user")
    assert (await secoda.apply(plan)).ok
    assert emulator.count("GET", "/user") == read


async def test_saved_plan_of_an_empty_workspace_is_refused_in_another_empty_workspace(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "g.yaml").write_text("groups: [{name: New}]")
    saved = tmp_path / "plan.json"
    async with Emulator(users=2) as ours, Emulator(users=2) as theirs:
        monkeypatch.setenv("SECODA_BASE_URL", ours.url)
        monkeypatch.setenv("SECODA_API_KEY", ours.api_key)
        assert (await shell.run("plan", str(tmp_path / "g.yaml"), "--out", str(saved))).code == Exit.DONE
        monkeypatch.setenv("SECODA_BASE_URL", theirs.url)
        monkeypatch.setenv("SECODA_API_KEY", theirs.api_key)
        refused = await shell.run("apply", str(saved))
        assert refused.code == Exit.STALE
        assert f"the plan was made at {ours.url}" in refused.err
        assert theirs.requests == []
        monkeypatch.setenv("SECODA_BASE_URL", ours.url)
        move(ours, "another")
        assert (await shell.run("apply", str(saved))).code == Exit.REFUSED  # their key
        monkeypatch.setenv("SECODA_API_KEY", ours.api_key)
        assert (await shell.run("apply", str(saved))).code == Exit.STALE
        assert not ours.writes


def test_plan_hash_has_128_bits() -> None:
    plan = Plan(changes=())
    assert len(plan.digest) == 32
    assert len(json.loads(plan.to_json())["checksum"]) == 32
