"""Run the example in the docstring of each public call, against an emulated workspace."""

import ast
import contextlib
import doctest
import inspect
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import secoda_async
from secoda_async import SecodaClient
from secoda_async.emulator import Emulator
from secoda_async.groups import Groups
from secoda_async.users import Users
from secoda_async.workspace import Workspace
from tests.support.clients import Connect

USERS = [{"id": f"u-{name}", "email": f"{name}@example.com"} for name in ("ana", "ben")]
GROUPS: list[dict[str, Any]] = [
    {"name": "Data Stewards", "description": "Docs", "users": ["u-ana"]},
    {"name": "Finance"},
]


def calls() -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of the client's class and of each public method."""
    yield "SecodaClient", inspect.getdoc(SecodaClient) or ""
    for kind in (SecodaClient, Workspace, Groups, Users):
        for name, member in vars(kind).items():
            if inspect.isfunction(member) and not name.startswith("_"):
                yield f"{kind.__name__}.{name}", inspect.getdoc(member) or ""


async def shown_by(source: str, names: dict[str, Any]) -> str:
    """Run one statement as the REPL of `python -m asyncio` does; return its output."""
    code = compile(source, "<docstring>", "single", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        running = eval(code, names)  # noqa: S307 - our own docstrings
        if inspect.iscoroutine(running):
            await running
    return output.getvalue()


@pytest.mark.parametrize(("name", "docstring"), list(calls()), ids=[name for name, _ in calls()])
async def test_every_public_call_has_an_example_that_runs(
    name: str, docstring: str, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = doctest.DocTestParser().get_examples(docstring)
    assert examples, f"{name} has no example"
    (tmp_path / "groups.yaml").write_text("groups:\n- name: Analysts\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    async with Emulator(users=USERS, groups=GROUPS) as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        secoda = connect(api_key=workspace.api_key, base_url=workspace.url)
        names = {public: getattr(secoda_async, public) for public in secoda_async.__all__}
        names |= {"secoda": secoda, "contextlib": contextlib, "group": await secoda.groups.find(name="Data Stewards")}
        names["ana"], names["ben"] = await secoda.users.snapshot()
        for example in examples:
            output = await shown_by(example.source, names)
            assert output == example.want, f"{name}, line {example.lineno + 1}: {example.source}"
