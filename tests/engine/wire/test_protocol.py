"""The sans-IO protocol: requests, and the meaning of responses."""

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from attrs import astuple
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async import errors
from secoda_async._engine.retries import decide
from secoda_async._engine.wire import protocol, raw
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async.config import API_PREFIX, Secret
from secoda_async.errors import (
    APIError,
    BadRequestError,
    InvalidArgumentError,
    RedirectError,
    ResponseError,
    SecodaError,
)

NOW = datetime(2026, 8, 1, 12, 0, 0, tzinfo=UTC)
ORIGIN = "https://api.secoda.co"
GET = Request("GET", "/api/v1/auth/group", route="auth/group")
POST = Request("POST", "/api/v1/auth/group", body=b"{}", route="auth/group", name="Data Stewards")


def reply(status: int = 200, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()], body)


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


class TestRequestTo:
    def test_request_to_a_collection_has_its_path_and_query(self) -> None:
        request = protocol.request_to("POST", "auth/group", query="page=2", body=b"{}", name="A")
        assert astuple(request) == ("POST", "/api/v1/auth/group", "page=2", b"{}", "auth/group", "A")


class TestRawPath:
    @pytest.mark.parametrize(
        ("path", "sent"),
        [
            ("tag", "/api/v1/tag"),
            ("/tag", "/api/v1/tag"),
            ("tag/", "/api/v1/tag/"),
            ("api/v1/tag", "/api/v1/tag"),
            ("/api/v1/tag/x y", "/api/v1/tag/x%20y"),
            ("table/tables/é%2C", "/api/v1/table/tables/%C3%A9%2C"),
            ("a.b/...", "/api/v1/a.b/..."),
        ],
    )
    def test_raw_path_is_put_below_the_api_prefix(self, path: str, sent: str) -> None:
        assert raw.raw_path(path) == sent

    @pytest.mark.parametrize(
        ("path", "told"),
        [
            ("", "must name an endpoint"),
            ("//", "must name an endpoint"),
            ("https://evil.example/api/v1/tag", "not a URL"),
            ("//evil.example/tag", "not a URL"),
            ("\\\\evil.example\\tag", "not a URL"),
            ("tag?page=2", "no query"),
            ("tag#top", "no query"),
            ("tag\r\nX-Evil: 1", "control"),
            ("tag\ud800", "control or invisible"),
            ("../admin", "must not contain"),
            ("tag/./x", "must not contain"),
            ("tag/%2e%2E/x", "must not contain"),
            ("tag/..%2fadmin", "must not contain"),
            ("tag/..%5cadmin", "must not contain"),
            ("/api/v1/../../admin", "must not contain"),
        ],
    )
    def test_raw_path_that_leaves_the_api_is_refused(self, path: str, told: str) -> None:
        with pytest.raises(InvalidArgumentError, match=told):
            raw.raw_path(path)

    @given(st.text() | st.text("./\\%2eEfF5cCa:@?#;&= ", min_size=1))
    @example("%252e%252e/x")
    def test_raw_path_never_leads_out_of_the_api(self, path: str) -> None:
        try:
            sent = raw.raw_path(path)
        except InvalidArgumentError:
            return
        url = urlsplit(ORIGIN + sent)
        assert (f"{url.scheme}://{url.netloc}", url.path, url.query, url.fragment) == (ORIGIN, sent, "", "")
        assert all(0x21 <= ord(character) <= 0x7E for character in sent)
        for seen in (sent, unquote(sent), unquote(sent).replace("\\", "/")):
            assert f"{normpath(seen)}/".startswith(f"{API_PREFIX}/")


