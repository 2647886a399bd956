"""Render the CPU ratios as a bar chart with axes (SVG), for light and dark pages and narrow screens."""

from collections.abc import Iterator, Sequence
from html import escape
from math import log2
from statistics import median
from typing import Final

from tests.bench.contenders import OURS
from tests.bench.results import CALLS, JOBS, Ratio, Results

_TICKS: Final = (0.5, 1, 2, 4, 8, 16)
"""Labels of the axis, which ends at twice the last."""

_AXIS: Final = "times the CPU time of aiohttp (logarithmic)"

_WIDTH: Final = 400
"""Units: about the width of a phone, so that type of 13 units stays legible there."""

_LEFT, _RIGHT = 114, 352
"""Start and end of the axis; the longest bar has its value to the right."""

_BAR, _PITCH = 14, 20
"""Height of a bar, and the distance between two."""

_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.head, .job, .name.ours { font-weight: 600; }
.name { text-anchor: end; }
.tick { font-size: 12px; text-anchor: middle; fill: #57606a; }
.page { fill: #ffffff; }
rect.ours { fill: #0969da; }
rect.peer { fill: #8c959f; }
line { stroke: #d0d7de; }
line.axis { stroke: #57606a; }
line.one { stroke: #cf222e; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.tick { fill: #9198a1; }
.page { fill: #0d1117; }
rect.ours { fill: #58a6ff; }
rect.peer { fill: #6e7681; }
line { stroke: #30363d; }
line.axis { stroke: #9198a1; }
line.one { stroke: #ff7b72; }
}
"""


def svg(results: Results) -> str:
    """Return a panel for each job, with a bar for each client, on a logarithmic axis."""
    ratios = [ratio for ratio in results.ratios if ratio.allocator == "pinned"]
    lines, y = list[str](), 48
    for job in CALLS:
        panel = sorted((each for each in ratios if each.job == job), key=lambda each: median(each.rounds))
        if panel:
            lines += _panel(job, panel, y)
            y += 14 + _PITCH * len(panel) + 58
    height = max(y - 14, 48)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" \
viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="t d">
<title id="t">CPU time of each client over that of bare aiohttp</title>
<desc id="d">{escape(_described(ratios))}</desc>
<style>{_STYLE}</style>
<rect class="page" width="{_WIDTH}" height="{height}" rx="6"/>
<text class="head" x="8" y="20">CPU time over bare aiohttp (red): less is better</text>
{chr(10).join(lines)}
</svg>
"""


def _panel(job: str, ratios: Sequence[Ratio], top: int) -> Iterator[str]:
    yield f'<text class="job" x="8" y="{top}">{job}: {escape(JOBS[job].what)}</text>'
    start = top + 10
    end = start + _PITCH * len(ratios) + 2
    one = _position(1)
    for tick in _TICKS:
        at = f"{_position(tick):.1f}"
        yield f'<line x1="{at}" x2="{at}" y1="{start}" y2="{end + 4}"/>'
        yield f'<text class="tick" x="{at}" y="{end + 17}">{tick:g}</text>'
    yield f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{end}" y2="{end}"/>'
    for index, ratio in enumerate(ratios):
        value, y = median(ratio.rounds), start + 3 + _PITCH * index
        x, kind = _position(value), "ours" if ratio.contender == OURS else "peer"
        box = f'x="{min(x, one):.1f}" y="{y}" width="{max(1.5, abs(x - one)):.1f}" height="{_BAR}" rx="2"'
        label = max(x, one) + 5
        yield f'<text class="name {kind}" x="{_LEFT - 6}" y="{y + 12}">{escape(ratio.contender)}</text>'
        yield f'<rect class="bar {kind}" {box}/>'
        yield f'<text class="value" x="{label:.1f}" y="{y + 12}">{value:.2f}</text>'
    yield f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{start}" y2="{end}"/>'
    yield f'<text class="tick" x="{(_LEFT + _RIGHT) / 2:.0f}" y="{end + 33}">{_AXIS}</text>'


def _described(ratios: Sequence[Ratio]) -> str:
    return "; ".join(
        f"{job}: " + ", ".join(f"{each.contender} {median(each.rounds):.2f}" for each in ratios if each.job == job)
        for job in CALLS
    )


def _position(value: float) -> float:
    """Return the position of a ratio on the axis."""
    lowest, highest = log2(_TICKS[0]), log2(_TICKS[-1]) + 1
    part = (log2(value) - lowest) / (highest - lowest)
    return _LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, part))
