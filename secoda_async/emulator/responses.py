"""Responses as values, before the server sends them."""

from http.client import responses

import attrs
import orjson

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"


@attrs.frozen
class Response:
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *extra: tuple[str, str]) -> "Response":
        """Return the response with more headers, which replace its own headers of the same names."""
        names = {name.lower() for name, _ in extra}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return attrs.evolve(self, headers=kept + extra)

    def as_bytes(self) -> tuple[bytes, bytes]:
        """Return the head, with the full `Content-Length`, and the body, as HTTP/1.1."""
        complete = self.with_headers(("Content-Length", str(len(self.body))))
        lines = [f"HTTP/1.1 {self.status} {reason_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in complete.headers]
        return "\r\n".join([*lines, "", ""]).encode(), self.body


def reason_phrase(status: int) -> str:
    """Return the standard reason phrase of a status; empty for an unknown status."""
    return responses.get(status, "")


def json_response(status: int, payload: object, *headers: tuple[str, str]) -> Response:
    """Return a response with JSON: compact, raw UTF-8."""
    return Response(status, orjson.dumps(payload), (("Content-Type", JSON_TYPE), *headers))


def detail_response(status: int, detail: str, *headers: tuple[str, str]) -> Response:
    """Return a response with the framework's `{"detail": ...}`."""
    return json_response(status, {"detail": detail}, *headers)


def encode_body(body: object) -> tuple[str, bytes]:
    """Return the content type and the bytes of the body of a fault or a stub."""
    if isinstance(body, bytes):  # labelled as JSON, so that a test can send malformed JSON
        return JSON_TYPE, body
    if isinstance(body, str):
        content_type = HTML_TYPE if body.startswith("<") else "text/plain; charset=utf-8"
        return content_type, body.encode()
    return JSON_TYPE, orjson.dumps(body)


def html_response(status: int) -> Response:
    """Return a response with an HTML page, as a proxy in front of the API sends it."""
    title = f"{status} {reason_phrase(status)}"
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Response(status, page.encode(), (("Content-Type", HTML_TYPE),))


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates by question marks: an error may quote the client's text, and UTF-8 can't encode them."""
    return text.encode("utf-8", "replace").decode()
