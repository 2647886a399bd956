"""The settings that the dashboard shows and changes."""

from typing import Any, Final, Literal

import attrs

from secoda_async.emulator.settings import Settings

Kind = Literal["flag", "whole", "number", "choice", "text"]
_TYPES: Final[dict[Kind, tuple[type, ...]]] = {
    "flag": (bool,),
    "whole": (int,),
    "number": (int, float),
    "choice": (str,),
    "text": (str,),
}


@attrs.frozen
class Control:
    """A setting with its label."""

    name: str
    label: str
    kind: Kind
    is_optional: bool = False
    """An empty field is None."""
    choices: tuple[str, ...] = ()

    def describe(self, settings: Settings) -> dict[str, Any]:
        """Return the control with the setting's value, for the page."""
        return attrs.asdict(self) | {"value": getattr(settings, self.name)}

    def change(self, settings: Settings, value: object) -> None:
        """Change the setting.

        Raises:
            ValueError: The value has a wrong type, or is out of range.
        """
        is_wrong = not isinstance(value, _TYPES[self.kind]) or (isinstance(value, bool) and self.kind != "flag")
        if is_wrong and not (value is None and self.is_optional):
            raise ValueError(f"{self.name} can't be {value!r}")
        setattr(settings, self.name, value)


CONTROLS: Final = (
    Control("writes_per_window", "Writes per window (empty: no limit)", "whole", is_optional=True),
    Control("window", "Window of the write limit, s", "number"),
    Control("latency", "Latency, s", "number"),
    Control("page_size", "Items on a page", "whole"),
    Control("visible_after", "Reads show a created group after, s", "number"),
    Control("lists_lag", "Lists are behind by, s", "number"),
    Control("reads_lag", "Reads of one group are behind by, s", "number"),
    Control("date_skew", "Date header is ahead by, s (empty: none)", "number", is_optional=True),
    Control("idle_408", "408 for idle connections after, s (empty: never)", "number", is_optional=True),
    Control("created_at_shown", "Form of created_at", "choice", choices=("full", "null", "absent", "local")),
    Control("next_link", "Position of the next link", "choice", choices=("links", "top", "hidden")),
    Control("link_origin", "Origin of links (empty: that of the request)", "text", is_optional=True),
    Control("trailing_slash", "Redirect to paths with a trailing slash", "flag"),
    Control("cursor_lists", "Paginate with cursors", "flag"),
    Control("docs_literals", 'Text "None" instead of null', "flag"),
    Control("hide_pending", "Omit pending members from responses", "flag"),
    Control("collapse_names", "Collapse white space in names", "flag"),
)


def change_setting(settings: Settings, name: object, value: object) -> None:
    """Change a setting by its name.

    Raises:
        ValueError: There is no such setting, or the value has a wrong type or is out of range.
    """
    control = next((control for control in CONTROLS if control.name == name), None)
    if control is None:
        raise ValueError("unknown setting")
    control.change(settings, value)
