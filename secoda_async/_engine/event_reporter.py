"""The events for the `on_event` hook, and its call spans. A hook that raises does not end a call."""

import logging
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Final
from urllib.parse import urlsplit

from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.operation import NotSentError
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async._engine.wire.request_ids import REQUEST_IDS, request_id
from secoda_async.config import API_PREFIX
from secoda_async.events import AttemptEvent, CallHook, CallStart, Event, WaitEvent

_log: Final = logging.getLogger("secoda_async")


class EventReporter:
    """Makes the events of a client, and passes them to its hook and to the log."""

    def __init__(self, on_event: Callable[[Event], object] | None) -> None:
        self._on_event = on_event
        self.call_hook = on_event if isinstance(on_event, CallHook) else None
        """The hook, if it also implements `CallHook`."""

    @contextmanager
    def call(self, hook: CallHook, request: Request, origin: str, limiter: RateLimiter) -> Generator[None, None, None]:
        """Report the start and the end of a call."""
        host = urlsplit(origin)
        start = CallStart(
            method=request.method,
            template=_template(request),
            address=host.hostname or "",
            port=host.port or (443 if host.scheme == "https" else 80),
            limiter=limiter,
        )
        spans: list[object] = []
        _call_hook(lambda: spans.append(hook.call_begins(start)))
        failed: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failed = None if isinstance(error, NotSentError) else error
            raise
        finally:
            if spans:
                _call_hook(lambda: hook.call_ends(spans[0], failed))

    def attempt(
        self,
        request: Request,
        attempt: int,
        result: Reply | BaseException,
        seconds: float,
        secrets: Iterable[str],
    ) -> None:
        """Report an attempt.

        Args:
            request: The request as it was sent.
            attempt: The number of the attempt, from 1.
            result: The response or the error.
            seconds: The duration of the attempt.
            secrets: Texts that no event may show.
        """
        common = partial(AttemptEvent, method=request.method, path=request.path, attempt=attempt, seconds=seconds)
        if not isinstance(result, Reply):
            self._report(common(status=None, error=type(result).__name__))
            return
        headers = [header for header in result.raw_headers if _is_reported(header[0])]
        found = request_id(headers, *secrets)
        self._report(
            common(
                status=result.status,
                limits=_limit_headers(headers),
                request_id=found if _REQUEST_ID.fullmatch(found or "") else None,
            )
        )

    def wait(self, request: Request, reason: str, seconds: float) -> None:
        """Report a wait."""
        self._report(WaitEvent(method=request.method, path=request.path, reason=reason, seconds=seconds))

    def _report(self, event: Event) -> None:
        _log.debug("%s", event)
        if self._on_event is not None:
            _call_hook(self._on_event, event)


_REQUEST_ID: Final = re.compile(r"[!-~]{1,200}")
"""One word, as it stands in a line of `key=value`."""

_LIMIT_HEADER: Final = re.compile(rb"retry-after|(?:x-)?ratelimit[a-z0-9-]{0,40}")
_NUMBER: Final = re.compile(r"\d{1,10}(?:\.\d{1,6})?")


@lru_cache(maxsize=64)
def _is_reported(name: bytes) -> bool:
    """Return whether events report a header. Cached, because responses have the same names again and again."""
    return name.lower() in REQUEST_IDS or _LIMIT_HEADER.fullmatch(name.lower()) is not None


def _limit_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Return the headers about limits. A value that is not a number is left out: a server may echo the key anywhere."""
    found: dict[str, str] = {}
    for name, value in headers:
        if _LIMIT_HEADER.fullmatch(name.lower()):
            text = value.decode("latin-1").strip()
            found[name.lower().decode("ascii")] = text if _NUMBER.fullmatch(text) else "(no number)"
    return found


_COLLECTION: Final = re.compile(r"[a-z][a-z_-]*")


def _template(request: Request) -> str:
    """Return the path without ids and names; of a raw request, no more than the collection."""
    if not request.route.startswith("/"):
        return request.route
    first, _, rest = request.route.removeprefix(API_PREFIX).strip("/").partition("/")
    if not _COLLECTION.fullmatch(first):
        return "..."
    return f"{first}/..." if rest else first


def _call_hook(report: Callable[..., object], *arguments: object) -> None:
    try:
        report(*arguments)
    except Exception:  # noqa: BLE001 - user code: its errors must not end the call
        _log.exception("the on_event hook failed; the call continues")
