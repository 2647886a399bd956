"""Ids of groups and users, before they go into a path."""

import re
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async import InvalidArgumentError
from secoda_async._engine.wire.ids import validate_id, validate_users
from secoda_async._engine.wire.protocol import request_to

ORIGIN = "https://api.secoda.co"


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a\\b", "/", " ", "a b", "a\n", "a\x00", "\x7f", "\u200bx"])
def test_id_that_is_no_path_segment_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a group id"):
        validate_id(value)


@pytest.mark.parametrize("value", ["\ud800", "a\u00a0", "\ufeffa", "a\u2028"])
def test_id_with_invisible_characters_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="invisible"):
        validate_id(value)


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (5, "int"), (b"x", "bytes")])
def test_id_that_is_no_string_is_refused(value: object, kind: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"a user id must be a string, not {kind}$"):
        validate_id(value, "user")


def test_model_instead_of_an_id_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape("not SimpleGroup: pass group.id")):
        validate_id(type("SimpleGroup", (), {"id": "x"})())


@given(st.text())
@example("%2e%2e")
@example("..%2f..")
@example("a?b#c;d")
@example("é")
def test_id_never_leads_out_of_its_collection(value: str) -> None:
    try:
        request = request_to("GET", "auth/group", validate_id(value))
    except InvalidArgumentError:
        return
    url = urlsplit(urljoin(ORIGIN, request.path))
    assert url.path == request.path
    assert (url.query, url.fragment) == ("", "")
    head, _, last = request.path.rpartition("/")
    assert head == "/api/v1/auth/group"
    assert unquote(last) == value
    assert request.route == "auth/group/{id}"


@pytest.mark.parametrize("value", ["", "a/b", "\ud800", 5])
def test_invalid_id_among_many_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="user id"):
        validate_users(["u-1", value])


def test_many_valid_ids_are_returned_in_order() -> None:
    assert validate_users(iter(["u-2", "u-1", "é"])) == ("u-2", "u-1", "é")
    assert validate_users(["u-2", "u-1"]) == ("u-2", "u-1")
    assert validate_users([]) == ()


def test_strings_of_numpy_become_plain_strings() -> None:
    numpy_string = type("str_", (str,), {})
    ids = validate_users(["u-0", numpy_string("u-1"), numpy_string("é")])
    assert ids == ("u-0", "u-1", "é")
    assert {*map(type, ids)} == {str}


def test_repeated_ids_are_returned_once() -> None:
    assert validate_users(["u-2", "u-1", "u-2"]) == ("u-2", "u-1")
    assert validate_users(["é", "é"]) == ("é",)
