"""Responses as values."""

from typing import cast

import orjson

from secoda_async.emulator.responses import json_response, reason_phrase


def test_with_headers_replaces_headers_of_the_same_name() -> None:
    response = json_response(200, {}).with_headers(("content-type", "x"), ("Link", "1"), ("Link", "2"))
    assert response.headers == (("content-type", "x"), ("Link", "1"), ("Link", "2"))


def test_as_bytes_has_the_full_content_length() -> None:
    head, body = json_response(200, ["ä"]).as_bytes()
    assert head == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n"
    assert cast("list[str]", orjson.loads(body)) == ["ä"]


def test_reason_phrase_of_an_unknown_status_is_empty() -> None:
    assert (reason_phrase(404), reason_phrase(599)) == ("Not Found", "")
