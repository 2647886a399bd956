"""Decoding and encoding: nothing is coerced, and every error has a location."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async import UNSET, Group, InvalidArgumentError, Page, ResponseError, User, to_dict
from secoda_async._engine.wire import codec
from secoda_async._engine.wire.envelope import Envelope
from secoda_async.models import GroupFields
from tests.support.json_values import json_values, texts, times

GROUP = {
    "id": "f3bdd4f8-d6ea-4f9b-8384-e179fa8eb3da",
    "created_at": "2023-05-10T14:27:23.797657Z",
    "updated_at": "2023-10-20T13:53:06.088248Z",
    "users": ["33733f42-8ff7-460b-9e20-50a2133d3bb0", "c90dedee-40ee-47ec-9c27-96dc3b2ec363"],
    "name": "Data Stewards",
    "icon": "🧪",
    "description": "Group of users that are responsible for keeping documentation updated.",
    "workspace_id": "f71585fa-251c-4102-8d81-c97c57c8d435",
    "snowflake_role": None,
}
"""The reference's own example."""

unknown = st.dictionaries(texts.map(lambda name: f"x_{name}"), json_values, max_size=3)
groups = st.builds(
    Group,
    id=texts,
    name=texts,
    icon=st.none() | texts,
    description=st.none() | texts,
    users=st.lists(texts, max_size=4).map(tuple),
    created_at=st.none() | times,
    updated_at=st.none() | times,
    workspace_id=st.none() | texts,
    snowflake_role=st.none() | texts,
    extra=unknown,
)
users = st.builds(
    User,
    id=texts,
    email=st.none() | texts,
    role=st.none() | texts,
    user_groups=st.lists(texts, max_size=4).map(tuple),
    pending=st.none() | st.booleans(),
    disabled=st.none() | st.booleans(),
    last_login=st.none() | times,
    extra=unknown,
)


def group(**fields: Any) -> Group:
    read: Group = codec.structure({"id": "g-1", "name": "A", **fields}, Group)
    return read


def user(**fields: Any) -> User:
    read: User = codec.structure({"id": "u-1", **fields}, User)
    return read


class TestRoundTrip:
    @given(groups | users)
    def test_a_model_survives_json(self, model: Group | User) -> None:
        again = codec.structure(codec.parse(codec.dump(to_dict(model))), type(model))
        assert again == model
        assert again.extra == model.extra

    @given(st.dictionaries(texts, json_values, max_size=5), st.sampled_from([Group, User]))
    def test_unknown_fields_survive_decoding_and_encoding(
        self, extra: dict[str, Any], model: type[Group | User]
    ) -> None:
        payload: dict[str, Any] = {"id": "1", "name": "A"} | {f"x_{name}": value for name, value in extra.items()}
        assert payload.items() <= to_dict(codec.structure(payload, model)).items()

    @pytest.mark.parametrize("model", [Group, User])
    def test_unknown_fields_are_in_alphabetical_order(self, model: type[Group | User]) -> None:
        names = [f"x_{number:02}" for number in range(30)]  # the order of a set differs from run to run
        payload: dict[str, Any] = {"id": "1", "name": "A"} | dict.fromkeys(reversed(names), 0)
        assert [name for name in codec.structure(payload, model).extra if name in names] == names

    @given(json_values, st.sampled_from([Group, User, Envelope]))
    def test_any_json_is_a_model_or_a_response_error(self, payload: object, model: type[Any]) -> None:
        with suppress(ResponseError):
            assert isinstance(codec.structure(payload, model), model)

    @given(st.dictionaries(st.sampled_from(sorted(GROUP)), json_values))
    def test_any_value_in_a_known_field_is_kept_or_named(self, fields: dict[str, Any]) -> None:
        payload = GROUP | fields
        try:
            read = codec.structure(payload, Group)
        except ResponseError as error:
            named = re.split(r"\W", error.location)[0]
        else:
            named = None
            kept = {"id", "name", "icon", "description", "users", "workspace_id", "snowflake_role"}
            assert {name: to_dict(read)[name] for name in kept} == {name: payload[name] for name in kept}
        assert named is None or named in fields

    @pytest.mark.requirement("MD-1")
    def test_example_group_of_the_reference_survives_decoding_and_encoding(self) -> None:
        assert to_dict(codec.structure(GROUP, Group)) == GROUP

    def test_a_page_is_plain_json_with_its_items_and_faults(self) -> None:
        fault = ResponseError("name: missing")
        page = Page(1, (Group("g-1", "A", users=("u-1",), extra={"new": [1]}),), count=2, invalid=(fault,))
        told = to_dict(page)
        assert orjson.loads(orjson.dumps(told)) == told
        assert told["items"][0]["users"] == ["u-1"]
        assert told["items"][0]["new"] == [1]
        assert told["invalid"] == ["name: missing"]


