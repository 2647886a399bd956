"""The HTTP protocol of the API, without I/O: paths, statuses, `Retry-After`, redirects.

`docs/api-facts.md` lists what is known about the server.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import Any, Final, cast
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from attrs import define

from secoda_async._engine.wire import codec
from secoda_async._engine.wire.error_bodies import messages_by_field
from secoda_async._engine.wire.ids import is_plain_id
from secoda_async._engine.wire.redaction import redact_bytes
from secoda_async._engine.wire.request_ids import request_id
from secoda_async.config import API_PREFIX
from secoda_async.errors import (
    STATUS_ERRORS,
    APIError,
    BadRequestError,
    NotFoundError,
    RedirectError,
    ResponseError,
    SecodaError,
    ServerError,
)

EXCERPT_LENGTH: Final = 2000
"""Characters of a body that an error shows."""

LIMITED: Final = frozenset({"POST", "PUT", "PATCH"})
"""The rate-limited methods: together thirty calls a minute (documented)."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@define(eq=False, repr=False)
class Request:
    """One request, without host and key."""

    method: str
    path: str
    """The path below the origin, percent-encoded."""
    query: str = ""
    """The query, percent-encoded, without the question mark."""
    body: bytes | None = None
    """JSON, or None."""
    route: str = ""
    """The path without ids; a redirect to a trailing slash is remembered by route."""
    name: str | None = None
    """The name of the group to create."""


@define(eq=False, repr=False)  # a repr could show the key in a traceback: a server may echo it
class Reply:
    """A complete response."""

    status: int
    raw_headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[str]:
        """Return every value of a header, in order; `name` is in lower case."""
        return [value.decode("latin-1") for key, value in self.raw_headers if key.lower() == name]


class RedactedReply(Reply):
    """A response without the secrets, so that errors and log lines may quote it."""


# --- requests --------------------------------------------------------------------------------------------------


def request_to(
    method: str,
    collection: str,
    item_id: str | None = None,
    *,
    query: str = "",
    body: bytes | None = None,
    name: str | None = None,
) -> Request:
    """Return a request to one of the API's collections, or to one item of it; the id was checked before."""
    path, route = f"{API_PREFIX}/{collection}", collection
    if item_id is not None:
        segment = item_id if is_plain_id(item_id) else quote(item_id, safe="")
        path, route = f"{path}/{segment}", f"{route}/{{id}}"
    return Request(method, path, query, body, route, name)


# --- responses --------------------------------------------------------------------------------------------------


def error_for(request: Request, reply: Reply, now: datetime) -> SecodaError:
    """Return the error for a response without a 2xx status.

    Args:
        request: The request.
        reply: The response, with the key redacted.
        now: The present time, for a `Retry-After` date in a response without `Date`.
    """
    if reply.status in REDIRECTS:
        return _redirect_error(request, reply)
    kind = STATUS_ERRORS.get(reply.status, ServerError if reply.status >= 500 else APIError)  # noqa: PLR2004
    payload = _parsed(reply.body)
    headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in reply.raw_headers}
    error = kind(
        f"{reply.status} {_reason(reply, payload)}".rstrip(),
        status=reply.status,
        headers=headers,
        body=excerpt(reply.body),
        request_id=request_id(reply.raw_headers),
        retry_after=retry_after(reply, now),
    )
    fields = cast("dict[str, object]", payload) if type(payload) is dict else {}
    if isinstance(error, NotFoundError):
        error.is_missing_route = not isinstance(fields.get("detail"), str)
    if isinstance(error, BadRequestError):
        error.fields = messages_by_field(fields)
    return error


def is_absence(error: SecodaError) -> bool:
    """Return whether an error says that the object does not exist: a 404 in the API's own JSON.

    Another 404 comes from a gateway or names a missing route.
    """
    return isinstance(error, NotFoundError) and not error.is_missing_route


def confirm_deletion(reply: Reply) -> bool:
    """Return True for the response to a DELETE that succeeded.

    Raises:
        ResponseError: When it is not a 200 or 204 with an empty body: a login page, an error, a list, 202.
    """
    if reply.status in (200, 204) and not reply.body.strip():
        return True
    kind = "a body" if reply.body.strip() else "no body"
    raise ResponseError(f"DELETE was answered with {reply.status} and {kind} in place of 204: it may not be deleted")