class TestStatusErrors:
    @pytest.mark.requirement("ER-1")
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (304, "APIError"),
            (400, "BadRequestError"),
            (401, "AuthenticationError"),
            (403, "PermissionDeniedError"),
            (404, "NotFoundError"),
            (405, "APIError"),
            (409, "ConflictError"),
            (418, "APIError"),
            (422, "BadRequestError"),
            (429, "RateLimitError"),
            (499, "APIError"),
            (500, "ServerError"),
            (502, "ServerError"),
            (503, "ServerError"),
            (504, "ServerError"),
            (599, "ServerError"),
        ],
    )
    def test_each_status_has_its_error_class(self, status: int, kind: str) -> None:
        answer = reply(status, b'{"detail": "so\\nit is"}', Retry_After="5", X_Request_Id="r-1")
        error = protocol.error_for(GET, answer, NOW)
        assert isinstance(error, APIError)
        assert type(error) is getattr(errors, kind)
        assert str(error) == f"{status} so it is"
        assert (error.status, error.retry_after, error.request_id) == (status, 5.0, "r-1")
        assert error.headers == {"retry-after": "5", "x-request-id": "r-1"}
        assert error.body == '{"detail": "so\\nit is"}'

    @pytest.mark.requirement("ER-4")
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"", "502 Bad Gateway"),
            (b"<html>\n<title>Bad Gateway</title>", "502 (an HTML page)"),
            (b'{"detail": "cut o', '502 {"detail": "cut o'),
            (b"upstream\r\n  gone", "502 upstream gone"),
            (b"[1, 2]", "502 [1, 2]"),
            (b"\xff\xfe", "502 \ufffd\ufffd"),
            (b"x" * 9000, "502 " + "x" * 200),
            (b"{}", "502"),
            (b'{"detail": "' + b"x" * 9000 + b'"}', "502 " + "x" * protocol.EXCERPT_LENGTH),
        ],
    )
    def test_error_body_of_any_kind_keeps_the_error_of_the_status(self, body: bytes, told: str) -> None:
        error = protocol.error_for(GET, reply(502, body), NOW)
        assert isinstance(error, errors.ServerError)
        assert str(error) == told
        assert error.body == body.decode("utf-8", "replace")[: protocol.EXCERPT_LENGTH]
        assert error.request_id is None

    @pytest.mark.requirement("SL-6")
    @pytest.mark.parametrize(
        ("body", "fields", "told"),
        [
            (
                b'{"name": ["too long", "blank"], "users": ["?"]}',
                {"name": ("too long", "blank"), "users": ("?",)},
                "400 name: too long blank; users: ?",
            ),
            (b'{"name": "too long"}', {"name": ("too long",)}, "400 name: too long"),
            (b'{"detail": ["a", {"b": 1}]}', {"detail": ("a", '{"b":1}')}, '400 detail: a {"b":1}'),
            (b'{"name": null, "icon": {"0": ["x"]}}', {"name": ("null",), "icon": ('{"0":["x"]}',)}, None),
            (
                (
                    b'{"detail": [{"type": "missing", "loc": ["body", "name"], "msg": "Field required"},'
                    b'{"type": "uuid", "loc": ["body", "users", 0], "msg": "Not an id"},'
                    b'{"type": "long", "loc": ["name"], "msg": "Too long"}, {"loc": ["body"], "msg": "No JSON"}]}'
                ),
                {"name": ("Field required", "Too long"), "users.0": ("Not an id",), "body": ("No JSON",)},
                "400 name: Field required Too long; users.0: Not an id; body: No JSON",
            ),
            (
                b'{"detail": [{"loc": [], "msg": "x"}, {"loc": ["a"]}, {"loc": "a", "msg": "x"}]}',
                {"detail": ('{"loc":[],"msg":"x"}', '{"loc":["a"]}', '{"loc":"a","msg":"x"}')},
                None,
            ),
            (b'["a"]', {}, '400 ["a"]'),
        ],
    )
    def test_bad_request_names_its_fields(self, body: bytes, fields: dict[str, Any], told: str | None) -> None:
        error = protocol.error_for(POST, reply(400, body), NOW)
        assert isinstance(error, BadRequestError)
        assert error.fields == fields
        assert told is None or str(error) == told

    @given(st.integers(300, 599), st.binary(max_size=200), st.binary(max_size=20))
    def test_any_error_response_becomes_an_sdk_error(self, status: int, body: bytes, header: bytes) -> None:
        answer = Reply(status, [(b"Retry-After", header), (b"Location", header), (b"Date", header)], body)
        error = protocol.error_for(POST, answer, NOW)
        assert isinstance(error, SecodaError)
        decide("POST", error)
        protocol.slash_redirect(POST, answer, ORIGIN)

    @pytest.mark.parametrize("depth", [900, 1000, 1020])
    def test_deeply_nested_error_body_becomes_an_sdk_error(self, depth: int) -> None:
        error = protocol.error_for(POST, reply(400, b'{"x": ' + b"[" * depth + b"]" * depth + b"}"), NOW)
        assert isinstance(error, BadRequestError)
        assert "x" in error.fields


