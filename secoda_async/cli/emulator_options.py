"""The options of `secoda-async emulator`: the settings of an emulator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from attrs import define, fields
from cyclopts import Group, Parameter

from secoda_async.cli.numbers import Count, Factor, OptionalCount, Port, Seconds
from secoda_async.cli.options import Flag

_GENERATED: Final = {"groups": 60, "users": 120, "seed": 0}
"""Defaults of the options that generate a workspace. In `Server` they default to None, which says: not given."""


@Parameter(name="*", group=Group("Server", sort_key=1))
@define(kw_only=True)
class Server:
    """The address of the emulator, and its workspace at the start."""

    host: Annotated[str, Parameter(help="Address to listen on; 0.0.0.0 in a container.")] = "127.0.0.1"
    port: Annotated[Port, Parameter(help="Port; 0 selects a free one.")] = 8080
    groups: Annotated[OptionalCount, Parameter(help="Number of generated groups (default: 60).")] = None
    users: Annotated[OptionalCount, Parameter(help="Number of generated users (default: 120).")] = None
    seed: Annotated[OptionalCount, Parameter(help="Seed of the generated groups and users (default: 0).")] = None
    file: Annotated[Path | None, Parameter(help="Start with the groups of this file instead of generated ones.")] = None
    state: Annotated[
        Path | None,
        Parameter(
            help="Keep the API key, groups and users in this file over restarts. If it exists, start with it, "
            "and ignore --file, --groups, --users and --seed."
        ),
    ] = None
    script: Annotated[
        Path | None, Parameter(help="YAML or JSON file with stubs of further calls, and with faults.")
    ] = None
    api_key: Annotated[str | None, Parameter(help="API key to accept (default: a random one).")] = None
    speed: Annotated[Factor, Parameter(help="Clock speed-up factor (1 = real time).")] = 1.0

    def generated(self) -> Mapping[str, int]:
        """Return the numbers of generated groups and users, and their seed."""
        given = {name: getattr(self, name) for name in _GENERATED}
        return _GENERATED | {name: value for name, value in given.items() if value is not None}

    def ignored(self, *, is_restored: bool) -> str | None:
        """Return a sentence about options that have no effect beside another one; None if there are none.

        Args:
            is_restored: Whether the workspace comes from the state file.
        """
        if is_restored and (given := self._given("file", *_GENERATED)):
            return f"ignored, because --state {self.state} exists: {given}. Name another file to start anew"
        if not is_restored and self.file is not None and (given := self._given("groups", "users")):
            return f"ignored, because --file has the groups, and their members are the users: {given}"
        return None

    def _given(self, *names: str) -> str:
        """Return those of some options that were given: `--file, --groups`."""
        return ", ".join(f"--{name}" for name in names if getattr(self, name) is not None)


@Parameter(name="*", group=Group("Behavior", sort_key=2))
@define(kw_only=True)
class Behavior:
    """The settings of the emulated API, named as the attributes of `Emulator`. Seconds are those of its clock."""

    writes_per_window: Annotated[
        Count, Parameter(help="POST, PUT and PATCH requests that are accepted in a window; 0 removes the limit.")
    ] = 30
    window: Annotated[Factor, Parameter(help="Seconds of the write limit's window.")] = 60.0
    latency: Annotated[Seconds, Parameter(help="Seconds before each response.")] = 0.0
    page_size: Annotated[Count, Parameter(help="Items on a page of a list.")] = 50
    trailing_slash: Annotated[Flag, Parameter(help="Redirect to paths with a trailing slash.")] = False
    cursor_lists: Annotated[Flag, Parameter(help="Paginate with cursors instead of page numbers.")] = False
    next_link: Annotated[
        Literal["links", "top", "hidden"],
        Parameter(help="Position of the next link: under links, at the top of the body, or none."),
    ] = "links"
    link_origin: Annotated[str | None, Parameter(help="Origin of links, as behind a proxy.")] = None
    docs_literals: Annotated[
        Flag, Parameter(help='Return the text "None" instead of null, as the API docs show it.')
    ] = False
    visible_after: Annotated[Seconds, Parameter(help="Seconds until reads show a created group.")] = 0.0
    lists_lag: Annotated[Seconds, Parameter(help="Seconds that lists are behind, at most 300.")] = 0.0
    reads_lag: Annotated[Seconds, Parameter(help="Seconds that a GET of one group is behind, at most 300.")] = 0.0
    date_skew: Annotated[float, Parameter(help="Seconds that the Date header is ahead.")] = 0.0
    no_date: Annotated[Flag, Parameter(help="Send no Date header.")] = False
    created_at_shown: Annotated[
        Literal["full", "null", "absent", "local"], Parameter(help="Form of created_at in groups.")
    ] = "full"
    hide_pending: Annotated[Flag, Parameter(help="Omit members with a pending invitation from responses.")] = False
    collapse_names: Annotated[Flag, Parameter(help="Replace white space in names by single spaces.")] = False
    idle_408: Annotated[
        float | None, Parameter(help="Seconds until an idle connection is sent a 408 and closed (default: never).")
    ] = None

    def settings(self) -> dict[str, Any]:
        """Return the arguments of `Emulator`."""
        settings = {field.name: getattr(self, field.name) for field in fields(type(self))}
        if settings.pop("no_date"):
            settings["date_skew"] = None
        return settings | {"writes_per_window": self.writes_per_window or None}
