"""Rows: msgspec reads a body as cattrs does, or leaves it to cattrs."""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from datetime import datetime
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async import Group, ResponseError, User
from secoda_async._engine.wire import codec
from secoda_async._engine.wire.decoding import LARGE
from secoda_async._engine.wire.envelope import Envelope
from secoda_async._engine.wire.rows import RowReader, reader_of
from tests.support.json_values import json_values, times

GROUP: dict[str, Any] = {
    "id": "g-1",
    "name": "Data Stewards",
    "icon": None,
    "description": "",
    "users": ["u-1", "u-2"],
    "created_at": "2023-05-10T14:27:23.797657Z",
    "updated_at": "2023-05-10T14:27:23Z",
    "workspace_id": "w-1",
    "snowflake_role": None,
}

USER: dict[str, Any] = {"id": "u-1", "email": "ana@example.com", "pending": False, "last_login": None}

odd_values = (
    st.sampled_from(["None", "True", "False", "", "u-1", "2023-05-10T14:27:23.797657Z", "2023-05-10", [], ["u-1"], {}])
    | times.map(datetime.isoformat)
    | json_values
)
"""Values that are valid in one field and invalid, or valid with another meaning, in another field."""


def payloads(model: type[Any], usual: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Generate JSON objects that are close to `model`, valid or not."""
    names = sorted({field.name for field in attrs.fields(model)} | {"new", "newer`, $"})
    changed = st.dictionaries(st.sampled_from(names), odd_values, max_size=3)
    removed = st.sets(st.sampled_from(names), max_size=1)

    def change(odd: dict[str, Any], less: set[str]) -> dict[str, Any]:
        return {name: value for name, value in (usual | odd).items() if name not in less}

    return st.builds(change, changed, removed)


ends: st.SearchStrategy[Any] = st.sampled_from(["None", "", None, 2, "?page=2", [], {}])
pages = st.fixed_dictionaries(
    {"results": st.lists(payloads(Group, GROUP), max_size=4) | ends},
    optional={
        "links": st.fixed_dictionaries({}, optional={"next": ends, "previous": ends}) | ends,
        "meta": st.fixed_dictionaries({}, optional={"page": ends, "next_page": ends, "new": json_values}) | ends,
        "count": ends,
        "total_pages": ends,
        "next": ends,
        "new": json_values,
    },
)


def shown(model: object) -> str:
    """Return a model as text, with types and unknown fields."""
    return repr(attrs.asdict(model))  # type: ignore[arg-type]


def structured(body: bytes, model: type[Any]) -> str:
    """Return the model as cattrs reads it, or "refused"."""
    try:
        return shown(codec.structure(codec.parse(body), model))
    except (ValueError, ResponseError):
        return "refused"


def structured_page(body: bytes) -> str:
    """Return a page of groups as cattrs reads it, or "refused"."""
    try:
        envelope = codec.structure(codec.parse(body), Envelope)
        items, _ = codec.structure_all(envelope.results, Group, skip_invalid=False)
    except (ValueError, ResponseError):
        return "refused"
    return shown(attrs.evolve(envelope, results=[])) + repr([*map(shown, items)])


def assert_agree(body: bytes, model: type[Any]) -> None:
    """Assert that a row is the model that cattrs reads; a row may be missing."""
    row = RowReader(model).read(body)
    assert row is None or (type(row) is model and shown(row) == structured(body, model))


def assert_agree_on_page(body: bytes) -> None:
    """Assert the same for a page of groups."""
    reader = RowReader(Group)
    for padded in (body, body + b" " * LARGE):  # a large page is split
        page = reader.read_page(padded, {})
        assert page is None or shown(page[0]) + repr([*map(shown, page[1])]) == structured_page(body)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> bytes:
    """Generate a body with a byte replaced, cut off or followed by something."""
    body = orjson.dumps(draw(whole))
    position = draw(st.integers(0, len(body)))
    return body[:position] + draw(st.binary(max_size=2)) + body[position + draw(st.integers(0, 2)) :]


@pytest.mark.requirement("MD-1", "MD-2", "MD-4")
class TestAgreement:
    """Each body is read as cattrs reads it, or left to cattrs."""

    @given(payloads(Group, GROUP) | json_values)
    @example(GROUP)
    @example(GROUP | {"created_at": "2023-05-10T14:27:23.7976579Z", "updated_at": "2023-05-10t14:27:23z"})
    @example(GROUP | {"created_at": "2023-05-10T14:27:23"})
    @example(GROUP | {"updated_at": "2023-05-10 14:27:23+02:00"})
    @example(GROUP | {"updated_at": "0001-01-01T00:00:00+02:00"})
    @example(GROUP | {"updated_at": "2023-W19-3"})
    @example(GROUP | {"extra": {"id": 1}, "new": []})
    def test_rows_agree_on_groups(self, payload: object) -> None:
        assert_agree(orjson.dumps(payload), Group)

    @given(payloads(User, USER))
    @example(USER | {"last_login": "None", "pending": "False"})
    def test_rows_agree_on_users(self, payload: object) -> None:
        assert_agree(orjson.dumps(payload), User)

    @given(pages | json_values)
    @example({"results": [GROUP], "links": {"next": "x"}, "meta": {"page": 1}, "count": 1, "total_pages": 1})
    @example({"results": [GROUP, GROUP | {"updated_at": "2023-05-10 14:27:23+02:00"}]})
    @example({"results": [GROUP | {"updated_at": "2023-05-10 14:27:23+02:00", "created_at": None}]})
    @example({"results": [GROUP | {"updated_at": "0001-01-01T00:00:00+02:00"}]})
    @example({"results": [GROUP | {"new": 1}, GROUP, GROUP | {"newer": None}]})
    @example({"results": [GROUP | {"newer": 1}, GROUP | {"new": 1, "newer": 1}]})
    def test_rows_agree_on_pages(self, payload: object) -> None:
        assert_agree_on_page(orjson.dumps(payload))

    @given(damaged(payloads(Group, GROUP)))
    @example(b'{"id":"a","name":"b","users":[],"n\\u0061me":"c"}')
    @example(b'{"id":"a","name":"b","users":[],"id":"c"}')
    @example(b'{"id":"a","name":"b","users":[],"new":NaN}')
    @example(b'{"id":"a","name":"b","users":[],"new":1e400}')
    @example(b'{"id":"a","name":"\xff","users":[]}')
    @example(b'{"id":"a","name":"\\ud800","users":[]}')
    @example(b'{"id":"a","name":"b","users":[],"new":"\xff"}')
    @example(b'{"id":"a","name":"b","users":[],"new":[{"new":18446744073709551616}]}')
    @example(b'{"id":"a","name":"b","users":[],"new":[0],"newer":-9223372036854775809}')
    @example(b'{"id":"a","name":"b","users":[],"new":' + b"[" * 950 + b"]" * 950 + b"}")
    @example(b"[" * 100_000)
    def test_rows_agree_on_damaged_groups(self, body: bytes) -> None:
        assert_agree(body, Group)

    @pytest.mark.parametrize(
        "around",
        [
            b'"count":18446744073709551616',
            b'"count":18446744073709551615',
            b'"total_pages":-9223372036854775809',
            b'"new":"\xff"',
            b'"meta":{"p\xffge":1}',
            b'"new":"\\ud800"',
            b'"new":NaN',
            b'"links":{"new":"\xff"}',
            b'"links":{"name":1},"meta":{"count":[{}]},"name":2',
            b'"previous":5,"links":{"previous":[]},"meta":{"previous_page":"None"}',
            b'"new":{"new":18446744073709551616},"meta":{"new":1},"links":{"newer":null}',
            b'"new":' + b"[" * 2000 + b"]" * 2000,
        ],
        ids=ascii,
    )
    def test_rows_agree_on_damage_and_large_numbers_around_the_items(self, around: bytes) -> None:
        assert_agree_on_page(b'{"results":[],' + around + b"}")


class TestReading:
    def test_usual_bodies_are_read_in_one_pass(self) -> None:
        assert RowReader(Group).read(orjson.dumps(GROUP)) == codec.structure(GROUP, Group)
        assert RowReader(User).read(orjson.dumps(USER)) == codec.structure(USER, User)
        page = RowReader(Group).read_page(orjson.dumps({"results": [GROUP], "next": "?page=2"}), None)
        assert page is not None
        assert (page[0].next_links, page[1]) == (["?page=2"], [codec.structure(GROUP, Group)])

    @pytest.mark.parametrize(
        "duplicate",
        [copy, deepcopy, attrs.evolve, lambda group: pickle.loads(pickle.dumps(group))],  # noqa: S301 - the test's own
        ids=["copy", "deepcopy", "evolve", "pickle"],
    )
    def test_models_can_be_copied_and_pickled(self, duplicate: Callable[[Group], Group]) -> None:
        group = RowReader(Group).read(orjson.dumps(GROUP | {"new": [1]}))
        assert group is not None
        assert shown(duplicate(group)) == shown(group)
        assert type(duplicate(group)) is Group

    def test_models_are_frozen_and_hashable(self) -> None:
        group = RowReader(Group).read(orjson.dumps(GROUP))
        assert group is not None
        assert hash(group) == hash(codec.structure(GROUP, Group))
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            group.name = "B"  # type: ignore[misc]

    def test_group_without_users_is_left_to_the_check_of_needed_fields(self) -> None:
        payload = {name: value for name, value in GROUP.items() if name != "users"}
        assert RowReader(Group).read(orjson.dumps(payload)) is None

    def test_equal_strings_are_one_object(self) -> None:
        strings: dict[str, str] = {}
        body = orjson.dumps({"results": [GROUP, GROUP | {"id": "g-2"}]})
        pages = [RowReader(Group).read_page(body, strings) for _ in range(2)]
        groups = [group for page in pages if page is not None for group in page[1]]
        assert len(groups) == 4
        assert len({id(user) for group in groups for user in group.users}) == 2
        assert len({id(group.id) for group in groups}) == 2
        assert len({id(group.workspace_id) for group in groups}) == len({id(group.name) for group in groups}) == 1


class TestLearning:
    """A field that the model lacks is learned, and costs no second reader."""

    def test_unknown_fields_go_to_extra_in_alphabetical_order(self) -> None:
        payload: dict[str, Any] = GROUP | {"z": 1, "a": [{}], "weird `name`": None}
        group = RowReader(Group).read(orjson.dumps(payload))
        assert group is not None
        assert list(group.extra.items()) == [("a", [{}]), ("weird `name`", None), ("z", 1)]

    @pytest.mark.parametrize("name", ["extra", "learned_0", "learned_1", "__class__", "class", "self", "naïve"])
    def test_unknown_field_may_have_any_name(self, name: str) -> None:
        group = RowReader(Group).read(orjson.dumps(GROUP | {"new": 1, name: 2}))
        assert group is not None
        assert group.extra == {"new": 1, name: 2}

    def test_absurdly_long_names_are_left_to_cattrs(self) -> None:
        assert RowReader(Group).read(orjson.dumps(GROUP | {"n" * 101: 1})) is None

    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
    def test_deeply_nested_values_fit_into_the_small_stack_of_a_thread(self, opening: bytes, closing: bytes) -> None:
        value = opening * 100_000 + b"1" + closing * 100_000
        read: list[Group | None] = []
        before = threading.stack_size(2**20)
        try:
            thread = threading.Thread(
                target=lambda: read.append(RowReader(Group).read(b'{"id":"a","name":"b","users":[],"new":%b}' % value))
            )
            thread.start()
        finally:
            threading.stack_size(before)
        thread.join()
        assert read == [None]

    def test_threads_learn_fields_of_one_reader_concurrently(self) -> None:
        reader = RowReader(Group)

        def read(number: int) -> dict[str, Any]:
            group = reader.read(orjson.dumps(GROUP | {f"new_{number % 12}": number}))
            assert group is not None
            return dict(group.extra)

        with ThreadPoolExecutor(4) as threads:
            extras = list(threads.map(read, range(400)))
        assert extras == [{f"new_{number % 12}": number} for number in range(400)]

    def test_large_page_is_decoded_row_by_row(self) -> None:
        def refuse(_: bytes) -> None:
            pytest.fail("one call decodes the whole page")

        reader = RowReader(Group)
        reader._rows.decode_whole_page = refuse
        large = {"results": [GROUP, GROUP | {"description": "x" * LARGE}], "count": 2}
        page = reader.read_page(orjson.dumps(large), {})
        assert page is not None
        assert (page[0].count, [len(group.description or "") for group in page[1]]) == (2, [0, LARGE])

    @pytest.mark.parametrize("size", [1, LARGE])
    def test_item_without_a_learned_field_has_no_extra(self, size: int) -> None:
        items = [GROUP | {"new": "x" * size}, GROUP, GROUP | {"new": 1, "newer": None}]
        page = RowReader(Group).read_page(orjson.dumps({"results": items}), None)
        assert page is not None
        assert [group.extra for group in page[1]] == [{"new": "x" * size}, {}, {"new": 1, "newer": None}]

    def test_endless_new_names_are_left_to_cattrs(self) -> None:
        reader = RowReader(Group)
        read = [reader.read(orjson.dumps(GROUP | {f"new_{number}": 0})) is not None for number in range(18)]
        assert read == [True] * 16 + [False] * 2
        assert reader.read(orjson.dumps(GROUP)) is not None

    def test_learned_fields_of_one_model_are_not_those_of_another(self) -> None:
        assert reader_of(Group).read(orjson.dumps(GROUP | {"email": "x"})) is not None
        user = reader_of(User).read(orjson.dumps(USER))
        assert user is not None
        assert user.email == "ana@example.com"

    def test_first_of_two_values_of_a_learned_field_is_skipped(self) -> None:
        group = RowReader(Group).read(b'{"id":"a","name":"b","users":[],"new":"\xff","new":1}')
        assert group is not None
        assert group.extra == {"new": 1}

    def test_fields_around_the_items_are_learned(self) -> None:
        around = {"new": 1, "name": 2, "links": {"next": "x", "new": 3}, "meta": {"page": 1, "id": 4}}
        reader = RowReader(Group)
        page = reader.read_page(orjson.dumps(around | {"results": [GROUP | {"new": 5, "count": 6}]}), None)
        assert page is not None
        assert (page[0].next_links, page[0].meta.page, page[1][0].extra) == (["x"], 1, {"count": 6, "new": 5})
        assert list(reader._rows.learned.values()) == ["count", "id", "name", "new"]
