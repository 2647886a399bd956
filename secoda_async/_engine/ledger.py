"""The recent writes of this client: groups it created, changed or deleted, creates in flight, and unclear writes.

Theory of operation
-------------------
A list of the API may lag behind the writes (docs/api-facts.md). The ledger keeps each write for a minute and corrects
what a read shows in that time:

1. A created group that the list lacks is added, so that the group is not created again.
2. A changed group that the list shows in its earlier state is replaced. The server's own `updated_at` decides; if both
   times are equal or missing, the replaced memberships decide.
3. A deleted group that the list still shows is removed.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, takewhile
from typing import Final

from attrs import define

from secoda_async._engine.name_keys import confusable_key
from secoda_async._engine.operation import Operation
from secoda_async.clock import Clock
from secoda_async.errors import OutcomeUnknownError
from secoda_async.models import Group, Unset

OWN_WRITES_KNOWN: Final = 60.0
"""Seconds during which a write of this client takes precedence over a list that does not show the write."""

SETTLE_TIME: Final = 30.0
"""Seconds during which a server may still execute a request whose response was lost, or its lists may lag."""

_CREATED_KNOWN: Final = 10_000
"""Maximum ids of created groups."""

_REPLACED_KNOWN: Final = 60
"""Maximum replaced memberships per group: two for each write that the limit allows in a minute."""


@define(eq=False, repr=False, weakref_slot=False)
class Write:
    """A write of this client to one group."""

    key: str
    """The group's id, in lower case."""
    group: Group | None
    """The group as the server returned it, or None after a delete."""
    at: float
    """Time of the response, by the client's clock."""
    is_created: bool = False
    """Whether this client created the group, and each later write followed within a minute of the one before."""
    replaced: tuple[tuple[str, ...], ...] = ()
    """The memberships that this client's updates replaced, if known: of writes less than a minute apart."""
    replaced_at: datetime | None = None
    """The server's time of the last update that set the whole membership."""

    def is_missing_in(self, read: Group) -> bool:
        """Return whether a read shows the group in the state before this write."""
        if self.group is None:
            return False
        shown, written = read.updated_at, self.group.updated_at
        if shown is not None and written is not None and shown != written:  # equal: the resolution may be a second
            return shown < written
        users = frozenset(read.users)
        return users in map(frozenset, self.replaced) and users != frozenset(self.group.users)

    def others_in(self, read: Group) -> Iterator[str]:
        """Yield the members that others may have added, from a read that does not show this write.

        A read from before an update of the whole membership yields none: that update may have removed its members.
        """
        if self.group is None or (self.replaced_at and read.updated_at and read.updated_at < self.replaced_at):
            return
        own = frozenset(chain(self.group.users, *self.replaced))
        yield from (user for user in read.users if user not in own)


