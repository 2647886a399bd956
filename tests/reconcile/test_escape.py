"""Invisible characters are shown as escapes; emoji and words stay readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.reconcile.escape import escape_control, escape_invisible, escape_json

pytestmark = pytest.mark.requirement("SEC-2", "BS-13")


@pytest.mark.parametrize(
    "character",
    ["\u00a0", "\u2003", "\u3000", "\u1680", "\u200b", "\u00ad", "\ufeff", "\u2060", "\ufe0f", "\ufe0e", "\U000e0100",
     "\u3164", "\u2800", "\u034f", "\u180b", "\u200c", "\u200d", "\u202e", "\n"],
    ids=lambda character: f"U+{ord(character):04X}",
)  # fmt: skip
def test_invisible_character_of_a_name_is_an_escape(character: str) -> None:
    code = character.encode("unicode_escape").decode("ascii")
    for name, shown in ((f"Fin{character}ance", f"Fin{code}ance"), (f"Finance{character}", f"Finance{code}")):
        assert escape_control(name) == escape_invisible(name) == shown


@pytest.mark.parametrize(
    "text",
    ["❤\ufe0f", "🗂\ufe0f Archive", "1\ufe0f\u20e3 First", "👩\u200d💻", "👩🏽\u200d🚀", "❤\ufe0f\u200d🔥",
     "\u2139\ufe0f", "\u0645\u06cc\u200c\u062e", "équipe", "二 組", "a  b"],
    ids=ascii,
)  # fmt: skip
def test_emoji_and_words_stay(text: str) -> None:
    assert escape_control(text) == text
    assert escape_json(f'"{text}"') == f'"{text}"'


def test_invisible_characters_of_an_emoji_can_be_shown() -> None:
    assert escape_invisible("❤\ufe0f\u200d🔥 1\ufe0f\u20e3") == r"❤\ufe0f\u200d🔥 1\ufe0f" + "\u20e3"


def test_second_selector_is_an_escape() -> None:
    assert escape_control("⚙\ufe0f\ufe0f") == "⚙\ufe0f" + r"\ufe0f"


@given(st.text())
def test_escaped_text_is_one_line_of_visible_characters(text: str) -> None:
    shown = escape_invisible(text)
    assert len(shown.splitlines()) <= 1
    assert escape_invisible(shown) == shown
    assert escape_control(escape_control(text)) == escape_control(text)