@pytest.mark.requirement("MD-1")
class TestTolerance:
    def test_only_id_and_name_are_needed(self) -> None:
        assert group() == Group("g-1", "A")
        assert user() == User("u-1")

    @pytest.mark.parametrize(
        "field", ["icon", "description", "created_at", "updated_at", "workspace_id", "snowflake_role"]
    )
    def test_a_nullable_field_may_be_null(self, field: str) -> None:
        assert getattr(group(**{field: None}), field) is None

    @pytest.mark.parametrize("payload", [{"new": {"deep": [1, None]}}, {"extra": {"id": 3}}, {"extra": 1, "": 2}])
    def test_unknown_fields_are_kept(self, payload: dict[str, Any]) -> None:
        assert group(**payload).extra == payload
        assert to_dict(group(**payload)).items() >= payload.items()

    def test_unknown_role_is_accepted(self) -> None:
        assert user(role="archduke").role == "archduke"

    def test_extra_is_not_shared_between_models(self) -> None:
        assert group().extra is not group().extra

    def test_the_docs_literals_in_users_are_read_as_meant(self) -> None:
        read = user(pending="False", disabled="True", is_service_account="None", last_login="None")
        assert (read.pending, read.disabled, read.is_service_account, read.last_login) == (False, True, None, None)

    def test_one_bad_item_is_skipped_and_reported_if_so_wished(self) -> None:
        payloads: list[object] = [{"id": "a", "name": "A"}, {"id": "b"}, None, {"id": "d", "name": "D", "users": [1]}]
        items, faults = codec.structure_all(payloads, Group, skip_invalid=True)
        assert [item.id for item in items] == ["a"]
        assert [(fault.location, fault.item_id) for fault in faults] == [
            ("results[1].name", "b"),
            ("results[2]", None),
            ("results[3].users[0]", "d"),
        ]
        assert str(faults[1]) == "results[2]: expected an object, got null"

    def test_one_bad_item_is_an_error_otherwise(self) -> None:
        with pytest.raises(ResponseError, match=re.escape("results[1].name: missing")) as caught:
            codec.structure_all([{"id": "a", "name": "A"}, {"id": "b"}], Group, skip_invalid=False)
        assert caught.value.item_id == "b"
        assert caught.value.__cause__ is caught.value.__context__ is None

    def test_good_items_come_without_errors(self) -> None:
        assert codec.structure_all([], Group, skip_invalid=False) == ([], [])
        assert codec.structure_all([GROUP], Group, skip_invalid=True)[1] == []


