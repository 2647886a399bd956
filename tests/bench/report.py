"""Shows results: Markdown for people who read, a picture for people who look."""

import re
from collections.abc import Sequence
from html import escape
from math import log2
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.contenders import CONTENDERS, FLOOR, OURS
from tests.bench.results import CALLS, JOBS, Ratio, Results

_MOST: Final = 32.0
"""Ratio at the right end of the chart."""

_MARKS: Final = ("<!-- results: begin -->", "<!-- results: end -->")


def markdown(results: Results) -> str:
    """The goals, the contenders and what was measured where."""
    parts = [_goals(results), _contenders(results, "pinned"), _default_allocator(results), _conditions(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _goals(results: Results) -> str:
    figures = {ratio.job: (median(ratio.rounds), _spread(ratio)) for ratio in _of(results, OURS, "pinned")}
    figures |= {figure.job: (figure.value, figure.more) for figure in results.figures}
    rows = [
        (letter, job.what, job.unit, f"{'≥' if job.is_more_better else '≤'} {job.goal:g}", f"**{value:.2f}**", more,
         "yes" if job.is_met(value) else "no")
        for letter, job in JOBS.items()
        if letter in figures
        for value, more in [figures[letter]]
    ]  # fmt: skip
    return _table(("", "job", "figure", "goal", "measured", "", "met"), rows) if rows else ""


def _contenders(results: Results, allocator: str) -> str:
    names = list(dict.fromkeys(ratio.contender for ratio in results.ratios if ratio.allocator == allocator))
    if not names:
        return ""
    cells = {(ratio.contender, ratio.job): ratio for ratio in results.ratios if ratio.allocator == allocator}
    names.sort(key=lambda name: _first(results, name, allocator))
    jobs = [job for job in CALLS if any((name, job) in cells for name in names)]
    rows = [
        (
            f"**{name}**" if name == OURS else name,
            CONTENDERS[name].gives,
            *(f"{median(cells[name, job].rounds):.2f}" if (name, job) in cells else "" for job in jobs),
            CONTENDERS[name].note,
        )
        for name in names
    ]
    rows.insert(0, (FLOOR, CONTENDERS[FLOOR].gives, *("1.00" for _ in jobs), CONTENDERS[FLOOR].note))
    return _table(("client", "gives", *jobs, ""), rows)


def _first(results: Results, name: str, allocator: str) -> float:
    return next((median(ratio.rounds) for ratio in _of(results, name, allocator)), 0.0)


def _default_allocator(results: Results) -> str:
    ours = _of(results, OURS, "default")
    told = ", ".join(f"{ratio.job} {median(ratio.rounds):.2f}" for ratio in ours)
    return f"With the allocator at its default, {OURS} over {FLOOR}: {told}." if ours else ""


def _conditions(results: Results) -> str:
    missing = f" Not installed: {', '.join(results.missing)}." if results.missing else ""
    part = "" if results.scale == 1 else f", {results.scale:g} of the calls"
    return f"Measured {results.date}: {results.machine}; {results.rounds} rounds{part}.{missing}"


def _of(results: Results, name: str, allocator: str) -> list[Ratio]:
    return [ratio for ratio in results.ratios if (ratio.contender, ratio.allocator) == (name, allocator)]


def _spread(ratio: Ratio) -> str:
    return f"{min(ratio.rounds):.2f} to {max(ratio.rounds):.2f}; {ratio.microseconds:.0f} us"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(page: str, results: Results) -> str:
    """A page with the results put between its marks."""
    begin, end = _MARKS
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page must have {begin} and {end}, each once")
    inside = f"{begin}\n\n{markdown(results)}\n{end}"
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: inside, page, flags=re.DOTALL)


def write(page: Path, picture: Path, results: Results) -> None:
    """Put the results into a page, and beside it the picture."""
    page.write_text(written(page.read_text("utf-8"), results), "utf-8")
    picture.write_text(svg(results), "utf-8")


def svg(results: Results) -> str:
    """Bars for each job and contender on a logarithmic scale, with a line at bare aiohttp; for light and dark pages."""
    ratios = [ratio for ratio in results.ratios if ratio.allocator == "pinned"]
    left, width, bar, gap, top = 118, 640, 17, 30, 46
    lines = list[str]()
    one = _place(1, width)
    y = top
    for job in [job for job in CALLS if any(ratio.job == job for ratio in ratios)]:
        lines.append(f'<text class="job" x="8" y="{y + 4}">{job}: {escape(JOBS[job].what)}</text>')
        y += 14
        start_of_bars = y
        for ratio in sorted((each for each in ratios if each.job == job), key=lambda each: median(each.rounds)):
            value = median(ratio.rounds)
            end = _place(value, width)
            kind = "ours" if ratio.contender == OURS else "peer"
            start = min(end, one)
            box = f'width="{max(1.5, abs(end - one)):.1f}" height="{bar - 4}"'
            lines += [
                f'<text class="name {kind}" x="{left - 8}" y="{y + 12}">{escape(ratio.contender)}</text>',
                f'<rect class="{kind}" x="{left + start:.1f}" y="{y}" rx="2" {box}/>',
                f'<text class="value" x="{left + max(end, one) + 6:.1f}" y="{y + 12}">{value:.2f}</text>',
            ]
            y += bar
        lines.append(f'<line x1="{left + one:.1f}" x2="{left + one:.1f}" y1="{start_of_bars - 2}" y2="{y}"/>')
        y += gap
    height = y - gap + 16
    alternative = "; ".join(
        f"{job}: " + ", ".join(f"{each.contender} {median(each.rounds):.2f}" for each in ratios if each.job == job)
        for job in CALLS
    )
    view = f"0 0 {left + width + 60} {height}"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" role="img" aria-labelledby="t d">
<title id="t">CPU of each client over that of bare aiohttp</title>
<desc id="d">{escape(alternative)}</desc>
<style>
text {{ font: 12px system-ui, sans-serif; fill: #24292f; }}
.job, .head {{ font-weight: 600; }}
.name {{ text-anchor: end; }}
.name.ours {{ font-weight: 700; }}
rect.ours {{ fill: #0969da; }}
rect.peer {{ fill: #8c959f; }}
line {{ stroke: #cf222e; stroke-dasharray: 4 3; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
rect.ours {{ fill: #58a6ff; }}
rect.peer {{ fill: #6e7681; }}
line {{ stroke: #ff7b72; }}
}}
</style>
<text class="head" x="8" y="18">CPU over bare aiohttp (1.00, the dashed line); less is better; logarithmic</text>
{chr(10).join(lines)}
</svg>
"""


def _place(value: float, width: int) -> float:
    """Return the position of a ratio on the scale from 0.5 to `_MOST`."""
    return width * min(1.0, max(0.0, (log2(value) + 1) / (log2(_MOST) + 1)))
