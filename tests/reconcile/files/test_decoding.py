"""Bytes of a file: encodings by content, other formats, and the location of a byte."""

import codecs

import pytest

from secoda_async.reconcile.files.decoding import decode_text
from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import Lines

TEXT = "group,member\nCafé 🧪,ana@example.com\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TEXT.encode(), id="utf-8"),
        pytest.param(codecs.BOM_UTF8 + TEXT.encode(), id="utf-8-bom"),
        pytest.param(codecs.BOM_UTF8 * 3 + TEXT.encode(), id="three-boms"),
        pytest.param(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), id="utf-16-le-bom"),
        pytest.param(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), id="utf-16-be-bom"),
        pytest.param(codecs.BOM_UTF16_LE * 2 + TEXT.encode("utf-16-le"), id="two-utf-16-boms"),
        pytest.param(TEXT.encode("utf-16-le"), id="utf-16-le"),
        pytest.param(TEXT.encode("utf-16-be"), id="utf-16-be"),
        pytest.param(codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), id="utf-32-le-bom"),
        pytest.param(codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"), id="utf-32-be-bom"),
        pytest.param(TEXT.encode() + b"\x1a", id="ctrl-z"),
        pytest.param(TEXT.encode() + b"\x1a\r\n", id="ctrl-z-and-line-break"),
    ],
)
def test_encoding_is_recognized_by_content(content: bytes) -> None:
    assert decode_text(content) == TEXT


@pytest.mark.parametrize("content", [b"", b"x", "é".encode()], ids=["empty", "one-byte", "one-character"])
def test_short_text_is_utf8(content: bytes) -> None:
    assert decode_text(content) == content.decode()


def test_yaml_merge_key_is_not_markup() -> None:
    assert decode_text(b"<<: {groups: []}") == "<<: {groups: []}"


@pytest.mark.parametrize(
    ("content", "location", "problem"),
    [
        (b"PK\x03\x04\x14\0", "", "is an Excel workbook (or another zip file): save it as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "", "is an Excel workbook: save it as 'CSV UTF-8'"),
        (b"\x1f\x8b\x08", "", "is compressed with gzip: unpack it first"),
        (b"%PDF-1.7", "", "is a PDF: export the groups as CSV, YAML or JSON"),
        (b"\n <!doctype html><title>Sign in</title>", "", "is a web page or XML, perhaps of a sign-in or an error"),
        (b'<?xml version="1.0"?>', "", "is a web page or XML"),
        (b"groups:\n- name: a\0", ":2:10", "contains a NUL character"),
        (
            codecs.BOM_UTF8 + "groups:\r\n- name: é".encode() + b" caf\xe9\n",
            ":2:14",
            "is not UTF-8 text (byte 0xE9, 'é' in Windows-1252): save it as UTF-8; in Excel, choose 'CSV UTF-8'",
        ),
        (b"a\rb\xff", ":2:2", "is not UTF-8 text (byte 0xFF, 'ÿ' in Windows-1252)"),
        (codecs.BOM_UTF16_LE + b"a", "", "is not valid UTF-16-LE text, perhaps cut off: export it again as UTF-8"),
    ],
    ids=["xlsx", "xls", "gzip", "pdf", "html", "xml", "nul", "cp1252", "cp1252-cr", "utf-16-cut"],
)
def test_other_content_is_refused_with_its_location(content: bytes, location: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_text(content)
    assert caught.value.location == location
    assert caught.value.problem.startswith(problem)


@pytest.mark.parametrize(
    ("character", "location"),
    [("a", ":1:1"), ("b", ":1:2"), ("c", ":2:1"), ("d", ":3:1"), ("e", ":4:1"), ("f", ":4:2")],
)
def test_location_counts_lines_and_columns(character: str, location: str) -> None:
    text = "ab\nc\rd\r\nef"
    assert Lines(text).location(text.index(character)) == location
