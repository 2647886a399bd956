"""The window file: sequential commands count each other's writes, so that none gets a series of 429s."""

import asyncio
import json
import logging
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from secoda_async import AutojumpClock, CreateGroup, RateLimit, SlidingWindowLimiter
from secoda_async._engine.limits.window import Usage
from secoda_async._engine.limits.window_file import WindowFile, cache_directory, fingerprint, share_window
from secoda_async.config import Secret
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.clocks import ManualClock

ORIGIN = "https://secoda.example"
KEY = Secret("a-key-that-nobody-sees")


@define
class WallClock:
    """The machine's clock, which the test sets."""

    at: float

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def wall() -> WallClock:
    """Start at the present, at which the test writes its files, in whole seconds, so that sums are exact."""
    return WallClock(float(int(time.time())))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "secoda-async"


def file(cache: Path, wall: WallClock, process: str = "one") -> WindowFile:
    return WindowFile(cache, "window", wall_clock=wall, process=process)


def written(cache: Path, document: object, name: str = "window-one.json") -> Path:
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = cache / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def read(cache: Path, wall: WallClock) -> Usage:
    return file(cache, wall, "two").read(60.0)


@pytest.mark.slow
@pytest.mark.requirement("RL-7")
class TestTwoProcesses:
    """Real commands, one after the other, against one server."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[Emulator]:
        async with Emulator() as server:
            yield server

    def environment(self, server: Emulator, home: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith("PYTHON") or name == "PATH"}
        return kept | {"HOME": str(home), "SECODA_BASE_URL": server.url, "SECODA_API_KEY": server.api_key}

    async def start(self, server: Emulator, home: Path, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "secoda_async", *arguments),
            env=self.environment(server, home),
            cwd=Path(__file__).parents[3],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def apply_until_killed(self, server: Emulator, home: Path, *, writes: int) -> None:
        """Kill a run of 60 creates after this number of writes."""
        (home / "groups.yaml").write_text(json.dumps({"groups": [{"name": f"g{index}"} for index in range(60)]}))
        process = await self.start(server, home, "apply", str(home / "groups.yaml"), "--yes")
        while len(server.groups) < writes:  # noqa: ASYNC110 - the server is in this process
            await asyncio.sleep(0.001)
        process.kill()
        await process.communicate()

    async def test_second_run_waits_for_the_window_of_a_killed_run(self, tmp_path: Path) -> None:
        async with Emulator() as server:
            await self.apply_until_killed(server, tmp_path, writes=30)
            assert (len(server.groups), server.refused) == (30, 0)
            second = await self.start(server, tmp_path, "apply", str(tmp_path / "groups.yaml"), "--yes")
            assert second.stdout is not None
            said = b""
            while b"waiting" not in said and (line := await second.stdout.readline()):
                said += line
            second.kill()
            await second.communicate()
        assert b"30 writes, at least" in said
        assert server.refused == 0

    async def test_plan_after_a_killed_run_includes_the_wait(self, server: Emulator, tmp_path: Path) -> None:
        await self.apply_until_killed(server, tmp_path, writes=30)
        process = await self.start(server, tmp_path, "plan", str(tmp_path / "groups.yaml"), "--json")
        out, _ = await process.communicate()
        assert 0 < json.loads(out)["seconds"] <= 60
        assert {entry.stat().st_mode & 0o777 for entry in (tmp_path / ".cache/secoda-async").iterdir()} == {0o600}

    @pytest.mark.parametrize("used", [5, 15, 29, 30])
    @pytest.mark.parametrize("latency", [0.0, 0.3])
    async def test_few_writes_are_refused_without_the_window_file(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, used: int, latency: float
    ) -> None:
        before = connect(limiter=SlidingWindowLimiter(clock=clock))  # as in another process
        await asyncio.gather(*(before.groups.create(name=f"before {index}") for index in range(used)))
        emulator.latency = latency
        secoda = connect(limiter=SlidingWindowLimiter(clock=clock))
        created = [outcome async for outcome in secoda.bulk(CreateGroup(name=f"g{index}") for index in range(60))]
        assert {outcome.status for outcome in created} == {"applied"}
        assert 1 <= emulator.refused <= 4
        assert clock.now() <= 300

    async def test_secoda_no_state_turns_the_window_file_off(self, server: Emulator, tmp_path: Path) -> None:
        environment = self.environment(server, tmp_path) | {"SECODA_NO_STATE": "1"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "secoda_async", "groups", "create", "--name", "A"),
            env=environment,
            cwd=Path(__file__).parents[3],
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0
        assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.requirement("RL-7")
class TestWindowFile:
    def test_process_reads_the_usage_of_another(self, cache: Path, wall: WallClock) -> None:
        file(cache, wall).write(Usage((10.0, 20.0), in_flight=2, paused_for=5.0, paced_for=65.0))
        wall.at += 4
        assert read(cache, wall) == Usage((6.0, 16.0, 60.0, 60.0), paused_for=1.0, paced_for=61.0)

    def test_all_other_files_count_and_the_own_file_does_not(self, cache: Path, wall: WallClock) -> None:
        file(cache, wall).write(Usage((10.0,)))
        file(cache, wall, "two").write(Usage((20.0,), paused_for=30.0, paced_for=31.0))
        file(cache, wall, "three").write(Usage((5.0,), paused_for=40.0, paced_for=41.0))
        WindowFile(cache, "another-window", wall_clock=wall).write(Usage((1.0,)))
        assert read(cache, wall) == Usage((5.0, 10.0), paused_for=40.0, paced_for=41.0)

    def test_usage_expires_after_a_window(self, cache: Path, wall: WallClock) -> None:
        file(cache, wall).write(Usage((60.0,), in_flight=1, paused_for=60.0, paced_for=120.0))
        wall.at += 60
        assert read(cache, wall).free_in == (30.0,)  # the one in flight had 30 s to reach the server
        wall.at += 60
        assert read(cache, wall) == Usage()

    def test_wall_clock_set_back_keeps_no_permit_longer_than_a_window(self, cache: Path, wall: WallClock) -> None:
        file(cache, wall).write(Usage((60.0,), paused_for=300.0, paced_for=360.0))
        wall.at -= 0.5
        assert read(cache, wall) == Usage((60.0,), paused_for=300.0, paced_for=360.0)
        wall.at -= 3600
        assert read(cache, wall) == Usage()

    def test_wall_clock_set_forward_expires_the_usage(self, cache: Path, wall: WallClock) -> None:
        file(cache, wall).write(Usage((60.0,), in_flight=1, paused_for=60.0))
        wall.at += 86_400
        assert read(cache, wall) == Usage()

    @pytest.mark.parametrize(
        "document",
        [
            "",
            "not JSON",
            "[" * 50_000,
            [],
            {},
            {"free_at": 5, "in_flight": "1", "saved_at": [], "opens_at": None, "spaced_until": True},
            {"free_at": [None, "x", 10**400, float("nan"), float("inf"), -1.0], "in_flight": 1, "saved_at": "now"},
            "x" * 100_000,
        ],
    )
    def test_corrupt_window_file_is_ignored(self, cache: Path, wall: WallClock, document: object) -> None:
        written(cache, document)
        assert read(cache, wall) == Usage()

    def test_number_in_flight_below_zero_is_ignored(self, cache: Path, wall: WallClock) -> None:
        written(cache, {"in_flight": -5, "saved_at": wall.at})
        assert read(cache, wall) == Usage()

    def test_permits_of_a_window_file_are_capped(self, cache: Path, wall: WallClock) -> None:
        written(cache, {"free_at": [wall.at + 1] * 3000, "in_flight": 10**9, "saved_at": wall.at})
        assert len(read(cache, wall).free_in) == 2000

    def test_old_window_files_are_deleted(self, cache: Path, wall: WallClock) -> None:
        kept = [written(cache, {}), written(cache, "", "something else")]
        gone = [written(cache, {}, "other-three.json"), written(cache, "", "window-four.new")]
        for path in kept:
            os.utime(path, (wall.at, wall.at))
        for path in gone:
            os.utime(path, (wall.at - 601, wall.at - 601))
        os.utime(kept[1], (0, 0))
        read(cache, wall)
        assert set(cache.iterdir()) == set(kept)

    def test_window_file_deleted_by_another_process_is_ignored(
        self, cache: Path, wall: WallClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file(cache, wall).write(Usage((1.0,)))
        monkeypatch.setattr(Path, "iterdir", lambda self: iter([self / "window-gone.json", self / "window-one.json"]))
        assert read(cache, wall) == Usage((1.0,))

    def test_symlinks_and_special_files_are_not_read(self, cache: Path, wall: WallClock, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.write_text(json.dumps({"free_at": [wall.at + 1]}))
        cache.mkdir(mode=0o700, parents=True)
        (cache / "window-link.json").symlink_to(target)
        os.mkfifo(cache / "window-fifo.json")
        (cache / "window-one.new").symlink_to(target)
        assert read(cache, wall) == Usage()
        file(cache, wall).write(Usage((1.0,)))
        assert json.loads(target.read_text()) == {"free_at": [wall.at + 1]}
        assert not (cache / "window-one.json").exists()

    def test_window_file_is_private_to_the_user(self, cache: Path, wall: WallClock) -> None:
        file(cache, wall).write(Usage())
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700
        assert [stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()] == [0o600]

    @pytest.mark.parametrize("mode", [0o777, 0o770])
    def test_directory_writable_by_others_is_not_used(self, cache: Path, wall: WallClock, mode: int) -> None:
        path = written(cache, {"free_at": [wall.at + 1]})
        cache.chmod(mode)
        assert read(cache, wall) == Usage()
        file(cache, wall).write(Usage((5.0,)))
        assert "saved_at" not in path.read_text()

    def test_files_of_another_user_are_not_used(
        self, cache: Path, wall: WallClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file(cache, wall).write(Usage((1.0,)))
        monkeypatch.setattr(os, "geteuid", lambda: -1)
        assert read(cache, wall) == Usage()
        monkeypatch.delattr(os, "geteuid")  # as on Windows
        assert read(cache, wall) == Usage((1.0,))

    def test_unwritable_directory_is_logged_once_and_ignored(
        self, tmp_path: Path, wall: WallClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="secoda_async")
        (tmp_path / "file").write_text("")
        blocked = file(tmp_path / "file" / "secoda-async", wall)
        assert blocked.read(60.0) == Usage()
        blocked.write(Usage((1.0,)))
        blocked.write(Usage((1.0,)))
        assert [record.message.partition(":")[0] for record in caplog.records] == [
            "the write limit is not shared with other runs"
        ]

    def test_first_run_logs_nothing(self, cache: Path, wall: WallClock, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="secoda_async")
        assert read(cache, wall) == Usage()
        assert caplog.records == []

    def test_window_file_name_does_not_reveal_the_key(self) -> None:
        name = fingerprint(ORIGIN, KEY)
        assert str(KEY.encode(), "utf-8") not in name
        assert len({name, fingerprint("https://other.example", KEY), fingerprint(ORIGIN, Secret("other"))}) == 3


class TestCacheDirectory:
    @pytest.fixture(autouse=True)
    def _home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/ada")
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)

    @pytest.mark.parametrize(
        ("platform", "variable", "path"),
        [
            ("linux", "XDG_CACHE_HOME", "/home/ada/.cache/secoda-async"),
            ("darwin", None, "/home/ada/Library/Caches/secoda-async"),
            ("win32", "LOCALAPPDATA", "/home/ada/AppData/Local/secoda-async"),
        ],
    )
    def test_cache_directory_of_each_platform(
        self, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, path: str
    ) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_directory() == Path(path)
        if variable is not None:
            monkeypatch.setenv(variable, "/elsewhere")
            assert cache_directory() == Path("/elsewhere/secoda-async")
            monkeypatch.setenv(variable, "relative")
            assert cache_directory() == Path(path)

    def test_cache_directory_is_none_without_a_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "relative")
        assert cache_directory() is None

        def fail() -> Path:
            raise RuntimeError

        monkeypatch.setattr(Path, "home", fail)
        assert cache_directory() is None
        share_window(SlidingWindowLimiter(), ORIGIN, KEY)  # and nothing happens


@pytest.mark.requirement("RL-7")
class TestSharing:
    @pytest.fixture
    def usages(self) -> list[Usage]:
        return []

    async def test_permits_of_other_processes_count_and_are_not_reported(self, usages: list[Usage]) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(3), clock=clock)
        limit.share(Usage((10.0, 20.0), paused_for=0.0, paced_for=0.0), usages.append)
        assert limit.state.free == 1
        assert limit.time_for(3) == 20.0
        permit = await limit.acquire()
        await permit.release(sent=True)
        await limit.pause(5.0)
        assert usages == [
            Usage(in_flight=1),
            Usage((60.0,)),
            Usage((60.0,), paused_for=5.0, paced_for=65.0),
        ]
        await clock.advance(15.0)
        assert limit.state.free == 1

    async def test_cooldown_of_other_processes_counts(self, usages: list[Usage]) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(30), clock=clock)
        limit.share(Usage(in_flight=1, paused_for=10.0, paced_for=70.0), usages.append)
        assert limit.state.paused == 10.0
        assert limit.time_for(2) == 12.0
        assert limit.state.free == 29

    async def test_limiter_that_has_counted_calls_ignores_shared_permits(self, usages: list[Usage]) -> None:
        limit = SlidingWindowLimiter(RateLimit(3), clock=ManualClock())
        await (await limit.acquire()).release(sent=True)
        limit.share(Usage((10.0, 20.0)), usages.append)
        assert limit.state.free == 2

    def test_api_key_callable_shares_no_window_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("SECODA_NO_STATE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        limit = SlidingWindowLimiter()

        async def provide() -> str:
            return "key"

        share_window(limit, ORIGIN, provide)
        assert limit._on_change is None
        share_window(limit, ORIGIN, KEY)
        assert limit._on_change is not None
