"""Arguments of the wrong type are refused before a request is sent."""

from typing import Any

import pytest

from secoda_async import CreateGroup, DesiredState, InvalidArgumentError, SecodaClient
from secoda_async.emulator import Emulator


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize(
    "wrong", [{"concurrency": "4"}, {"concurrency": 1.5}, {"concurrency": None}, {"stop": 5}, {"operations": 5}]
)
async def test_bulk_refuses_arguments_of_the_wrong_type(secoda: SecodaClient, wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"operations": [CreateGroup(name="A")]} | wrong
    with pytest.raises(InvalidArgumentError):
        secoda.bulk(**arguments)


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize("wrong", [{"concurrency": "4"}, {"concurrency": None}, {"max_pages": None}])
async def test_list_refuses_arguments_of_the_wrong_type(secoda: SecodaClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        async for _ in secoda.groups.list(**wrong):
            pass


@pytest.mark.requirement("SEC-3")
async def test_plan_apply_and_resolve_refuse_arguments_of_the_wrong_type(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    wrong: Any = 5
    plan = await secoda.plan(DesiredState.from_groups([]))
    sent = len(emulator.requests)
    for call in (
        secoda.plan(wrong),
        secoda.apply(wrong),
        secoda.apply(plan, stop=wrong),
        secoda.users.resolve(wrong),
    ):
        with pytest.raises(InvalidArgumentError):
            await call
    assert len(emulator.requests) == sent
