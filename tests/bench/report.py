"""Render results as Markdown, and write them to the documentation."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench import chart
from tests.bench.contenders import CONTENDERS, FLOOR, OURS, AiohttpAgain
from tests.bench.results import CALLS, JOBS, Growth, Job, Ratio, Results

_MARKS: Final = ("<!-- results: begin -->", "<!-- results: end -->")

_CHART: Final = "![CPU time of each client over that of bare aiohttp](performance.svg)"


def markdown(columns: Sequence[Results]) -> str:
    """Return the tables of the results, one column for each label; the first column decides whether a goal is met."""
    first = columns[0]
    parts = [
        _section("### Goals that users notice", _goals(columns, is_internal=False)),
        _section("### Cost by the number of groups", _growths(first)),
        _section("### CPU ratios: internal goals", _goals(columns, is_internal=True)),
        _section(f"### CPU time over bare aiohttp, by client\n\n{_CHART}", _contenders(first)),
        _default_allocator(first),
        *map(_conditions, columns),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(heading: str, table: str) -> str:
    return f"{heading}\n\n{table}" if table else ""


def _goals(columns: Sequence[Results], *, is_internal: bool) -> str:
    measured = [_figures_by_job(column) for column in columns]
    rows = [
        (f"**{letter}** {job.what}", *_cells(letter, measured),
         _verdict(job, measured[0][letter][0], columns[0].scale), measured[0][letter][1])
        for letter, job in JOBS.items()
        if job.is_internal is is_internal and letter in measured[0]
    ]  # fmt: skip
    labels = ("measured",) if len(columns) == 1 else (column.label for column in columns)
    return _table(("job", *labels, "goal", "details"), rows) if rows else ""


def _verdict(job: Job, figure: float, scale: float) -> str:
    """Return the goal, and whether it is met; fewer calls than in the goal prove nothing."""
    if scale != 1:
        return job.goal_with_unit
    return f"{job.goal_with_unit}: {'met' if job.is_met(figure) else 'missed'}"


def _cells(letter: str, measured: Sequence[Mapping[str, tuple[float, str]]]) -> Iterable[str]:
    """Return the figure of each column, the first one bold."""
    for index, figures in enumerate(measured):
        value = f"{figures[letter][0]:.2f} {JOBS[letter].unit}".rstrip() if letter in figures else ""
        yield value if index else f"**{value}**"


def _figures_by_job(results: Results) -> Mapping[str, tuple[float, str]]:
    """Return the value and the additional text for each job."""
    ratios = {ratio.job: (median(ratio.rounds), _spread(ratio)) for ratio in _of(results, OURS, "pinned")}
    return ratios | {figure.job: (figure.value, figure.more) for figure in results.figures}


def _growths(results: Results) -> str:
    cells = {(each.what, each.groups): each for each in results.growths}
    sizes = sorted({size for _, size in cells})
    rows = [
        (what, *(_growth(cells.get((what, size))) for size in sizes))
        for what in dict.fromkeys(what for what, _ in cells)
    ]
    return _table(("CPU for each group; memory gained", *(f"{size:,} groups" for size in sizes)), rows) if rows else ""


def _growth(growth: Growth | None) -> str:
    return "" if growth is None else f"{growth.microseconds:.0f} µs; {growth.megabytes:.1f} MB"


def _contenders(results: Results) -> str:
    cells = {(ratio.contender, ratio.job): ratio for ratio in results.ratios if ratio.allocator == "pinned"}
    names = list(dict.fromkeys(name for name, _ in cells))
    if not names:
        return ""
    names.sort(key=lambda name: next(median(cells[name, job].rounds) for job in CALLS if (name, job) in cells))
    jobs = [job for job in CALLS if any((name, job) in cells for name in names)]
    rows = [
        (
            f"**{name}**" if name == OURS else name,
            *(f"{median(cells[name, job].rounds):.2f}" if (name, job) in cells else "" for job in jobs),
            CONTENDERS[name].gives,
            CONTENDERS[name].note,
        )
        for name in names
    ]
    rows.insert(0, (FLOOR, *("1.00" for _ in jobs), CONTENDERS[FLOOR].gives, CONTENDERS[FLOOR].note))
    return _table(("client", *jobs, "returns", "note"), rows)


def _default_allocator(results: Results) -> str:
    ours = _of(results, OURS, "default")
    return f"With the allocator at its default, {OURS} over {FLOOR}: {_join_ratios(ours)}." if ours else ""


def _conditions(results: Results) -> str:
    """Return where and how the results were measured, with the control."""
    missing = f" Not installed: {', '.join(results.missing)}." if results.missing else ""
    part = "" if results.scale == 1 else f", {results.scale:g} of the calls"
    rounds = f"{results.rounds} round{'s' if results.rounds > 1 else ''}"
    runs = "" if results.runs == 1 else f"; medians of {results.runs} runs"
    again = _of(results, AiohttpAgain.name, "pinned")
    control = f" Control ({FLOOR} over itself): {_join_ratios(again)}." if again else ""
    return f"{results.label}: measured {results.date}, {results.machine}; {rounds}{part}{runs}.{control}{missing}"


def _join_ratios(ratios: Iterable[Ratio]) -> str:
    return ", ".join(f"{ratio.job} {median(ratio.rounds):.2f}" for ratio in ratios)


def _of(results: Results, name: str, allocator: str) -> list[Ratio]:
    return [ratio for ratio in results.ratios if (ratio.contender, ratio.allocator) == (name, allocator)]


def _spread(ratio: Ratio) -> str:
    return f"{min(ratio.rounds):.2f} to {max(ratio.rounds):.2f}; {ratio.microseconds:.0f} µs"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def insert_results(page: str, columns: Sequence[Results]) -> str:
    """Return the page with the results between its marks."""
    begin, end = _MARKS
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page must have {begin} and {end}, each once")
    inside = f"{begin}\n\n{markdown(columns)}\n{end}"
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: inside, page, flags=re.DOTALL)


def write(page: Path, picture: Path, columns: Sequence[Results]) -> None:
    """Write the results to a page, and the chart of the first column to a picture."""
    page.write_text(insert_results(page.read_text("utf-8"), columns), "utf-8")
    picture.write_text(chart.svg(columns[0]), "utf-8")
