"""One group as it should be."""

from collections.abc import Iterable

from attrs import field, frozen

from secoda_async._engine.wire.protocol import validate_id
from secoda_async.errors import InvalidArgumentError
from secoda_async.models import UNSET, Unset, normalize

__all__ = ["DesiredGroup", "has_unsendable_characters", "normalize"]


def has_unsendable_characters(text: str) -> bool:
    """Whether a text can't be sent: it holds a NUL, which databases refuse, or half a surrogate pair."""
    return any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def _name(value: object) -> str:
    return normalize(_text("name", value))


def _texts(what: str, values: Iterable[object]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"{what} must be a list of text, not {type(values).__name__}")
    return tuple(_text(what, value) for value in values)


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{what} must be text, not {type(value).__name__}")
    if has_unsendable_characters(value):
        raise InvalidArgumentError(f"{what} holds a character that can't be sent: {value!r}")
    return value


def _previously(values: Iterable[object]) -> tuple[str, ...]:
    return _texts("previously", values)


def _members(values: Iterable[object] | Unset) -> tuple[str, ...] | Unset:
    return values if isinstance(values, Unset) else _texts("members", values)


@frozen(kw_only=True)
class DesiredGroup:
    """A group as it should be. What is `UNSET` is not managed, None clears.

    Raises:
        InvalidArgumentError: When a field can't be sent, or there is neither a name nor an id.
    """

    name: str = field(default="", converter=_name)
    """Its name: trimmed, in Unicode's form NFC. Empty only for a group without a name, which its id says."""
    id: str | None = None
    """Which group it is, when its name does not say."""
    previously: tuple[str, ...] = field(default=(), converter=_previously)
    """Names that it had before: a group with one of them is renamed."""
    icon: str | Unset | None = UNSET
    """An emoji, as a rule."""
    description: str | Unset | None = UNSET
    """What it is for."""
    members: tuple[str, ...] | Unset = field(default=UNSET, converter=_members)
    """Its members, by e-mail address or id."""
    place: str = field(default="", eq=False)
    """Where it stands, for messages."""

    def __attrs_post_init__(self) -> None:
        if self.id is not None:
            validate_id(self.id)
        elif not self.name:
            raise InvalidArgumentError("a group must have a name that is not empty, or an id")
        for what, value in (("icon", self.icon), ("description", self.description)):
            if not isinstance(value, Unset | None):
                _text(what, value)
