"""The parsers of a request body: JSON, and the two forms that the framework accepts by default."""

import json
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import BytesParser
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from secoda_async.emulator.exceptions import UnsupportedMediaTypeError, ValidationError
from secoda_async.emulator.responses import replace_surrogates

LIST_FIELDS: Final = frozenset({"users"})
"""Fields whose name may be repeated in a form; of any other repeated field the last value counts."""


def parse_body(body: bytes, content_type: str | None) -> object:
    """Return the value of a body; an empty body counts as an empty object, as in the framework.

    Args:
        body: The body.
        content_type: The `Content-Type` header; None: the request has none.

    Raises:
        UnsupportedMediaTypeError: The body is not labelled as JSON or as a form.
        ValidationError: The body can't be parsed.
    """
    if not body:
        return {}
    sent = replace_surrogates(content_type or "")
    header = Message()
    header["Content-Type"] = sent.encode("ascii", "replace").decode()
    parser = _PARSERS.get(header.get_content_type())
    if parser is None:
        raise UnsupportedMediaTypeError({"detail": f'Unsupported media type "{sent}" in request.'})
    return parser(body, header)


def _parse_json(body: bytes, header: Message) -> object:
    try:
        return json.loads(_decode(body, header, errors="strict"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValidationError({"detail": f"JSON parse error - {replace_surrogates(str(error))}"}) from None


def _parse_form(body: bytes, header: Message) -> object:
    return _collect(parse_qsl(_decode(body, header), keep_blank_values=True))


def _parse_multipart(body: bytes, header: Message) -> object:
    if header.get_boundary() is None:
        raise ValidationError({"detail": "Multipart form parse error - Invalid boundary in multipart: None"})
    head = f"Content-Type: {header['Content-Type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + body)
    return _collect(_parts(message))


def _parts(message: Message) -> Iterable[tuple[str, str]]:
    """Yield the fields of a multipart form; files are no fields of a group."""
    for part in message.walk():
        name = part.get_param("name", header="Content-Disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes) and part.get_filename() is None:
            yield name, value.decode("utf-8", "replace")


def _collect(pairs: Iterable[tuple[str, str]]) -> Mapping[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in LIST_FIELDS:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return fields


def _decode(body: bytes, header: Message, errors: str = "replace") -> str:
    charset = str(header.get_param("charset") or "utf-8")
    try:
        return body.decode(charset, errors)
    except LookupError:  # an unknown charset
        return body.decode("utf-8", errors)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's parser accepts."""
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")


_PARSERS: Final = {
    "application/json": _parse_json,
    "application/x-www-form-urlencoded": _parse_form,
    "multipart/form-data": _parse_multipart,
}
PARSED_TYPES: Final = tuple(_PARSERS)
"""The media types of request bodies, in the framework's order."""
