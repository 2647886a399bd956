"""The emulator's parts by themselves: no socket, no loop."""

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secoda_async.emulator
from secoda_async.emulator.clock import Calendar, ManualClock, ScaledClock, timestamp
from secoda_async.emulator.exceptions import NotFoundError, ValidationError
from secoda_async.emulator.pagination import PageStyle, paginate
from secoda_async.emulator.responses import json_response, reason_phrase
from secoda_async.emulator.seed import SeedFactory
from secoda_async.emulator.throttle import Throttle
from secoda_async.emulator.validation import clean_group, parse_body

if TYPE_CHECKING:
    from collections.abc import Iterator

STYLE = PageStyle(size=10, url="http://127.0.0.1:1/api/v1/auth/group", cursor=False, literals=False)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def imported_modules(path: Path) -> "Iterator[str]":
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def test_imports_nothing_of_the_sdk() -> None:
    package = Path(secoda_async.emulator.__file__).parent
    modules = sorted(package.glob("**/*.py"))
    assert len(modules) > 8
    for module in modules:
        for name in imported_modules(module):
            if name.partition(".")[0] == "secoda_async":
                assert name.startswith("secoda_async.emulator"), f"{module}: {name}"


def test_exports_four_names() -> None:
    assert secoda_async.emulator.__all__ == ["Emulator", "Fault", "Faults", "RecordedRequest"]


class TestTime:
    def test_timestamps_have_six_digits_or_none(self) -> None:
        moment = datetime(2023, 5, 10, 14, 27, 23, 50, tzinfo=UTC)
        assert timestamp(moment) == "2023-05-10T14:27:23.000050Z"
        assert timestamp(moment.replace(microsecond=0)) == "2023-05-10T14:27:23Z"

    def test_stamps_ascend_though_the_clock_stands_still(self) -> None:
        calendar = Calendar(ManualClock())
        first, second = calendar.next_timestamp(), calendar.next_timestamp()
        assert datetime.fromisoformat(second) - datetime.fromisoformat(first) == timedelta(microseconds=1)

    def test_the_calendar_follows_the_clock(self) -> None:
        clock = ManualClock(1_000.0)
        calendar = Calendar(clock)
        before = calendar.now()
        clock.advance(90.5)
        assert calendar.now() - before == timedelta(seconds=90.5)
        assert calendar.date_header().endswith("GMT")

    def test_a_scaled_clock_runs_at_its_speed(self) -> None:
        assert ScaledClock(1e6).now() / ScaledClock(1.0).now() == pytest.approx(1e6, rel=1e-3)

    def test_a_manual_clock_calls_each_timer_once_at_its_time(self) -> None:
        clock = ManualClock()
        called: list[float] = []
        for delay in (3.0, 1.0, 2.0, 9.0):
            clock.call_later(delay, lambda: called.append(clock.now()))
        cancelled = clock.call_later(1.5, lambda: called.append(-1.0))
        cancelled.cancel()
        cancelled.cancel()
        clock.advance(5.0)
        assert called == [1.0, 2.0, 3.0]
        assert clock.now() == 5.0
        assert len(clock.timers) == 1


class TestThrottle:
    def test_accepts_so_many_in_a_window_that_slides(self) -> None:
        throttle = Throttle()
        for now in (0.0, 10.0, 20.0):
            assert throttle.admit(now, limit=3, window=60.0) is None
        assert throttle.admit(20.0, limit=3, window=60.0) == 40
        assert throttle.admit(59.5, limit=3, window=60.0) == 1
        assert throttle.admit(60.0, limit=3, window=60.0) is None
        assert throttle.admit(60.0, limit=3, window=60.0) == 10

    def test_refused_writes_take_no_place(self) -> None:
        throttle = Throttle()
        throttle.admit(0.0, limit=1, window=60.0)
        for second in range(1, 60):
            assert throttle.admit(float(second), limit=1, window=60.0) == 60 - second
        assert throttle.admit(60.0, limit=1, window=60.0) is None

    def test_no_limit_takes_any_number_but_remembers_them(self) -> None:
        throttle = Throttle()
        assert [throttle.admit(0.0, limit=None, window=60.0) for _ in range(100)] == [None] * 100
        assert throttle.admit(1.0, limit=30, window=60.0) == 59

    def test_the_busiest_window_counts_refused_writes(self) -> None:
        throttle = Throttle()
        assert throttle.busiest(60.0) == 0
        for now in (0.0, 30.0, 59.0, 60.0, 200.0):
            throttle.admit(now, limit=1, window=60.0)
        assert throttle.busiest(60.0) == 3
        assert throttle.busiest(1_000.0) == 5

    @given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 5))
    def test_never_accepts_more_than_the_limit_in_any_window(self, times: list[float], limit: int) -> None:
        throttle = Throttle()
        accepted = [now for now in sorted(times) if throttle.admit(now, limit=limit, window=10.0) is None]
        for first in accepted:
            assert sum(first <= now < first + 10.0 for now in accepted) <= limit


