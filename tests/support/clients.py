"""The type of the `connect` fixture."""

from typing import Any, Protocol

from secoda_async import SecodaClient


class Connect(Protocol):
    """Make a client of the test's emulator with these settings; it is closed when the test ends."""

    def __call__(self, **settings: Any) -> SecodaClient: ...
