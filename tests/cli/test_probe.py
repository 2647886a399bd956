"""A probe: at most eight writes, on its own groups, which it deletes again in every case."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import define, field

from secoda_async import AutojumpClock, Event, SecodaClient, TransportError, User
from secoda_async.cli.probe import MAX_WRITES, QUESTIONS, Probe
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.waiting import wait_until

USERS = [
    {"id": "u-ana", "email": "ana@example.com"},
    {"id": "u-bot", "email": "bot@example.com", "is_service_account": True},
    {"id": "u-eve", "email": "eve@example.com", "pending": True},
]
NOT_TRIED = "not tried"


@define
class Probed:
    """An emulated workspace, and a probe of it."""

    emulator: Emulator
    secoda: SecodaClient
    events: list[Event]
    stop: asyncio.Event = field(factory=asyncio.Event)

    async def run(self) -> Probe:
        probe = await self.prepare()
        await probe.run()
        self.check()
        return probe

    async def prepare(self) -> Probe:
        return Probe(self.secoda, await self.secoda.users.snapshot(), self.events, self.stop)

    def check(self, *, left: int = 0) -> None:
        """Check the number of writes, the other groups, and the number of groups that are left."""
        assert len(self.emulator.writes) <= MAX_WRITES
        names = [group["name"] for group in self.emulator.groups.values()]
        assert (names[:2], len(names)) == (["First", "Second"], 2 + left)
        assert all(group["users"] == ["u-ana"] for group in list(self.emulator.groups.values())[:2])


@pytest.fixture
async def probed(request: pytest.FixtureRequest) -> AsyncIterator[Probed]:
    """A workspace of two groups and three users; a parameter is its settings."""
    groups = [{"name": name, "users": ["u-ana"]} for name in ("First", "Second")]
    settings: dict[str, Any] = {"users": USERS, "groups": groups} | getattr(request, "param", {})
    clock = AutojumpClock()
    events: list[Event] = []
    async with (
        Emulator(clock=clock, **settings) as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock, on_event=events.append) as secoda,
    ):
        yield Probed(emulator, secoda, events)


def configured(*settings: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("probed", settings, indirect=True, ids=[",".join(each) for each in settings])


def respond(probed: Probed, transform: Callable[[Any], Any], method: str) -> None:
    probed.emulator.faults.add(transform=transform, times=None, method=method)


async def test_probe_answers_every_question_in_seven_writes(probed: Probed) -> None:
    probe = await probed.run()
    assert probe.findings == {
        "may_write": "yes (201)",
        "read_after_create": "yes",
        "membership": "yes",
        "pending": "in the response to a POST: yes; when the group is read: yes",
        "null": "icon is shown as null, description is shown as null",
        "empty": "icon is shown as an empty text, description is shown as an empty text",
        "unique_names": "no: a second one was created",
        "delete": "yes (204)",
        "slash": "no",
        "limit": (
            "not tried: it takes more than 30 writes in a minute. Responses with 429: 0; headers about limits: none"
        ),
    }
    assert tuple(probe.findings) == tuple(QUESTIONS)
    assert (probe.writes, len(probed.emulator.writes)) == (7, 7)
    assert probed.emulator.writes[0].json["users"] == ["u-bot", "u-eve"]
    assert "ana" not in str(probe.document())


@configured({"hide_pending": True})
async def test_probe_sees_that_pending_members_are_hidden(probed: Probed) -> None:
    probe = await probed.run()
    assert probe.findings["pending"] == "in the response to a POST: no; when the group is read: no"
    assert probe.findings["membership"] == "yes"


@configured({"trailing_slash": True})
async def test_probe_sees_the_redirect_to_a_slash_and_repeats_no_write(probed: Probed) -> None:
    probe = await probed.run()
    assert probe.findings["slash"] == "yes: GET"
    assert len(probed.emulator.writes) == 7


@configured({"visible_after": 30.0}, {"lists_lag": 30.0})
async def test_probe_deletes_its_groups_although_reads_lag(probed: Probed) -> None:
    probe = await probed.run()
    assert probe.findings["delete"] == "yes (204)"
    assert probe.findings["unique_names"].startswith("no")


@configured({"visible_after": 30.0})
async def test_probe_sees_that_reads_lag(probed: Probed) -> None:
    assert (await probed.run()).findings["read_after_create"] == "no (404)"


@configured({"users": [*USERS, {"id": "u-joe", "email": "joe@example.com"}]})
async def test_probe_adds_at_most_three_users(probed: Probed) -> None:
    assert (await probed.run()).findings["membership"] == "yes"
    bodies: list[dict[str, list[str]]] = [record.json or {} for record in probed.emulator.writes]
    sent = {user for body in bodies for user in body.get("users", ())}
    assert sent == {"u-bot", "u-ana", "u-eve"}


@configured({"users": USERS[:1]})
async def test_probe_says_which_questions_need_more_users(probed: Probed) -> None:
    probe = await probed.run()
    assert probe.findings["membership"] == "not tried: it needs two users with an account"
    assert probe.findings["pending"] == "not tried: no invitation is pending"


@configured({"writes_per_window": 1})
async def test_probe_ends_at_the_first_429(probed: Probed) -> None:
    probe = await probed.run()
    assert probe.findings["membership"] == "refused with 429"
    assert probe.findings["null"] == NOT_TRIED
    assert "Responses with 429: 1; headers about limits: retry-after" in probe.findings["limit"]
    assert probe.findings["delete"] == "yes (204)"


@pytest.mark.parametrize(("status", "answer"), [(403, "no: refused with 403"), (401, "refused with 401")])
async def test_probe_ends_when_the_first_create_is_refused(probed: Probed, status: int, answer: str) -> None:
    probed.emulator.faults.add(status=status, body={"detail": "no"}, method="POST")
    probe = await probed.run()
    assert probe.findings["may_write"] == answer
    assert {probe.findings[key] for key in ("membership", "null", "unique_names", "delete")} == {NOT_TRIED}
    assert not probe.is_create_unclear


async def test_probe_sees_unique_names(probed: Probed) -> None:
    probed.emulator.faults.add(status=400, body={"name": ["taken by Ana"]}, method="POST", skip=1)
    probe = await probed.run()
    assert probe.findings["unique_names"] == "yes: refused with 400 (name)"


async def test_probe_sees_a_create_that_returns_the_group_of_this_name(probed: Probed) -> None:
    created: list[Any] = []

    def first(body: object) -> object:
        created.append(body)
        return created[0]

    respond(probed, first, method="POST")
    probe = await probed.run()
    assert probe.findings["unique_names"] == "yes: the response is the first group"


@pytest.mark.parametrize(
    ("users", "answer"),
    [
        (["u-ana", "u-bot"], "no: the members are added"),
        ([], "unclear: the response shows 0 members"),
        (None, "unclear"),
    ],
    ids=["added", "none", "null"],
)
async def test_probe_sees_what_users_in_a_patch_do(probed: Probed, users: object, answer: str) -> None:
    respond(probed, lambda body: body | {"users": users}, method="PATCH")
    assert (await probed.run()).findings["membership"].startswith(answer)


async def test_probe_names_forms_and_never_texts(probed: Probed) -> None:
    respond(probed, lambda body: {"id": body["id"], "icon": "secret"}, method="PATCH")
    probe = await probed.run()
    assert probe.findings["null"] == "icon is shown as something else, description is shown as absent"


async def test_probe_goes_on_after_a_step_that_fails(probed: Probed) -> None:
    null = ["This field may not be null."]
    probed.emulator.faults.add(status=400, body={"icon": null, "description": null}, method="PATCH", skip=1)
    probed.emulator.faults.add(body="<html>", method="PATCH", skip=1)
    probe = await probed.run()
    assert probe.findings["null"] == "refused with 400 (description, icon)"
    assert probe.findings["empty"] == "the response is not what the API promises"
    assert probe.findings["unique_names"].startswith("no")


async def test_probe_reports_a_read_that_fails(probed: Probed) -> None:
    probed.emulator.faults.add(status=403, body={"detail": "no"}, method="GET", match=_is_item, times=None)
    probe = await probed.run()
    assert probe.findings["read_after_create"] == "refused with 403"
    assert probe.findings["delete"] == "yes (204)"


def _is_item(record: RecordedRequest) -> bool:
    return "/auth/group/" in record.path


async def test_probe_writes_nothing_when_the_groups_can_not_be_read(probed: Probed) -> None:
    probe = await probed.prepare()
    probed.emulator.faults.add(drop="before", path="auth/group", times=None)
    with pytest.raises(TransportError):
        await probe.run()
    assert probed.emulator.writes == []


# --- groups are deleted in every case ------------------------------------------------------------------------------


async def test_create_whose_response_is_lost_is_found_and_deleted(probed: Probed) -> None:
    probed.emulator.faults.add(drop="after", method="POST")
    probe = await probed.run()
    assert probe.findings["may_write"] == "no response (OutcomeUnknownError)"
    assert (probe.findings["delete"], probe.is_create_unclear) == ("yes (204)", False)


async def test_create_whose_outcome_stays_unknown_is_reported(probed: Probed) -> None:
    probed.emulator.faults.add(drop="before", method="POST")
    probe = await probed.prepare()
    await probe.run()
    assert probe.is_create_unclear
    probed.check()


async def test_response_about_an_existing_group_leaves_the_outcome_unknown(probed: Probed) -> None:
    existing = next(iter(probed.emulator.groups.values()))
    probed.emulator.faults.add(status=201, body=dict(existing), method="POST", carry_out=False)
    probe = await probed.run()
    assert probe.is_create_unclear
    assert [record.method for record in probed.emulator.writes] == ["POST"]


async def test_response_about_an_existing_group_touches_no_group(probed: Probed) -> None:
    existing = next(iter(probed.emulator.groups.values()))
    respond(probed, lambda _: dict(existing), method="POST")
    probe = await probed.run()
    assert probe.findings["may_write"] == "the response is not what the API promises"
    assert [record.method for record in probed.emulator.writes] == ["POST", "DELETE"]  # its own group, found by name


async def test_group_is_deleted_although_the_list_can_not_be_read(probed: Probed) -> None:
    def is_list_after_create(record: RecordedRequest) -> bool:
        return record.path.endswith("/auth/group") and record.method == "GET" and bool(probed.emulator.writes)

    probed.emulator.faults.add(status=403, body={}, match=is_list_after_create, times=None)
    assert (await probed.run()).left == set()


@pytest.mark.parametrize(
    "fault", [{"status": 500, "body": {}}, {"drop": "after"}, {"status": 200, "body": {"detail": "ok"}}], ids=str
)
async def test_delete_that_fails_once_is_sent_again(probed: Probed, fault: dict[str, Any]) -> None:
    probed.emulator.faults.add(method="DELETE", **fault)
    probe = await probed.run()
    assert probe.left == set()
    assert len(probed.emulator.writes) == 8


async def test_group_that_can_not_be_deleted_is_left_and_reported(probed: Probed) -> None:
    probed.emulator.faults.add(status=500, body={}, method="DELETE", times=None)
    probe = await probed.prepare()
    await probe.run()
    probed.check(left=2)
    assert len(probe.left) == 2
    assert probe.findings["delete"] == "no response (OutcomeUnknownError)"
    assert probe.document()["groups_left"] == 2


@pytest.mark.parametrize(("body", "left"), [({"detail": "Not found."}, 0), ("<html>", 1)], ids=["gone", "gateway"])
async def test_404_of_the_api_alone_proves_that_a_group_is_gone(probed: Probed, body: object, left: int) -> None:
    probed.emulator.faults.add(status=403, body={}, method="POST", skip=1)
    probed.emulator.faults.add(status=404, body=body, method="DELETE", times=None)
    probe = await probed.prepare()
    await probe.run()
    assert (probe.findings["delete"], len(probe.left)) == ("refused with 404", left)


async def test_group_that_somebody_renamed_is_not_deleted(probed: Probed) -> None:
    def rename(record: RecordedRequest) -> bool:
        for group in list(probed.emulator.groups.values())[2:]:
            group["name"] = "Now a real group"
        return record.method == "POST"

    probed.emulator.faults.add(status=403, body={}, match=rename, skip=1, times=1)
    probe = await probed.prepare()
    await probe.run()
    assert probe.findings["delete"] == "not tried: somebody renamed the group"
    probed.check(left=1)


async def test_stopped_probe_deletes_its_group(probed: Probed) -> None:
    def stop(_: RecordedRequest) -> bool:
        probed.stop.set()
        return False

    probed.emulator.faults.add(status=500, match=stop, method="PATCH")
    probe = await probed.run()
    assert (probe.findings["membership"], probe.findings["null"]) == ("yes", NOT_TRIED)
    assert probe.findings["delete"] == "yes (204)"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_cancelled_probe_deletes_its_group(probed: Probed, method: str) -> None:
    probe = await probed.prepare()
    probed.emulator.faults.add(stall="after", method=method)
    task = asyncio.create_task(probe.run())
    await wait_until(lambda: any(record.applied and record.method == method for record in probed.emulator.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    probed.check()
    assert (probe.left, probe.is_create_unclear) == (set(), False)


def test_probe_without_attempts_has_no_status() -> None:
    probe = Probe(SecodaClient("key"), [User(id="u")], [], asyncio.Event())
    assert probe.findings["slash"] == NOT_TRIED
