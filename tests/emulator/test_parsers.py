"""The parsers of request bodies."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.emulator.exceptions import ApiError, UnsupportedMediaTypeError, ValidationError
from secoda_async.emulator.parsers import PARSED_TYPES, parse_body

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"nope", b'{"name": NaN}', b"[" * 200_000, b"\xef\xbb\xbf{}", b"1" * 5_000, b" "]
)
def test_malformed_json_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_body(body, JSON)
    assert caught.value.payload["detail"].startswith("JSON parse error - ")


@pytest.mark.parametrize("content_type", [None, "", JSON, FORM, "text/plain"])
def test_empty_body_is_an_empty_object(content_type: str | None) -> None:
    assert parse_body(b"", content_type) == {}


@pytest.mark.parametrize("content_type", [None, "", "json", "text/json", "application/vnd.api+json", "\ud800"])
def test_body_with_another_content_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        parse_body(b"{}", content_type)
    assert orjson.dumps(caught.value.payload).startswith(b'{"detail":"Unsupported media type ')


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"name": "Ä"}'.encode()),
        ("Application/JSON ; charset=latin-1", b'{"name": "\xc4"}'),
        ("application/json; charset=nonsense", '{"name": "Ä"}'.encode()),
    ],
)
def test_json_is_decoded_with_its_charset(content_type: str, body: bytes) -> None:
    assert parse_body(body, content_type) == {"name": "Ä"}


def test_form_has_the_last_value_of_a_field_and_all_users() -> None:
    body = b"name=a&users=u1&icon=&users=u2&name=c+%C3%84"
    assert parse_body(body, FORM) == {"name": "c Ä", "icon": "", "users": ["u1", "u2"]}
    assert parse_body(b"name=%FF", FORM) == {"name": "\ufffd"}


def test_multipart_form_needs_a_boundary() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_body(b"x", "multipart/form-data")
    assert caught.value.payload == {"detail": "Multipart form parse error - Invalid boundary in multipart: None"}
    assert parse_body(b"no part", "multipart/form-data; boundary=x") == {}


@given(st.binary(), st.sampled_from((*PARSED_TYPES, "multipart/form-data; boundary=x")))
def test_parse_body_raises_only_errors_of_the_api(body: bytes, content_type: str) -> None:
    try:
        parse_body(body, content_type)
    except ApiError as error:
        orjson.dumps(error.payload)
