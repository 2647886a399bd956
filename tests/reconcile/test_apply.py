"""Apply: the changes it writes, their order, its progress, and the plans it refuses."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import (
    UNSET,
    AutojumpClock,
    DesiredGroup,
    InvalidArgumentError,
    Plan,
    Progress,
    Report,
    SecodaClient,
    UnsafePlanError,
)
from secoda_async.emulator import Emulator
from tests.support.applies import desired_state, make_plan, mutations
from tests.support.approx import approx


@pytest.mark.requirement("BS-4", "MD-3")
async def test_apply_writes_the_changes_only(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    assert plan.summary() == "1 to create, 1 to update, 1 to delete; 1 unchanged"
    assert emulator.count() == emulator.count("GET")  # planning only reads
    report = await secoda.apply(plan)
    assert (report.ok, report.verified, report.writes, report.differences) == (True, True, 3, ())
    assert report.counts == {"applied": 3}
    assert [outcome.index for outcome in report.outcomes] == [0, 1, 2]
    bodies = {record.method: record.json for record in emulator.requests if record.applied and record.body}
    assert bodies == {
        "PATCH": {"description": "changed", "users": ["u-ana", "u-eve"]},
        "POST": {"name": "d", "icon": "i", "users": ["u-joe"]},
    }
    assert sorted(group["name"] for group in emulator.groups.values()) == ["a", "b", "d"]
    assert (await make_plan(secoda)).is_empty


@pytest.mark.requirement("BS-2")
async def test_apply_writes_deletes_last(emulator: Emulator, secoda: SecodaClient) -> None:
    await secoda.apply(await make_plan(secoda))
    assert [method for method, _ in mutations(emulator)][-1] == "DELETE"


async def test_apply_of_an_empty_plan_sends_nothing(emulator: Emulator, secoda: SecodaClient) -> None:
    report = await secoda.apply(Plan(changes=()))
    assert (report, report.ok) == (Report(outcomes=(), verified=True), True)
    assert emulator.requests == []


@pytest.mark.requirement("BS-4")
async def test_repeated_apply_writes_nothing(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    await secoda.apply(plan)
    done = mutations(emulator)
    report = await secoda.apply(plan)
    assert (report.ok, report.counts, report.writes) == (True, {"unchanged": 3}, 0)
    assert mutations(emulator) == done


@pytest.mark.requirement("BS-5")
async def test_concurrent_applies_of_one_client_are_serialized(emulator: Emulator, secoda: SecodaClient) -> None:
    plan = await make_plan(secoda)
    first, second = await asyncio.gather(secoda.apply(plan), secoda.apply(plan))
    assert (first.counts, second.counts) == ({"applied": 3}, {"unchanged": 3})
    assert len(mutations(emulator)) == 3


async def test_progress_has_the_seconds_left(secoda: SecodaClient) -> None:
    seen: list[Progress] = []
    desired = desired_state(*(DesiredGroup(name=f"n{index:02}") for index in range(40)))
    await secoda.apply(await secoda.plan(desired), on_progress=seen.append)
    assert [progress.done for progress in seen] == list(range(1, 41))
    assert {progress.total for progress in seen} == {40}
    assert seen[0].seconds_left == approx(60)
    assert (seen[-1].seconds_left, seen[-1].failed) == (0, 0)


async def test_error_of_on_progress_is_logged_and_apply_continues(
    secoda: SecodaClient, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(_: Progress) -> None:
        raise RuntimeError("mine")

    assert (await secoda.apply(await make_plan(secoda), on_progress=hook)).ok
    assert "on_progress callback failed" in caplog.text


async def test_report_with_conflicts_is_not_ok(emulator: Emulator, secoda: SecodaClient) -> None:
    emulator.groups["c"]["name"] = "a"
    report = await secoda.apply(await make_plan(secoda))
    assert (report.ok, report.verified, report.conflicts) == (False, True, 1)
    empty = await secoda.apply(await secoda.plan(desired_state(DesiredGroup(name="a"))))
    assert (empty.ok, empty.conflicts) == (False, 1)


@pytest.mark.requirement("BS-3")
async def test_unsafe_plan_is_applied_only_with_its_digest_as_approval(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    plan = await make_plan(secoda, desired_state(DesiredGroup(name="a")))
    with pytest.raises(UnsafePlanError, match="2 of 3 groups would be deleted; the limit is 1") as caught:
        await secoda.apply(plan)
    assert (caught.value.digest, len(caught.value.breaches)) == (plan.digest, 1)
    with pytest.raises(UnsafePlanError, match="is not the digest of this plan"):
        await secoda.apply(plan, approve="0123456789abcdef")
    assert mutations(emulator) == []
    assert (await secoda.apply(plan, approve=plan.digest)).ok
    assert list(emulator.groups) == ["a"]


async def test_empty_plan_is_applied_with_an_old_approval(secoda: SecodaClient) -> None:
    assert (await secoda.apply(Plan(changes=()), approve="0123456789abcdef")).ok


async def test_approval_of_another_plan_is_refused_for_a_safe_plan(secoda: SecodaClient) -> None:
    with pytest.raises(UnsafePlanError, match="is not the digest of this plan"):
        await secoda.apply(await make_plan(secoda), approve="0")


async def test_unknown_value_of_on_drift_is_refused(secoda: SecodaClient) -> None:
    with pytest.raises(InvalidArgumentError, match="on_drift must be"):
        await secoda.apply(await make_plan(secoda), on_drift="ignore")  # type: ignore[arg-type]


# --- properties ------------------------------------------------------------------------------------------------

NAMES = st.sampled_from("abcdef")
TEXTS = st.sampled_from([None, "", "x", "y"])
MEMBERS = st.lists(st.sampled_from(["u-ana", "u-ben", "u-eve"]), unique=True)
PRESENT = st.lists(
    st.fixed_dictionaries({"name": NAMES, "icon": TEXTS, "description": TEXTS, "users": MEMBERS}),
    max_size=6,
)
WANTED = st.lists(
    st.builds(
        DesiredGroup,
        name=NAMES,
        icon=st.just(UNSET) | TEXTS,
        description=st.just(UNSET) | TEXTS,
        members=st.just(UNSET) | MEMBERS.map(tuple),
    ),
    unique_by=lambda group: group.name,
    max_size=6,
)


@pytest.mark.requirement("BS-4", "BS-2")
@settings(max_examples=60, deadline=None)
@given(present=PRESENT, wanted=WANTED, prune=st.booleans())
def test_plan_is_empty_after_apply_and_each_group_is_written_once(
    present: list[dict[str, Any]], wanted: list[DesiredGroup], *, prune: bool
) -> None:
    async def main() -> None:
        users = [{"id": f"u-{name}", "email": f"{name}@example.com"} for name in ("ana", "ben", "eve")]
        clock = AutojumpClock(patience=40)
        async with (
            Emulator(users=users, groups=present, clock=clock) as emulator,
            SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as secoda,
        ):
            plan = await secoda.plan(desired_state(*wanted), prune=prune)
            assert emulator.count() == emulator.count("GET")
            report = await secoda.apply(plan, approve=plan.digest)
            assert (report.verified, report.ok) == (True, not plan.conflicts)
            again = await secoda.plan(desired_state(*wanted), prune=prune)
            assert (again.is_empty, again.conflicts) == (True, plan.conflicts)
            mutations_made = mutations(emulator)
            assert len(mutations_made) == plan.writes == emulator.count() - emulator.count("GET")
            assert len({group_id for _, group_id in mutations_made}) == plan.writes  # one for each group

    asyncio.run(main())
