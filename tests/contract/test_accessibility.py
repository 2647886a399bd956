"""All pages in a browser, checked with axe-core: no grave violation, and nothing wider than the window."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from secoda_async import SecodaClient
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.chromium import Tab, open_browser
from tests.support.shell import Shell, emulated_teams

axe: Any = pytest.importorskip("axe_playwright_python.async_playwright", reason="nox -s docs checks accessibility")

SITE = Path(os.environ.get("DOCS_SITE", "")).absolute()
"""The directory of the built docs."""
PAGES = sorted(page.stem for page in (Path(__file__).parents[2] / "docs").glob("*.md"))
VIEWS = ((390, False), (390, True), (1280, False), (1280, True))
"""The widths of the window, in light and dark mode."""
COLOR_RULES = ("color-contrast", "link-in-text-block")
COMPLETE = {"index": (VIEWS[0], VIEWS[3]), "testing": (VIEWS[1], VIEWS[2])}
"""The pages of the docs whose colors are checked, and their views. All pages have the same colors."""
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
GRAVE = ("serious", "critical")
FILE = """groups:
- name: Stewards
  description: new
  members: [ana@example.com, ben@example.com]
- name: Analysts
  members: [ben@example.com]
"""

pytestmark = pytest.mark.slow


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncGenerator[Tab, None]:
    async with open_browser(tmp_path) as tab:
        yield tab


async def violations(
    tab: Tab, url: str, views: tuple[tuple[int, bool], ...] = VIEWS, *, are_colors_checked: bool = True
) -> list[str]:
    """Return the violations of a page in each view."""
    rules = {rule: {"enabled": are_colors_checked} for rule in COLOR_RULES}
    options = {"resultTypes": ["violations"], "preload": False, "runOnly": STANDARDS, "rules": rules}
    found: list[str] = []
    for width, is_dark in views:
        await tab.show(url, width=width, dark=is_dark)
        results = await axe.Axe().run(tab, options=options)
        grave = [one for one in results.response["violations"] if one["impact"] in GRAVE]
        if grave:
            report = type(results)({"violations": grave}).generate_report()
            found.append(f"{url} at {width} pixels, {'dark' if is_dark else 'light'}: {report}")
        if await tab.run("document.documentElement.scrollWidth > window.innerWidth"):
            found.append(f"{url} at {width} pixels is wider than the window")
    return found


async def test_plan_report_and_emulator_page_have_no_grave_violation(
    tab: Tab, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, plan, report = (tmp_path / name for name in ("groups.yaml", "plan.html", "report.html"))
    file.write_text(FILE, "utf-8")
    async with emulated_teams(monkeypatch) as workspace:
        result = await shell.run("plan", str(file), "--prune", "--format", "html", "--max-delete", "1")
        plan.write_text(result.out, "utf-8")
        workspace.faults.add(400, body={"name": ["refused"]}, method="POST")
        assert (await shell.run("apply", str(file), "--yes", "--report", str(report))).code == Exit.SOME_FAILED
    found = await violations(tab, plan.as_uri()) + await violations(tab, report.as_uri())
    async with (
        Emulator(groups=3, users=2, page=True) as emulator,
        SecodaClient(emulator.api_key, base_url=emulator.url) as secoda,
    ):
        await secoda.groups.create(name="New")
        found += await violations(tab, f"{emulator.url}/")
    assert not found, "\n".join(found)


@pytest.mark.skipif("DOCS_SITE" not in os.environ, reason="DOCS_SITE names no built docs")
async def test_docs_have_no_grave_violation(tab: Tab) -> None:
    found: list[str] = []
    for number, name in enumerate(PAGES):
        url = f"{SITE.as_uri()}/{name}.html"
        views = COMPLETE.get(name, (VIEWS[number % 2],))  # others at 390 pixels, every second one in dark mode
        found += await violations(tab, url, views, are_colors_checked=name in COMPLETE)
        assert "secoda_async" in await tab.run("document.title"), f"{url} does not exist"
    assert not found, "\n".join(found)