@pytest.mark.requirement("MD-2", "MD-4")
class TestStrictness:
    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"name": None}, "name: expected a string, got null"),
            ({"name": 5}, "name: expected a string, got a number"),
            ({"id": 1}, "id: expected a string, got a number"),
            ({"icon": ["x"]}, "icon: expected a string or null, got a list"),
            ({"description": False}, "description: expected a string or null, got a boolean"),
            ({"users": "abc"}, "users: expected a list of strings, got a string"),
            ({"users": None}, "users: expected a list of strings, got null"),
            ({"users": {"a": 1}}, "users: expected a list of strings, got an object"),
            ({"users": ["a", None, 3]}, "users[1]: expected a string, got null"),
            ({"users": [["a"]]}, "users[0]: expected a string, got a list"),
            ({"created_at": 1700000000}, "created_at: expected a time or null, got a number"),
            ({"created_at": "None"}, "created_at: expected an ISO 8601 time, got 'None'"),
            ({"created_at": ""}, "created_at: expected an ISO 8601 time, got ''"),
            ({"created_at": "yesterday"}, "created_at: expected an ISO 8601 time, got 'yesterday'"),
            ({"updated_at": "2024-02-30T00:00:00Z"}, "updated_at: expected an ISO 8601 time"),
            ({"updated_at": "0001-01-01T00:00:00+14:00"}, "updated_at: expected an ISO 8601 time"),
            ({"updated_at": "9999-12-31T23:59:59-01:00"}, "updated_at: expected an ISO 8601 time"),
        ],
    )
    def test_nothing_in_a_group_is_coerced(self, fields: dict[str, Any], told: str) -> None:
        with pytest.raises(ResponseError, match=re.escape(told)) as caught:
            group(**fields)
        assert told.startswith(f"{caught.value.location}:")
        assert caught.value.__cause__ is caught.value.__context__ is None

    @pytest.mark.parametrize("value", ["yes", "true", "", 0, 1, []])
    def test_boolean_is_not_coerced(self, value: object) -> None:
        with pytest.raises(ResponseError, match="pending: expected a boolean or null"):
            user(pending=value)

    @pytest.mark.parametrize(
        ("payload", "location", "told"),
        [
            ({}, "id", "id: missing"),
            ({"id": "x"}, "name", "name: missing"),
            (None, "", "expected an object, got null"),
            ([], "", "expected an object, got a list"),
            ("group", "", "expected an object, got a string"),
            (5, "", "expected an object, got a number"),
        ],
    )
    def test_payload_that_is_not_a_group_raises_with_its_location(
        self, payload: object, location: str, told: str
    ) -> None:
        with pytest.raises(ResponseError) as caught:
            codec.structure(payload, Group)
        assert (caught.value.location, str(caught.value)) == (location, told)

    @pytest.mark.parametrize(("item_id", "kept"), [("g-7", "g-7"), (7, None)])
    def test_the_id_of_the_faulty_item_is_on_the_error(self, item_id: object, kept: str | None) -> None:
        with pytest.raises(ResponseError) as caught:
            group(id=item_id, name=None)
        assert caught.value.item_id == kept


class TestEnvelope:
    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("end", [None, "", "None"])
    def test_a_next_link_without_a_target_means_the_last_page(self, end: str | None) -> None:
        for payload in ({"links": {"next": end}}, {"next": end}):
            assert codec.structure({"results": [], **payload}, Envelope).next_links == [None]

    @pytest.mark.requirement("PG-6")
    @pytest.mark.parametrize("payload", [{}, {"links": {}}, {"links": {"previous": 5}}], ids=repr)
    def test_a_next_link_that_was_not_sent_is_no_next_link(self, payload: dict[str, Any]) -> None:
        assert codec.structure({"results": [], **payload}, Envelope).next_links == []

    @pytest.mark.requirement("PG-6")
    def test_a_next_link_is_read_in_both_places(self) -> None:
        payload: dict[str, Any] = {"results": [], "links": {"next": "?page=2"}, "next": "?page=3"}
        assert codec.structure(payload, Envelope).next_links == ["?page=2", "?page=3"]

    def test_the_references_example_is_read(self) -> None:
        payload: dict[str, Any] = {
            "links": {"next": "https://api.secoda.co/resource/all/?page=2", "previous": "None"},
            "meta": {"page": 1, "previous_page": "None", "next_page": 2},
            "count": 315,
            "total_pages": 7,
            "results": [GROUP],
        }
        envelope = codec.structure(payload, Envelope)
        assert envelope.next_links == ["https://api.secoda.co/resource/all/?page=2"]
        assert (envelope.meta.page, envelope.meta.next_page) == (1, 2)
        assert (envelope.count, envelope.total_pages) == (315, 7)
        assert envelope.results == [GROUP]

    @pytest.mark.requirement("MD-2")
    def test_the_literal_none_means_no_number(self) -> None:
        payload: dict[str, Any] = {"results": [], "count": "None", "meta": {"page": "None"}}
        assert codec.structure(payload, Envelope).count is None

    @pytest.mark.requirement("MD-4")
    @pytest.mark.parametrize(
        ("payload", "told"),
        [
            ({}, "results: missing"),
            ({"results": None}, "results: expected a list, got null"),
            ({"results": {}}, "results: expected a list, got an object"),
            ({"results": [], "links": {"next": 2}}, "links.next: expected a string or null, got a number"),
            ({"results": [], "links": None}, "links: expected an object, got null"),
            ({"results": [], "meta": {"page": "2"}}, "meta.page: expected a whole number or null, got a string"),
            ({"results": [], "count": True}, "count: expected a whole number or null, got a boolean"),
            ({"results": [], "count": 1.0}, "count: expected a whole number or null, got a number"),
            ([], "expected an object, got a list"),
        ],
    )
    def test_malformed_envelope_raises_with_its_location(self, payload: object, told: str) -> None:
        with pytest.raises(ResponseError) as caught:
            codec.structure(payload, Envelope)
        assert str(caught.value) == told


