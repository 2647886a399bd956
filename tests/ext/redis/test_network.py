"""The limiter and the lock with high latency, TLS, failover, a clock that is set back, clusters and ACLs."""

import asyncio
import pickle
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Literal, cast

import pytest
import trustme
from redis.asyncio import Redis

from secoda_async import ConfigurationError, RateLimit, TransportError
from secoda_async.ext.redis import LEASE, RETRY_AFTER, RedisLock, RedisRateLimiter
from tests.support.approx import approx
from tests.support.clocks import ManualClock, settle
from tests.support.redis_limits import GATE, PLACES, Share, WatchedRedis, start_acquiring, take, use
from tests.support.redis_server import Forwarder, RedisServer, ScriptedRedis, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requirement("RL-8")

HOUR: Final = 3600.0
DELAY: Final = 0.06
"""Seconds in each direction: connecting takes about 8 round trips, and a command 1 or 2."""
ATTEMPTS: Final = 20
"""Some attempts may fail on a busy machine. Before connecting had its own timeout, all failed."""


async def command(redis: Redis, *words: Any) -> Any:
    run = cast("Callable[..., Awaitable[Any]]", redis.execute_command)  # pyright: ignore[reportUnknownMemberType]
    return await run(*words)


async def retry(attempt: Callable[[], Any]) -> Any:
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except TransportError:
            await asyncio.sleep(DELAY)
    return await attempt()


async def until_renewed(redis: Redis, key: str | bytes) -> None:
    """Wait until a lock with a lease of 30 seconds, shortened to 20, is renewed."""
    while await redis.pttl(key) < 25_000:  # noqa: ASYNC110 - another process sets no event
        await asyncio.sleep(0.001)


