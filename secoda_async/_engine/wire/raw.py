"""Requests to endpoints that the SDK does not model; every argument is checked before anything is sent."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, cast
from urllib.parse import quote, unquote, urlencode

from secoda_async._engine.wire import codec
from secoda_async._engine.wire.protocol import Request
from secoda_async.config import API_PREFIX, safe_repr
from secoda_async.errors import InvalidArgumentError

ParamValue = str | int | float | bool
"""A value of a query parameter."""

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def raw_request(method: object, path: object, params: object, json: object) -> Request:
    """Return the request of `SecodaClient.request`.

    Raises:
        InvalidArgumentError: When an argument can't be sent.
    """
    verb = method.upper() if isinstance(method, str) else None
    if verb not in METHODS:
        raise InvalidArgumentError(f"method must be one of {', '.join(sorted(METHODS))}, not {safe_repr(method)}")
    url_path = raw_path(path)
    body = None if json is None else codec.dump_strictly(json)
    return Request(verb, url_path, raw_query(params), body, route=url_path)


def raw_path(path: object) -> str:
    """Check the path of `SecodaClient.request` and put it below the API's prefix.

    Raises:
        InvalidArgumentError: When it is a URL, leaves the API, or carries a query.
    """
    if not isinstance(path, str):
        raise InvalidArgumentError(f"path must be a string, not {type(path).__name__}")
    if not path.strip("/"):
        raise InvalidArgumentError(f"path must name an endpoint below {API_PREFIX}, such as 'tag', not {path!r}")
    _check_path_characters(path)
    trimmed = path.removeprefix("/").removeprefix(f"{API_PREFIX[1:]}/")
    segments = [unquote(segment) for segment in trimmed.split("/")]
    if any(segment in (".", "..") or "/" in segment or "\\" in segment for segment in segments):
        raise InvalidArgumentError(f"path {path!r} must not contain '.' or '..' segments or encoded slashes")
    return f"{API_PREFIX}/" + quote(trimmed, safe="/-._~!$&'()*+,;=:@%")


def _check_path_characters(path: str) -> None:
    if "://" in path or path.startswith("//") or "\\" in path:
        raise InvalidArgumentError("path must be below the API, not a URL: the key goes to the configured host only")
    if "?" in path or "#" in path:
        raise InvalidArgumentError("path must have no query: pass it as params={...}")
    if not path.isprintable():
        raise InvalidArgumentError("path must have no control or invisible characters")


def raw_query(params: object) -> str:
    """Encode the query: a name and a value, or several values, each a string, a number or a boolean.

    Raises:
        InvalidArgumentError: When `params` are something else.
    """
    if params is None:
        return ""
    if not isinstance(params, Mapping):
        raise InvalidArgumentError(f"params must be a mapping of names to values, not {type(params).__name__}")
    pairs: list[tuple[str, str]] = []
    for name, values in cast("Mapping[object, object]", params).items():
        if not isinstance(name, str):
            raise InvalidArgumentError(f"names in params must be strings, not {type(name).__name__}")
        many: Sequence[object] = (values,)
        if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray)):
            many = cast("Sequence[object]", values)
        pairs += [(name, _text(name, value)) for value in many]
    try:
        return urlencode(pairs)
    except UnicodeError:
        raise InvalidArgumentError("params hold half a surrogate pair, which has no encoding") from None


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    hint = ": leave it out" if value is None else ""
    raise InvalidArgumentError(
        f"params[{name!r}] must be a string, a number or a boolean, not {safe_repr(value)}{hint}"
    )
