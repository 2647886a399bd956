"""Breaches for groups that may be meant under another name: probable renames, and names that look alike."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from secoda_async._engine.name_keys import confusable_key
from secoda_async.models import Group, normalize
from secoda_async.reconcile.desired_group import DesiredGroup
from secoda_async.reconcile.escape import quote_name, spell_name
from secoda_async.reconcile.matching import Matching, gets_its_name
from secoda_async.reconcile.plan import Breach, Change
from secoda_async.reconcile.scope import Scope

__all__ = ["deleted_former_names", "deletes_like_desired", "deletes_like_ignored", "probable_renames", "similar_names"]

_MOST_SIMILAR: Final = 10
"""Names that are listed for each name that looks like them."""

_MOST_COMPARED: Final = 5_000_000
"""Memberships that are compared to find renames: more take seconds."""


def probable_renames(creates: Sequence[Change], deletes: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach for each delete and create that share more than half of their members.

    A rename would take one write and keep the group's id.
    """
    if not creates or not deletes:
        return
    creates_by_user = _index_by_user(creates)
    compared = 0
    for index, delete in enumerate(deletes):
        found = [creates_by_user[user] for user in delete.before.users or () if user in creates_by_user]
        compared += sum(map(len, found))
        if compared > _MOST_COMPARED:
            message = (
                f"{len(deletes) - index} of the groups that would be deleted are not compared with the "
                f"{len(creates)} that would be created, because these are too many: look for renames among them"
            )
            yield Breach(kind="rename", message=message)
            return
        yield from _renames_of(delete, creates, Counter(chain.from_iterable(found)))


def _index_by_user(creates: Iterable[Change]) -> Mapping[str, Sequence[int]]:
    """Return the positions of the creates by member: an index avoids a comparison of every delete with every create."""
    creates_by_user: dict[str, list[int]] = defaultdict(list)
    for index, create in enumerate(creates):
        for user in create.after.users or ():
            creates_by_user[user].append(index)
    return creates_by_user


def _renames_of(delete: Change, creates: Sequence[Change], shared_counts: Mapping[int, int]) -> Iterator[Breach]:
    """Yield a breach for each create that may be the new name of a deleted group; `shared_counts` is by position."""
    size = len(delete.before.users or ())
    found = [
        (index, shared, larger)
        for index, shared in shared_counts.items()
        if shared > 1
        and 2 * shared > size
        and 2 * shared > (larger := max(size, len(creates[index].after.users or ())))
    ]
    for index, shared, larger in sorted(found)[:_MOST_SIMILAR]:
        new = creates[index].name
        message = (
            f"{delete.name!r} would be deleted and {new!r} created, with {shared} of {larger} members "
            f"in common: if this is a rename, add `previously: [{quote_name(delete.name)}]` to {new!r}"
        )
        yield Breach(kind="rename", message=message, names=(delete.name, new))
    if len(found) > _MOST_SIMILAR:
        message = f"more than {_MOST_SIMILAR} new groups have the members of {delete.name!r}: only the first are listed"
        yield Breach(kind="rename", message=message, names=(delete.name,))


