"""The benchmark: that it makes the calls it says it makes, and shows what it has measured. No speed is asserted."""

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cattrs
import pytest
from attrs import evolve

from tests.bench import chart, children, figures, measures, report
from tests.bench.canned import (
    CHANGE,
    COLLECTION,
    MEMBERS,
    group_id,
    one_group,
    page_of_groups,
    page_with_members,
    user_ids,
    with_new_field,
)
from tests.bench.children import Child, server
from tests.bench.contenders import CONTENDERS, FLOOR, OURS
from tests.bench.meters import Case
from tests.bench.results import JOBS, Figure, Growth, Ratio, Results, merge_runs
from tests.bench.worker import Worker
from tests.bench.write_queue import WRITES

pytestmark = pytest.mark.slow

RESULTS = Results(
    label="Python 3.11",
    machine="a machine",
    date="2026-01-02",
    rounds=3,
    scale=1,
    ratios=(
        Ratio(OURS, "a", "pinned", (0.90, 0.94, 1.20), 101.4),
        Ratio(OURS, "a", "default", (0.91, 0.92, 0.93), 102.0),
        Ratio("httpx", "a", "pinned", (4.0, 5.0, 6.0), 500.0),
        Ratio("httpx", "b", "pinned", (99.0,), 900.0),
        Ratio("aiohttp again", "a", "pinned", (1.01, 0.98, 1.02), 100.0),
    ),
    figures=(Figure("e", 5.5, "48 pages"), Figure("g", 10.004)),
    growths=(Growth("list", 1000, 20.4, 1.25), Growth("list", 10_000, 19.6, 2.0)),
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
    with server() as base:
        measured = await measures.JOBS[job](Case((base,), scale=0.001))
    assert all(value > 0 for name, value in measured.items() if name != "kilobytes")


async def test_creates_stay_within_the_write_limit() -> None:
    with Child.running("emulate") as emulator:
        where = emulator.read()
        measured = await measures.creates(Case((where["url"],), where["key"], 0.05))
        emulator.end()
        assert emulator.read() == {"taken": 15, "refused": 0}
    assert measured["least"] == 0


async def test_reads_beside_writes_wait_for_no_write() -> None:
    with server("--write-latency", "60") as base:
        measured = await measures.JOBS["l"](Case((base,), scale=0.01))
        counts = count(base)
    assert [sorted(each) for each in measured.values()] == [["busy", "busy_p99", "idle", "idle_p99"]] * 2
    assert counts["requests"] > 2 * 3 * 200 + 75  # the limit far away permits 75 writes in flight


async def test_writes_per_window_are_measured_for_each_server() -> None:
    with server() as base:
        assert [each > 0 for each in await measures.JOBS["o"](Case((base, base), scale=0.005))] == [True, True]
        assert count(base)["requests"] == 2 * (1 + WRITES)


async def test_new_field_job_reads_both_kinds_of_pages() -> None:
    with server("--pages", "2") as plain, server("--pages", "2", "--kind", "new_field") as new:
        measured = await measures.JOBS["n"](Case((plain, new), scale=0.01))
        assert [count(plain)["requests"], count(new)["requests"]] == [11, 11]
    assert measured["ratio"] > 0


@pytest.mark.parametrize("operation", ["snapshot", "list", "plan", "bulk"])
async def test_scaling_operations_return_cost_and_memory(operation: str) -> None:
    with server("--pages", "2", "--kind", "members") as base:
        measured = await measures.JOBS[operation](Case((base,), size=200))
    assert measured["groups"] == 200
    assert measured["seconds"] > 0


async def test_plan_and_import_jobs_return_figures() -> None:
    assert (await measures.JOBS["k"](Case(size=100)))["times_a_tenth"] > 0
    assert figures._import_time("import json") > 0


def test_memory_is_compared_with_the_json_of_the_list() -> None:
    said = list[str]()
    figure = figures.measure("m", figures.Effort([], 1, 0.001, said.append))
    assert figure.more.startswith("100 groups: ")
    assert said == [f"m: {JOBS['m'].what}"]


def test_processes_import_the_package_of_another_checkout(tmp_path: Path) -> None:
    package = tmp_path / "secoda_async"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('the other one')", "utf-8")
    with children.package_of(tmp_path), Child.running("measures", "k") as child, pytest.raises(SystemExit):
        child.read()
    assert children.PACKAGE not in children.environment("default")
    with pytest.raises(SystemExit, match="give the path of a checkout"), children.package_of(package):
        pass
    with children.package_of(None):
        assert str(tmp_path) not in children.environment("default")["PYTHONPATH"]


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


def test_members_of_a_page_are_drawn_from_10_000_users() -> None:
    groups: list[Any] = json.loads(page_with_members(3, 5, "http://here"))["results"]
    assert {len(set(group["users"])) for group in groups} == {MEMBERS}
    assert [group["id"] for group in groups[:2]] == [group_id(300), group_id(301)]
    users = {user for group in groups for user in group["users"]}
    assert users <= set(user_ids(10_000))


def test_new_field_is_in_each_group_of_a_page() -> None:
    groups: list[Any] = json.loads(with_new_field(page_of_groups(1, 1, "")))["results"]
    assert all(group["cost_center"] == "4711" for group in groups)


def test_report_renders_markdown_tables() -> None:
    text = report.markdown([RESULTS])
    assert f"| **a** {JOBS['a'].what} | **0.94** | ≤ 0.98: met | 0.90 to 1.20; 101 µs |" in text
    assert "| **5.50** | ≥ 6: missed | 48 pages |" in text
    assert "| **10.00 MB** | ≤ 10 MB: met |  |" in text
    assert "| list | 20 µs; 1.2 MB | 20 µs; 2.0 MB |" in text
    assert text.index("### Goals that users notice") < text.index("### CPU ratios: internal goals")
    assert "| httpx | 5.00 | 99.00 | dict |  |" in text
    assert text.index("| aiohttp |") < text.index(f"| **{OURS}** |") < text.index("| httpx |")
    assert f"With the allocator at its default, {OURS} over {FLOOR}: a 0.92." in text
    assert text.endswith(
        "Python 3.11: measured 2026-01-02, a machine; 3 rounds. Control (aiohttp over itself): a 1.01."
        " Not installed: openai.\n"
    )


def test_report_has_a_column_for_each_label() -> None:
    other = Results(label="before", machine="m", date="d", rounds=1, scale=1, figures=(Figure("g", 30.0),))
    text = report.markdown([RESULTS, other])
    assert "| job | Python 3.11 | before | goal | details |" in text
    assert "| **10.00 MB** | 30.00 MB | ≤ 10 MB: met |  |" in text
    assert "| **5.50** |  | ≥ 6: missed | 48 pages |" in text
    assert "before: measured d, m; 1 round." in text


def test_runs_of_one_label_are_merged_into_medians() -> None:
    second = evolve(
        RESULTS,
        date="2026-01-03",
        ratios=(Ratio(OURS, "a", "pinned", (1.0, 1.0), 103.0),),
        figures=(Figure("g", 13.0, "later"),),
        growths=(Growth("list", 1000, 30.4, 0.25),),
    )
    third = evolve(second, figures=(Figure("g", 12.0, "last"),))
    other = evolve(RESULTS, label="before")
    median, before = merge_runs([RESULTS, second, other, third])
    assert before == other
    assert (median.runs, median.date) == (3, "2026-01-02 to 2026-01-03")
    assert median.ratios[0] == Ratio(OURS, "a", "pinned", (0.94, 1.0, 1.0), 103.0)
    assert median.figures == (Figure("e", 5.5, "48 pages"), Figure("g", 12.0, "last"))
    assert median.growths[0] == Growth("list", 1000, 30.4, 0.25)
    assert "2026-01-02 to 2026-01-03, a machine; 3 rounds; medians of 3 runs." in report.markdown([median])


def test_machines_that_differ_in_the_load_only_are_named_once() -> None:
    machines = ["Linux, load 0.7, aiohttp 3", "Linux, load 0.5, aiohttp 3", "Linux, load 0.5, aiohttp 4", "a Mac"]
    (merged,) = merge_runs(evolve(RESULTS, machine=machine) for machine in machines)
    assert merged.machine == "Linux, load 0.5 to 0.7, aiohttp 3; Linux, load 0.5, aiohttp 4; a Mac"


def test_report_of_fewer_calls_gives_no_verdict() -> None:
    text = report.markdown([evolve(RESULTS, scale=0.1)])
    assert "| **10.00 MB** | ≤ 10 MB |  |" in text
    assert "3 rounds, 0.1 of the calls" in text


def test_report_without_results_has_no_table() -> None:
    assert "|" not in report.markdown([Results(label="l", machine="m", date="d", rounds=1, scale=0.1)])


def test_chart_has_axes_bars_and_a_description() -> None:
    picture = ET.fromstring(chart.svg(RESULTS))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    bars = [bar for bar in picture.iter(f"{space}rect") if str(bar.get("class")).startswith("bar")]
    texts = [(text.get("class"), text.text) for text in picture.iter(f"{space}text")]
    assert [bar.get("class") for bar in bars] == ["bar ours", "bar peer", "bar peer", "bar peer"]
    assert [text for kind, text in texts if kind == "value"] == ["0.94", "1.01", "5.00", "99.00"]
    panel = [text for kind, text in texts if kind == "tick"][:7]
    assert panel == ["0.5", "1", "2", "4", "8", "16", "times the CPU time of aiohttp (logarithmic)"]
    described = picture.find(f"{space}desc")
    assert described is not None
    assert "httpx 5.00" in str(described.text)
    width = float(str(picture.get("viewBox")).split()[2])
    assert all(float(str(bar.get("x"))) + float(str(bar.get("width"))) < width for bar in bars)


def test_write_replaces_the_text_between_the_marks(tmp_path: Path) -> None:
    page, picture = tmp_path / "page.md", tmp_path / "picture.svg"
    page.write_text(PAGE, "utf-8")
    report.write(page, picture, [RESULTS])
    report.write(page, picture, [RESULTS])
    text = page.read_text("utf-8")
    assert text.startswith("# Title\n\n<!-- results: begin -->\n\n### ")
    assert text.endswith("<!-- results: end -->\nthe rest\n")
    assert "old" not in text
    assert picture.read_text("utf-8").startswith("<svg")


def test_write_leaves_a_page_without_marks_unchanged() -> None:
    with pytest.raises(ValueError, match="each once"):
        report.insert_results("# Title", [RESULTS])


def test_results_round_trip_through_json() -> None:
    kept: object = json.loads(json.dumps(cattrs.unstructure(RESULTS)))
    assert cattrs.structure(kept, Results) == RESULTS
