"""The scope of a plan: patterns of the names of the groups that a plan may touch."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import translate
from functools import lru_cache

from attrs import frozen

from secoda_async._engine.name_keys import confusable_key
from secoda_async.errors import InvalidArgumentError
from secoda_async.models import normalize

__all__ = ["Scope", "ignore_patterns", "only_patterns"]


def only_patterns(patterns: Iterable[object]) -> tuple[str, ...]:
    """Check and return the patterns of `only`."""
    return _check_patterns("only", patterns)


def ignore_patterns(patterns: Iterable[object]) -> tuple[str, ...]:
    """Check and return the patterns of `ignore`."""
    return _check_patterns("ignore", patterns)


def _check_patterns(field: str, patterns: Iterable[object]) -> tuple[str, ...]:
    """Return patterns of names; `field` is for the message.

    Raises:
        InvalidArgumentError: When the patterns are a single string, or one of them is empty or not a string.
    """
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"{field} must be a list of patterns, not {type(patterns).__name__}")
    checked: list[str] = []
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern.strip():
            raise InvalidArgumentError(f"{field} must contain patterns such as 'Team *', not {pattern!r}")
        checked.append(pattern)
    return tuple(checked)


@frozen
class Scope:
    """Decides by name which groups a plan may touch.

    In a pattern, `*` stands for any characters and `?` for one; letter case matters. Brackets stand for themselves,
    because names such as "[SAML] Sales" are usual.
    """

    only: Sequence[str] = ()
    """Groups without such a name are outside; empty: all groups are inside."""
    ignore: Sequence[str] = ()
    """Groups with such a name are outside."""

    @property
    def is_limited(self) -> bool:
        """Whether there are any patterns."""
        return bool(self.only or self.ignore)

    def contains(self, name: str) -> bool:
        """Return whether a group with this name is inside."""
        if self.only and _first_match(name, self.only) is None:
            return False
        return not self.ignore or _first_match(name, self.ignore) is None

    def ignore_pattern_of(self, name: str) -> str | None:
        """Return the first pattern of `ignore` that fits a name, or None."""
        return _first_match(name, self.ignore)

    def nearly_ignored_by(self, name: str) -> str | None:
        """Return the first pattern of `ignore` that fits a name but for differences that are hard to see, or None."""
        key = confusable_key(name)
        return next((pattern for pattern in self.ignore if _near_matcher(pattern)(key)), None)

    def unused(self, names: Collection[str], *, deletes: bool) -> Iterator[str]:
        """Yield a sentence for each pattern that fits no name; for `ignore`, only if the plan deletes groups."""
        normal_names = [normalize(name) for name in names] if self.is_limited else []
        for label, patterns in (("only", self.only), ("ignore", self.ignore if deletes else ())):
            for pattern in dict.fromkeys(patterns):
                if not any(map(_matcher(pattern), normal_names)):
                    yield f"The pattern {pattern!r} ({label}) fits no group, neither present nor desired: check it"

    def ignored_problem(self, names: Iterable[str]) -> str | None:
        """Return the problem of a desired group that has an ignored name among its names, or None."""
        for name in names:
            pattern = self.ignore_pattern_of(name)
            if pattern is not None:
                return f"the group {name!r} is ignored by the pattern {pattern!r}: remove one of them"
        return None


def _first_match(name: str, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that fits a name, or None."""
    normal = normalize(name)
    return next((pattern for pattern in patterns if _matcher(pattern)(normal)), None)


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> Callable[[str], object]:
    """Return a function that tells whether a pattern fits a normalized name."""
    return re.compile(translate(normalize(pattern).replace("[", "[[]"))).match


@lru_cache(maxsize=1024)
def _near_matcher(pattern: str) -> Callable[[str], object]:
    """Return a function that tells whether a pattern fits the confusable key of a name."""
    return _matcher(confusable_key(pattern))
