"""Plans of the groups files that people have, against the workspace that the files were made for."""

from pathlib import Path
from typing import Final

import pytest

from secoda_async import DesiredState, Group, Plan, User
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from tests.support.plans import group

SHARED: Final = Path(__file__).parents[3] / "shared" / "data" / "files"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the files are not at hand")

NAMES: Final = ("ana", "ben", "eve", "joe", "mia", "kim", "lee", "max")
USERS: Final = [User(f"u-{name}", f"{name}@example.com") for name in NAMES]
GROUPS: Final = [
    group("Data Stewards", "1", users=("u-ana", "u-ben", "u-eve")),
    group("Finance", "2", users=("u-joe", "u-mia")),
    group("Caf\u00e9", "3", users=("u-kim",)),
    group("Legal", "4"),
]


def plan_of_file(name: str, rules: Rules, groups: list[Group] = GROUPS) -> Plan:
    return diff(DesiredState.load(SHARED / name), groups, USERS, rules)


@pytest.mark.requirement("BS-12")
@pytest.mark.parametrize(
    ("file", "held", "writes"),
    [
        (
            "hold.csv",
            [("Finance", "nobody@example.com", ("u-joe", "u-mia")), ("New Team", "nobody@example.com", ())],
            1,
        ),
        ("hold-offboard.yaml", [("Finance", "left@example.com", ("u-mia",))], 0),
    ],
)
def test_held_members_are_named(file: str, held: list[tuple[str, str, tuple[str, ...]]], writes: int) -> None:
    plan = plan_of_file(file, Rules(unknown_members="hold"))
    assert [(one.group, one.member, one.kept) for one in plan.held] == held
    assert all(one.place.partition(":")[0].endswith(file) for one in plan.held)
    assert (plan.writes, "held" in plan.summary()) == (writes, True)


@pytest.mark.requirement("BS-13")
@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("file", ["case-groups.csv", "case-rename-prune.yaml", "nbsp-name.yaml"])
def test_names_that_look_alike_are_refused(file: str, *, prune: bool) -> None:
    plan = plan_of_file(file, Rules(prune=prune, max_delete="100%", max_remove="100%"))
    assert "similar" in [breach.kind for breach in plan.breaches]
    similar = {name for breach in plan.breaches if breach.kind == "similar" for name in breach.names}
    assert not similar & {change.name for change in plan.changes if change.kind == "delete"}