class TestLatencyAndTls:
    @pytest.fixture(autouse=True)
    def _(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in ("redis", "redis_connection"):
            monkeypatch.setattr(f"secoda_async.ext.{module}.REPLY_TIMEOUT", 0.5)
        monkeypatch.setattr("secoda_async.ext.redis.RETRY_AFTER", DELAY)

    @pytest.fixture
    def tls(self, tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        return context, tmp_path / "ca.pem"

    @pytest.mark.slow
    @pytest.mark.parametrize("is_encrypted", [False, True])
    async def test_limiter_and_lock_work_with_high_latency_and_tls(
        self,
        is_encrypted: Literal[True, False],
        server: RedisServer,
        redis: WatchedRedis,
        tls: tuple[ssl.SSLContext, Path],
    ) -> None:
        await redis.script_flush()
        context, authority = tls
        async with (
            Forwarder(server.port, tls=context if is_encrypted else None) as near,
            Forwarder(near.port, delay=DELAY) as far,
        ):
            url = f"rediss://127.0.0.1:{far.port}?ssl_ca_certs={authority}" if is_encrypted else far.url
            async with RedisRateLimiter(url, name="acme") as limiter:
                await retry(lambda: use(limiter))
            lock = RedisLock(url, name="acme")
            await retry(lock.__aenter__)
            assert await redis.exists("secoda-async:{acme}:lock")
            await lock.__aexit__(None, None, None)
        assert await redis.zcard(PLACES) == 1


class TestConnecting:
    async def test_connection_of_a_cancelled_caller_is_reused(self, server: RedisServer, redis: WatchedRedis) -> None:
        async with Forwarder(server.port) as forwarder:
            async with RedisRateLimiter(forwarder.url, name="acme") as limiter:
                task = asyncio.create_task(limiter.acquire())
                await wait_until(lambda: forwarder.connections)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await take(limiter)
            assert forwarder.connections == 1
        assert await redis.zcard(PLACES) == 1

    async def test_close_returns_an_unused_reserved_connection(self, server: RedisServer) -> None:
        async with Forwarder(server.port) as forwarder, Redis(port=forwarder.port) as client:
            async with RedisRateLimiter(client, name="acme") as limiter:
                task = asyncio.create_task(limiter.acquire())
                session = vars(limiter)["_wait_queues"].current().session
                await wait_until(lambda: forwarder.connections)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await vars(session)["_connecting"]
                await session.close()
            await command(client, "PING")
            assert forwarder.connections == 1

    @pytest.mark.parametrize("fallback", ["raise", "local"])
    async def test_connect_timeout_is_named_and_shorter_during_an_outage(
        self, clock: ManualClock, fallback: Literal["raise", "local"]
    ) -> None:
        arrived = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await reader.read()
            writer.close()

        silent = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with silent, RedisRateLimiter(url, name="acme", on_unavailable=fallback, clock=clock) as limiter:
            task = asyncio.create_task(limiter.look())
            await arrived.wait()
            await settle()
            clock.fire(9.9)
            await settle()
            assert not task.done()
            clock.fire(0.1)
            if fallback == "local":
                assert (await task).free == 30
            else:
                with pytest.raises(TransportError, match="connecting to Redis took longer than 10 s"):
                    await task
            clock.fire(RETRY_AFTER)
            arrived.clear()
            again = asyncio.create_task(limiter.acquire())  # during an outage the connect timeout is shorter
            await arrived.wait()
            await settle()
            clock.fire(1)
            if fallback == "local":
                await again
            else:
                with pytest.raises(TransportError, match="connecting to Redis took longer than 1 s"):
                    await again


class TestFailover:
    @pytest.fixture
    def primary(self, tmp_path: Path) -> Iterator[RedisServer]:
        with running(tmp_path, "--repl-diskless-sync-delay", "0") as server:
            yield server

    @pytest.fixture
    def replica(self, tmp_path: Path) -> Iterator[RedisServer]:
        with running(tmp_path) as server:
            yield server

    @staticmethod
    async def demote(old: RedisServer, new: RedisServer) -> None:
        async with Redis(port=old.port) as admin:
            await command(admin, "REPLICAOF", "127.0.0.1", new.port)

    @pytest.mark.parametrize("is_our_client", [True, False])
    async def test_connection_to_a_demoted_primary_is_replaced_after_failover(
        self, primary: RedisServer, replica: RedisServer, is_our_client: Literal[True, False]
    ) -> None:
        async with Forwarder(primary.port) as name, AsyncExitStack() as opened:
            client = await opened.enter_async_context(Redis(port=name.port))
            await asyncio.gather(
                *(command(client, "PING") for _ in range(3))
            )  # three idle connections to the old primary
            limiter = await opened.enter_async_context(
                RedisRateLimiter(name.url if is_our_client else client, name="acme")
            )
            async with RedisLock(name.url if is_our_client else client, name="acme") as held:
                await take(limiter)
                name.target = replica.port
                await self.demote(primary, replica)
                await take(limiter)
                assert not held.lost.is_set()
            async with Redis(port=replica.port) as promoted:
                assert await promoted.zcard(PLACES) == 1

    async def test_lock_is_renewed_on_the_promoted_replica(self, primary: RedisServer, replica: RedisServer) -> None:
        await self.demote(replica, primary)
        async with Forwarder(primary.port) as name, Redis(port=replica.port) as promoted:
            clock = ManualClock()
            async with RedisLock(name.url, name="acme", lease_seconds=30, clock=clock) as held:
                key = "secoda-async:{acme}:lock"
                while not await promoted.exists(key):  # noqa: ASYNC110 - replication is asynchronous
                    await asyncio.sleep(0.001)
                await command(promoted, "REPLICAOF", "NO", "ONE")
                name.target = replica.port
                await self.demote(primary, replica)
                await promoted.pexpire(key, 20_000)
                for _ in range(16):
                    clock.fire(0.5)
                    await settle()
                await until_renewed(promoted, key)
                assert not held.lost.is_set()

    async def test_error_names_a_read_only_replica(self, primary: RedisServer, replica: RedisServer) -> None:
        await self.demote(replica, primary)
        async with RedisRateLimiter(replica.url, name="acme") as limiter:
            with pytest.raises(TransportError, match=r"a read-only replica \(ReadOnlyError: .*; unless a failover"):
                await limiter.acquire()
        with pytest.raises(TransportError, match="a read-only replica"):
            await RedisLock(replica.url, name="acme").__aenter__()


class TestClockSetBack:
    @staticmethod
    async def set_back(redis: Redis, seconds: float) -> None:
        """Change the stored times to what they are after the server's clock was set back."""
        for member in await command(redis, "ZRANGE", PLACES, 0, -1):
            await command(redis, "ZINCRBY", PLACES, seconds * 1e6, member)
        for part in ("opens", "spaced", "last"):
            stored = await redis.hget(GATE, part)  # pyright: ignore[reportGeneralTypeIssues]
            if stored is not None:
                await redis.hset(GATE, part, str(int(stored) + int(seconds * 1e6)))  # pyright: ignore[reportGeneralTypeIssues]

    async def test_permits_are_free_after_window_and_lease_if_server_clock_is_set_back(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share(RateLimit(2))
        await use(limiter)
        await take(share(RateLimit(2)))
        await self.set_back(redis, HOUR)
        first, second = await start_acquiring(clock, limiter.acquire(), limiter.acquire())
        assert limiter.state.next_free == approx(60)
        await clock.advance(61)
        assert (first.done(), second.done()) == (True, False)
        await clock.advance(LEASE)
        assert second.done()

    async def test_shorter_lease_of_another_process_does_not_shorten_a_permit(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        await take(share(RateLimit(1), lease_seconds=120))
        other = share(RateLimit(1), lease_seconds=1)
        for _ in range(3):
            await other.look()
        (member,) = await command(redis, "ZRANGE", PLACES, 0, 0)
        assert await redis.zscore(PLACES, member) == approx((1000 + 180) * 1e6)
        assert clock.now() == approx(1000)

    async def test_cooldown_is_not_prolonged_if_server_clock_is_set_back(
        self, share: Share, redis: WatchedRedis, clock: ManualClock
    ) -> None:
        limiter = share()
        await limiter.pause(200)  # longer than window and lease
        await clock.advance(0)
        await limiter.look()
        await use(share(name="other"))
        await self.set_back(redis, HOUR)
        assert (await limiter.look()).paused == approx(200)
        clock.jump(201)
        await use(limiter)
        await self.set_back(redis, HOUR)
        (task,) = await start_acquiring(clock, limiter.acquire())
        assert (await limiter.look()).paused <= 200
        await clock.advance(203)
        assert task.done()


REFUSALS: Final = {
    "MOVED 14133 127.0.0.1:7103": r"part of a Redis Cluster, which is not supported \(\w+Error: (MOVED )?14133 127",
    "ASK 14133 127.0.0.1:7103": r"part of a Redis Cluster, which is not supported \(\w+Error: (ASK )?14133",
    "CROSSSLOT Keys in request don't hash to the same slot": "part of a Redis Cluster",
    "ERR Script attempted to access a non local key in a cluster node script: f, on @user_script:1.": "a Redis Cluster",
    "NOPERM this user has no permissions to run the 'evalsha' command": r"lacks a permission \(NoPermissionError: ",
    "ERR The user executing the script can't run this command or subcommand script: f": "lacks a permission",
    "ERR unknown command 'EVALSHA'": "unknown command",
}


class TestRedisErrors:
    @pytest.mark.parametrize("error", REFUSALS)
    @pytest.mark.parametrize("fallback", ["raise", "local"])
    async def test_permanent_redis_error_is_a_configuration_error(
        self, error: str, fallback: Literal["raise", "local"]
    ) -> None:
        async with ScriptedRedis(error) as scripted:
            async with RedisRateLimiter(scripted.url, name="acme", on_unavailable=fallback) as limiter:
                for _ in range(2):
                    with pytest.raises(ConfigurationError, match=f"shared write limit 'acme': .*{REFUSALS[error]}"):
                        await limiter.acquire()
            assert scripted.commands == ["EVALSHA"]
            with pytest.raises(ConfigurationError, match=f"the lock of 'acme': .*{REFUSALS[error]}"):
                await RedisLock(scripted.url, name="acme").__aenter__()

    @pytest.mark.parametrize(
        "error", ["MASTERDOWN Link with MASTER is down", "TRYAGAIN Multiple keys request", "ERR x"]
    )
    async def test_transient_redis_error_is_a_transport_error_with_its_class(self, error: str) -> None:
        async with ScriptedRedis(error) as scripted, RedisRateLimiter(scripted.url, name="acme") as limiter:
            with pytest.raises(TransportError, match=r"(MasterDown|TryAgain|Response)Error: "):
                await limiter.acquire()
            assert scripted.commands == ["EVALSHA"] * (2 if error.startswith("MASTERDOWN") else 1)

    async def test_documented_acl_permissions_are_sufficient(self, server: RedisServer, redis: WatchedRedis) -> None:
        (line,) = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("ACL SETUSER secoda ")]
        password = "canary"
        await redis.script_flush()
        await redis.execute_command("ACL", "LOG", "RESET")
        await redis.execute_command(*line.replace("PASSWORD", password).split())
        try:
            url = server.url.replace("//", f"//secoda:{password}@")
            clock = ManualClock()
            lock = RedisLock(url, name="acme", lease_seconds=30, clock=clock)
            async with RedisRateLimiter(url, name="acme") as limiter, lock:
                await limiter.pause(0)
                await use(limiter)
                await RedisLock(url, name="acme").holder()
                key = "secoda-async:{acme}:lock"
                await redis.pexpire(key, 20_000)
                clock.fire(10)
                await until_renewed(redis, key)
            log: list[Any] = await redis.execute_command("ACL", "LOG")
            # RESP3 returns dictionaries, RESP2 flat lists.
            refused: list[dict[bytes, Any]] = [
                entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True)) for entry in log
            ]
            assert [entry for entry in refused if entry[b"object"] != b"client"] == []  # redis-py does not need it
            await redis.execute_command("ACL", "SETUSER", "secoda", "-zadd")
            async with RedisRateLimiter(url, name="acme", on_unavailable="local") as limiter:
                with pytest.raises(ConfigurationError, match=r"lacks a permission .*several-machines\.md"):
                    await limiter.acquire()
        finally:
            await redis.execute_command("ACL", "DELUSER", "secoda")
            await redis.execute_command("ACL", "LOG", "RESET")


DOCS: Final = Path(__file__).parents[3] / "docs" / "several-machines.md"


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("kind", [RedisLock, RedisRateLimiter])
def test_redis_password_is_in_no_attribute_and_no_pickle(kind: type[RedisLock | RedisRateLimiter]) -> None:
    thing = kind("redis://user:canary@127.0.0.1", name="acme")

    def shown(value: object, depth: int) -> str:
        inner = getattr(value, "__dict__", {}) if depth else {}
        arguments = (getattr(value, "func", None), getattr(value, "args", ()), getattr(value, "keywords", {}))
        return f"{value!r} {value!s} {arguments} " + " ".join(shown(one, depth - 1) for one in inner.values())

    assert "canary" not in shown(thing, 4)
    try:
        pickled = pickle.dumps(thing)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        pickled = str(error).encode()
    assert b"canary" not in pickled
