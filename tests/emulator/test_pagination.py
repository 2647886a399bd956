"""List pages: the function alone, and over a real socket."""

import aiohttp
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.emulator import Emulator
from secoda_async.emulator.exceptions import NotFoundError
from secoda_async.emulator.pagination import PageStyle, paginate
from tests.support.emulator_calls import GROUPS, USERS, Caller, call_json

STYLE = PageStyle(size=10, url="http://127.0.0.1:1/api/v1/auth/group", cursor=False, literals=False)


def test_empty_list_has_one_page() -> None:
    assert paginate([], {}, STYLE) == {
        "links": {"next": None, "previous": None},
        "meta": {"page": 1, "previous_page": None, "next_page": None},
        "count": 0,
        "total_pages": 1,
        "results": [],
    }


@pytest.mark.parametrize("page", ["0", "4", "-1", "x", "1.0", "1_0", "9" * 5_000, "Last"])
def test_unknown_page_number_is_not_found(page: str) -> None:
    with pytest.raises(NotFoundError, match=r"Invalid page\."):
        paginate(range(25), {"page": page}, STYLE)


@pytest.mark.parametrize("cursor", ["!", "a", "w6k=", "eD01", "bz14", "ä", "bz0="])
def test_malformed_cursor_is_not_found(cursor: str) -> None:
    with pytest.raises(NotFoundError, match="Invalid cursor"):
        paginate(range(25), {"cursor": cursor}, attrs.evolve(STYLE, cursor=True))


def test_page_links_keep_the_other_query_parameters() -> None:
    style = STYLE
    page = paginate(range(25), {"page": "2", "q": "ä b"}, style)
    assert page["links"] == {
        "next": style.url + "?q=%C3%A4+b&page=3",
        "previous": style.url + "?q=%C3%A4+b",
    }
    assert page["meta"] == {"page": 2, "previous_page": 1, "next_page": 3}
    assert paginate(range(25), {"page": "2"}, style)["links"]["previous"] == style.url
    assert paginate(range(25), {"page": ""}, style)["meta"]["page"] == 1


@given(count=st.integers(0, 60), size=st.integers(1, 20), cursor=st.booleans(), literals=st.booleans())
def test_joined_pages_equal_the_list(*, count: int, size: int, cursor: bool, literals: bool) -> None:
    style = attrs.evolve(STYLE, size=size, cursor=cursor, literals=literals)
    query: dict[str, str] = {}
    joined: list[int] = []
    null = "None" if literals else None
    while True:
        page = paginate(range(count), query, style)
        joined.extend(page["results"])
        if page["links"]["next"] == null:
            break
        query = dict([page["links"]["next"].partition("?")[2].replace("%3D", "=").split("=", 1)])
    assert joined == list(range(count))
    assert page["meta"]["next_page"] == null


async def test_last_page_has_no_next_link(emulator: Emulator, call: Caller) -> None:
    emulator.page_size = 2
    for name in "abcde":
        await call("POST", GROUPS, json={"name": name})
    last = (await call("GET", f"{GROUPS}?page=3")).json
    assert last["links"] == {"next": None, "previous": f"{emulator.url}{GROUPS}?page=2"}
    assert last["meta"] == {"page": 3, "previous_page": 2, "next_page": None}
    assert (last["count"], last["total_pages"]) == (5, 3)
    assert [group["name"] for group in last["results"]] == ["e"]
    missing = await call("GET", f"{GROUPS}?page=4")
    assert (missing.status, missing.json) == (404, {"detail": "Invalid page."})


async def test_cursor_lists_are_linked_by_cursor_without_page_numbers(emulator: Emulator, call: Caller) -> None:
    emulator.cursor_lists, emulator.page_size = True, 2
    first = (await call("GET", f"{USERS}?page=2")).json
    assert [user["id"] for user in first["results"]] == ["u1", "u2"]
    assert first["meta"] == {"page": None, "previous_page": None, "next_page": None}
    second = (await call("GET", first["links"]["next"].removeprefix(emulator.url))).json
    assert [user["id"] for user in second["results"]] == ["u3"]
    assert (await call("GET", f"{USERS}?cursor=x")).json == {"detail": "Invalid cursor"}


async def test_docs_literals_are_strings_instead_of_null_and_false(emulator: Emulator, call: Caller) -> None:
    emulator.docs_literals, emulator.page_size = True, 2
    first = (await call("GET", USERS)).json
    assert first["links"] == {"next": "https://api.secoda.co/resource/all/?page=2", "previous": "None"}
    assert first["meta"] == {"page": 1, "previous_page": "None", "next_page": 2}
    user = (await call("GET", f"{USERS}/u1")).json
    assert (user["pending"], user["last_login"]) == ("False", "None")
    assert emulator.users["u1"]["pending"] is False


async def test_link_origin_replaces_the_origin_of_links(emulator: Emulator, call: Caller) -> None:
    emulator.link_origin, emulator.page_size = "http://inner:8000", 2
    assert (await call("GET", USERS)).json["links"]["next"] == f"http://inner:8000{USERS}?page=2"


async def test_next_link_at_the_top(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.next_link, emulator.page_size = "top", 1
    page = await call_json(session, "GET", "/api/v1/user")
    assert "links" not in page
    assert (page["next"], page["previous"]) == (f"{emulator.url}/api/v1/user?page=2", None)


async def test_hidden_next_link_keeps_count_and_meta(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.next_link, emulator.page_size = "hidden", 1
    page = await call_json(session, "GET", "/api/v1/user")
    assert page["links"] == {"next": None, "previous": None}
    assert (page["count"], page["total_pages"], page["meta"]["next_page"]) == (3, 3, 2)


async def test_last_of_two_page_parameters_is_used(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.page_size = 1
    assert (await call_json(session, "GET", "/api/v1/user?page=1&page=2"))["meta"]["page"] == 2


@pytest.mark.parametrize(("text", "page"), [("0000000002", 2), (" 2 ", 2), ("٢", 2), ("last", 3), ("", 1)])
def test_page_number_is_read_as_the_framework_reads_it(text: str, page: int) -> None:
    assert paginate(range(25), {"page": text}, STYLE)["meta"]["page"] == page


@pytest.mark.parametrize("cursor", [True, False])
def test_page_links_drop_the_former_page_and_cursor(*, cursor: bool) -> None:
    page = paginate(range(25), {"page": "1", "cursor": ""}, attrs.evolve(STYLE, cursor=cursor))
    link: str = page["links"]["next"]
    assert link.partition("?")[2] == ("cursor=bz0xMA%3D%3D" if cursor else "page=2")
