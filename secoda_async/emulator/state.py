"""The state of an emulated workspace, which the server, the request handler and the dashboard share."""

import logging
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import attrs

from secoda_async.emulator.application import Application
from secoda_async.emulator.clock import Calendar, Clock, ScaledClock
from secoda_async.emulator.faults import Faults, RecordedRequest
from secoda_async.emulator.seed import SeedFactory
from secoda_async.emulator.settings import GeneratedKey, Settings
from secoda_async.emulator.state_file import SavedWorkspace, StateFile, StateFileError
from secoda_async.emulator.store import Store
from secoda_async.emulator.stubs import Stubs
from secoda_async.emulator.validators import positive

LOGGER = logging.getLogger("secoda_async.emulator")
TOO_MANY_REQUESTS = 429
MUTATIONS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@attrs.define(kw_only=True, eq=False)
class EmulatorState(Settings):
    """The store, the faults, the request log and the figures that are computed from the log."""

    speed: float = attrs.field(default=1.0, validator=positive, on_setattr=attrs.setters.frozen)
    """The speed of the clock: at 60 a minute takes one second."""
    seed: int = attrs.field(default=0, on_setattr=attrs.setters.frozen)
    """The seed of ids and of generated groups and users."""
    state_file: Path | str | None = attrs.field(default=None, on_setattr=attrs.setters.frozen)
    """A file that keeps the API key, groups and users over restarts. If it exists, they come from it; it is written
    before the response to each request that changes them, and when the emulator closes."""
    requests: list[RecordedRequest] = attrs.field(init=False, factory=list[RecordedRequest], repr=False)
    """The request log, in order of arrival."""
    faults: Faults = attrs.field(init=False, factory=Faults, repr=False)
    """The scripted faults: see `Faults.add`."""
    stubs: Stubs = attrs.field(init=False, factory=Stubs, repr=False)
    """Responses to calls that the emulator does not model: see `Stubs.add`."""

    _seed_groups: int | Iterable[Mapping[str, Any]] = attrs.field(default=0, alias="groups", repr=False)
    _seed_users: int | Iterable[Mapping[str, Any]] = attrs.field(default=0, alias="users", repr=False)
    _given_clock: Clock | None = attrs.field(default=None, alias="clock", repr=False)
    _calendar: Calendar = attrs.field(init=False, repr=False)
    _application: Application = attrs.field(init=False, repr=False)
    _state_file: StateFile | None = attrs.field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        clock = ScaledClock(self.speed) if self._given_clock is None else self._given_clock
        self._calendar = Calendar(clock)
        saved = self._load()
        factory = SeedFactory(self._calendar.next_timestamp, self.seed if saved is None else None)
        if saved is None:
            users = factory.users(self._seed_users)
            groups = factory.groups(self._seed_groups, list(users))
        else:
            users, groups = saved.users, saved.groups
            self._calendar.continue_after(group["updated_at"] for group in groups.values())
        store = Store(groups=groups, users=users, calendar=self._calendar, factory=factory)
        self._application = Application(self, store, clock, self.stubs, self._save_change)

    def _load(self) -> SavedWorkspace | None:
        """Return the workspace of the state file, if there is one, and take over its key unless one was given."""
        if self.state_file is None:
            return None
        self._state_file = StateFile(Path(self.state_file))
        saved = self._state_file.load()
        if saved is not None and isinstance(self.api_key, GeneratedKey):
            self.api_key = saved.api_key
        return saved

    def save(self) -> None:
        """Write the state file, if there is one. A change to `groups` or `users` in Python is not written by itself.

        Raises:
            StateFileError: The file can't be written, or another program has changed it.
        """
        if self._state_file is not None:
            self._state_file.save(SavedWorkspace(self.api_key, self.users, self.groups))

    def _save_change(self) -> None:
        try:
            self.save()
        except StateFileError as error:
            LOGGER.error("%s; the change is kept in memory only", error)  # noqa: TRY400 - not a bug, so no traceback

    def reset(self) -> None:
        """Restore the groups and users of the start; clear the request log, the faults and the write limit."""
        self._application.store.reset()
        self._application.throttle.reset()
        self.faults.clear()
        self.requests.clear()
        self._save_change()

    @property
    def clock(self) -> Clock:
        """The clock of the write limit, all waits and all timestamps."""
        return self._calendar.clock

    @property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The stored groups by id, as the API returns them; changes take effect."""
        return self._application.store.groups

    @property
    def users(self) -> dict[str, dict[str, Any]]:
        """The stored users by id, as the API returns them, without `user_groups`: it is derived from the groups."""
        return self._application.store.users

    @property
    def writes(self) -> list[RecordedRequest]:
        """The POST, PUT, PATCH and DELETE requests."""
        return [record for record in self.requests if record.method in MUTATIONS]

    @property
    def refused(self) -> int:
        """The number of 429 responses, by the write limit or by a fault."""
        return self.count(status=TOO_MANY_REQUESTS)

    def count(self, method: str | None = None, path: str | None = None, status: int | None = None) -> int:
        """Count the requests.

        Args:
            method: Only requests with this method.
            path: Only requests with a path that ends like this, trailing slashes ignored: "/auth/group" is the list.
            status: Only requests with a response of this status.
        """
        return sum(
            (method is None or record.method == method.upper())
            and (path is None or record.path.rstrip("/").endswith(path.rstrip("/")))
            and (status is None or record.status == status)
            for record in self.requests
        )

    def busiest_window(self) -> int:
        """Return the largest number of POST, PUT and PATCH, accepted or refused, within any `window` seconds.

        Requests are counted when they reach the application: not those that a fault answered or dropped before.
        """
        return self._application.throttle.busiest(self.window)

    def limit_state(self) -> dict[str, float | None]:
        """Return the write limit now.

        Returns:
            `used` writes `of` the limit (None: unlimited) in `window` seconds, and the number of 429 responses
            (`refused`) in that time; seconds until the `next` write can start.
        """
        now = self.clock.now()
        used, wait = self._application.throttle.used(now, self.window)
        recent = takewhile(lambda record: now < record.at + self.window, reversed(self.requests))
        refused = sum(record.status == TOO_MANY_REQUESTS for record in recent)
        limit = self.writes_per_window
        is_full = limit is not None and used >= limit
        return {"of": limit, "window": self.window, "used": used, "refused": refused, "next": wait if is_full else 0.0}
