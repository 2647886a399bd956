"""The HTML of plan, apply and the emulator, in a real browser."""

import asyncio
import html
import json
import os
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
from jinja2 import PackageLoader, TemplateNotFound

from secoda_async import (
    AttemptEvent,
    Breach,
    Change,
    Conflict,
    Held,
    NotFoundError,
    OutcomeUnknownError,
    Plan,
    RateLimit,
    RateLimitError,
    Report,
    RetryPolicy,
    SecodaClient,
    WaitEvent,
)
from secoda_async.cli.exit_codes import Exit
from secoda_async.cli.output.endings import Ending
from secoda_async.cli.output.html import report_page
from secoda_async.cli.output.plans import format_plan
from secoda_async.cli.output.timeline import Recorder
from secoda_async.emulator import Emulator
from tests.support.chromium import CONTRAST, Tab, open_browser
from tests.support.clocks import ManualClock
from tests.support.shell import Shell, emulated_teams
from tests.support.waiting import wait_until

WIDTHS = (390, 1280)
FILE = """groups:
- name: <b>Stewards</b> & "friends"
  icon: 🧪
  description: |
    First line
    second line, which is much longer and has a word-that-nobody-would-break-anywhere-but-that-is-too-wide-for-a-phone
  members: [ana@example.com, ben@example.com]
- name: Analysts
  description: new
  members: [ben@example.com]
- name: "Evil\u202egroup"
"""


@pytest.fixture
async def workspace(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    async with emulated_teams(monkeypatch) as workspace:
        yield workspace


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncGenerator[Tab, None]:
    async with open_browser(tmp_path) as tab:
        yield tab


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "groups.yaml").write_text(FILE, "utf-8")
    return str(tmp_path / "groups.yaml")


async def check_page(tab: Tab, url: str) -> None:
    """Check layout, contrast, accessible names and requests of a page, at each width, light and dark."""
    for width in WIDTHS:
        for dark in (False, True):
            await tab.show(url, width=width, dark=dark)
            assert await tab.run("document.documentElement.scrollWidth <= window.innerWidth"), width
            assert await tab.run(CONTRAST) == []
    assert await tab.unnamed_elements() == []
    assert tab.errors == []
    assert {each.partition("?")[0].rpartition("/")[0] for each in tab.requested} <= {
        url.rpartition("/")[0], f"{url}_emulator".rstrip("/")
    }  # fmt: skip


SHOWN = "[...document.querySelectorAll('details[data-text]')].filter(each => !each.hidden).length"
OPEN = "document.querySelectorAll('details[data-text][open]').length"


