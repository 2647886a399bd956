"""Answers as values: a status, a body and headers, not yet on any wire."""

from http.client import responses
from typing import Any

import attrs
import orjson

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"


@attrs.frozen
class Response:
    """What is sent back for a request."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *extra: tuple[str, str]) -> "Response":
        """Return the answer with more headers, which take the place of its own of the same names."""
        names = {name.lower() for name, _ in extra}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return attrs.evolve(self, headers=kept + extra)

    def as_bytes(self) -> tuple[bytes, bytes]:
        """Return the head with the full `Content-Length`, and the body, as they would be on the wire."""
        sent = self.with_headers(("Content-Length", str(len(self.body))))
        lines = [f"HTTP/1.1 {self.status} {reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in sent.headers]
        return "\r\n".join([*lines, "", ""]).encode(), self.body


def reason(status: int) -> str:
    """Return the usual words for a status, or none."""
    return responses.get(status, "")


def json_response(status: int, payload: Any, *headers: tuple[str, str]) -> Response:  # noqa: ANN401 - any JSON value
    """Response with JSON: compact, raw UTF-8."""
    return Response(status, orjson.dumps(payload), (("Content-Type", JSON_TYPE), *headers))


def detail_response(status: int, detail: str, *headers: tuple[str, str]) -> Response:
    """Response with the framework's `{"detail": ...}`."""
    # What the client sent can be quoted in it, and need not be proper Unicode.
    return json_response(status, {"detail": detail.encode("utf-8", "replace").decode()}, *headers)


def html_response(status: int) -> Response:
    """Response with a page, as what stands in front of the API does."""
    title = f"{status} {reason(status)}"
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Response(status, page.encode(), (("Content-Type", HTML_TYPE),))
