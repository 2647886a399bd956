"""`apply` and `doctor` with a lock in Redis."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from secoda_async.ext.redis import RedisLock
from tests.support.redis_limits import WatchedRedis
from tests.support.redis_server import RedisServer
from tests.support.shell import Shell
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("RL-5")

KEY = "secoda-async:{acme}:lock"


@pytest.fixture
def file(tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SECODA_REDIS_URL", server.url)
    monkeypatch.setenv("SECODA_WORKSPACE", "acme")
    monkeypatch.setattr("secoda_async.ext.redis_connection.REPLY_TIMEOUT", 60.0)  # a busy machine is no outage
    (tmp_path / "groups.yaml").write_text("groups:\n- name: A\n- name: B\n", "utf-8")
    return str(tmp_path / "groups.yaml")


@pytest.mark.requirement("CL-1")
async def test_second_apply_names_the_lock_holder_and_exits_7(
    shell: Shell, workspace: Emulator, file: str, redis: WatchedRedis
) -> None:
    async with RedisLock(redis, name="acme"):
        result = await shell.run("apply", file, "--yes")
        as_json = await shell.run("apply", file, "--yes", "--json")
    assert (result.code, as_json.code) == (Exit.LOCKED, 7)
    assert "another run holds 'acme': process " in result.err
    assert as_json.json["error"]["holder"].startswith("process ")
    assert not workspace.writes
    assert (await shell.run("apply", file, "--yes")).code == Exit.DONE
    assert len(workspace.writes) == 2
    assert await redis.exists("secoda-async:{acme}:places")  # the limit is shared, too
    assert not await redis.exists(KEY)


async def test_lost_lock_stops_apply(
    shell: Shell, workspace: Emulator, file: str, redis: WatchedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait_briefly(_: RedisLock) -> bool:
        await asyncio.sleep(0.01)
        return True

    monkeypatch.setattr(RedisLock, "_sleep_until_renewal", wait_briefly)
    Path(file).write_text(  # noqa: ASYNC240 - a test's
        json.dumps({"groups": [{"name": f"Team {number}"} for number in range(40)]}), "utf-8"
    )
    running_command = asyncio.create_task(shell.run("apply", file, "--yes"))
    await wait_until(lambda: workspace.count("POST") == 30 or running_command.done())
    await redis.set(KEY, "another's", keepttl=False)
    result = await running_command
    assert result.code == Exit.LOCKED
    assert "the lock was lost" in result.err
    assert "10 not attempted" in result.out


async def test_doctor_checks_redis_limit_and_lock(
    shell: Shell, workspace: Emulator, file: str, redis: WatchedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workspace.groups, file
    checks = (await shell.run("doctor", "--json")).json["checks"]
    assert checks["limit in Redis"]["detail"] == "30 writes could start now, on all machines together"
    assert checks["lock in Redis"]["detail"] == "free"
    await redis.set(KEY, "somebody#1")
    assert (await shell.run("doctor", "--json")).json["checks"]["lock in Redis"]["detail"] == "held by somebody"
    monkeypatch.setenv("SECODA_REDIS_URL", "redis://127.0.0.1:1")
    away = await shell.run("doctor")
    assert away.code == Exit.UNAVAILABLE
    assert "the address of Redis (--redis, SECODA_REDIS_URL)" in away.out


async def test_lock_is_acquired_after_the_confirmation_prompt(
    shell: Shell, workspace: Emulator, file: str, redis: WatchedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("secoda_async.cli.output.console.Console.confirm", lambda *_: True)
    async with RedisLock(redis, name="acme"):
        assert (await shell.run("apply", file)).code == Exit.LOCKED
    assert not workspace.writes
    assert workspace.count("GET") > 0


async def test_redis_option_needs_workspace_option(
    shell: Shell, workspace: Emulator, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECODA_WORKSPACE")
    result = await shell.run("apply", file, "--yes")
    assert result.code == Exit.USAGE
    assert "--redis needs --workspace" in result.err
    monkeypatch.setenv("SECODA_WORKSPACE", "acme")
    monkeypatch.delenv("SECODA_REDIS_URL")
    result = await shell.run("apply", file, "--yes")
    assert result.code == Exit.USAGE
    assert "pass --redis too" in result.err
    assert not workspace.requests


async def test_unavailable_redis_exits_69(
    shell: Shell, workspace: Emulator, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECODA_REDIS_URL", "redis://127.0.0.1:1")
    result = await shell.run("apply", file, "--yes")
    assert result.code == Exit.UNAVAILABLE
    assert "the address of Redis (--redis, SECODA_REDIS_URL); nothing was written" in result.err
    assert not workspace.writes


async def test_command_without_redis_py_names_the_extra_to_install(
    shell: Shell, workspace: Emulator, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("redis", "redis_lock", "redis_connection"):
        monkeypatch.delitem(sys.modules, f"secoda_async.ext.{name}")
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    result = await shell.run("plan", file)
    assert result.code == Exit.USAGE
    assert "pip install 'secoda-async[redis]'" in result.err
    assert not workspace.requests
