"""A bulk never creates two groups whose names are equal or look alike."""

from collections.abc import AsyncGenerator, Iterable

import pytest

from secoda_async import CreateGroup, InvalidArgumentError, Operation, Outcome, SecodaClient, UpdateGroup
from secoda_async.emulator import Emulator

ALIKE = ["a\u200b", "A", " a ", "\uff41"]
"""Names that look like `a`: with an invisible character, in upper case, with spaces, full-width."""
IDS = ["invisible", "case", "spaces", "full-width"]


async def stream(operations: Iterable[Operation]) -> AsyncGenerator[Operation, None]:
    for operation in operations:
        yield operation


async def outcomes_of(secoda: SecodaClient, operations: Iterable[Operation], **options: int) -> list[Outcome]:
    outcomes = [outcome async for outcome in secoda.bulk(operations, **options)]  # type: ignore[arg-type]
    return sorted(outcomes, key=lambda outcome: outcome.index)


@pytest.mark.requirement("BS-5", "BS-13")
@pytest.mark.parametrize("other", ["a", *ALIKE], ids=["equal", *IDS])
async def test_list_with_one_name_twice_creates_neither_and_the_rest(
    emulator: Emulator, secoda: SecodaClient, other: str
) -> None:
    outcomes = await outcomes_of(secoda, [CreateGroup(name="a"), CreateGroup(name="b"), CreateGroup(name=other)])
    assert [outcome.status for outcome in outcomes] == ["failed", "applied", "failed"]
    for outcome in (outcomes[0], outcomes[2]):
        assert isinstance(outcome.error, InvalidArgumentError)
        assert "2 creates of this bulk have the same name, or names that look alike" in str(outcome.error)
        assert outcome.attempts == 0
    assert [record.json for record in emulator.writes] == [{"name": "b"}]


@pytest.mark.requirement("BS-5", "BS-13")
@pytest.mark.parametrize("other", ["a", *ALIKE], ids=["equal", *IDS])
async def test_stream_with_one_name_twice_creates_the_first(
    emulator: Emulator, secoda: SecodaClient, other: str
) -> None:
    operations = stream([CreateGroup(name="a"), CreateGroup(name=other), CreateGroup(name="b")])
    outcomes = sorted([outcome async for outcome in secoda.bulk(operations)], key=lambda outcome: outcome.index)
    assert [outcome.status for outcome in outcomes] == ["applied", "failed", "applied"]
    assert {record.json["name"] for record in emulator.writes} == {"a", "b"}


@pytest.mark.requirement("BS-1")
async def test_stream_may_repeat_a_create_that_failed(emulator: Emulator, secoda: SecodaClient) -> None:
    repeated: list[Operation] = [CreateGroup(name="a", users=["nobody"]), CreateGroup(name="a")]
    outcomes = [outcome async for outcome in secoda.bulk(stream(repeated), concurrency=1)]
    assert [outcome.status for outcome in outcomes] == ["failed", "applied"]
    assert emulator.count("POST") == 2


@pytest.mark.requirement("RT-10")
async def test_stream_may_not_repeat_a_create_whose_outcome_is_unknown(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    emulator.faults.add(drop="after", method="POST")
    emulator.faults.add(status=500, method="GET", times=None)
    repeated: list[Operation] = [CreateGroup(name="a"), CreateGroup(name="a")]
    outcomes = [outcome async for outcome in secoda.bulk(stream(repeated), concurrency=1)]
    assert [outcome.status for outcome in outcomes] == ["unknown", "failed"]
    assert emulator.count("POST") == 1


async def test_names_of_other_operations_and_missing_names_do_not_count(
    emulator: Emulator, secoda: SecodaClient
) -> None:
    wrong = CreateGroup(name=5)  # type: ignore[arg-type]
    operations: list[Operation] = [CreateGroup(name="a"), UpdateGroup("group-1", name="a"), CreateGroup()]
    operations += [CreateGroup(), wrong, wrong]
    outcomes = await outcomes_of(secoda, operations)
    assert [outcome.status for outcome in outcomes] == ["applied"] * 4 + ["failed"] * 2
    assert emulator.count("POST") == 3
