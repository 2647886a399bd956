"""The calls on groups behind `Groups`, `bulk` and `apply`: creates, `ensure`, and reads that show own writes."""

from collections.abc import Awaitable, Collection, Iterable
from functools import partial
from types import NoneType
from typing import Final

from attrs import evolve

from secoda_async._engine.call import Call, CallState, Scope
from secoda_async._engine.creation import GroupCreator, GroupExistsError, KnownIds
from secoda_async._engine.group_names import find_by_similar_name
from secoda_async._engine.group_responses import COLLECTION, confirm_members, group_of, written_group_of
from secoda_async._engine.group_updates import MembershipChange, change_membership, patch_of, send_update
from secoda_async._engine.operation import Operation
from secoda_async._engine.pagination import Lister
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire import codec
from secoda_async._engine.wire.ids import validate_users
from secoda_async._engine.wire.protocol import Request, request_to
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, ResponseError
from secoda_async.models import UNSET, Group, GroupFields, Unset

_TEXT: Final = (str, Unset, NoneType)


class GroupStore:
    """The groups of a workspace, for calls that share a scope. The arguments were checked."""

    def __init__(self, pipeline: Pipeline, options: CallOptions, scope: Scope) -> None:
        self.lister: Lister[Group] = Lister(pipeline, options, COLLECTION, Group, needed=("users",), scope=scope)
        self._pipeline = pipeline
        self._options = options
        self._scope = scope
        self._creator = GroupCreator(pipeline, self.lister)

    def call(self, request: Request) -> Call:
        """Return a call in this scope, for a read."""
        return self._pipeline.call(request, self._options, self._scope)

    def write_call(self, request: Request) -> Call:
        """Return a call in this scope, for a write: with the precondition of the scope."""
        return self._pipeline.call(request, self._options, self._scope, is_write=True)

    async def create(
        self,
        fields: GroupFields,
        *,
        reconcile: bool,
        known_ids: KnownIds | None = None,
        is_locked: bool = False,
    ) -> Group:
        """Create a group; see `Groups.create` and `GroupCreator.create`."""
        known_ids = self._scope.known_ids if known_ids is None else known_ids
        request = request_to("POST", COLLECTION, body=codec.dump(fields.to_dict()), name=fields.name or None)
        call = self.write_call(request)
        if call.operation is None:  # it shows the ledger whether a cancelled create was sent
            call = evolve(call, operation=Operation())
        read = partial(written_group_of, fields=fields)
        if reconcile:
            group = await self._creator.create(call, fields, read, known_ids=known_ids, is_locked=is_locked)
        else:
            with self._pipeline.ledger.creating(fields.name, call.operation):
                group = await self._pipeline.send(call, read)
        self._pipeline.ledger.note_created(group)
        try:
            await confirm_members(self._pipeline, call, group, fields)
        except ResponseError as error:
            raise outcome_unknown(call.request, error, "its response was checked", candidates=(group.id,)) from error
        return group

    def read(self, group_id: str) -> Awaitable[Group]:
        """Read a group that is about to be written: its members must be shown."""
        read = partial(group_of, group_id=group_id, needed=("users",))
        return self._pipeline.send(self.call(request_to("GET", COLLECTION, group_id)), read)

    def update(self, group_id: str, fields: GroupFields) -> Awaitable[Group]:
        """Change fields of a group; see `Groups.update`."""
        return send_update(self._pipeline, self.write_call(patch_of(group_id, fields)), group_id, fields)

    async def change_members(self, group_id: str, change: MembershipChange) -> Group:
        """Read a group, and write the membership that `change` returns if it differs."""
        call = self.write_call(request_to("PATCH", COLLECTION, group_id))
        return await change_membership(self._pipeline, call, group_id, change)

    async def ensure(self, fields: GroupFields, name: str) -> Group:
        """Find or create the group with a name; see `Groups.ensure`."""
        began = self._pipeline.clock.now() if self._scope.began is None else self._scope.began
        scope = self._scope._replace(began=began)
        store = GroupStore(self._pipeline, self._options, scope)
        waiting = store.call(request_to("GET", COLLECTION))
        with await self._creator.lock(name, waiting):
            listed = await store.snapshot_with_own_writes()
            found = find_by_similar_name(listed, name)
            if found is None and await store.settle(name):
                listed = await store.snapshot_with_own_writes()
                found = find_by_similar_name(listed, name)
            if found is None:
                try:
                    return await store._create_missing(fields, name, listed)
                except GroupExistsError as error:
                    found = error.group
            if evolve(fields, name=UNSET).matches(found):
                return found
            return await store.update(found.id, evolve(fields, name=UNSET))

    async def _create_missing(self, fields: GroupFields, name: str, listed: Collection[Group]) -> Group:
        """Create a group that a list does not show, unless another program creates it while this call waits.

        Raises:
            GroupExistsError: When another program created the group.
        """
        ids = frozenset(group.id for group in listed)

        async def known_ids() -> Collection[str]:
            return ids

        is_first_check = True

        async def read_again(state: CallState) -> None:
            nonlocal is_first_check
            is_list_recent = is_first_check and not state.waited
            is_first_check = False
            if is_list_recent:
                return
            found = find_by_similar_name(await self.snapshot_with_own_writes(), name)
            if found is not None:
                raise GroupExistsError(found)

        store = GroupStore(self._pipeline, self._options, self._scope._replace(precondition=read_again))
        return await store.create(fields, reconcile=True, known_ids=known_ids, is_locked=True)

    async def listed_ids(self) -> Collection[str] | None:
        """Return the ids of all groups, or None when they can't be read."""
        return await self._creator.ids()

    async def snapshot_with_own_writes(self) -> list[Group]:
        """Return a snapshot, corrected by this client's own writes of the last minute, which the list may not show."""
        return self._pipeline.ledger.with_own_writes(await self.lister.snapshot())

    async def observed_with_own_writes(self) -> list[Group]:
        """Return the groups of `Lister.observed_items`, with this client's own writes of the last minute."""
        return self._pipeline.ledger.with_own_writes(await self.lister.observed_items())

    def has_written_since(self, at: float, name: str) -> bool:
        """Return whether this client has written a group of a confusable name since a moment of its clock."""
        return self._pipeline.ledger.has_written_since(at, name)

    async def settle(self, name: str) -> bool:
        """Wait until a list shows the group of an unclear create with this name; return whether there was one."""
        pause = self._pipeline.ledger.create_settles_in(name)
        call = self.call(request_to("POST", COLLECTION))
        await self._pipeline.pause(call, pause, "an earlier create of this name may still be executed")
        return pause > 0


def validate_fields(
    name: str | Unset, icon: str | Unset | None, description: str | Unset | None, users: Iterable[str] | Unset
) -> GroupFields:
    """Return the fields of a write; an invalid argument costs no rate-limited write."""
    if not isinstance(name, (str, Unset)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"name must be a string, not {type(name).__name__}")
    for field, value in (("icon", icon), ("description", description)):
        if not isinstance(value, _TEXT):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"{field} must be a string or None, not {type(value).__name__}")
    ids = UNSET if users is UNSET else validate_users(users)
    return GroupFields(name=name, icon=icon, description=description, users=ids)
