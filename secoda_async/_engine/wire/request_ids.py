"""The server's id for a request, by which its support can find the request."""

from collections.abc import Sequence
from typing import Final

from secoda_async._engine.wire.redaction import redact

REQUEST_IDS: Final = (b"x-request-id", b"x-amzn-requestid", b"x-amzn-trace-id", b"cf-ray")
"""The headers that may hold it, the best first."""


def request_id(raw_headers: Sequence[tuple[bytes, bytes]], *secrets: str) -> str | None:
    """Return the id from the headers of a response, without the secrets; None if there is none."""
    values = {name.lower(): value for name, value in raw_headers}
    found = next((values[name] for name in REQUEST_IDS if name in values), None)
    return None if found is None else redact(found.decode("latin-1"), *secrets)