async def test_plan_html_can_be_searched_filtered_and_collapsed(
    tab: Tab, shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    result = await shell.run("plan", file, "--prune", "--format", "html", "--max-delete", "1")
    assert result.code == Exit.DONE
    page = tmp_path / "plan.html"
    page.write_text(result.out, "utf-8")
    await check_page(tab, page.as_uri())
    assert await tab.run("document.querySelector('h1').textContent") == "Plan for groups.yaml"
    numbers = await tab.run("[...document.querySelectorAll('.numbers dd')].map(each => each.textContent)")
    assert numbers[:5] == ["2", "1", "1", "3", "2"]
    names = await tab.run("[...document.querySelectorAll('summary strong')].map(each => each.textContent)")
    assert names == ["Others", '<b>Stewards</b> & "friends"', "Evil\\u202egroup", "Analysts"]
    assert await tab.run(SHOWN) == 4
    assert await tab.run(OPEN) == 4  # a short plan starts expanded
    await tab.run("document.querySelector('#collapse').click()")
    assert await tab.run(OPEN) == 0
    await tab.press("/")
    assert await tab.run("document.activeElement.id") == "search"
    await tab.call("Input.insertText", text="ben@ stewards")
    assert await tab.run(SHOWN) == 1
    assert await tab.run("document.querySelector('#shown').textContent") == "1 of 4 shown"
    await tab.run("search.value = ''; document.querySelector('input[value=create]').click()")
    assert await tab.run(SHOWN) == 2
    await tab.run("document.querySelector('#expand').click()")
    assert await tab.run(OPEN) == 2
    assert not workspace.writes


@pytest.mark.requirement("BS-12")
async def test_plan_html_has_problems_and_deletes_open_on_top(tab: Tab, tmp_path: Path) -> None:
    deletes = tuple(Change(kind="delete", name=f"old {number:02}", id=f"{number}") for number in range(2))
    creates = tuple(Change(kind="create", name=f"new {number:02}") for number in range(20))
    plan = Plan(
        changes=creates + deletes,
        breaches=(Breach(kind="deletes", message="2 of 9 groups would be deleted"),),
        conflicts=(Conflict(name="Sales", message="2 groups have the name 'Sales'"),),
        held=(
            Held(
                group="Finance", member="nobody@example.com", reason="is not a user", place="g.yaml:6", kept=("u-mia",)
            ),
            Held(group="Legal", member="nobody@example.com", reason="is not a user"),
        ),
        unmanaged_names=tuple(f"Team {number} <b>\u00a0</b>" for number in range(100)),
        ignored_names=("SAML\u200b",),
        pending=("u-mia",),
        notes=("the <b>ids</b> are lost",),
        people={"u-mia": "mia@example.com"},
    )
    page = tmp_path / "plan.html"
    page.write_text(format_plan(plan, "html", source="g.yaml", host="https://api.secoda.co"), "utf-8")
    await check_page(tab, page.as_uri())
    titles = await tab.run("[...document.querySelectorAll('section h2')].map(each => each.textContent.split(':')[0])")
    assert titles == ["Needs an approval", "In conflict", "Held", "Important"]
    text = await tab.run("document.querySelector('.held').innerText")
    assert "nobody@example.com (g.yaml:6) is not a user; Finance keeps mia@example.com (invited)" in text
    assert "not added to Legal" in text
    opened = await tab.run(
        "[...document.querySelectorAll('details[data-text][open] strong')].map(each => each.textContent)"
    )
    assert opened == ["old 00", "old 01"]
    assert await tab.run("document.querySelector('.facts').closest('details').open") is False  # a hundred names
    facts = await tab.run("document.querySelector('.facts').textContent")
    for fact in (r"SAML\u200b", r"Team 99 <b>\xa0</b>", "1 member is invited and not a user yet: mia@example.com"):
        assert fact in facts
    numbers = await tab.run("[...document.querySelectorAll('.numbers div')].map(each => each.innerText)")
    assert numbers[-2:] == ["members held\n1", "in conflict\n1"]


async def test_plan_html_of_an_empty_and_of_an_unsafe_plan(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"groups": []}', "utf-8")
    nothing = await shell.run("plan", str(tmp_path / "empty.json"), "--format", "html")
    assert "Nothing to do: the workspace matches the file." in nothing.out
    unsafe = await shell.run("plan", str(tmp_path / "empty.json"), "--prune", "--format", "html")
    assert "Needs an approval" in unsafe.out
    assert workspace.groups


async def test_plan_html_has_the_command_that_applies_it(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    saved = tmp_path / "plan.json"
    options = ("--format", "html", "--quiet", "--base-url", workspace.url)
    direct = await shell.run("plan", file, "--additive", *options)
    assert command_of(direct.out) == f"secoda-async apply {file} --additive --base-url {workspace.url}"
    kept = await shell.run("plan", file, "--out", str(saved), "--prune", "--max-delete", "0", "--format", "html")
    approve = f"--approve {Plan.load(saved).digest}"
    assert command_of(kept.out) == f"secoda-async apply {saved} {approve}"
    shown = await shell.run("show", str(saved), "--format", "html")
    assert command_of(shown.out) == f"secoda-async apply {saved} {approve}"
    assert workspace.writes == []


def command_of(page: str) -> str:
    """Return the command line on a page."""
    found = re.search("<code>(.*)</code></pre>", page)
    return "" if found is None else html.unescape(re.sub("</?span>", "", found[1]))


async def test_report_html_has_failures_first_and_a_timeline(
    tab: Tab, shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    workspace.faults.add(status=400, body={"name": ["<i>no</i>"]}, method="PATCH")
    workspace.faults.add(status=503, method="POST", times=0)
    page = tmp_path / "report.html"
    result = await shell.run("apply", file, "--yes", "--report", str(page))
    assert result.code == Exit.SOME_FAILED
    await check_page(tab, page.as_uri())
    assert await tab.run("document.querySelector('h1').textContent") == "Incomplete: 1 failed, 2 applied"
    first = await tab.run("document.querySelector('details[data-text]').innerText")
    assert first.startswith("update Analysts failed") or "Analysts" in first.partition("\n\n")[0]
    assert "<i>no</i>" in first
    assert await tab.run(OPEN) == 1
    assert await tab.run("document.querySelectorAll('circle').length") == 3
    assert await tab.run("document.querySelectorAll('circle[fill=\"var(--delete)\"]').length") == 1
    rows = await tab.run("document.querySelectorAll('figure + details tbody tr').length")
    assert rows == len(workspace.requests)


async def test_report_html_starts_with_the_next_step_and_folds_many_failures(
    tab: Tab, shell: Shell, workspace: Emulator, tmp_path: Path
) -> None:
    groups = tmp_path / "g.json"
    groups.write_text(json.dumps({"groups": [{"name": f"g{index:02} <b>"} for index in range(45)]}))
    workspace.faults.add(status=403, body={"detail": "<i>no</i>"}, method="POST", times=None)
    page = tmp_path / "report.html"
    result = await shell.run("apply", str(groups), "--yes", "--report", str(page))
    assert result.code == Exit.SOME_FAILED
    assert f"report: {page}" in result.err
    await check_page(tab, page.as_uri())
    step = await tab.run("document.querySelector('h1 + p + section').innerText")
    assert step.startswith(
        "Next step\nStopped early\n20 changes in a row were refused: the key may not change groups\n"
        "Certain\n45 changes are not written.\nNext\n"
    )
    assert "use a key that an admin created" in step
    assert step.endswith(f"\nsecoda-async apply {groups} --yes --report {page}")
    assert await tab.run(OPEN) == 0
    causes = await tab.run("[...document.querySelectorAll('h2 + .wide tbody tr')].map(each => each.innerText)")
    assert [cause.partition("\t")[0] for cause in causes] == ["failed"]
    assert causes[0].endswith("403 <i>no</i>")
    statuses = await tab.run("[...document.querySelectorAll('details[data-text]')].map(each => each.dataset.kind)")
    assert list(dict.fromkeys(statuses)) == ["failed", "not attempted"]


async def test_unwritable_report_is_refused_before_any_request(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    result = await shell.run("apply", file, "--yes", "--report", str(tmp_path / "nowhere" / "report.html"))
    assert result.code == Exit.USAGE
    assert "can't be written" in result.err
    assert not workspace.requests


async def test_report_says_in_progress_until_apply_finishes(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    workspace.faults.add(status=403, times=None)
    result = await shell.run("apply", file, "--yes", "--report", str(tmp_path / "report.html"))
    assert result.code == Exit.REFUSED
    assert not os.path.lexists(tmp_path / "report.html")  # noqa: ASYNC240 - it has not come to a plan
    drifted = tmp_path / "plan.json"
    workspace.faults.clear()
    assert (await shell.run("plan", file, "--out", str(drifted))).code == Exit.DONE
    async with SecodaClient(workspace.api_key, base_url=workspace.url) as secoda:
        (analysts,) = [group for group in await secoda.groups.snapshot() if group.name == "Analysts"]
        await secoda.groups.update(analysts.id, description="by hand")
    assert (await shell.run("apply", str(drifted), "--report", str(tmp_path / "report.html"))).code == Exit.STALE
    assert "apply has started and has not finished" in (tmp_path / "report.html").read_text("utf-8")


async def test_report_does_not_overwrite_the_input(shell: Shell, workspace: Emulator, file: str) -> None:
    result = await shell.run("apply", file, "--yes", "--report", file)
    assert result.code == Exit.USAGE
    assert "would overwrite it" in result.err
    assert not workspace.requests


async def test_report_is_written_if_the_package_was_replaced_during_the_run(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(*_: object) -> NoReturn:
        raise TemplateNotFound("report.html")

    workspace.faults.add(delay=0.1, method="POST")
    running = asyncio.create_task(shell.run("apply", file, "--yes", "--report", str(tmp_path / "report.html")))
    await wait_until(lambda: workspace.count("POST"))
    monkeypatch.setattr(PackageLoader, "__init__", vanished)
    monkeypatch.setattr(PackageLoader, "get_source", vanished)
    result = await running
    assert (result.code, "the report was not written" in result.err) == (Exit.DONE, False)
    assert "3 changes written" in (tmp_path / "report.html").read_text("utf-8")


async def test_failed_report_does_not_change_the_exit_code(
    shell: Shell, workspace: Emulator, file: str, tmp_path: Path
) -> None:
    page = tmp_path / "here" / "report.html"
    page.parent.mkdir()
    workspace.faults.add(delay=0.3, method="POST")
    running = asyncio.create_task(shell.run("apply", file, "--yes", "--report", str(page)))
    await wait_until(lambda: workspace.count("POST"))
    shutil.rmtree(page.parent)
    result = await running
    assert result.code == Exit.DONE
    assert "3 applied" in result.out
    assert "the report was not written" in result.err


async def test_report_of_a_refused_plan_shows_how_to_approve_it(
    shell: Shell, workspace: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "empty.json").write_text('{"groups": []}', "utf-8")
    page = tmp_path / "report.html"
    options = ("--prune", "--yes", "--report", str(page))
    assert (await shell.run("apply", str(tmp_path / "empty.json"), *options)).code == Exit.UNSAFE
    text = page.read_text("utf-8")
    assert "Nothing has been written" in text
    line = r"secoda-async apply \S+/empty.json --yes --report \S+ --prune --approve [0-9a-f]{32}"
    assert re.fullmatch(line, command_of(text))
    assert workspace.url in text
    assert not workspace.writes


async def test_report_without_writes_has_no_timeline(shell: Shell, workspace: Emulator, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"groups": []}', "utf-8")
    page = tmp_path / "report.html"
    assert (await shell.run("apply", str(tmp_path / "empty.json"), "--yes", "--report", str(page))).code == Exit.DONE
    text = page.read_text("utf-8")
    assert "Done: nothing to do" in text
    assert "<svg" not in text
    assert not workspace.writes


def test_report_headline_counts_conflicts_and_held_members() -> None:
    plan = Plan(
        changes=(),
        conflicts=(Conflict(name="Sales", message="2 groups have the name 'Sales'"),),
        held=(Held(group="Finance", member="nobody@example.com", reason="is not a user"),),
    )
    report = Report(outcomes=(), verified=True, conflicts=1, held=plan.held)
    page = report_page(
        plan, report, Recorder(ManualClock()), RateLimit(2), Ending(), source="g.yaml", host="https://api.secoda.co"
    )
    assert '<h1 class="bad">Incomplete: nothing to do, 1 in conflict, 1 held</h1>' in page
    assert "<li>nobody@example.com is not a user; not added to Finance</li>" in page


def test_timeline_counts_the_writes_of_the_window_before() -> None:
    recorder = Recorder(ManualClock())
    recorder.began = 0.0
    recorder.events += [
        (-1.0, WaitEvent(method="POST", path="/g", reason="limit", seconds=3.0)),
        (1.0, AttemptEvent(method="POST", path="/g", attempt=1, status=201, seconds=1.0)),
        (5.0, WaitEvent(method="POST", path="/g", reason="limit", seconds=3.0)),
        (6.0, WaitEvent(method="POST", path="/g", reason="limit", seconds=2.0)),
        (9.0, WaitEvent(method="GET", path="/g", reason="backoff", seconds=1.0)),
        (
            12.0,
            AttemptEvent(method="POST", path="/g", attempt=2, status=None, seconds=1.0, error="RequestTimeoutError"),
        ),
        (90.0, AttemptEvent(method="GET", path="/g", attempt=1, status=200, seconds=0.5)),
    ]
    recorder(AttemptEvent(method="DELETE", path="/g", attempt=1, status=204, seconds=0.5))
    page = report_page(
        Plan(changes=()),
        Report(outcomes=(), verified=True),
        recorder,
        RateLimit(2, per_seconds=60),
        Ending(),
        source="groups.yaml",
        host="https://api.secoda.co",
    )
    assert "at most 2, and the limit is 2" in page
    assert page.count("<circle") == 2
    assert page.count("waiting, ") == 2  # overlapping waits are one
    assert "POST RequestTimeoutError, attempt 2, at 11 s" in page
    assert "Done: nothing to do" in page


@pytest.mark.slow
async def test_emulator_page_shows_requests_and_adds_faults(tab: Tab) -> None:
    async with (
        Emulator(groups=[{"name": "<b>Team</b>"}], users=2, page=True) as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url) as secoda,
    ):
        await check_page(tab, f"{emulator.url}/")
        await tab.until("document.querySelector('#groups').textContent.includes('<b>Team</b>')")
        await secoda.groups.create(name="New")
        with pytest.raises(NotFoundError):
            await secoda.groups.get("missing")
        await tab.until("document.querySelectorAll('#requests tr').length === 2")
        newest = await tab.run("document.querySelector('#requests tr').innerText")
        assert "GET /api/v1/auth/group/missing" in newest
        assert "404" in newest
        await tab.until("document.querySelector('#limit-text').textContent.startsWith('1 of 30 writes used')")
        await tab.run("document.querySelector('#search').value = 'new'; drawGroups()")
        assert await tab.run("document.querySelectorAll('#groups tr').length") == 1
        await tab.run("document.querySelector('#faults button').click()")
        await tab.until("document.querySelector('#fault-lost').textContent.startsWith('on: 1 more')")
        with pytest.raises(OutcomeUnknownError):
            await secoda.groups.create(name="Lost")
        await tab.until("document.querySelector('#fault-lost').textContent === ''")
        emulator.faults.add(stall="before")
        hung = asyncio.create_task(secoda.groups.get("hung"))
        await tab.until("document.querySelector('#requests tr').innerText.includes('...')")
        hung.cancel()
        await tab.run("document.querySelector('#clear').click()")
        await wait_until(lambda: not len(emulator.faults))
        assert {record.path for record in emulator.requests} <= {
            "/api/v1/auth/group", "/api/v1/auth/group/missing", "/api/v1/auth/group/hung"
        }  # fmt: skip
    await tab.until("!document.querySelector('#lost').hidden")


@pytest.mark.slow
async def test_emulator_page_copies_resets_and_changes_settings_and_stubs(tab: Tab) -> None:
    async with (
        Emulator(groups=[{"name": "First"}], users=2, page=True, writes_per_window=1) as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url, retry=RetryPolicy(attempts=1)) as secoda,
    ):
        await tab.show(f"{emulator.url}/", width=1280)
        await tab.until("document.querySelectorAll('#controls label').length > 0")
        await tab.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert await tab.unnamed_elements() == []
        assert await tab.run(CONTRAST) == []
        await tab.run("window.copied = []; navigator.clipboard.writeText = async text => copied.push(text)")
        await tab.run("document.querySelectorAll('[data-copy]').forEach(each => each.click())")
        exports = f"export SECODA_BASE_URL={emulator.url}\nexport SECODA_API_KEY={emulator.api_key}\n"
        assert await tab.run("copied") == [emulator.url, emulator.api_key, exports]
        await secoda.groups.create(name="Second")
        with pytest.raises(RateLimitError):
            await secoda.groups.create(name="Third")
        await tab.until("document.querySelector('#limit-text').textContent.includes('; 1 refused with 429')")
        assert await tab.run("document.querySelector('#limit-refused').offsetWidth > 0")
        change = "input => input.dispatchEvent(new Event('change'))"
        await tab.run(f"$('setting-writes_per_window').value = ''; ({change})($('setting-writes_per_window'))")
        await tab.run(f"$('setting-trailing_slash').checked = true; ({change})($('setting-trailing_slash'))")
        await tab.run(f"$('setting-next_link').value = 'top'; ({change})($('setting-next_link'))")
        await wait_until(lambda: emulator.next_link == "top")
        assert (emulator.writes_per_window, emulator.trailing_slash) == (None, True)
        await tab.run(f"$('setting-page_size').value = '0'; ({change})($('setting-page_size'))")
        await tab.until("$('notice').textContent === 'page_size must be at least 1, not 0'")
        await tab.run("document.forms[0].path.value = '/api/v1/tag'; document.forms[0].requestSubmit()")
        await tab.until("$('stub-rows').textContent.includes('GET /api/v1/tag')")
        await tab.run("$('clear-stubs').click()")
        await wait_until(lambda: not len(emulator.stubs))
        await tab.run("window.confirm = () => true; $('reset').click()")
        await tab.until("$('groups-count').textContent === '1' && document.querySelector('#requests tr') === null")
        assert [group["name"] for group in emulator.groups.values()] == ["First"]


async def test_emulator_page_is_served_on_every_loopback_address_and_in_no_frame() -> None:
    async with (
        Emulator(page=True, host="127.0.0.2") as paged,
        aiohttp.ClientSession() as session,
        session.get(f"{paged.url}/") as answer,
    ):
        assert answer.status == 200
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


async def test_emulator_faults_can_be_added_from_its_page_only(emulator: Emulator) -> None:
    async with Emulator(page=True) as paged, aiohttp.ClientSession() as session:
        faults = f"{paged.url}/_emulator/faults"
        ours = {"X-Emulator": "page"}
        for method, url, headers, body, status in (
            ("POST", faults, {}, {"name": "lost"}, 403),
            ("DELETE", faults, {}, None, 403),
            ("GET", f"{paged.url}/", {"Host": "elsewhere.example"}, None, 403),
            ("GET", f"{paged.url}/_emulator/state", {"Host": "elsewhere.example"}, None, 403),
            ("POST", faults, ours, {"name": "unheard of"}, 400),
            ("POST", faults, ours, ["lost"], 400),
            ("POST", faults, ours, {"name": "lost"}, 200),
            ("GET", f"{paged.url}/_emulator/state?after=x", {}, None, 200),
            ("GET", f"{paged.url}/_emulator/state?after={'9' * 5000}", {}, None, 200),
            ("GET", f"{paged.url}/_emulator/elsewhere", {}, None, 404),
            ("PUT", faults, ours, None, 404),
            ("GET", f"{paged.url}/favicon.ico", {}, None, 404),
        ):
            async with session.request(
                method, url, headers=headers, data=None if body is None else json.dumps(body)
            ) as answer:
                assert answer.status == status, (method, url)
        assert len(paged.faults) == 1
        assert not paged.requests
    async with aiohttp.ClientSession() as session, session.get(f"{emulator.url}/") as answer:
        assert answer.status == 404  # no page unless it was asked for


def test_emulator_limit_state_has_the_time_of_the_next_permit() -> None:
    clock = ManualClock()
    emulator = Emulator(clock=clock, writes_per_window=1)
    assert emulator.limit_state() == {"of": 1, "window": 60.0, "used": 0, "refused": 0, "next": 0.0}
    emulator._application.throttle.admit(clock.now(), limit=1, window=60.0)
    clock.jump(20)
    assert emulator.limit_state() == {"of": 1, "window": 60.0, "used": 1, "refused": 0, "next": 40.0}
