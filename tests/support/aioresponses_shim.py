"""aioresponses 0.7.9 on aiohttp 3.14: the one place that bridges the two; test_shape.py tells when it can go."""

import inspect
from typing import Any, Self
from unittest.mock import Mock

from aiohttp import ClientResponse
from aioresponses import aioresponses
from attrs import frozen

NEEDS_WRITER = "stream_writer" in inspect.signature(ClientResponse.__init__).parameters
"""Whether this aiohttp asks for an argument that aioresponses does not know of."""


class _Response(ClientResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's own
        if NEEDS_WRITER:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@frozen
class Sent:
    """A request as it was handed to aiohttp."""

    method: str
    url: str
    arguments: dict[str, Any]


class MockedApi(aioresponses):
    """aioresponses, with answers that this aiohttp takes, and a mistake in a test that is not taken for a failure."""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def add(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        kwargs["response_class"] = _Response
        super().add(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]

    async def match(self, *args: Any, **kwargs: Any) -> ClientResponse:  # noqa: ANN401
        response = await super().match(*args, **kwargs)
        # Unmatched it would be a ClientConnectionError, which a client retries.
        assert response is not None, f"no mock for {args[0]} {args[1]}"
        return response

    @property
    def sent(self) -> list[Sent]:
        log: Any = self.requests
        return [Sent(method, str(url), call.kwargs) for (method, url), calls in log.items() for call in calls]
