"""The API's checks of request bodies."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.emulator.exceptions import ValidationError
from secoda_async.emulator.validation import clean_group

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("payload", "errors"),
    [
        ({"name": None}, {"name": ["This field may not be null."]}),
        ({"name": [5]}, {"name": ["Not a valid string."]}),
        ({"icon": []}, {"icon": ["Not a valid string."]}),
        ({"description": True}, {"description": ["Not a valid string."]}),
        ({"name": "a\0"}, {"name": ["Null characters are not allowed."]}),
        ({"icon": "\ud83d"}, {"icon": ["Surrogate characters are not allowed: U+D83D."]}),
        ({"icon": "a\ud800\udfff"}, {"icon": ["Surrogate characters are not allowed: U+D800."]}),
        ({"icon": "\udfff"}, {"icon": ["Surrogate characters are not allowed: U+DFFF."]}),
        ({"users": None}, {"users": ["This field may not be null."]}),
        ({"users": "u1"}, {"users": ['Expected a list of items but got type "str".']}),
        ({"users": {"u1": 1}}, {"users": ['Expected a list of items but got type "dict".']}),
        ({"users": [1]}, {"users": ["Incorrect type. Expected pk value, received int."]}),
        ({"users": ["u1", "x"]}, {"users": ['Invalid pk "x" - object does not exist.']}),
        ({"users": ["\udc00"]}, {"users": ['Invalid pk "?" - object does not exist.']}),
        (
            {"name": {}, "users": "x"},
            {
                "name": ["Not a valid string."],
                "users": ['Expected a list of items but got type "str".'],
            },
        ),
        ([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
        (None, {"non_field_errors": ["No data provided"]}),
    ],
)
def test_clean_group_reports_errors_in_the_frameworks_words(payload: object, errors: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        clean_group(payload, {"u1", "u2"})
    assert caught.value.payload == errors


def test_clean_group_trims_text_sorts_members_and_drops_unknown_fields() -> None:
    payload = {"name": "  a ", "icon": None, "description": "", "users": ["u2", "u1", "u2"], "id": 7}
    assert clean_group(payload, {"u1", "u2"}) == {
        "name": "a",
        "icon": None,
        "description": "",
        "users": ["u1", "u2"],
    }
    assert clean_group({}, ()) == {}


def test_clean_group_stores_numbers_as_text() -> None:
    assert clean_group({"name": 5, "icon": -1.5}, ()) == {"name": "5", "icon": "-1.5"}


@given(
    json_values
    | st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "icon", "description", "users"), json_values))
)
def test_clean_group_raises_only_validation_errors_and_returns_json(payload: object) -> None:
    try:
        orjson.dumps(clean_group(payload, {"u1"}))
    except ValidationError as error:
        orjson.dumps(error.payload)


def test_clean_group_collapses_white_space_in_the_name_only_on_request() -> None:
    payload = {"name": " a \t b ", "description": "c  d"}
    assert clean_group(payload, ()) == {"name": "a \t b", "description": "c  d"}
    assert clean_group(payload, (), collapse=True) == {"name": "a b", "description": "c  d"}
    assert clean_group({"icon": None}, (), collapse=True) == {"icon": None}
