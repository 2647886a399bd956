"""The SDK's error for each failure of aiohttp: what happened, in words, and whether the request may have been sent.

aiohttp's own exceptions are never chained: they hold the request's headers, and so the key.
"""

import os
from typing import Final

import aiohttp

from secoda_async._engine.wire.decoding import CutShortError, UnusableBodyError
from secoda_async.errors import (
    ConfigurationError,
    RequestTimeoutError,
    ResponseError,
    TransportError,
)

HEADER_LIMIT: Final = 2**16
"""Bytes of one header: aiohttp's own 8 KiB are less than some gateways send in a policy or cookie."""


class DroppedError(Exception):
    """A broken connection, in a type of our own: aiohttp repeats a request by itself after an error of its own type."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        super().__init__()
        self.reason: str = _reason(cause)


FAILURES: Final = (
    aiohttp.ClientError,
    DroppedError,
    OSError,
    RuntimeError,
    ValueError,
    CutShortError,
    UnusableBodyError,
)
"""Every exception that `translate` knows."""


def translate(error: Exception, *, maybe_sent: bool) -> TransportError | ConfigurationError | ResponseError:
    """Return the SDK's error for one of `FAILURES`.

    Args:
        error: The failure.
        maybe_sent: Whether any of the request was handed to a connection; the failure may prove more.
    """
    if isinstance(error, UnusableBodyError):
        return ResponseError(f"the response can't be read: {error}")
    if (problem := _problem_with_settings(error)) is not None:
        return ConfigurationError(problem)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)):
        return TransportError(_reason(error), maybe_sent=False)
    kind = RequestTimeoutError if isinstance(error, TimeoutError) else TransportError
    reason = error.reason if isinstance(error, DroppedError) else _reason(error)
    # Unreadable headers and bodies that end early are responses: the request did arrive.
    return kind(reason, maybe_sent=maybe_sent or isinstance(error, _RESPONSES))


def _problem_with_settings(error: Exception) -> str | None:
    """Return what is wrong with a setting, if that is the cause: another attempt would fail in the same way."""
    if isinstance(error, RuntimeError):
        return OTHER_LOOP
    if isinstance(error, UnicodeError):
        return "the host in base_url can't be looked up"
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status in _PROXY_REFUSALS:
        return f"the proxy responded with {error.status}: {_PROXY_REFUSALS[error.status]}"
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return "the session has credentials of its own (auth=, or trust_env and a .netrc), and they exclude the API key"
    return None


OTHER_LOOP: Final = (
    "the aiohttp session that the client was given belongs to another event loop or process: "
    "leave session= out, and the client makes one for each"
)


def _reason(error: Exception) -> str:
    """Return what happened, without a URL, a header or another exception in it."""
    if isinstance(error, aiohttp.ClientResponseError) and error.message.startswith("Got more than"):
        return f"a header of the response is too long: more than {HEADER_LIMIT // 1024} KiB"
    for kind, words in _REASONS:
        if isinstance(error, kind):
            where = f"{error.host}:{error.port}" if isinstance(error, aiohttp.ClientConnectorError) else ""
            return words.format(where=where, why=_system_reason(error), status=getattr(error, "status", None))
    return f"the connection broke: {_system_reason(error)}"


_RESPONSES: Final = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, CutShortError)

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "the name of {where} could not be looked up: check base_url and the network"),
    (aiohttp.ClientConnectorCertificateError, "the certificate of {where} is not trusted: {why}"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection to {where}: {why}"),
    (aiohttp.ClientConnectorError, "could not connect to {where}: {why}"),
    (aiohttp.ClientHttpProxyError, "the proxy could not connect: it responded with {status}"),
    (aiohttp.ClientResponseError, "the response is not valid HTTP"),
    (aiohttp.ClientPayloadError, "the response ended early or is corrupt"),
    (CutShortError, "the response ended early or is corrupt"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without a response"),
    (TimeoutError, "no response in time"),
)
"""The first that matches applies: the narrower class comes before the wider."""


_PROXY_REFUSALS: Final = {
    403: "it does not allow connections to this host or port",
    407: "it requires a user and password in HTTPS_PROXY (http://user:password@host:port), or they are wrong",
}
"""Responses that another attempt would not change; a wrong password sent often may lock an account."""


def _system_reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", None) or type(error.certificate_error).__name__
    text = str(getattr(error, "strerror", None) or type(error).__name__)
    if (number := getattr(error, "errno", None)) and "Connect call failed" in text:  # asyncio's, with a tuple in it
        return os.strerror(number).lower()
    return text
