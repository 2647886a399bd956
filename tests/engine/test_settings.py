"""The log level in `SECODA_LOG`."""

import io
import logging
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from secoda_async import ConfigurationError, SecodaClient
from secoda_async._engine.settings import set_up_logging
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.shell import restored_loggers

LOG = logging.getLogger("secoda_async")


@contextmanager
def unconfigured() -> Generator[None, None, None]:
    """Run without handlers, as in a program that has not configured logging; pytest adds some to each test."""
    with restored_loggers(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(LOG, "propagate", False)
        patch.setattr(LOG, "handlers", [])
        yield


async def test_debug_logs_each_attempt_and_wait_without_the_key(
    emulator: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("SECODA_LOG", " Debug ")
    emulator.faults.add(status=503, headers={"Retry-After": "7", "X-Request-Id": "r-1"})
    emulator.faults.add(headers={"X-Request-Id": "r-2"})
    with unconfigured():
        await connect().groups.get("group-0")
    lines = [line.partition("secoda_async: ")[2] for line in stderr.getvalue().splitlines()]
    waiting = lines.pop(1)
    assert waiting.startswith("waiting 7.0 s (")
    path = "/api/v1/auth/group/group-0"
    assert lines == [
        f"attempt method=GET path={path} attempt=1 status=503 seconds=0.000 request_id=r-1",
        f"wait method=GET path={path} reason=gate seconds=7.000",
        f"attempt method=GET path={path} attempt=2 status=200 seconds=0.000 request_id=r-2",
    ]
    assert emulator.api_key not in stderr.getvalue()


@pytest.mark.parametrize("name", ["info", "WARNING"])
def test_several_clients_add_one_handler(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SECODA_LOG", name)
    with unconfigured():
        SecodaClient("key")
        SecodaClient("key")
        assert len(LOG.handlers) == 1
        assert logging.getLevelName(LOG.level) == name.upper()


def test_the_handlers_of_a_program_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECODA_LOG", "debug")
    own = logging.NullHandler()
    with unconfigured():
        LOG.addHandler(own)
        set_up_logging()
        assert (LOG.handlers, LOG.level) == ([own], logging.DEBUG)


def test_a_program_that_configures_logging_later_gets_each_line_once() -> None:
    program = """
import logging, secoda_async, sys
secoda_async.SecodaClient("key")
log = logging.getLogger("secoda_async")
log.info("before")
logging.basicConfig(format="%(message)s", level=logging.INFO)
log.info("after")
"""
    environment = {"SECODA_LOG": "info", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    first, *others = ran.stderr.splitlines()
    assert first.endswith(" INFO secoda_async: before")
    assert others == ["after"]


@pytest.mark.parametrize("value", ["", " "])
def test_nothing_changes_without_the_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SECODA_LOG", value)
    level = LOG.level
    with unconfigured():
        set_up_logging()
        assert (LOG.handlers, LOG.level) == ([], level)


def test_another_level_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECODA_LOG", "trace")
    with pytest.raises(ConfigurationError, match="SECODA_LOG must be debug, info or warning, not 'trace'"):
        SecodaClient("key")


def test_import_does_not_read_the_variable() -> None:
    program = "import secoda_async, logging; secoda_async.SecodaClient; print(logging.getLogger('secoda_async').level)"
    environment = {"SECODA_LOG": "trace", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "0\n"
