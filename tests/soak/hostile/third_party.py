"""A third party that edits groups while the client works."""

import random
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from tests.soak.hostile.invariants import spelling
from tests.soak.hostile.server import USERS, HostileServer
from tests.soak.hostile.store import Group

THEIR_MEMBERS: Final = USERS[:6]  # members that third parties add


@define
class ThirdParty:
    """Edits groups while the client works."""

    server: HostileServer
    rng: random.Random
    shared: Sequence[str] = ()
    """Groups to which the third party adds members."""
    planned_groups: Sequence[str] = ()
    """Groups that the third party changes in any way."""
    touched: set[str] = field(init=False, factory=set[str])
    _own: list[str] = field(init=False, factory=list[str])
    _count: int = field(init=False, default=0)

    def __call__(self) -> None:
        """Make one edit."""
        edits = [
            self._edit_own,
            *[self._join] * 3 * bool(self.shared),
            *[self._edit_planned_group] * bool(self.planned_groups),
        ]
        self.rng.choice(edits)()

    def _write(self, method: str, group_id: str, **fields: Any) -> Group | None:
        now = self.server.clock.now()
        return self.server.store.execute(method, group_id, fields, by="third_party", arrived=now)[1]

    def _edit_own(self) -> None:
        """Create, rename or delete a group of the third party itself."""
        self._count += 1
        if not self._own or self.rng.random() < 0.4:
            self._own.append(str((self._write("POST", "", name=f"Human {self._count}") or {})["id"]))
        elif self.rng.random() < 0.5:
            self._write("PATCH", self.rng.choice(self._own), name=f"Human {self._count}")
        else:
            self._write("DELETE", self._own.pop(self.rng.randrange(len(self._own))))

    def _join(self) -> None:
        group = self.server.store.groups[self.rng.choice(self.shared)]
        self._write("PATCH", group["id"], users=[*group["users"], self.rng.choice(THEIR_MEMBERS)])

    def _edit_planned_group(self) -> None:
        """Change, rename or delete a group that a plan may be about."""
        group = self.server.store.groups.get(self.rng.choice(self.planned_groups))
        if group is None:
            return
        self._count += 1
        new = f"Renamed {self._count}"
        self.touched |= {group["id"], spelling(group["name"]), new}
        change = self.rng.choice(("users", "name", "icon", "delete"))
        if change == "delete":
            self._write("DELETE", group["id"])
            return
        fields = {"users": self.rng.sample(USERS, 2), "name": new, "icon": "third_party"}
        self._write("PATCH", group["id"], **{change: fields[change]})
