"""Simulate an apply on groups in memory, with its journal, so that properties need no server."""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from secoda_async import Group, Plan, User
from secoda_async.operations import Outcome
from secoda_async.reconcile.change_state import ChangeState
from secoda_async.reconcile.journal import Journal
from secoda_async.reconcile.journal_runs import JournalRun, read_runs
from secoda_async.reconcile.safety import Limit, Rules
from secoda_async.reconcile.undo import plan_undo
from tests.support.plans import USERS

ORIGIN = "https://api.secoda.co"
_NUMBERS = itertools.count(1)


def apply_in_memory(plan: Plan, groups: Sequence[Group]) -> tuple[list[Group], bytes]:
    """Return the groups after an apply, and its journal."""
    by_id = {group.id: group for group in groups}
    stream = io.StringIO()
    with Journal(stream, ORIGIN) as journal:
        for index, change in enumerate(plan.changes):
            journal.intent(plan, index)
            group = _write(change.id or f"new-{next(_NUMBERS)}", by_id, change.kind, change.after.to_dict())
            operation = ChangeState(index, change).operation
            journal.outcome(plan, Outcome(operation=operation, index=index, status="applied", group=group))
    return list(by_id.values()), stream.getvalue().encode()


def _write(group_id: str, by_id: dict[str, Group], kind: str, fields: Mapping[str, Any]) -> Group | None:
    if kind == "delete":
        del by_id[group_id]
        return None
    values: dict[str, Any] = {name: tuple(value) if name == "users" else value for name, value in fields.items()}
    by_id[group_id] = group = evolve(by_id.get(group_id) or Group(id=group_id, name=""), **values)
    return group


def only_run(journal: bytes) -> JournalRun:
    (run,) = read_runs(journal, "apply.jsonl")
    return run


def undo_of(
    journal: bytes, groups: Sequence[Group], users: Sequence[User] = USERS, *, max_delete: Limit = "100%"
) -> Plan:
    """Return the plan that undoes the only run of a journal."""
    rules = Rules(max_delete=max_delete, max_remove="100%")
    return plan_undo(only_run(journal), groups, users, rules, origin=ORIGIN)


def content_of(groups: Sequence[Group]) -> list[tuple[object, ...]]:
    """Return what a group is apart from its id and times; null equals an empty text."""
    return sorted((g.name, g.icon or "", g.description or "", tuple(sorted(g.users))) for g in groups)