class Ledger:
    """The recent writes of one client, which may serve event loops in several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()  # re-entered when garbage collection closes a task that creates a group
        self._created: dict[str, None] = {}
        self._writes: dict[str, Write] = {}
        """The latest write to each group."""
        self._by_age: deque[Write] = deque()
        """All writes of the last minute, the oldest first."""
        self._in_flight: Counter[str | Unset | None] = Counter()
        """Creates in flight, by the name that was sent."""
        self._unclear_creates: dict[str, float] = {}
        """Times of creates with an unclear outcome, by the key of the name."""
        self._unclear_updates: dict[str, float] = {}
        """Times of updates with an unclear outcome, by the group's id in lower case."""
        self.sent_pending: dict[str, frozenset[str]] = {}
        """By the id of a group: the members with a pending invitation that `apply` has sent through this client."""

    # --- creates ---------------------------------------------------------------------------------------------------

    @contextmanager
    def creating(self, name: str | Unset | None, operation: Operation | None = None) -> Generator[None, None, None]:
        """Count a create as in flight, and remember its name if the outcome stays unclear.

        A cancelled create is unclear, unless its operation shows that the request was certainly not sent.
        """
        with self._lock:
            self._in_flight[name] += 1
        try:
            yield
        except OutcomeUnknownError:
            self.note_unclear_create(name)
            raise
        except (asyncio.CancelledError, GeneratorExit):  # the latter in a task that is garbage-collected
            if operation is None or operation.may_have_written:
                self.note_unclear_create(name)
            raise
        finally:
            with self._lock:
                self._in_flight[name] -= 1
                if not self._in_flight[name]:
                    del self._in_flight[name]

    def is_contested(self, name: str | Unset | None) -> bool:
        """Return whether another create of a confusable name is in flight, or ended unclear within the last minute.

        The group of that create could be mistaken for the result of the create in question.
        """
        key = confusable_key(name)
        with self._lock:
            self._discard_old(self._clock.now())
            in_flight = sum(count for sent, count in tuple(self._in_flight.items()) if confusable_key(sent) == key)
            return in_flight > 1 or key in self._unclear_creates

    def note_unclear_create(self, name: str | Unset | None) -> None:
        """Remember that a create of this name ended with an unknown outcome."""
        with self._lock:
            self._unclear_creates[confusable_key(name)] = self._clock.now()

    def note_unclear_update(self, group_id: str) -> None:
        """Remember that an update of this group ended with an unknown outcome."""
        with self._lock:
            self._unclear_updates[group_id.casefold()] = self._clock.now()

    def create_settles_in(self, name: str) -> float:
        """Return the seconds until a list shows whether an unclear create of a confusable name was executed."""
        return self._settles_in(self._unclear_creates.get(confusable_key(name)))

    def update_settles_in(self, group_id: str) -> float:
        """Return the seconds until a read shows whether an unclear update of this group was executed."""
        return self._settles_in(self._unclear_updates.get(group_id.casefold()))

    def _settles_in(self, noted: float | None) -> float:
        return 0.0 if noted is None else max(0.0, noted + SETTLE_TIME - self._clock.now())

    def has_created(self, group_id: str) -> bool:
        """Return whether this client created the group by a call with a clear outcome."""
        with self._lock:
            return group_id in self._created

    # --- writes ----------------------------------------------------------------------------------------------------

    def note_created(self, group: Group) -> None:
        """Remember a group that this client created."""
        with self._lock:
            self._created[group.id] = None
            if len(self._created) > _CREATED_KNOWN:
                del self._created[next(iter(self._created))]
            self._put(Write(group.id.casefold(), group, self._clock.now(), is_created=True))

    def note_updated(
        self, group: Group, *, before: tuple[str, ...] | None = None, is_whole_membership: bool = False
    ) -> None:
        """Remember a group as the server returned it after an update.

        Args:
            group: The group.
            before: The membership that the update replaced, if known.
            is_whole_membership: The update set the membership without a read before it.
        """
        with self._lock:
            write = Write(group.id.casefold(), group, self._clock.now())
            last = self._put(write)
            if last is not None:
                write.is_created, write.replaced, write.replaced_at = last.is_created, last.replaced, last.replaced_at
                if last.group is not None:
                    write.replaced += (last.group.users,)
            if before is not None:
                write.replaced += (before,)
            write.replaced = write.replaced[-_REPLACED_KNOWN:]
            if is_whole_membership:
                write.replaced_at = group.updated_at

    def note_deleted(self, group_id: str) -> None:
        """Remember that this client deleted a group."""
        with self._lock:
            self._put(Write(group_id.casefold(), None, self._clock.now()))

    def latest(self, group_id: str) -> Write | None:
        """Return the write of the last minute to a group, or None."""
        with self._lock:
            self._discard_old(self._clock.now())
            return self._writes.get(group_id.casefold())

    def has_written_since(self, at: float, name: str) -> bool:
        """Return whether this client has written a group of a confusable name since a moment of its clock."""
        key = confusable_key(name)
        with self._lock:
            since = takewhile(lambda write: write.at >= at, reversed(self._by_age))
            return any(write.group is not None and confusable_key(write.group.name) == key for write in since)

    def with_own_writes(self, groups: Iterable[Group]) -> list[Group]:
        """Return the groups of a list, corrected by this client's writes of the last minute."""
        by_id = {group.id.casefold(): group for group in groups}
        with self._lock:
            self._discard_old(self._clock.now())
            for group_id, write in self._writes.items():
                listed = by_id.get(group_id)
                if write.group is None:
                    by_id.pop(group_id, None)
                elif (listed is None and write.is_created) or (listed is not None and write.is_missing_in(listed)):
                    by_id[group_id] = write.group
        return list(by_id.values())

    def _put(self, write: Write) -> Write | None:
        """Add a write, and return the one of the last minute to the same group, if there is one."""
        self._discard_old(write.at)
        last = self._writes.get(write.key)
        self._writes[write.key] = write
        self._by_age.append(write)
        return last

    def _discard_old(self, now: float) -> None:
        while self._by_age and self._by_age[0].at < now - OWN_WRITES_KNOWN:
            write = self._by_age.popleft()
            if self._writes[write.key] is write:
                del self._writes[write.key]
                self._writes = self._writes or {}  # an emptied one keeps its size
        for unclear in (self._unclear_creates, self._unclear_updates):
            for key, noted in tuple(unclear.items()):
                if noted < now - OWN_WRITES_KNOWN:
                    unclear.pop(key, None)
