"""One tree of errors, which can be pickled and copied."""

import inspect
from typing import Any

import pytest

from secoda_async import errors
from secoda_async._engine.retries import outcome_unknown
from secoda_async._engine.wire import codec, protocol
from secoda_async.errors import (
    APIError,
    BadRequestError,
    ConflictError,
    DeadlineExceededError,
    InvalidArgumentError,
    OutcomeUnknownError,
    PaginationError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    SecodaError,
    TransportError,
)
from secoda_async.models import Group
from tests.support import roundtrip

KINDS: list[type[SecodaError]] = [getattr(errors, name) for name in errors.__all__]

ATTRIBUTES: dict[str, Any] = {
    "method": "POST",
    "path": "/api/v1/auth/group",
    "attempts": 3,
    "waited": 61.25,
    "status": 429,
    "headers": {"retry-after": "5"},
    "body": "{}",
    "request_id": "r-1",
    "retry_after": 5.0,
    "fields": {"name": ("too long",)},
    "maybe_sent": False,
    "name": "Data Stewards",
    "candidates": ("a", "b"),
    "location": "results[3].users",
    "item_id": "g-1",
    "page": 3,
    "items_so_far": 100,
    "target": "http://elsewhere.example",
    "problems": ("groups.yaml:3: no name",),
}


def attributes_of(kind: type[SecodaError]) -> dict[str, Any]:
    """Return the attributes above that the class declares."""
    declared = {name for parent in kind.__mro__ for name in inspect.get_annotations(parent)}
    return {name: value for name, value in ATTRIBUTES.items() if name in declared}


def made(kind: type[SecodaError]) -> SecodaError:
    error = kind("what happened")
    for name, value in attributes_of(kind).items():
        setattr(error, name, value)
    return error


@pytest.mark.requirement("ER-1")
def test_every_error_is_a_secoda_error_and_exported() -> None:
    found = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, BaseException)
    }
    assert found == set(errors.__all__)
    assert all(issubclass(kind, SecodaError) for kind in KINDS)
    assert list(errors.__all__) == sorted(errors.__all__)


def test_the_tree_is_drawn_in_the_docstring() -> None:
    drawing = inspect.getdoc(errors) or ""
    for kind in KINDS:
        (line,) = [line for line in drawing.splitlines() if kind.__name__ in line.split()[:3]]
        depth = len(line.partition(kind.__name__)[0]) // 4
        parents = [parent for parent in kind.__mro__[1:] if issubclass(parent, SecodaError)]
        assert depth - 1 == len(parents), kind.__name__


def test_the_builtin_kin_are_caught_by_their_builtin_names() -> None:
    assert issubclass(InvalidArgumentError, ValueError)
    assert issubclass(RequestTimeoutError, TimeoutError)
    assert issubclass(DeadlineExceededError, TimeoutError)
    assert not issubclass(OutcomeUnknownError, (APIError, TransportError))


@pytest.mark.requirement("ER-2")
@pytest.mark.parametrize("kind", KINDS)
def test_pickle_and_copy_keep_an_error(kind: type[SecodaError]) -> None:
    error = made(kind)
    error.add_note("seen in the nightly run")
    for again in roundtrip.copies(error):
        assert type(again) is kind
        assert str(again) == str(error) == "what happened [POST /api/v1/auth/group, 3 attempts, waited 61.2 s]"
        assert again.args == ("what happened",)
        assert {name: getattr(again, name) for name in attributes_of(kind)} == attributes_of(kind)
        assert again.__notes__ == ["seen in the nightly run"]


@pytest.mark.requirement("ER-2")
def test_pickle_keeps_errors_as_the_engine_makes_them() -> None:
    request = protocol.request_to("POST", "auth/group", body=b"{}", name="Data Stewards")
    with pytest.raises(ResponseError) as caught:
        codec.structure({"id": "g-1", "name": None}, Group)
    unknown = outcome_unknown(request, RequestTimeoutError("no response in time"))
    for error in (caught.value, unknown):
        for again in roundtrip.copies(error):
            assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("attempts", "waited", "shown"),
    [
        (0, 0.0, "no [GET /x, 0 attempts]"),
        (1, 0.0, "no [GET /x]"),
        (2, 0.0, "no [GET /x, 2 attempts]"),
        (1, 3.0, "no [GET /x, waited 3.0 s]"),
    ],
)
def test_the_text_says_what_was_called_and_what_it_took(attempts: int, waited: float, shown: str) -> None:
    error = SecodaError("no")
    assert str(error) == "no"
    error.method, error.path, error.attempts, error.waited = "GET", "/x", attempts, waited
    assert str(error) == shown


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_has_its_attributes_before_anybody_sets_them(kind: type[SecodaError]) -> None:
    error = kind("what happened")
    for name in attributes_of(kind):
        assert hasattr(error, name), name


def test_an_attribute_that_is_not_given_has_its_neutral_default() -> None:
    defaults: dict[str, Any] = {
        "method": None,
        "path": None,
        "attempts": 0,
        "waited": 0.0,
        "status": 0,
        "headers": {},
        "body": "",
        "request_id": None,
        "retry_after": None,
        "fields": {},
        "is_missing_route": False,
        "maybe_sent": True,
        "name": None,
        "candidates": (),
        "location": "",
        "item_id": None,
        "page": None,
        "items_so_far": 0,
        "target": "",
        "problems": (),
        "breaches": (),
        "digest": "",
        "names": (),
        "holder": "",
    }
    for kind in KINDS:
        declared = {name for parent in kind.__mro__[:-3] for name in inspect.get_annotations(parent)}
        error = kind("what happened")
        assert {name: getattr(error, name) for name in declared} == {name: defaults[name] for name in declared}, kind


def test_statuses_have_the_classes_of_the_design() -> None:
    assert {status: kind.__name__ for status, kind in errors.STATUS_ERRORS.items()} == {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        409: "ConflictError",
        422: "BadRequestError",
        429: "RateLimitError",
    }
    assert all(issubclass(kind, APIError) for kind in (BadRequestError, ConflictError, RateLimitError))
    assert issubclass(PaginationError, ResponseError)


def test_an_unknown_context_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="RateLimitError has no attribute 'retry_aftr'"):
        RateLimitError("too many", retry_aftr=1.0)
