"""Errors of the API that its views raise; the application turns each of them into a response."""

from typing import Any, ClassVar

import attrs


@attrs.define
class ApiError(Exception):
    """A request that gets an error status."""

    status: ClassVar[int]
    payload: dict[str, Any]
    """The JSON body of the response."""


class ValidationError(ApiError):
    """A body that the API refuses."""

    status = 400


class NotFoundError(ApiError):
    """A group, user, page or cursor that does not exist."""

    status = 404


class UnsupportedMediaTypeError(ApiError):
    """A body that is not labelled as JSON or as a form."""

    status = 415
