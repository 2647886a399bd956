"""Cells: text that spreadsheets convert, and text that they have damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.reconcile.files.cells import damage_of, quote_cell, unquote_cell


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "=1+1",
            "+1",
            "-1",
            "@x",
            "\t=1",
            "\uff1d1",
            "007",
            "1e5",
            "1,000.50",
            "$5",
            "(5)",
            "50%",
            "3-4",
            "1/2",
            "12:30",
        ),
        *("2024-01-05", "5.1.2024", "1 1/2", "12:30 pm", "MARCH1", "Sept 2", "5 May 2024", "1-jan-24", "TRUE", "false"),
    ],
)
def test_converted_text_is_quoted(cell: str) -> None:
    assert quote_cell(cell) == f"'{cell}"
    assert unquote_cell(f"'{cell}") == cell


@pytest.mark.parametrize(
    "cell",
    [
        *("", "Finance", "Team 7", "Marketing 2024", "May", "truex", "00000000-0000-4000-8000-000000000001"),
        *("ana@example.com", "💶", "7 Dwarfs", "'x", "'"),
    ],
)
def test_other_text_is_not_quoted(cell: str) -> None:
    assert quote_cell(cell) == unquote_cell(cell) == cell


@given(st.text(max_size=12) | st.text("'=0123456789-/.jan ", max_size=8))
def test_quoted_cell_is_read_back(cell: str) -> None:
    assert unquote_cell(quote_cell(cell)) == cell


@pytest.mark.parametrize(
    ("cell", "text"),
    [('="Data Stewards"', "Data Stewards"), ('="007"', "007"), ('="a ""b"""', 'a "b"'), ('=" a "', "a"), ('=""', "")],
)
def test_formula_that_is_only_text_is_unwrapped(cell: str, text: str) -> None:
    assert unquote_cell(cell) == text


@pytest.mark.parametrize("cell", ['="a"&"b"', "=A1", '="a'])
def test_other_formula_stays(cell: str) -> None:
    assert unquote_cell(cell) == cell


ADVICE = "export it again as UTF-8; in Excel, choose 'CSV UTF-8'"


@pytest.mark.parametrize(
    ("column", "text", "problem"),
    [
        ("name", "Caf\ufffd", f"'Caf\ufffd' contains U+FFFD in place of a lost character: {ADVICE}"),
        ("name", "CafÃ©", f"'CafÃ©' looks like 'Café' read in a wrong encoding: {ADVICE}"),
        ("icon", "🧪".encode().decode("cp1252"), f"'ðŸ§ª' looks like '🧪' read in a wrong encoding: {ADVICE}"),
        ("name", "Ã\x81rea", f"'Ã\\x81rea' looks like 'Área' read in a wrong encoding: {ADVICE}"),
        ("icon", "??", f"the icon is '??', as if an emoji was lost: {ADVICE}; or delete the column"),
    ],
    ids=["replacement-character", "mojibake", "mojibake-emoji", "mojibake-undefined-byte", "question-marks"],
)
def test_damage_is_recognized(column: str, text: str, problem: str) -> None:
    assert damage_of(column, text) == problem


@pytest.mark.parametrize(
    ("column", "text"),
    [("name", "Café"), ("name", "?"), ("icon", ""), ("icon", "💶"), ("name", "Ärzte für Ãlle"), ("name", "Â\xa0\x80")],
)
def test_sound_text_is_no_damage(column: str, text: str) -> None:
    assert damage_of(column, text) is None


@given(st.text(st.characters(codec="utf-8", min_codepoint=0xA0, categories=("L", "S", "P")), min_size=1))
def test_any_text_read_in_a_wrong_encoding_is_damage(text: str) -> None:
    garbled = text.encode().decode("latin-1")
    if "\ufffd" not in text and text.isprintable():
        assert damage_of("name", garbled)


@pytest.mark.parametrize("part", ["'", "'1", "1", ".", "'=\"", "jan", "12 "])
def test_long_cell_is_read_in_linear_time(part: str) -> None:
    cell = part * 20_000
    assert unquote_cell(quote_cell(cell)) == cell
