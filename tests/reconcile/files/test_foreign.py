"""Documents that are no files of groups are recognized, a page of a longer list above all."""

import json
from typing import Any

import pytest

from secoda_async.reconcile.files import json_nodes
from secoda_async.reconcile.files.foreign import describe_foreign

LONGER = "is a page of a longer list"
SCIM = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "Resources": [{"displayName": "a"}]}
ITEMS = [{"id": "1", "name": "a"}]


def described(document: Any) -> str | None:
    return describe_foreign(json_nodes.parse(json.dumps(document)))


@pytest.mark.parametrize(
    ("document", "part"),
    [
        pytest.param(SCIM | {"totalResults": 2}, " (1 of 2)", id="SCIM"),
        pytest.param({"value": ITEMS, "@odata.nextLink": "https://graph.example/v1.0/groups?x"}, "", id="Graph"),
        pytest.param({"value": ITEMS, "@odata.count": 7}, " (1 of 7)", id="Graph with a count"),
        pytest.param(
            {"count": 3, "links": {"next": "https://api.example/?page=2"}, "results": ITEMS}, " (1 of 3)", id="Secoda"
        ),
        pytest.param({"results": ITEMS, "meta": {"next_page": 2}}, "", id="Secoda with meta"),
        pytest.param({"usergroups": ITEMS, "response_metadata": {"next_cursor": "dXNl"}}, "", id="Slack"),
        pytest.param({"groups": ITEMS, "nextPageToken": "abc"}, "", id="Google"),
        pytest.param({"groups": ITEMS, "total": 2}, " (1 of 2)", id="a list of groups"),
        pytest.param({"data": ITEMS, "has_more": True}, "", id="has_more"),
        pytest.param({"next": "/groups?page=2"}, "", id="only a link"),
    ],
)
def test_page_of_a_longer_list_is_refused_as_such(document: object, part: str) -> None:
    assert (described(document) or "").startswith(f"{LONGER}{part}, which is never a desired state: get all pages, and")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(SCIM | {"totalResults": 1}, id="SCIM"),
        pytest.param({"value": ITEMS}, id="Graph"),
        pytest.param({"count": 1, "links": {"next": None, "previous": None}, "results": ITEMS}, id="Secoda"),
        pytest.param({"usergroups": ITEMS, "response_metadata": {"next_cursor": ""}}, id="Slack"),
        pytest.param({"data": ITEMS, "has_more": False}, id="has_more"),
        pytest.param({"data": ITEMS, "count": "many", "total": -1, "links": "x"}, id="other values"),
    ],
)
def test_whole_list_of_an_api_is_refused_with_the_shape_to_write(document: object) -> None:
    found = described(document) or ""
    assert found.startswith("has the list ")
    assert found.endswith(
        'of another program, and no groups: write the groups as {"groups": [{"name": "...", "members": ["..."]}]}'
    )


def test_saved_plan_is_recognized() -> None:
    problem = "is a saved plan, not a file of groups: pass it alone to `apply` or `show`"
    assert described({"changes": [], "digest": "x"}) == problem


def test_list_without_the_key_says_the_key() -> None:
    assert "write `groups:` above it" in (described(ITEMS) or "")


@pytest.mark.parametrize(
    "document",
    [{"groups": ITEMS}, {"groups": ITEMS, "count": 1, "links": {"next": None}}, {"groups": ITEMS, "teams": []}, {}, 5],
    ids=["groups", "count", "other list", "empty", "number"],
)
def test_other_documents_may_be_files_of_groups(document: object) -> None:
    assert described(document) is None