class TestJson:
    @pytest.mark.requirement("ER-4")
    @pytest.mark.parametrize(
        ("body", "kind", "told"),
        [
            (b"<html>", "text/html; charset=utf-8", "not JSON but text/html: check that base_url is the API's"),
            (b"<html>", "", "not JSON but no content type"),
            (b"{", "application/json", "the response is broken JSON: "),
            (b"{", "Application/Problem+JSON", "the response is broken JSON: "),
        ],
    )
    def test_body_that_is_not_json_names_its_content_type(self, body: bytes, kind: str, told: str) -> None:
        with pytest.raises(ResponseError, match=re.escape(told)) as caught:
            protocol.json_of(reply(200, body, Content_Type=kind))
        assert caught.value.__context__ is None

    @pytest.mark.requirement("ER-4")
    def test_empty_body_is_none(self) -> None:
        assert protocol.json_of(reply(204)) is None
        assert protocol.json_of(reply(200, b" \r\n")) is None
        assert protocol.json_of(reply(200, b'{"a": null}')) == {"a": None}
        with pytest.raises(ResponseError, match="not JSON but no content type"):
            protocol.json_of(reply(200, b"OK"))


@pytest.mark.requirement("ER-3")
class TestRedaction:
    @pytest.mark.parametrize("key", ["c4n4ry-5ecret", 'c4n"ry', "c4n/ry+5ecret==", "c4n\\ry"])
    def test_echoed_api_key_is_redacted_in_any_notation(self, key: str) -> None:
        in_json = key.replace("\\", "\\\\").replace('"', '\\"')
        bodies = [key, f"Bearer {key}", f'{{"detail": "bad key {in_json}"}}', in_json.replace("/", "\\/")]
        for body in bodies:
            answer = protocol.redact_reply(reply(401, body.encode(), Location=f"/login?key={key}"), Secret(key))
            error = protocol.error_for(GET, answer, NOW)
            shown = f"{error} {vars(error)} {answer}"
            assert key not in shown
            assert in_json not in shown
            assert "***" in shown

    @pytest.mark.requirement("SEC-1")
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (401, rb'{"detail": "Invalid token c2Vjb2Rh+5ecret\u003d\u003d"}'),
            (400, rb'{"name": ["c2Vjb2Rh\u002B5ecret=="]}'),
            (400, rb'{"detail": [{"loc": ["c2Vjb2Rh+5ecret\u003d\u003d"], "msg": "c2Vjb2Rh+5ecret\u003D\u003D"}]}'),
            (502, b"<p>c2Vjb2Rh&#43;5ecret&equals;&#x3d;</p>"),
            (502, "c2Vjb2Rh+5ecret==".encode("utf-16")),
        ],
    )
    def test_api_key_that_the_server_escapes_is_redacted(self, status: int, body: bytes) -> None:
        answer = protocol.redact_reply(reply(status, body), Secret("c2Vjb2Rh+5ecret=="))
        shown = str(vars(protocol.error_for(GET, answer, NOW))).replace("\\x00", "")
        assert "c2Vjb2Rh" not in shown
        assert "***" in shown

    def test_percent_encoded_api_key_is_redacted(self) -> None:
        answer = protocol.redact_reply(reply(302, b"", Location="/login?key=c4n%2Fry%2B"), Secret("c4n/ry+"))
        assert answer.values(b"location") == ["/login?key=***"]

    def test_response_without_the_api_key_is_unchanged(self) -> None:
        unchanged = protocol.redact_reply(reply(200, b"{}", Date="today"), Secret("c4n4ry"))
        assert astuple(unchanged) == astuple(reply(200, b"{}", Date="today"))


