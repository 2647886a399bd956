"""Finding a group by its name. The server does not keep names unique."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from secoda_async._engine.name_keys import confusable_key
from secoda_async.errors import AmbiguousNameError, InvalidArgumentError
from secoda_async.models import Group, collapse_spaces, normalize


def validate_name(name: object) -> str:
    """Return the normalized name to find a group by.

    Raises:
        InvalidArgumentError: When the name is empty or not a string.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(f"name must be a string that is not empty, not {name!r}")
    return normalize(name)


def find_by_name(groups: Iterable[Group], name: str) -> Group | None:
    """Return the group with a normalized name, or None.

    Raises:
        AmbiguousNameError: When several groups have the name.
    """
    found = [group for group in groups if normalize(group.name) == name]
    if len(found) > 1:
        ids = tuple(group.id for group in found)
        raise AmbiguousNameError(
            f"{len(found)} groups are called {name!r} ({', '.join(ids)}): use one of these ids", candidates=ids
        )
    return found[0] if found else None


def find_by_similar_name(groups: Sequence[Group], name: str) -> Group | None:
    """Return the group with a name, or the only one whose name differs in white space; None if no name is confusable.

    Raises:
        AmbiguousNameError: When several groups have the name, or groups have a confusable one.
    """
    if (found := find_by_name(groups, normalize(name))) is not None:
        return found
    key = confusable_key(name)
    similar = [group for group in groups if confusable_key(group.name) == key]
    if len(similar) == 1 and collapse_spaces(similar[0].name) == collapse_spaces(name):
        return similar[0]
    if similar:
        names = ", ".join(f"{group.name!r} ({group.id})" for group in similar)
        raise AmbiguousNameError(
            f"{name!r} looks like another group's name: {names}. Use that name, or create()",
            candidates=tuple(group.id for group in similar),
        )
    return None


class NameClaims:
    """The names that the creates of one bulk use: no two creates may have confusable names."""

    def __init__(self, names: Iterable[object]) -> None:
        """Register the names of the creates that are known before the first one starts."""
        self._known: dict[str, list[str]] = defaultdict(list)
        self._started: dict[str, str] = {}
        for name in names:
            if isinstance(name, str) and (key := confusable_key(name)):
                self._known[key].append(name)

    def claim(self, name: object) -> None:
        """Reserve the name of a create that is about to start.

        Raises:
            InvalidArgumentError: When another known create, or one that started before, has a confusable name.
        """
        if not isinstance(name, str) or not (key := confusable_key(name)):
            return
        known = self._known.get(key, ())
        names = known if len(known) > 1 else [self._started[key], name] if key in self._started else ()
        if names:
            shown = ", ".join(map(repr, dict.fromkeys(names)))
            raise InvalidArgumentError(
                f"{len(names)} creates of this bulk have the same name, or names that look alike ({shown}): keep one"
            )
        self._started[key] = name

    def release(self, name: object) -> None:
        """Free the name of a create that failed: a stream may repeat the create."""
        if isinstance(name, str):
            self._started.pop(confusable_key(name), None)
