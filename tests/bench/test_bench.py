"""The benchmark: that it makes the calls it says it makes, and shows what it has measured. No speed is asserted."""

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cattrs
import pytest

from tests.bench import measures, report, runner
from tests.bench.canned import CHANGE, COLLECTION, group_id, one_group, page_of_groups
from tests.bench.contenders import CONTENDERS, FLOOR, OURS
from tests.bench.results import JOBS, Figure, Ratio, Results
from tests.bench.runner import Child
from tests.bench.worker import Worker

RESULTS = Results(
    machine="a machine",
    date="2026-01-02",
    rounds=3,
    scale=1,
    ratios=(
        Ratio(OURS, "a", "pinned", (0.90, 0.94, 1.20), 101.4),
        Ratio(OURS, "a", "default", (0.91, 0.92, 0.93), 102.0),
        Ratio("httpx", "a", "pinned", (4.0, 5.0, 6.0), 500.0),
        Ratio("httpx", "b", "pinned", (99.0,), 900.0),
    ),
    figures=(Figure("e", 5.5, "48 pages"), Figure("g", 10.004)),
    missing=("openai",),
)
PAGE = "# Title\n\n<!-- results: begin -->\nold\n<!-- results: end -->\nthe rest\n"


def count(base: str) -> dict[str, int]:
    """Return the request and connection counts of the server."""
    with urllib.request.urlopen(f"{base}/count") as response:  # noqa: S310 - http, on this machine
        answer: dict[str, int] = json.load(response)
    return answer


@pytest.mark.parametrize("name", [OURS, FLOOR])
async def test_jobs_make_the_expected_calls(name: str) -> None:
    with Child.running("server", "--pages", "3") as server:
        base = f"http://127.0.0.1:{server.read()['port']}"
        contender = CONTENDERS[name]()
        await contender.open(base)
        worker = Worker(contender)
        requests = 0
        for job, number in (("a", 5), ("b", 60), ("c", 4), ("d", 30), ("e", 3)):
            await worker.do(job, number)
            requests += number
            seen = await asyncio.to_thread(count, base)
            assert seen["requests"] == requests
            requests += 1  # that of the count itself
        changed = await contender.patch("x", CHANGE)
        assert contender.id_of(changed) == "x"
        await contender.close()


def test_worker_prints_the_seconds_of_each_block() -> None:
    with Child.running("server") as server:
        base = f"http://127.0.0.1:{server.read()['port']}"
        with Child.running("worker", "--cold", "--contender", OURS, "--base", base) as worker:
            assert worker.read() == {}
            took = [worker.ask(f"{job} 2") for job in "abcd"]
        assert [sorted(each) for each in took] == [["cpu", "wall"]] * 4
        assert count(base)["requests"] == 8


def test_child_process_that_exits_early_raises() -> None:
    with Child.running("worker", "--cold", "--contender", OURS, "--base", "") as worker, pytest.raises(SystemExit):
        worker.read()


@pytest.mark.parametrize("job", ["h", "i"])
async def test_other_jobs_return_figures(job: str) -> None:
    with Child.running("server") as server:
        base = f"http://127.0.0.1:{server.read()['port']}"
        measured = await measures.JOBS[job](base, "", 0.001)
    assert all(value > 0 for name, value in measured.items() if name != "kilobytes")


async def test_creates_stay_within_the_write_limit() -> None:
    with Child.running("emulate") as emulator:
        where = emulator.read()
        measured = await measures.creates(where["url"], where["key"], 0.05)
        emulator.end()
        assert emulator.read() == {"taken": 15, "refused": 0}
    assert measured["least"] == 0


async def test_plan_and_import_jobs_return_figures() -> None:
    assert (await measures.plans("", "", 0.001))["groups"] == 100
    assert runner._import_time("import json") > 0


def test_pages_of_the_server_have_distinct_ids() -> None:
    pages: list[Any] = [json.loads(page_of_groups(number, 3, "http://here")) for number in (1, 2, 3)]
    assert len({group["id"] for page in pages for group in page["results"]}) == 300
    assert [page["links"]["next"] for page in pages] == [
        "http://here/auth/group?page=2",
        "http://here/auth/group?page=3",
        None,
    ]
    assert json.loads(one_group(group_id(7)))["id"] == group_id(7)
    assert COLLECTION.endswith("/auth/group")


def test_report_renders_markdown_tables() -> None:
    text = report.markdown(RESULTS)
    assert f"| a | {JOBS['a'].what} | CPU / aiohttp | ≤ 0.95 | **0.94** | 0.90 to 1.20; 101 us | yes |" in text
    assert "| ≥ 6 | **5.50** | 48 pages | no |" in text
    assert "| ≤ 10 | **10.00** |  | yes |" in text
    assert "| httpx | dict | 5.00 | 99.00 |  |" in text
    assert text.index("| aiohttp |") < text.index(f"| **{OURS}** |") < text.index("| httpx |")
    assert f"With the allocator at its default, {OURS} over {FLOOR}: a 0.92." in text
    assert text.endswith("Measured 2026-01-02: a machine; 3 rounds. Not installed: openai.\n")


def test_report_without_results_has_no_table() -> None:
    assert "|" not in report.markdown(Results(machine="m", date="d", rounds=1, scale=0.1))


def test_report_renders_an_svg_chart() -> None:
    picture = ET.fromstring(report.svg(RESULTS))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert [bar.get("class") for bar in picture.iter(f"{space}rect")] == ["ours", "peer", "peer"]
    assert [text.text for text in picture.iter(f"{space}text") if text.get("class") == "value"] == [
        "0.94",
        "5.00",
        "99.00",
    ]
    described = picture.find(f"{space}desc")
    assert described is not None
    assert "httpx 5.00" in str(described.text)
    width = float(str(picture.get("viewBox")).split()[2])
    assert all(float(str(bar.get("x"))) + float(str(bar.get("width"))) < width for bar in picture.iter(f"{space}rect"))


def test_write_replaces_the_text_between_the_marks(tmp_path: Path) -> None:
    page, picture = tmp_path / "page.md", tmp_path / "picture.svg"
    page.write_text(PAGE, "utf-8")
    report.write(page, picture, RESULTS)
    report.write(page, picture, RESULTS)
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n\n<!-- results: begin -->\n\n| ")
    assert text.endswith("<!-- results: end -->\nthe rest\n")
    assert "old" not in text
    assert picture.read_text("utf-8").startswith("<svg")


def test_write_leaves_a_page_without_marks_unchanged() -> None:
    with pytest.raises(ValueError, match="each once"):
        report.written("# Title", RESULTS)


def test_results_round_trip_through_json() -> None:
    kept: object = json.loads(json.dumps(cattrs.unstructure(RESULTS)))
    assert cattrs.structure(kept, Results) == RESULTS
