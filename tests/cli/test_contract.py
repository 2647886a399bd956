"""The contract of a list, read from its first page."""

from typing import Any

import pytest

from secoda_async.cli.contract import ListContract, read_contract

ORIGIN = "https://api.secoda.co"
GROUP = dict.fromkeys(
    ["id", "name", "icon", "description", "users", "created_at", "updated_at", "workspace_id", "snowflake_role"]
)


def contract(items: list[Any], kind: str = "groups", **envelope: object) -> ListContract:
    return read_contract({"results": items, **envelope}, kind, ORIGIN)


def test_page_in_the_documented_form() -> None:
    read = contract([GROUP], links={"next": f"{ORIGIN}/api/v1/auth/group?page=2"}, meta={}, count=51, total_pages=2)
    assert read.sentences(show_hosts=True) == (
        "count, links, meta, total_pages around the items",
        "next link in links.next by page; 1 on a page",
    )
    assert read.to_document()["unknown_fields"] == []


@pytest.mark.parametrize(
    ("envelope", "sentence"),
    [
        ({"links": {"next": None}}, "next link in links.next; one page of 1"),
        ({"links": {"next": "None"}}, "next link in links.next; one page of 1"),
        ({"next": "/x?cursor=abc&page=2"}, "next link in next by cursor; 1 on a page"),
        ({"next": "/x?offset=50", "links": {"next": None}}, "next link in links.next and next by another parameter"),
        ({"links": []}, "no next link; one page of 1"),
        ({"next": "http://[", "links": 1}, "next links lead to (not a URL); only their query is used"),
        ({"next": "https://user:pass@inner.example/x?page=2"}, "next links lead to inner.example; only"),
    ],
    ids=["null", "literal", "cursor", "another parameter", "links of another type", "no URL", "another host"],
)
def test_position_and_target_of_the_next_link(envelope: dict[str, Any], sentence: str) -> None:
    assert sentence in "\n".join(contract([GROUP], **envelope).sentences(show_hosts=True))


def test_shared_sentences_name_no_host() -> None:
    text = "\n".join(contract([GROUP], next="https://inner.example/x?page=2").sentences(show_hosts=False))
    assert "a host that differs" in text
    assert "inner.example" not in text


def test_unknown_missing_and_literal_fields_are_named_without_values() -> None:
    user = {"id": "u", "email": "ana@example.com", "pending": "False", "color": "None", "ana@example.com": 1}
    read = contract([user, "no object"], "users")
    assert read.unknown_fields == ("(an unusual name)", "color")
    assert read.literal_fields == ("color", "pending")
    assert "role" in read.missing_fields
    text = "\n".join(read.sentences(show_hosts=False))
    assert "strings in place of null or a boolean: color, pending" in text
    assert "ana@" not in text


@pytest.mark.parametrize("page", [None, [], {}, {"results": {}}], ids=["null", "list", "empty", "no list"])
def test_page_in_another_form(page: object) -> None:
    sentences = read_contract(page, "groups", ORIGIN).sentences(show_hosts=True)
    assert sentences == ("the page is not an object with results",)
