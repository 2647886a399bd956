"""Keys that confusable names share."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async._engine.name_keys import confusable_key
from secoda_async.models import UNSET, collapse_spaces

_LATIN_OF = {0x430: "a", 0x435: "e", 0x43A: "k", 0x3BF: "o"}
_SIGN_OF = {0x2013: "-", 0x2019: "'"}


@given(
    st.text(
        st.sampled_from(
            "ab A-12\u2013\u2019\u0430\u0435\u043a\u03bf\u200b\ufe0f\u3164\u00ad\x07\u00e9e\u0301\u0130\uff21"
        )
    )
)
def test_key_of_any_name_is_that_of_its_words(name: str) -> None:
    def as_latin(word: str) -> str:
        return word.translate(_LATIN_OF) if re.search("[a-z]", word) else word

    visible = unicodedata.normalize("NFKC", name.replace("\u3164", " "))
    visible = "".join(one for one in visible if one.isspace() or one not in "\u200b\ufe0f\u00ad\x07")
    key = unicodedata.normalize("NFKC", " ".join(visible.split()).casefold()).translate(_SIGN_OF)
    assert confusable_key(name) == re.sub(r"\w+", lambda word: as_latin(word[0]), key)


@pytest.mark.parametrize("name", ["Team A", "team a", " Team  A ", "Ｔｅａｍ A", "Te\u200bam A", "Team\u00a0A"])  # noqa: RUF001
def test_confusable_names_have_one_key(name: str) -> None:
    assert confusable_key(name) == "team a"


@pytest.mark.parametrize(
    "hidden", ["\ufe0f", "\u034f", "\u180b", "\U000e0100", "\u00ad", "\ufeff", "\u2060", "\x07", "\u17b4"]
)
def test_characters_that_do_not_show_are_not_in_the_key(hidden: str) -> None:
    assert confusable_key(f"T{hidden}eam A{hidden}") == "team a"


@pytest.mark.parametrize("blank", ["\u3164", "\uffa0", "\u2800", "\u115f", "\u3000", "\t", "\x85"])
def test_every_blank_is_a_space_in_the_key(blank: str) -> None:
    assert confusable_key(f"{blank}Team{blank} A") == confusable_key(f"Team{blank}A") == "team a"


def test_key_is_normalized_after_invisible_characters_are_removed() -> None:
    assert confusable_key("Cafe\u200b\u0301") == confusable_key("CAF\u00c9") == "caf\u00e9"


def test_names_that_differ_in_a_letter_have_two_keys() -> None:
    assert confusable_key("Team B") != confusable_key("Team A")
    assert confusable_key(None) == confusable_key(UNSET) == collapse_spaces(None) == ""
