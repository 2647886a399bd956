"""The recent edits of the groups, from which the state that a lagging replica returns is rebuilt."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs

from secoda_async.emulator.clock import Clock

HISTORY_SECONDS = 300.0
"""Edits older than this are dropped; also the largest lag."""


@attrs.frozen
class Edit:
    """One create, update or delete, with the data to undo it."""

    at: float
    group_id: str
    before: dict[str, Any] | None
    """The group before the edit; None for a create."""
    position: int
    """The group's position in the list before a delete."""


@attrs.define(eq=False)
class History:
    """The edits of the last `HISTORY_SECONDS` seconds."""

    _clock: Clock = attrs.field(alias="clock")
    _edits: deque[Edit] = attrs.field(init=False, factory=deque[Edit])

    def record(self, group_id: str, before: Mapping[str, Any] | None, position: int = 0) -> None:
        """Record an edit of a group, just before it is made."""
        now = self._clock.now()
        while self._edits and self._edits[0].at + HISTORY_SECONDS <= now:
            self._edits.popleft()
        self._edits.append(Edit(now, group_id, None if before is None else dict(before), position))

    def clear(self) -> None:
        """Forget all edits."""
        self._edits.clear()

    def groups_before(self, groups: dict[str, dict[str, Any]], lag: float) -> dict[str, dict[str, Any]]:
        """Return the groups as they were `lag` seconds ago; for a lag of 0 the same dictionary."""
        if not lag:
            return groups
        past = dict(groups)
        now = self._clock.now()
        for edit in reversed(self._edits):
            if edit.at + lag <= now:
                break
            if edit.before is None:
                past.pop(edit.group_id, None)
            elif edit.group_id in past:
                past[edit.group_id] = edit.before
            else:
                items = list(past.items())
                items.insert(edit.position, (edit.group_id, edit.before))
                past = dict(items)
        return past
