"""Make aioresponses 0.7.9 work with aiohttp 3.14, which needs one more argument for a response."""

import inspect
from typing import Any, Self
from unittest.mock import Mock

from aiohttp import ClientResponse
from aioresponses import aioresponses
from attrs import frozen

NEEDS_WRITER = "stream_writer" in inspect.signature(ClientResponse.__init__).parameters
"""Whether aiohttp requires an argument that aioresponses does not pass."""


class _Response(ClientResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if NEEDS_WRITER:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@frozen
class Sent:
    """A request that aiohttp was asked to send."""

    method: str
    url: str
    arguments: dict[str, Any]


class MockedApi(aioresponses):
    """aioresponses with responses that aiohttp accepts; a request without a mock fails the test."""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def add(self, *args: Any, **kwargs: Any) -> None:
        kwargs["response_class"] = _Response
        super().add(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]

    async def match(self, *args: Any, **kwargs: Any) -> ClientResponse:
        response = await super().match(*args, **kwargs)
        # Unmatched it would be a ClientConnectionError, which a client retries.
        assert response is not None, f"no mock for {args[0]} {args[1]}"
        return response

    @property
    def sent(self) -> list[Sent]:
        log: Any = self.requests
        return [Sent(method, str(url), call.kwargs) for (method, url), calls in log.items() for call in calls]