def deleted_former_names(desired: Iterable[DesiredGroup], deletes: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach for each delete of a group that a desired group lists in `previously`, or that looks like one."""
    formers = {confusable_key(former): wanted.name for wanted in desired for former in wanted.previously}
    for delete, new in _deletes_named(formers, deletes):
        message = (
            f"{delete.name!r} would be deleted, although it is a former name of {new!r}: another group has the "
            f"name {new!r} already. Merge the two, or remove {delete.name!r} from `previously`"
        )
        yield Breach(kind="rename", message=message, names=(delete.name, new))


def _deletes_named(names: Mapping[str, str], deletes: Sequence[Change]) -> Iterator[tuple[Change, str]]:
    """Yield each delete of a group whose confusable key is in `names`, and the value of the key."""
    for delete in deletes:
        name = names.get(confusable_key(delete.name))
        if name is not None:
            yield delete, name


def similar_names(matching: Matching) -> Iterator[Breach]:
    """Yield a breach for each create or rename whose new name people, or a server, can mistake for another name."""
    named = sorted((pair for pair in matching.pairs if gets_its_name(*pair)), key=lambda pair: pair[0].name)
    if not named:
        return
    index = _NameIndex(matching)
    for wanted, present in named:
        yield from index.similar_groups(wanted, present)
        yield from index.similar_desired_groups(wanted)
        if present is None:
            yield from index.similar_to_former_names(wanted)


class _NameIndex:
    """The names that a workspace has after a plan, by their confusable key."""

    def __init__(self, matching: Matching) -> None:
        self._groups: dict[str, list[Group]] = defaultdict(list)
        """The groups that no desired group is matched with. They keep their names."""
        self._new: dict[str, list[str]] = defaultdict(list)
        """The sorted names that the plan gives to groups."""
        self._kept: dict[str, list[str]] = defaultdict(list)
        """The sorted names of the other desired groups."""
        self._free_ids = frozenset(group.id for group in matching.unmanaged)
        """Ids of the groups that the desired state may still rename."""
        self._outside_ids = frozenset(group.id for group in matching.ignored)
        """Ids of the groups outside the scope."""
        groups = (*matching.inside, *matching.ignored)
        matched = {present.id for _, present in matching.pairs if present is not None}
        for group in groups:
            if group.id not in matched:
                self._groups[confusable_key(group.name)].append(group)
        for wanted, present in sorted(matching.pairs, key=lambda pair: pair[0].name):
            index = self._new if gets_its_name(wanted, present) else self._kept
            index[confusable_key(wanted.name)].append(wanted.name)
        names = {normalize(group.name) for group in groups}
        for wanted in matching.outside:
            if wanted.name not in names:
                self._kept[confusable_key(wanted.name)].append(wanted.name)

    def similar_groups(self, wanted: DesiredGroup, present: Group | None) -> Iterator[Breach]:
        """Yield a breach for each existing group whose name looks like the new name of another."""
        name = spell_name(wanted.name)
        groups = self._groups.get(confusable_key(wanted.name), ())
        for group in groups[:_MOST_SIMILAR]:
            if present is None:
                subject = f"{name} would be created"
                rename = f"rename that group with `previously: [{quote_name(group.name)}]` or `id: {group.id}`"
                advice = f"if the same group is meant, write {spell_name(group.name)}, or {rename}"
            else:
                subject = f"{spell_name(present.name)} would be renamed to {name}"
                advice = f"if that group is meant, use `id: {group.id}`; otherwise choose another name"
            if group.id not in self._free_ids:
                advice = "the plan can't rename that group, so choose another name"
            message = f"{subject}, and {spell_name(group.name)} ({group.id}) looks alike: {advice}"
            yield Breach(kind="similar", message=message, names=(wanted.name, group.name))
        yield from _more_similar(wanted, groups)

    def similar_desired_groups(self, wanted: DesiredGroup) -> Iterator[Breach]:
        """Yield a breach for each other desired group whose name looks alike; one for each pair."""
        key = confusable_key(wanted.name)
        new = self._new[key]
        after = bisect_right(new, wanted.name)
        kept = [name for name in self._kept.get(key, ())[: _MOST_SIMILAR + 1] if name != wanted.name]
        names = [*kept, *new[after : after + _MOST_SIMILAR + 1]]
        for name in names[:_MOST_SIMILAR]:
            pair = f"{spell_name(wanted.name)} and {spell_name(name)}"
            message = f"the groups {pair} look alike: remove or rename one, or approve the plan (--approve DIGEST)"
            yield Breach(kind="similar", message=message, names=(wanted.name, name))
        yield from _more_similar(wanted, names)

    def similar_to_former_names(self, wanted: DesiredGroup) -> Iterator[Breach]:
        """Yield a breach for each group that a former name of a new group may mean."""
        keys = {confusable_key(former): former for former in wanted.previously}
        keys.pop(confusable_key(wanted.name), None)
        for key, former in keys.items():
            for group in self._groups.get(key, ()):
                advice = f"to rename that group, write `previously: [{quote_name(group.name)}]`"
                if group.id in self._outside_ids:
                    advice = "that group is outside the scope, so check the patterns (only, ignore)"
                elif group.id not in self._free_ids:
                    continue
                message = (
                    f"{spell_name(wanted.name)} would be created, and {spell_name(group.name)} ({group.id}) looks "
                    f"like its former name {spell_name(former)}: {advice}"
                )
                yield Breach(kind="similar", message=message, names=(wanted.name, group.name))


def _more_similar(wanted: DesiredGroup, others: Sequence[object]) -> Iterator[Breach]:
    """Yield a breach if more names look alike than are named: all pairs of thousands would fill the memory."""
    if len(others) > _MOST_SIMILAR:
        message = f"more than {_MOST_SIMILAR} names look like {spell_name(wanted.name)}: only the first are listed"
        yield Breach(kind="similar", message=message, names=(wanted.name,))


def deletes_like_desired(desired: Iterable[DesiredGroup], deletes: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach for each delete of a group that looks like a desired one.

    An approved create of the second name may have left the members in the first group.
    """
    names = {confusable_key(wanted.name): wanted.name for wanted in desired if wanted.name} if deletes else {}
    for delete, name in _deletes_named(names, deletes):
        message = (
            f"{spell_name(delete.name)} ({delete.id}) would be deleted, and looks like the group "
            f"{spell_name(name)}: compare their members, then approve the plan (--approve DIGEST)"
        )
        yield Breach(kind="similar", message=message, names=(delete.name, name))


def deletes_like_ignored(scope: Scope, deletes: Sequence[Change]) -> Iterator[Breach]:
    """Yield a breach for each delete of a group whose name a pattern of `ignore` may be meant to fit."""
    for delete in deletes if scope.ignore else ():
        pattern = scope.nearly_ignored_by(delete.name)
        if pattern is not None:
            message = (
                f"{spell_name(delete.name)} would be deleted, and looks like a name that the pattern "
                f"{spell_name(pattern)} ignores: correct the pattern, or approve the plan (--approve DIGEST)"
            )
            yield Breach(kind="similar", message=message, names=(delete.name,))