@pytest.mark.requirement("MD-4")
class TestTimes:
    @pytest.mark.parametrize("fraction", ["", ".1", ".12", ".123", ".1234", ".12345", ".123456"])
    @pytest.mark.parametrize("zone", ["Z", "+00:00", "+0000", ""])
    def test_any_fraction_and_way_to_write_utc_is_aware_utc(self, fraction: str, zone: str) -> None:
        time = group(created_at=f"2023-05-10T14:27:23{fraction}{zone}").created_at
        assert time is not None
        assert time.tzinfo is UTC
        microsecond = int(fraction[1:].ljust(6, "0"))
        assert time == datetime(2023, 5, 10, 14, 27, 23, microsecond, tzinfo=UTC)

    def test_other_zones_are_brought_to_utc(self) -> None:
        assert group(created_at="2023-05-10T01:00:00+02:30").created_at == datetime(2023, 5, 9, 22, 30, tzinfo=UTC)

    @given(times, st.integers(-23, 23))
    @example(datetime(1, 1, 1, tzinfo=UTC), 0)
    def test_any_time_in_any_zone_is_the_same_moment(self, time: datetime, hours: int) -> None:
        elsewhere = (time + timedelta(hours=hours)).replace(tzinfo=None)
        text = f"{elsewhere.isoformat()}{hours:+03d}:00"
        assert group(updated_at=text).updated_at == time

    def test_times_are_written_with_a_z(self) -> None:
        assert to_dict(group(created_at="2023-05-10T14:27:23+00:00"))["created_at"] == "2023-05-10T14:27:23Z"


@pytest.mark.requirement("MD-3")
class TestFields:
    @pytest.mark.parametrize(
        ("fields", "body"),
        [
            (GroupFields(), b"{}"),
            (GroupFields(description=None), b'{"description":null}'),
            (GroupFields(users=()), b'{"users":[]}'),
            (GroupFields(name=""), b'{"name":""}'),
            (
                GroupFields(name="A", icon=None, description="", users=("u-1",)),
                b'{"name":"A","icon":null,"description":"","users":["u-1"]}',
            ),
        ],
    )
    def test_unset_null_and_empty_are_three_things_in_the_body(self, fields: GroupFields, body: bytes) -> None:
        assert codec.dump(to_dict(fields)) == body

    @given(
        st.builds(
            GroupFields,
            name=st.just(UNSET) | texts,
            icon=st.sampled_from([UNSET, None]) | texts,
            description=st.sampled_from([UNSET, None]) | texts,
            users=st.just(UNSET) | st.lists(texts).map(tuple),
        )
    )
    def test_a_body_has_the_fields_that_were_set_and_no_others(self, fields: GroupFields) -> None:
        values = {name: getattr(fields, name) for name in ("name", "icon", "description", "users")}
        wanted = {name: value for name, value in values.items() if value is not UNSET}
        body = codec.parse(codec.dump(to_dict(fields)))
        assert body == {name: list(value) if name == "users" else value for name, value in wanted.items()}


class TestJson:
    @pytest.mark.parametrize("body", [b"", b"{", b"nan", b"1e400", b'"\xff"', b"[" * 5000, b"\xef\xbb\xbf{}", b"'a'"])
    def test_parse_rejects_invalid_json(self, body: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            codec.parse(body)

    @pytest.mark.parametrize(
        "value", [object(), {1: 2}, {"a": {3}}, "\ud800", 2**70, b"bytes", {"a": float("nan")}, [[(-float("inf"),)]]]
    )
    def test_dump_rejects_values_that_json_lacks(self, value: object) -> None:
        with pytest.raises(InvalidArgumentError, match="can't be sent as JSON") as caught:
            codec.dump_strictly(value)
        assert caught.value.__cause__ is None

    @given(json_values)
    def test_dump_and_parse_round_trip(self, value: object) -> None:
        assert codec.parse(codec.dump_strictly(value)) == codec.parse(codec.dump(value)) == value
