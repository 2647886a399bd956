"""The key is found in any notation, and nothing else is taken for it."""

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async._engine.wire.redaction import redact, redact_bytes

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60)

NOTATIONS: list[Callable[[str], str]] = [
    str,
    lambda c: f"\\u{ord(c):04x}",
    lambda c: f"\\\\u{ord(c):04X}",
    lambda c: f"\\x{ord(c):02x}",
    lambda c: f"\\{c}",
    lambda c: f"%{ord(c):02X}",
    lambda c: f"%25{ord(c):02x}",
    lambda c: f"&#{ord(c)};",
    lambda c: f"&#x{ord(c):02X};",
    lambda c: f"&amp;#{ord(c):03};",
    lambda c: {"&": "&amp;", "<": "&lt;", '"': "&quot;", "=": "&equals;", "/": "&sol;"}.get(c, c),
    lambda c: json.dumps(c)[1:-1],
    lambda c: quote(c, safe=""),
]


@pytest.mark.requirement("SEC-1")
@settings(deadline=None)
@given(st.data(), KEYS)
def test_a_key_is_found_whatever_notation_each_character_has(data: st.DataObject, key: str) -> None:
    echoed = "".join(data.draw(st.sampled_from(NOTATIONS))(character) for character in key)
    assert redact(f"é {echoed} é", key) == "é *** é"
    assert redact_bytes(f"é {echoed} é".encode(), key) == "é *** é".encode()


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("entity", ["&lt;", "&lt", "&LT;", "&#60;", "&#x3c", "&amp;lt;"])
def test_an_entity_at_the_end_of_a_key_is_hidden_with_its_semicolon(entity: str) -> None:
    assert redact(f"secret-key{entity} and more", "secret-key<") == "*** and more"


@pytest.mark.requirement("SEC-1")
@settings(deadline=None)
@given(KEYS, st.binary(max_size=9), st.binary(max_size=9), st.sampled_from([b64encode, urlsafe_b64encode]))
def test_a_key_is_found_in_base64(key: str, before: bytes, after: bytes, encode: Callable[[bytes], bytes]) -> None:
    encoded = encode(before + key.encode() + after).decode()
    shown = redact(f" {encoded} ", key)
    kept_before, kept_after = shown.split("***")[0], shown.split("***")[-1]
    assert "***" in shown
    # At most fractions of the first and the last character of the key's base64 remain.
    assert len(kept_before) <= 1 + -(-len(before) * 8 // 6)
    assert len(kept_after) <= 1 + -(-(len(after) * 8 + 6) // 6) + 3


@pytest.mark.requirement("SEC-1")
@settings(deadline=None)
@given(KEYS)
def test_a_key_is_found_in_utf_16_and_in_nested_json(key: str) -> None:
    assert b"***" in redact_bytes(key.encode("utf-16-le"), key)
    assert redact(json.dumps(json.dumps(json.dumps({"a": f" {key} "}))), key).count(" ***") == 1


@pytest.mark.requirement("SEC-1")
def test_a_key_is_found_in_a_text_of_its_own_length() -> None:
    assert redact("secret-key", "secret-key") == "***"
    assert redact("secret-ke", "secret-key") == "secret-ke"


@settings(deadline=None)
@given(KEYS, st.text())
def test_a_text_without_the_key_stays_as_it_is(key: str, text: str) -> None:
    words = re.sub("[^ a-f]", "", text)
    assert redact(words, "g" + key) == words


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("text", ["\\", "%25", "&amp;", "&#0", "s", "se", "&#00000000000"])
def test_no_text_takes_quadratic_time(text: str) -> None:
    assert redact(text * 100_000, "secret-key-0123456789") == text * 100_000
