"""Strict hooks: the types they accept, and the errors for all others."""

import pytest

from secoda_async._engine.wire.strict_values import WrongTypeError, expect, strings, wrong_type


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, "an object"),
        ([], "a list"),
        ("x", "a string"),
        (True, "a boolean"),
        (None, "null"),
        (1, "a number"),
        (1.5, "a number"),
    ],
)
def test_error_names_the_kind_of_json_value(value: object, kind: str) -> None:
    error = wrong_type("a list", value)
    assert (str(error), error.suffix) == (f"expected a list, got {kind}", "")


class TestExpect:
    def test_value_of_an_expected_type_is_returned_unchanged(self) -> None:
        read = expect("a number or null", int, type(None))
        assert (read(5, None), read(None, None)) == (5, None)

    @pytest.mark.parametrize("value", [True, 1.0, "1", []])
    def test_value_of_another_type_is_refused(self, value: object) -> None:
        with pytest.raises(WrongTypeError, match=r"^expected a number, got "):
            expect("a number", int)(value, None)

    def test_string_that_stands_for_a_literal_is_replaced(self) -> None:
        read = expect("a boolean or null", bool, type(None), literals={"True": True, "None": None})
        assert (read("True", None), read("None", None), read(None, None)) == (True, None, None)
        with pytest.raises(WrongTypeError, match="got a string"):
            read("False", None)

    def test_literal_of_a_type_that_is_not_expected_is_refused(self) -> None:
        with pytest.raises(WrongTypeError, match=r"^expected a boolean, got null$"):
            expect("a boolean", bool, literals={"None": None})("None", None)


@pytest.mark.requirement("MD-2")
class TestStrings:
    def test_list_of_strings_becomes_a_tuple(self) -> None:
        assert strings(["b", "a", "b"], None) == ("b", "a", "b")
        assert strings([], None) == ()

    @pytest.mark.parametrize("value", ["ab", None, {"a": "b"}, ("a",), 3])
    def test_value_that_is_not_a_list_is_refused(self, value: object) -> None:
        with pytest.raises(WrongTypeError, match=r"^expected a list of strings, got ") as caught:
            strings(value, None)
        assert caught.value.suffix == ""

    @pytest.mark.parametrize(("value", "suffix"), [([1], "[0]"), (["a", None, 3], "[1]"), (["a", "b", ["c"]], "[2]")])
    def test_error_names_the_index_of_the_first_item_that_is_not_a_string(
        self, value: list[object], suffix: str
    ) -> None:
        with pytest.raises(WrongTypeError, match=r"^expected a string, got ") as caught:
            strings(value, None)
        assert caught.value.suffix == suffix
