"""Finding a group by its name."""

from typing import Any

import pytest

from secoda_async._engine.group_names import find_by_name, find_by_similar_name, validate_name
from secoda_async.errors import AmbiguousNameError, InvalidArgumentError
from secoda_async.models import Group

DATA = Group("g-1", "Data Stewards")
OTHER = Group("g-2", "Finance")


class TestValidation:
    def test_name_is_normalized(self) -> None:
        assert validate_name("Cafe\u0301") == "Caf\u00e9"

    @pytest.mark.parametrize("name", ["", " ", "\t\n", None, 5, b"Finance"], ids=repr)
    def test_name_that_is_empty_or_not_a_string_is_refused(self, name: object) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            validate_name(name)
        assert str(caught.value) == f"name must be a string that is not empty, not {name!r}"


@pytest.mark.parametrize("find", [find_by_name, find_by_similar_name])
class TestExactName:
    def test_only_group_with_the_name_is_found(self, find: Any) -> None:
        assert find([OTHER, DATA], "Data Stewards") is DATA
        assert find([OTHER, DATA], "Marketing") is None
        assert find([], "Finance") is None

    def test_name_of_several_groups_is_ambiguous(self, find: Any) -> None:
        twin = Group("g-3", "Finance")
        with pytest.raises(
            AmbiguousNameError, match=r"2 groups are called 'Finance' \(g-2, g-3\): use one of these ids"
        ) as caught:
            find([OTHER, DATA, twin], "Finance")
        assert caught.value.candidates == ("g-2", "g-3")

    def test_group_with_a_decomposed_name_is_found(self, find: Any) -> None:
        group = Group("g-4", "Cafe\u0301")
        assert find([group], "Caf\u00e9") is group


class TestSimilarName:
    def test_exact_name_wins_over_a_similar_one(self) -> None:
        assert find_by_similar_name([Group("g-3", "Data  Stewards"), DATA], "Data Stewards") is DATA

    @pytest.mark.parametrize("name", ["Data  Stewards", " Data Stewards ", "Data\tStewards"])
    def test_only_group_whose_name_differs_in_white_space_is_found(self, name: str) -> None:
        assert find_by_similar_name([OTHER, DATA], name) is DATA
        assert find_by_name([OTHER, DATA], name) is None

    def test_name_that_differs_in_letter_case_is_refused(self) -> None:
        with pytest.raises(AmbiguousNameError) as caught:
            find_by_similar_name([OTHER, DATA], "data stewards")
        assert str(caught.value) == (
            "'data stewards' looks like another group's name: 'Data Stewards' (g-1). Use that name, or create()"
        )
        assert caught.value.candidates == ("g-1",)

    def test_several_groups_whose_names_differ_in_white_space_are_refused(self) -> None:
        with pytest.raises(AmbiguousNameError, match=r"'Data Stewards' \(g-1\), 'Data  Stewards' \(g-3\)") as caught:
            find_by_similar_name([DATA, OTHER, Group("g-3", "Data  Stewards")], "Data   Stewards")
        assert caught.value.candidates == ("g-1", "g-3")
