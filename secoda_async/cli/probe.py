"""Probe an API: a few writes on groups that are made for it and deleted again, to learn what no document says."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from attrs import define, field

from secoda_async import (
    APIError,
    BadRequestError,
    ConflictError,
    Event,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
    User,
)
from secoda_async.events import AttemptEvent

MAX_WRITES: Final = 8
"""The most writes of a probe: two creates, three updates, two deletes, and one more attempt of a delete."""

_GROUPS: Final = "auth/group"
_NOT_TRIED: Final = "not tried"
_TOO_MANY: Final = 429
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

QUESTIONS: Final[Mapping[str, str]] = {
    "may_write": "May the key write groups?",
    "read_after_create": "Does a read show a new group immediately?",
    "membership": "Does `users` in a PATCH replace the members?",
    "pending": "Are members with a pending invitation shown?",
    "null": "What does null do to icon and description?",
    "empty": "What does an empty text do to icon and description?",
    "unique_names": "Are names unique?",
    "delete": "Does a delete succeed?",
    "slash": "Are paths without a trailing slash redirected?",
    "limit": "Is the write limit kept for groups?",
}
"""The question of each finding, in the order of the sheet."""


class _StopProbeError(Exception):
    """Raised when nothing more can be learned."""


@define
class Probe:
    """One probe. It changes and deletes only groups that its own creates returned or that have its random name."""

    secoda: SecodaClient
    users: Sequence[User]
    events: Sequence[Event]
    stop: asyncio.Event
    name: str = field(factory=lambda: f"secoda-async probe {secrets.token_hex(6)} (delete me)")
    findings: dict[str, str] = field(factory=lambda: dict.fromkeys(QUESTIONS, _NOT_TRIED), init=False)
    writes: int = field(default=0, init=False)
    left: set[str] = field(factory=set[str], init=False)
    """Ids of the groups that exist because of the probe."""
    is_create_unclear: bool = field(default=False, init=False)
    """Whether a create was sent whose group was not found."""
    _known: frozenset[str] = field(default=frozenset(), init=False)
    """Ids of the groups before the probe."""

    def __attrs_post_init__(self) -> None:
        once = RetryPolicy(attempts=1)  # a repeated write would count twice
        self.secoda = self.secoda.with_options(retry=once, timeout=20, deadline=120)

    async def run(self) -> None:
        """Ask every question, and delete the groups again, also after an error and when stopped.

        Raises:
            SecodaError: When the groups can't be read; nothing was written.
        """
        self._known = frozenset(group.id for group in await self._reader.groups.snapshot())
        await self._reader.request("GET", _GROUPS)  # learns a redirect to a slash, which would count as a write
        try:
            await self._examine()
        except _StopProbeError:
            pass
        finally:
            await self._clean_up()
            self._conclude()

    def document(self) -> Mapping[str, object]:
        """Return the findings as JSON, without ids."""
        return {"findings": dict(self.findings), "writes": self.writes, "groups_left": len(self.left)}

    @property
    def _reader(self) -> SecodaClient:
        return self.secoda.with_options(retry=RetryPolicy(attempts=3))

    async def _examine(self) -> None:
        group_id, members = await self._create_first()
        steps: tuple[tuple[str, Callable[[str], Awaitable[str]]], ...] = (
            ("read_after_create", self._read_after_create),
            ("membership", lambda group_id: self._replace_members(group_id, members)),
            ("null", lambda group_id: self._clear(group_id, None)),
            ("empty", lambda group_id: self._clear(group_id, "")),
            ("unique_names", self._create_second),
        )
        for key, step in steps:
            if self.stop.is_set():
                return
            try:
                self.findings[key] = await step(group_id)
            except SecodaError as error:
                self.findings[key] = _describe(error)
                if isinstance(error, RateLimitError):
                    raise _StopProbeError from None

    # --- the questions ------------------------------------------------------------------------------------------

    async def _create_first(self) -> tuple[str, Sequence[str]]:
        """Create the group with one member, and an invited one if there is any; return its id and two user ids."""
        active = sorted(
            (user for user in self.users if not user.pending and not user.disabled),
            key=lambda user: not user.is_service_account,  # service accounts before people
        )
        invited = [user.id for user in self.users if user.pending and not user.disabled][:1]
        members = [user.id for user in active[:2]]
        body = {"name": self.name, "icon": "🧪", "description": "Made by secoda-async doctor --probe."}
        try:
            group = await self._create(body | {"users": [*members[:1], *invited]})
        except SecodaError as error:
            is_refused = isinstance(error, PermissionDeniedError)
            self.findings["may_write"] = f"no: {_describe(error)}" if is_refused else _describe(error)
            raise _StopProbeError from None
        self.findings["may_write"] = f"yes ({self._last_status()})"
        if invited:
            shown = "yes" if invited[0] in _members(group) else "no"
            self.findings["pending"] = f"in the response to a POST: {shown}"
        else:
            self.findings["pending"] = f"{_NOT_TRIED}: no invitation is pending"
        return str(group["id"]), members

    async def _create(self, body: Mapping[str, object]) -> Mapping[str, Any]:
        """Create a group, and return it; only a new group with the probe's name is the probe's.

        Raises:
            ResponseError: When the response is about something else.
        """
        try:
            group = _as_object(await self._write("POST", _GROUPS, body))
        except (OutcomeUnknownError, asyncio.CancelledError):
            self.is_create_unclear = True
            raise
        group_id = group.get("id")
        if not isinstance(group_id, str) or group_id in self._known or self.name not in str(group.get("name")):
            self.is_create_unclear = True
            raise ResponseError("the response to the create is not the new group")
        self.left.add(group_id)
        return group

    async def _read_after_create(self, group_id: str) -> str:
        try:
            group = _as_object(await self._reader.request("GET", f"{_GROUPS}/{group_id}"))
        except NotFoundError:
            return "no (404)"
        if self.findings["pending"].startswith("in the response"):
            invited = {user.id for user in self.users if user.pending}
            shown = "yes" if invited & _members(group) else "no"
            self.findings["pending"] += f"; when the group is read: {shown}"
        return "yes"

    async def _replace_members(self, group_id: str, members: Sequence[str]) -> str:
        if len(members) < 2:  # noqa: PLR2004 - one to be replaced by the other
            return f"{_NOT_TRIED}: it needs two users with an account"
        former, new = members
        shown = _members(_as_object(await self._write("PATCH", f"{_GROUPS}/{group_id}", {"users": [new]})))
        if shown == {new}:
            return "yes"
        if {former, new} <= shown:
            return "no: the members are added"
        return f"unclear: the response shows {len(shown)} members"

    async def _clear(self, group_id: str, value: str | None) -> str:
        body = {"icon": value, "description": value}
        group = _as_object(await self._write("PATCH", f"{_GROUPS}/{group_id}", body))
        return ", ".join(f"{name} is shown as {_form(group, name)}" for name in body)

    async def _create_second(self, group_id: str) -> str:
        try:
            second = await self._create({"name": self.name})
        except (BadRequestError, ConflictError) as error:
            return f"yes: {_describe(error)}"
        return "yes: the response is the first group" if second["id"] == group_id else "no: a second one was created"

    # --- writes -------------------------------------------------------------------------------------------------

    async def _write(self, method: str, path: str, body: object = None) -> object:
        self.writes += 1
        return await self.secoda.request(method, path, json=body)

    def _last_status(self) -> int | None:
        statuses = [event.status for event in self.events if isinstance(event, AttemptEvent)]
        return statuses[-1] if statuses else None

    async def _clean_up(self) -> None:
        """Delete the groups of the probe; `left` has those that remain."""
        self.left |= await self._find_own()
        for group_id in sorted(self.left):
            if await self._delete(group_id):
                self.left.discard(group_id)

    async def _find_own(self) -> set[str]:
        """Return the ids of the groups with the probe's name: the response to a create may have been lost."""
        try:
            groups = await self._reader.groups.snapshot()
        except SecodaError:
            return set()
        found = {group.id for group in groups if self.name in group.name and group.id not in self._known}
        if found - self.left:
            self.is_create_unclear = False
        return found

    async def _delete(self, group_id: str) -> bool:
        """Delete a group of the probe, with a second attempt if a write is left; return whether it is gone."""
        if not await self._is_own(group_id):
            return False
        for _ in range(2):
            if self.writes == MAX_WRITES:
                break
            try:
                payload = await self._write("DELETE", f"{_GROUPS}/{group_id}")
                if payload is not None:
                    raise ResponseError("the response to a delete has no content")
            except NotFoundError as error:
                self.findings["delete"] = _describe(error)
                return not error.is_missing_route
            except SecodaError as error:
                self.findings["delete"] = _describe(error)
            else:
                self.findings["delete"] = f"yes ({self._last_status()})"
                return True
        return False

    async def _is_own(self, group_id: str) -> bool:
        """Return whether a group has the probe's name; a read that fails, or lags, does not tell."""
        try:
            group = _as_object(await self._reader.request("GET", f"{_GROUPS}/{group_id}"))
        except SecodaError:
            return True
        if self.name in str(group.get("name")):
            return True
        self.findings["delete"] = f"{_NOT_TRIED}: somebody renamed the group"
        return False

    def _conclude(self) -> None:
        attempts = [event for event in self.events if isinstance(event, AttemptEvent)]
        redirects = {event.method for event in attempts if event.status in _REDIRECTS}
        self.findings["slash"] = f"yes: {', '.join(sorted(redirects))}" if redirects else "no"
        names = sorted({name for event in attempts for name in event.limits})
        refused = sum(event.status == _TOO_MANY for event in attempts)
        self.findings["limit"] = (
            f"{_NOT_TRIED}: it takes more than 30 writes in a minute. Responses with 429: {refused}; headers about "
            f"limits: {', '.join(names) or 'none'}"
        )


def _as_object(payload: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", payload) if isinstance(payload, dict) else {}


def _members(group: Mapping[str, Any]) -> set[str]:
    users: object = group.get("users")
    return set(map(str, cast("Iterable[object]", users))) if isinstance(users, list) else set()


def _form(group: Mapping[str, Any], name: str) -> str:
    """Return the form of a field, and not its text."""
    if name not in group:
        return "absent"
    value = group[name]
    return "null" if value is None else "an empty text" if value == "" else "something else"


def _describe(error: SecodaError) -> str:
    """Return the kind of an error, without the server's words: these may have names, addresses and ids."""
    if isinstance(error, APIError):
        fields = ", ".join(sorted(error.fields)) if isinstance(error, BadRequestError) else ""
        return f"refused with {error.status}{f' ({fields})' if fields else ''}"
    if isinstance(error, ResponseError):
        return "the response is not what the API promises"
    return f"no response ({type(error).__name__})"