class TestValidation:
    @pytest.mark.parametrize(
        ("payload", "errors"),
        [
            ({"name": None}, {"name": ["This field may not be null."]}),
            ({"name": 5}, {"name": ["Not a valid string."]}),
            ({"icon": []}, {"icon": ["Not a valid string."]}),
            ({"description": True}, {"description": ["Not a valid string."]}),
            ({"name": "a\0"}, {"name": ["Null characters are not allowed."]}),
            ({"icon": "\ud83d"}, {"icon": ["Surrogate characters are not allowed: U+D83D."]}),
            ({"users": None}, {"users": ["This field may not be null."]}),
            ({"users": "u1"}, {"users": ['Expected a list of items but got type "str".']}),
            ({"users": {"u1": 1}}, {"users": ['Expected a list of items but got type "dict".']}),
            ({"users": [1]}, {"users": ["Incorrect type. Expected pk value, received int."]}),
            ({"users": ["u1", "x"]}, {"users": ['Invalid pk "x" - object does not exist.']}),
            ({"users": ["\udc00"]}, {"users": ['Invalid pk "?" - object does not exist.']}),
            (
                {"name": 1, "users": "x"},
                {
                    "name": ["Not a valid string."],
                    "users": ['Expected a list of items but got type "str".'],
                },
            ),
            ([], {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}),
            (None, {"non_field_errors": ["No data provided"]}),
        ],
    )
    def test_refuses_with_the_framework_s_words(self, payload: object, errors: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as caught:
            clean_group(payload, {"u1", "u2"})
        assert caught.value.payload == errors

    def test_trims_text_and_sorts_members_and_ignores_the_rest(self) -> None:
        payload = {"name": "  a ", "icon": None, "description": "", "users": ["u2", "u1", "u2"], "id": 7}
        assert clean_group(payload, {"u1", "u2"}) == {
            "name": "a",
            "icon": None,
            "description": "",
            "users": ["u1", "u2"],
        }
        assert clean_group({}, ()) == {}

    @pytest.mark.parametrize(
        "body", [b"{", b"\xff", b"nope", b'{"name": NaN}', b"[" * 200_000, b"\xef\xbb\xbf{}", b"1" * 5_000]
    )
    def test_what_is_no_json_is_a_parse_error(self, body: bytes) -> None:
        with pytest.raises(ValidationError) as caught:
            parse_body(body)
        assert caught.value.payload["detail"].startswith("JSON parse error - ")

    def test_an_empty_body_is_an_empty_object(self) -> None:
        assert parse_body(b"") == {}
        assert parse_body('{"name": "Ä"}'.encode()) == {"name": "Ä"}

    @given(st.binary() | json_values.map(lambda value: repr(value).encode("utf-8", "replace")))
    def test_parsing_raises_nothing_else(self, body: bytes) -> None:
        try:
            parse_body(body)
        except ValidationError as error:
            orjson.dumps(error.payload)

    @given(
        json_values
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "icon", "description", "users"), json_values))
    )
    def test_cleaning_raises_nothing_else_and_gives_what_can_be_sent(self, payload: object) -> None:
        try:
            orjson.dumps(clean_group(payload, {"u1"}))
        except ValidationError as error:
            orjson.dumps(error.payload)


