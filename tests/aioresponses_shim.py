"""aioresponses 0.7.9 on aiohttp 3.14: the one place that bridges the two; test_shape.py tells when it can go."""

import inspect
from typing import Any
from unittest.mock import Mock

from aiohttp import ClientResponse
from aioresponses import aioresponses
from yarl import URL

NEEDS_WRITER = "stream_writer" in inspect.signature(ClientResponse.__init__).parameters
"""Whether this aiohttp asks for an argument that aioresponses does not know of."""


class _Response(ClientResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - aiohttp's own
        if NEEDS_WRITER:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class MockedApi(aioresponses):
    """aioresponses, with answers that this aiohttp takes, and a mistake in a test that is not taken for a failure."""

    def add(self, url: Any, method: str = "GET", **kwargs: Any) -> None:  # noqa: ANN401
        super().add(url, method, response_class=_Response, **kwargs)

    async def match(self, method: str, url: URL, allow_redirects: bool = True, **kwargs: Any) -> ClientResponse:  # noqa: ANN401, FBT001, FBT002
        response = await super().match(method, url, allow_redirects, **kwargs)
        # Unmatched it would be a ClientConnectionError, which a client retries.
        assert response is not None, f"no mock for {method} {url}"
        return response