@pytest.mark.requirement("RT-4")
class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("5", 5.0),
            ("60", 60.0),
            ("61", 61.0),
            ("0", 0.0),
            (" 7 ", 7.0),
            ("0.25", 0.25),
            ("1e3", 1000.0),
            ("86400", 86400.0),
            ("-1", None),
            ("nan", None),
            ("inf", None),
            ("-inf", None),
            ("1e999", None),
            ("abc", None),
            ("", None),
            ("5 seconds", None),
            ("Sat, 99 Aug 2026 12:00:30 GMT", None),
            ("Sat, 01 Aug 9999999999999 12:00:30 GMT", None),
            (http_date(30), 30.0),
            (http_date(-30), 0.0),
            ("Saturday, 01-Aug-26 12:00:30 GMT", 30.0),
            ("Sat Aug  1 12:00:30 2026", 30.0),
            ("Sat, 01 Aug 2026 14:00:30 +0200", 30.0),
        ],
    )
    def test_retry_after_of_each_form_gives_seconds_or_none(self, value: str, seconds: float | None) -> None:
        assert protocol.retry_after(reply(429, Retry_After=value), NOW) == seconds

    def test_absent_retry_after_is_none(self) -> None:
        assert protocol.retry_after(reply(429), NOW) is None

    @pytest.mark.parametrize("slow", [0, -3600, 3600])
    def test_retry_after_date_is_compared_with_the_date_header(self, slow: int) -> None:
        answer = reply(429, Retry_After=http_date(slow + 30), Date=http_date(slow))
        assert protocol.retry_after(answer, NOW) == 30.0

    def test_broken_date_header_is_ignored(self) -> None:
        assert protocol.retry_after(reply(429, Retry_After=http_date(30), Date="soon"), NOW) == 30.0

    @pytest.mark.parametrize(("one", "other", "seconds"), [("5", "60", 60.0), ("60", "5", 60.0), ("abc", "5", 5.0)])
    def test_larger_of_two_retry_after_headers_counts(self, one: str, other: str, seconds: float) -> None:
        answer = Reply(429, [(b"Retry-After", one.encode()), (b"RETRY-AFTER", other.encode())], b"")
        assert protocol.retry_after(answer, NOW) == seconds

    @given(
        st.lists(
            st.binary(max_size=40) | st.text("0123456789 :,+-.eEGMTSatAugx/()[]\"'\\", max_size=40).map(str.encode)
        ),
        st.binary(max_size=40),
    )
    @example([b"1_000"], b"")
    @example([b"-0"], b"")
    def test_retry_after_of_any_bytes_is_none_or_finite(self, values: list[bytes], date: bytes) -> None:
        answer = Reply(429, [(b"date", date), *((b"retry-after", value) for value in values)], b"")
        seconds = protocol.retry_after(answer, NOW)
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@pytest.mark.requirement("SL-4")
class TestRedirects:
    @pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    @pytest.mark.parametrize(
        "location",
        [
            "/api/v1/auth/group/",
            "https://api.secoda.co/api/v1/auth/group/",
            "https://API.secoda.co:443/api/v1/auth/group/",
            "//api.secoda.co/api/v1/auth/group/",
            "group/",
            "/api/v1/auth/group/#top",
        ],
    )
    def test_redirect_to_a_trailing_slash_on_the_same_origin_is_followed(
        self, method: str, status: int, location: str
    ) -> None:
        request = Request(method, "/api/v1/auth/group")
        assert protocol.slash_redirect(request, reply(status, Location=location), ORIGIN) is True

    def test_redirect_without_the_trailing_slash_is_followed(self) -> None:
        request = Request("POST", "/api/v1/auth/group/")
        assert protocol.slash_redirect(request, reply(301, Location="/api/v1/auth/group"), ORIGIN) is False

    def test_redirect_without_the_default_port_is_the_same_origin(self) -> None:
        answer = reply(301, Location="http://127.0.0.1/api/v1/auth/group/")
        assert protocol.slash_redirect(POST, answer, "http://127.0.0.1:80") is True

    @pytest.mark.parametrize(
        "location",
        [
            "http://api.secoda.co/api/v1/auth/group/",
            "http://api.secoda.co:443/api/v1/auth/group/",
            "https://api.secoda.co:8443/api/v1/auth/group/",
            "https://api.secoda.co:80/api/v1/auth/group/",
            "https://api.secoda.co:port/api/v1/auth/group/",
            "https://evil.example/api/v1/auth/group/",
            "https://api.secoda.co.evil.example/api/v1/auth/group/",
            "https://api.secoda.co@evil.example/api/v1/auth/group/",
            "https://user@api.secoda.co/api/v1/auth/group/",
            "//evil.example/api/v1/auth/group/",
            "https://[::1/api/v1/auth/group/",
            "/api/v1/auth/groups/",
            "/api/v1/auth/group//",
            "/login/",
            "/api/v1/auth/group",
            "/api/v1/auth/group/?page=2",
            "?page=2",
            "javascript:alert(1)",
            "",
            None,
        ],
    )
    @pytest.mark.parametrize("status", [301, 307])
    def test_redirect_elsewhere_raises_an_error_with_the_target(self, status: int, location: str | None) -> None:
        answer = reply(status) if location is None else reply(status, Location=location)
        assert protocol.slash_redirect(POST, answer, ORIGIN) is None
        error = protocol.error_for(POST, answer, NOW)
        assert isinstance(error, RedirectError)
        assert error.status == status
        assert error.target == ("(nowhere)" if location is None else location)
        assert error.target in str(error)
        assert "base_url" in str(error)
        assert "trailing slash" in str(error)

    def test_redirect_must_keep_the_query(self) -> None:
        request = Request("GET", "/api/v1/auth/group", "page=2")
        assert protocol.slash_redirect(request, reply(301, Location="group/?page=2"), ORIGIN) is True
        assert protocol.slash_redirect(request, reply(301, Location="group/"), ORIGIN) is None

    @pytest.mark.parametrize(("method", "followed"), [("GET", True), ("POST", None), ("PATCH", None), ("DELETE", None)])
    def test_redirect_303_is_followed_only_after_a_read(self, method: str, followed: bool | None) -> None:  # noqa: FBT001
        answer = reply(303, Location="/api/v1/auth/group/")
        assert protocol.slash_redirect(Request(method, "/api/v1/auth/group"), answer, ORIGIN) is followed

    @pytest.mark.parametrize("status", [200, 300, 304, 404])
    def test_status_that_is_no_redirect_is_not_followed(self, status: int) -> None:
        assert protocol.slash_redirect(GET, reply(status, Location="/api/v1/auth/group/"), ORIGIN) is None

    def test_redirect_error_says_read_or_write(self) -> None:
        assert "a read must keep its method" in str(protocol.error_for(GET, reply(302, Location="/login"), NOW))
        assert "a write must keep its method" in str(protocol.error_for(POST, reply(302, Location="/login"), NOW))