def json_of(reply: Reply) -> Any:  # noqa: ANN401 - not checked yet
    """Return the JSON of a 2xx response; None when it has no body.

    Raises:
        ResponseError: When the body is not JSON.
    """
    if not reply.body.strip():
        return None
    try:
        return codec.parse(reply.body)
    except ValueError as error:
        reason = str(error)
    kind = "".join(reply.values(b"content-type")[:1]).partition(";")[0].strip().lower() or "no content type"
    if "json" in kind:
        raise ResponseError(f"the response is broken JSON: {reason}")
    raise ResponseError(f"the response is not JSON but {kind}: check that base_url is the API's, not the web page's")


def is_cut_short(reply: Reply) -> bool:
    """Return whether an unusable body is empty or ends early, because the connection broke.

    The Content-Length proves nothing: it may be absent, and a proxy counts the bytes that it has received.
    """
    if reply.status in (204, 205):
        return False
    try:
        reply.body.decode()
        codec.parse(reply.body)
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    except ValueError as error:
        return not reply.body.strip() or "end of data" in str(error)
    return False


def redact_reply(reply: Reply, *secrets: str) -> RedactedReply:
    """Return the response without the secrets, in case the server or a proxy's error page echoes them."""
    headers = [(redact_bytes(name, *secrets), redact_bytes(value, *secrets)) for name, value in reply.raw_headers]
    return RedactedReply(reply.status, headers, redact_bytes(reply.body, *secrets))


def excerpt(body: bytes) -> str:
    """Return the start of a body, as text."""
    return body[: EXCERPT_LENGTH * 4].decode("utf-8", "replace")[:EXCERPT_LENGTH]


def _parsed(body: bytes) -> object:
    try:
        return codec.parse(body)
    except ValueError:
        return None


def _reason(reply: Reply, payload: object) -> str:
    """Return one line from the body of an error: DRF's `detail`, or its fields, or the start of the body."""
    if type(payload) is dict:
        fields = cast("dict[str, object]", payload)
        if not isinstance(text := fields.get("detail"), str):
            text = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in messages_by_field(fields).items())
        return " ".join(text.split())[:EXCERPT_LENGTH]
    text = " ".join(excerpt(reply.body).split())
    return "(an HTML page)" if text.startswith("<") else text[:200] or responses.get(reply.status, "")


def retry_after(reply: Reply, now: datetime) -> float | None:
    """Return the wait that the server asks for, in seconds; None when the header is absent or unusable. Never raises.

    Seconds (fractions too) or an HTTP date (RFC 9110, 10.2.3), measured against the server's own `Date`. A
    past date is 0. Of two headers, the larger counts.
    """
    waits = [wait for value in reply.values(b"retry-after") if (wait := _wait(value.strip(), reply, now)) is not None]
    return max(waits, default=None)


def _wait(value: str, reply: Reply, now: datetime) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        asked = _http_date(value)
        if asked is None:
            return None
        return max(0.0, (asked - (_date_of(reply) or now)).total_seconds())
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date_of(reply: Reply) -> datetime | None:
    """Return the time of the response by the server's clock: its `Date`, in whole seconds."""
    return next((date for text in reply.values(b"date") if (date := _http_date(text)) is not None), None)


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def slash_redirect(request: Request, reply: Reply, origin: str) -> bool | None:
    """Return whether a redirect adds (True) or removes (False) a trailing slash; None for any other redirect.

    Only such a redirect is followed, with method and body kept: behind "add a trailing slash" (documented) is
    a 301 after which ordinary clients turn a create into a list. 303 asks for a GET: never after a write.
    """
    if reply.status not in REDIRECTS or (reply.status == 303 and request.method != "GET"):  # noqa: PLR2004
        return None
    target = _target(request, reply, origin)
    if target is None or target.query != request.query or _origin(target) != _origin(urlsplit(origin)):
        return None
    if target.path == request.path + "/":
        return True
    return False if target.path + "/" == request.path else None


def _origin(url: SplitResult) -> str:
    """Return the origin of a URL, with the host in lower case and without a default port."""
    netloc = url.netloc.lower()
    return f"{url.scheme}://{netloc.removesuffix(_DEFAULT_PORTS.get(url.scheme, ''))}"


_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def _target(request: Request, reply: Reply, origin: str) -> SplitResult | None:
    location = next(iter(reply.values(b"location")), "")
    try:
        return urlsplit(urljoin(origin + request.path, location)) if location else None
    except ValueError:
        return None


def _redirect_error(request: Request, reply: Reply) -> RedirectError:
    target = next(iter(reply.values(b"location")), "(nowhere)")
    return RedirectError(
        f"{reply.status}: the redirect to {target} is not followed: the key is sent to the configured host only, and "
        f"{'a write' if request.method != 'GET' else 'a read'} must keep its method. Check base_url (scheme, host) and "
        "the path's trailing slash",
        status=reply.status,
        target=target,
    )