class TestLists:
    def test_an_empty_list_has_one_page(self) -> None:
        assert paginate([], {}, STYLE) == {
            "links": {"next": None, "previous": None},
            "meta": {"page": 1, "previous_page": None, "next_page": None},
            "count": 0,
            "total_pages": 1,
            "results": [],
        }

    @pytest.mark.parametrize("page", ["0", "4", "-1", "x", "1.0", "٢", "9" * 5_000, "last"])
    def test_a_page_that_is_not_there_is_refused(self, page: str) -> None:
        with pytest.raises(NotFoundError, match=r"Invalid page\."):
            paginate(range(25), {"page": page}, STYLE)

    @pytest.mark.parametrize("cursor", ["!", "a", "w6k=", "eD01", "bz14", "ä", "bz0="])
    def test_a_cursor_that_is_none_is_refused(self, cursor: str) -> None:
        with pytest.raises(NotFoundError, match="Invalid cursor"):
            paginate(range(25), {"cursor": cursor}, attrs.evolve(STYLE, cursor=True))

    def test_links_keep_the_rest_of_the_query(self) -> None:
        style = STYLE
        page = paginate(range(25), {"page": "2", "q": "ä b"}, style)
        assert page["links"] == {
            "next": style.url + "?q=%C3%A4+b&page=3",
            "previous": style.url + "?q=%C3%A4+b",
        }
        assert page["meta"] == {"page": 2, "previous_page": 1, "next_page": 3}
        assert paginate(range(25), {"page": "2"}, style)["links"]["previous"] == style.url
        assert paginate(range(25), {"page": ""}, style)["meta"]["page"] == 1

    @given(st.integers(0, 60), st.integers(1, 20), st.booleans(), st.booleans())
    def test_pages_joined_are_the_list(self, count: int, size: int, cursor: bool, literals: bool) -> None:  # noqa: FBT001 - drawn
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


class TestSeed:
    @staticmethod
    def made(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        maker = SeedFactory(Calendar(ManualClock()).next_timestamp, seed)
        users = maker.users(40)
        return maker.groups(700, list(users)), users

    def test_one_seed_makes_one_workspace(self) -> None:
        assert self.made(1) == self.made(1)
        assert self.made(1) != self.made(2)

    def test_what_it_makes_up_is_whole(self) -> None:
        groups, users = self.made(0)
        assert len(groups) == len({group["name"] for group in groups.values()}) == 700
        assert len({user["email"] for user in users.values()}) == 40
        created = [group["created_at"] for group in groups.values()]
        assert created == sorted(created)
        assert all(group["created_at"] <= group["updated_at"] for group in groups.values())
        assert {user for group in groups.values() for user in group["users"]} == set(users)

    def test_takes_groups_and_people_as_given(self) -> None:
        maker = SeedFactory(lambda: "now")
        users = maker.users([{"email": "a@example.com", "id": "u1", "user_groups": ["x"]}])
        groups = maker.groups([{"name": " A ", "users": ["u1"], "id": "g1"}, {}], ["u1"])
        assert users["u1"]["email"] == "a@example.com"
        assert groups["g1"]["name"] == "A"
        assert [group["users"] for group in groups.values()] == [["u1"], []]

    @pytest.mark.parametrize(
        ("kind", "given", "message"),
        [
            ("users", [{"id": "u1"}], "the email of the user .* must be a string, not None"),
            ("users", [{"email": "a", "colour": 1}], "unknown field of a user: colour"),
            ("users", [{"email": "a", "id": "u"}, {"email": "b", "id": "u"}], "two users have the id u"),
            ("users", [{"email": "a", "id": 5}], "the id of a user must be a string, not 5"),
            ("groups", [{"members": ()}], "unknown field of a group: members"),
            ("groups", [{"name": "a", "users": ["x"]}], "group 'a': .*Invalid pk"),
            ("groups", [{"id": "g"}, {"id": "g"}], "two groups have the id g"),
        ],
    )
    def test_refuses_what_the_api_would_not_have(self, kind: str, given: list[dict[str, Any]], message: str) -> None:
        maker = SeedFactory(lambda: "now")
        with pytest.raises(ValueError, match=message):
            maker.users(given) if kind == "users" else maker.groups(given, [])


class TestAnswers:
    def test_extra_headers_take_the_place_of_the_same_names(self) -> None:
        answer = json_response(200, {}).with_headers(("content-type", "x"), ("Link", "1"), ("Link", "2"))
        assert answer.headers == (("content-type", "x"), ("Link", "1"), ("Link", "2"))

    def test_as_bytes_tells_the_full_length(self) -> None:
        head, body = json_response(200, ["ä"]).as_bytes()
        assert head == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n"
        assert cast("list[str]", orjson.loads(body)) == ["ä"]

    def test_an_unknown_status_has_no_words(self) -> None:
        assert (reason_phrase(404), reason_phrase(599)) == ("Not Found", "")
