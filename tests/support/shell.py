"""Run commands of the CLI in this process and capture what they print."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from attrs import frozen

from secoda_async.cli import app
from secoda_async.emulator import Emulator


@frozen
class Result:
    """The exit code of a command, and its output on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@frozen
class Shell:
    """Runs command lines; settings come from the environment, as in a terminal."""

    capture: pytest.CaptureFixture[str]

    async def run(self, *arguments: str) -> Result:
        # In a thread, because a command starts its own event loop.
        code = await asyncio.to_thread(app.main, arguments)
        out, err = self.capture.readouterr()
        return Result(code, out, err)


@asynccontextmanager
async def emulated(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncGenerator[Emulator, None]:
    """Start an emulated workspace and point the environment to it."""
    async with Emulator(**settings) as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        yield workspace


@asynccontextmanager
async def emulated_teams(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Emulator, None]:
    """Start a workspace of three users and two groups, Analysts and Others."""
    users = [{"id": f"u-{name}", "email": f"{name}@example.com"} for name in ("ana", "ben", "eve")]
    groups = [{"name": "Analysts", "description": "old", "users": ["u-ana"]}, {"name": "Others", "users": ["u-eve"]}]
    async with emulated(monkeypatch, users=users, groups=groups) as workspace:
        yield workspace


@contextmanager
def restored_loggers() -> Generator[None, None, None]:
    """Restore the handlers and levels that a command changes."""
    loggers = [logging.getLogger(), logging.getLogger("secoda_async")]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