def test_reply_returns_all_values_of_a_header_in_any_letter_case() -> None:
    answer = Reply(200, [(b"Set-Cookie", b"a"), (b"set-cookie", b"\xe9")], b"")
    assert answer.values(b"set-cookie") == ["a", "é"]


def test_rate_limited_methods_are_the_documented_ones() -> None:
    assert {"POST", "PUT", "PATCH"} == protocol.LIMITED


def test_json_without_a_content_type_is_named_so() -> None:
    with pytest.raises(ResponseError, match="not JSON but no content type"):
        protocol.json_of(reply(200, b"<html>"))


@pytest.mark.parametrize("header", ["x-request-id", "X-Amzn-RequestId", "x-amzn-trace-id", "CF-Ray"])
def test_request_id_is_read_from_each_known_header(header: str) -> None:
    error = protocol.error_for(GET, Reply(500, [(header.encode(), b"r-1")], b""), NOW)
    assert isinstance(error, APIError)
    assert error.request_id == "r-1"


class TestAbsence:
    @pytest.mark.parametrize(
        ("status", "body", "is_absent"),
        [
            (404, b'{"detail": "Not found."}', True),
            (404, b'{"detail": 5}', False),
            (404, b"<html>", False),
            (404, b"", False),
            (410, b'{"detail": "Gone."}', False),
        ],
    )
    def test_only_a_404_of_the_api_proves_absence(self, status: int, body: bytes, *, is_absent: bool) -> None:
        error = protocol.error_for(GET, reply(status, body), NOW)
        assert protocol.is_absence(error) is is_absent
        assert getattr(error, "is_missing_route", None) is (None if status != 404 else not is_absent)


class TestDeletion:
    @pytest.mark.parametrize(("status", "body"), [(200, b""), (204, b""), (204, b" \r\n")])
    def test_empty_response_confirms_a_deletion(self, status: int, body: bytes) -> None:
        assert protocol.confirm_deletion(reply(status, body)) is True

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [(202, b"", "no body"), (205, b"", "no body"), (200, b"<html>", "a body"), (204, b"{}", "a body")],
    )
    def test_other_response_is_an_error(self, status: int, body: bytes, kind: str) -> None:
        with pytest.raises(ResponseError, match=f"{status} and {kind} "):
            protocol.confirm_deletion(reply(status, body))


@pytest.mark.parametrize(
    ("status", "body", "is_cut"),
    [
        (200, b"", True),
        (200, b" ", True),
        (204, b"", False),
        (205, b"", False),
        (206, b"", True),
        (200, b'{"a": 1', True),
        (200, b'{"a": "\xc3', True),
        (200, b'{"a": "\xff"}', False),
        (200, b"<html>", False),
        (200, b"{}", False),
    ],
)
def test_body_is_cut_short_if_it_is_empty_or_ends_early(status: int, body: bytes, *, is_cut: bool) -> None:
    assert protocol.is_cut_short(reply(status, body)) is is_cut
