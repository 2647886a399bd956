"""JSON: parse it, write it, and structure what `rows` does not read in one pass. Only `rows` imports orjson too."""

from collections.abc import Mapping, Sequence
from math import isfinite
from types import ModuleType
from typing import Any, TypeVar, cast

import orjson

from secoda_async.errors import InvalidArgumentError, ResponseError
from secoda_async.models import Group, User

T = TypeVar("T", Group, User)


def _structuring() -> ModuleType:
    """Import cattrs when it is first needed: few programs need it, and the import takes long."""
    from secoda_async._engine.wire import structuring  # noqa: PLC0415 - see above

    return structuring


def parse(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: When the body is not JSON; bad UTF-8, NaN and absurd depth are not.
    """
    return orjson.loads(body)


def dump(value: object) -> bytes:
    """Write JSON; a nan or an infinity becomes null.

    Raises:
        InvalidArgumentError: When the value has a type that JSON does not have.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise InvalidArgumentError(f"this can't be sent as JSON: {error}") from None


def dump_strictly(value: object) -> bytes:
    """Write JSON of a value that may contain numbers.

    Raises:
        InvalidArgumentError: When the value has a type or a number that JSON does not have.
    """
    body = dump(value)
    if b"null" in body and _has_nan(value):
        raise InvalidArgumentError("this can't be sent as JSON: it contains a nan or an infinity (None is null)")
    return body


def _has_nan(value: object) -> bool:
    """Return whether orjson would write a number as null: pandas marks an empty cell with nan."""
    if type(value) is float:
        return not isfinite(value)
    if type(value) is dict:
        return any(map(_has_nan, cast("dict[str, object]", value).values()))
    return type(value) in (list, tuple) and any(map(_has_nan, cast("Sequence[object]", value)))


def structure(payload: object, model: type[Any]) -> Any:
    """Turn parsed JSON into `model`.

    Raises:
        ResponseError: When the payload is not what the API promises; `.location` is the path to the error.
    """
    return _structuring().structure(payload, model)


def structure_all(
    payloads: Sequence[object], model: type[T], *, skip_invalid: bool
) -> tuple[list[T], list[ResponseError]]:
    """Turn the items of a page into models.

    Returns:
        The models, and with `skip_invalid` an error for each item that could not be read.

    Raises:
        ResponseError: For the first item that is not what the API promises, unless `skip_invalid`.
    """
    items: list[T] = []
    errors: list[ResponseError] = []
    for index, payload in enumerate(payloads):
        try:
            items.append(structure(payload, model))
        except ResponseError as error:
            error.location = f"results[{index}]" + (f".{error.location}" if error.location else "")
            error.message = f"{error.location}: {error.args[0]}"
            if not skip_invalid:
                raise
            errors.append(error)
    return items, errors


def require_keys(payload: object, names: Sequence[str], prefix: str = "") -> None:
    """Check that an item has these fields, although the model has a default for them.

    Raises:
        ResponseError: For the first field that is missing; its location begins with `prefix`.
    """
    for name in names:
        if isinstance(payload, Mapping) and name not in payload:
            location = prefix + name
            raise ResponseError(f"{location}: missing", location=location)


def to_dict(model: object) -> dict[str, Any]:
    """Turn an attrs object into plain JSON types; `Group`, `User` and `Page` have a `to_dict` method of their own.

    Times are ISO 8601 in UTC with a `Z`. Fields that are `UNSET` are left out.
    """
    return cast("dict[str, Any]", _structuring().unstructure(model))
