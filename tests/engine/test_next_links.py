"""Next links: which query they give, and which of them are logged."""

import logging

import pytest

from secoda_async._engine.next_links import NextLinks
from secoda_async.errors import PaginationError

COLLECTION = "auth/group"
ORIGIN = "https://api.secoda.co"


@pytest.fixture
def links() -> NextLinks:
    return NextLinks(ORIGIN, COLLECTION)


def test_no_link_gives_no_query(links: NextLinks) -> None:
    assert links.query_of(None, 1) is None


@pytest.mark.requirement("PG-2")
@pytest.mark.parametrize("base", ["", "/api/v1/auth/group/", f"{ORIGIN}/api/v1/auth/group", "https://other.example/x"])
def test_link_to_the_next_page_gives_its_number(links: NextLinks, base: str) -> None:
    for number in (1, 2, 3):
        assert links.query_of(f"{base}?page={number + 1}", number) == f"page={number + 1}"


def test_other_fields_of_the_query_are_left_out(links: NextLinks) -> None:
    assert links.query_of("?page=2&key=secret", 1) == "page=2"
    assert links.query_of("?page=9&cursor=a%2Bb&cursor=c", 1) == "cursor=a%2Bb"


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("to", ["", "?", "?page=", "?page=1", "?page=4", "?page=two", "?cursor="])
def test_link_that_does_not_lead_to_the_next_page_raises(links: NextLinks, to: str, number: int) -> None:
    links.query_of("?page=2", 1)
    with pytest.raises(PaginationError, match=f"leads to page .*, not to page {number + 1}") as caught:
        links.query_of(to, number)
    assert caught.value.page == number


def test_link_that_is_not_a_url_raises(links: NextLinks) -> None:
    with pytest.raises(PaginationError, match=r"page 1: links\.next is not a URL") as caught:
        links.query_of("https://[::1/?page=2", 1)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.requirement("PG-3")
class TestForeignHosts:
    def test_foreign_host_is_logged_once(self, links: NextLinks, caplog: pytest.LogCaptureFixture) -> None:
        for number in range(1, 5):
            links.query_of(f"https://other.example/a{number}?page={number + 1}", number)
        links.query_of("https://third.example/?page=2", 1)
        assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
            (logging.WARNING, f"auth/group: links.next points to {host!r}; only its query is used")
            for host in ("other.example", "third.example")
        ]

    @pytest.mark.parametrize(
        ("origin", "link"),
        [
            (ORIGIN, "?page=2"),
            (ORIGIN, "http://API.secoda.co:8080/?page=2"),
            ("http://127.0.0.1:1", "http://localhost:2/?page=2"),
            ("http://localhost", "http://[::1]/?page=2"),
        ],
    )
    def test_own_host_is_not_logged(self, caplog: pytest.LogCaptureFixture, origin: str, link: str) -> None:
        assert NextLinks(origin, COLLECTION).query_of(link, 1) == "page=2"
        assert caplog.records == []

    @pytest.mark.parametrize(("origin", "host"), [(ORIGIN, "localhost"), ("http://localhost", "api.secoda.co")])
    def test_loopback_name_is_foreign_to_a_remote_host(
        self, caplog: pytest.LogCaptureFixture, origin: str, host: str
    ) -> None:
        NextLinks(origin, COLLECTION).query_of(f"http://{host}/?page=2", 1)
        assert len(caplog.records) == 1
