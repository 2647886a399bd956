"""Render a plan as Markdown that fits into the comment of a pull request.

Names are untrusted: none can make markup, a link or a mention.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.plan import Change, Plan
from secoda_async.reconcile.render import MemberNames, details, facts, held_messages
from secoda_async.reconcile.wording import count, count_mutations

__all__ = ["render_markdown"]

_LIMIT: Final = 60_000
"""Characters of the whole text. GitHub refuses a comment of more than 65,536; the rest is for what others add."""

_MOST_OF_NAME: Final = 300
_MOST_OF_LINE: Final = 2000
"""Characters that are shown of a name, and of a message or the values of a field."""

_RESERVE: Final = 200
"""Characters for a heading and the line that counts what is cut."""

_ROWS_FIRST: Final = ("delete", "update", "create")
"""The order of the changes: a cut table loses the changes that destroy nothing."""

_MORE: Final = "see the job's log, or `secoda-async show` with the saved plan"


def render_markdown(plan: Plan) -> str:
    """Return a plan as Markdown of at most 60,000 characters: problems first, changes as a table, the digest last.

    A list or table that is too long is cut after a whole item, and the number of the others is shown.
    """
    mutations = count_mutations(change.kind for change in plan.changes)
    footer = [f"{mutations}. Digest: `{plan.digest}`"] if mutations else []
    parts = [f"### Secoda groups: {plan.summary()}"]
    room = _LIMIT - sum(len(part) + 2 for part in parts + footer)
    for title, total, items in _sections(plan):
        section = _section(title, total, items, room // 2)
        parts += section
        room -= sum(len(part) + 2 for part in section)
    if plan.changes:
        parts += _table(plan, room)
    return "\n\n".join(parts + footer) + "\n"


def _sections(plan: Plan) -> Iterable[tuple[str, int, Iterable[str]]]:
    """Yield the title of each list, the number of its items, and the items."""
    yield "Needs an approval", len(plan.breaches), (_escape_markdown(each.message) for each in plan.breaches)
    yield "In conflict", len(plan.conflicts), (_escape_markdown(each.message) for each in plan.conflicts)
    yield "Held", len(plan.held), held_messages(plan, quote=_code)
    yield "Important", len(plan.notes), (_escape_markdown(note) for note in plan.notes)
    found = list(facts(plan, quote=_code))
    yield "Notes", len(found), found


def _section(title: str, total: int, items: Iterable[str], room: int) -> Sequence[str]:
    shown = _fitting((f"- {item}" for item in items), room - _RESERVE)
    more = [f"- ... and {total - len(shown)} more: {_MORE}"] if total > len(shown) else []
    return (f"**{title}**", "\n".join([*shown, *more])) if total else ()


def _table(plan: Plan, room: int) -> Sequence[str]:
    names = MemberNames(plan)
    changes = sorted(plan.changes, key=lambda change: _ROWS_FIRST.index(change.kind))
    rows = _fitting((_row(change, names) for change in changes), room - _RESERVE)
    hidden = len(changes) - len(rows)
    table = ["\n".join(["| | group | what changes |", "|---|---|---|", *rows])] if rows else []
    return [*table, *([f"... and {count(hidden, 'more change')}: {_MORE}"] if hidden else [])]


def _row(change: Change, names: MemberNames) -> str:
    cells = "<br>".join(_code(line.text, _MOST_OF_LINE) for line in details(change, names))
    return f"| {change.kind} | {_code(change.name)} | {cells} |"


def _fitting(lines: Iterable[str], room: int) -> list[str]:
    """Return the first lines that have room together."""
    fitting: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        fitting.append(line)
    return fitting


def _code(text: str, most: int = _MOST_OF_NAME) -> str:
    """Return text as Markdown code for a table: it contains no markup, link or mention."""
    text = _shorten(escape_control(text), most).replace("|", "\\|").replace("  ", " \\x20")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _escape_markdown(text: str) -> str:
    """Return a sentence with its markup, links and mentions escaped."""
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", _shorten(text, _MOST_OF_LINE))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([@#]|:(?=//))", "\\1\u200b", text)


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
