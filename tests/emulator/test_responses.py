"""Responses as values."""

from typing import cast

import orjson

from secoda_async.emulator.responses import (
    detail_response,
    html_response,
    json_response,
    reason_phrase,
    replace_surrogates,
)


def test_with_headers_replaces_headers_of_the_same_name() -> None:
    response = json_response(200, {}).with_headers(("content-type", "x"), ("Link", "1"), ("Link", "2"))
    assert response.headers == (("content-type", "x"), ("Link", "1"), ("Link", "2"))


def test_as_bytes_has_the_full_content_length() -> None:
    head, body = json_response(200, ["ä"]).as_bytes()
    assert head == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n"
    assert cast("list[str]", orjson.loads(body)) == ["ä"]


def test_reason_phrase_of_an_unknown_status_is_empty() -> None:
    assert (reason_phrase(404), reason_phrase(599)) == ("Not Found", "")


def test_html_response_is_a_page_with_the_status_as_its_title() -> None:
    response = html_response(404)
    assert (response.status, response.headers) == (404, (("Content-Type", "text/html; charset=utf-8"),))
    title = "404 Not Found"
    assert response.body.decode() == (
        f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    )


def test_detail_response_has_the_frameworks_json() -> None:
    response = detail_response(405, "No.", ("Allow", "GET"))
    assert (response.status, response.body) == (405, b'{"detail":"No."}')
    assert response.headers == (("Content-Type", "application/json"), ("Allow", "GET"))


def test_replace_surrogates_keeps_all_other_text() -> None:
    assert replace_surrogates("a\udc00ä") == "a?ä"
