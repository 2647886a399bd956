"""One group as it should be."""

import unicodedata

from attrs import field, frozen

from secoda_async.models import UNSET, Unset

__all__ = ["DesiredGroup", "normal"]


def normal(name: str) -> str:
    """A name as names are compared: trimmed, in Unicode's form NFC."""
    return unicodedata.normalize("NFC", name.strip())


@frozen(kw_only=True)
class DesiredGroup:
    """A group as it should be. What is `UNSET` is not managed, None clears."""

    name: str = field(converter=normal)
    """Its name: trimmed, in Unicode's form NFC."""
    id: str | None = None
    """Which group it is, when its name does not say."""
    previously: tuple[str, ...] = ()
    """Names that it had before: a group with one of them is renamed."""
    icon: str | Unset | None = UNSET
    """An emoji, as a rule."""
    description: str | Unset | None = UNSET
    """What it is for."""
    members: tuple[str, ...] | Unset = UNSET
    """Its members, by e-mail address or id."""
    place: str = field(default="", eq=False)
    """Where it stands, for messages."""
