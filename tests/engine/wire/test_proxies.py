"""Proxies of the environment, and certificates: what is used, what it sees, and what is said of a refusal."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from secoda_async import ConfigurationError, RetryPolicy, SecodaClient, SecodaError, TransportError
from secoda_async._engine.wire.proxies import environment_proxy
from secoda_async.clock import SYSTEM_CLOCK
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.raw_server import (
    assert_only_sdk_errors,
    respond_once,
    respond_with_group,
    serve_with,
)
from tests.support.waiting import drain_loop


def through(tls_port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    """A proxy whose every tunnel ends at one port of this machine; it checks the password."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"CONNECT secoda.test:443 HTTP/1.1")
        assert b"Proxy-Authorization: Basic dXNlcjpwQHNz" in head
        there, back = await asyncio.open_connection("127.0.0.1", tls_port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    return serve


class TestProxy:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    @pytest.mark.requirement("SL-5", "SEC-1")
    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    @pytest.mark.parametrize("scheme", ["http://", ""])
    async def test_the_environments_proxy_is_used_if_asked_to_and_sees_no_key(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
    ) -> None:
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("secoda.test").configure_cert(tls)  # pyright: ignore[reportUnknownMemberType]
        trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        async with (
            serve_with(respond_with_group, tls) as origin,
            serve_with(through(int(origin.rpartition(":")[2]))) as proxy,
        ):
            monkeypatch.setenv(variable, f"{scheme}user:p%40ss@{proxy.removeprefix('http://')}")
            async with SecodaClient("key", base_url="https://secoda.test", trust_env=True, ssl=trusting) as secoda:
                assert (await secoda.groups.get("g")).name == "G"
                assert (await secoda.groups.create(name="G")).name == "G"
                await drain_loop()

    @pytest.mark.requirement("SL-5", "SEC-1")
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    async def test_this_machine_is_never_reached_through_a_proxy(
        self, emulator: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        for scheme in ("http", "https", "all"):
            monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
        base_url = emulator.url.replace("127.0.0.1", host)
        # The machine's clock: names are looked up in a thread, which an AutojumpClock does not see.
        await connect(base_url=base_url, trust_env=True, clock=SYSTEM_CLOCK).groups.snapshot()
        assert len(emulator.requests) == 6  # a snapshot reads the three pages twice
        assert environment_proxy("http://[::1]:9") is None

    @pytest.mark.requirement("SL-5")
    @pytest.mark.parametrize(
        ("origin", "no_proxy", "is_used"),
        [
            ("https://secoda.acme.corp", "", True),
            ("https://secoda.acme.corp", "secoda.acme.corp", False),
            ("https://secoda.acme.corp", "acme.corp", False),
            ("https://secoda.acme.corp", "x.org, .Acme.Corp", False),
            ("https://secoda.acme.corp", "x.org, *.Acme.Corp", False),
            ("https://secoda.acme.corp", "*.org, cme.corp, 10.0.0.0/8", True),
            ("https://secoda.acme.corp", "*", False),
            ("https://10.1.2.3", "10.0.0.0/8", False),
            ("https://10.1.2.3:8443", "x.org,10.1.2.3/24", False),
            ("https://10.1.2.3", "192.168.0.0/16, fd00::/8", True),
            ("https://[fd00::1]", "[fd00::]/8, fd00::/16", False),
            ("https://[fd00::1]", "fd00::1", False),
        ],
    )
    def test_no_proxy_excludes_names_suffixes_and_networks(
        self, monkeypatch: pytest.MonkeyPatch, origin: str, no_proxy: str, *, is_used: bool
    ) -> None:
        monkeypatch.setenv("https_proxy", "http://proxy:3128")
        monkeypatch.setenv("no_proxy", no_proxy)
        assert environment_proxy(origin) == ("http://proxy:3128" if is_used else None)

    @pytest.mark.requirement("SL-5", "ER-1")
    @pytest.mark.parametrize(
        ("status", "kind", "words"),
        [
            (407, ConfigurationError, "the proxy responded with 407: it requires a user and password in HTTPS_PROXY"),
            (403, ConfigurationError, "the proxy responded with 403: it does not allow"),
            (502, TransportError, "the proxy could not connect: it responded with 502"),
        ],
    )
    async def test_a_proxy_that_refuses_a_tunnel_is_named_and_sees_no_key(
        self, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[SecodaError], words: str
    ) -> None:
        async with respond_once(b"HTTP/1.1 %d Secret key-9\r\n\r\n" % status) as (port, heard):
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            retry = RetryPolicy(attempts=2, initial=0)
            async with SecodaClient("key-9", region="eu", trust_env=True, retry=retry) as secoda:
                with pytest.raises(kind, match=words) as caught:
                    await secoda.groups.create(name="G")
                assert secoda.limiter.state.free == 30
        assert_only_sdk_errors(caught.value)
        assert "key-9" not in str(caught.value)
        assert getattr(caught.value, "maybe_sent", False) is False
        assert len(heard) == (2 if status == 502 else 1)
        assert heard[0].startswith(b"CONNECT eapi.secoda.co:443")
        assert b"key-9" not in b"".join(heard)

    @pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
    async def test_proxy_that_closes_the_connection_is_asked_once_for_each_attempt(
        self, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        async with respond_once(b"") as (port, heard):
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            async with SecodaClient("key", region="eu", trust_env=True, retry=RetryPolicy(attempts=1)) as secoda:
                with pytest.raises(TransportError, match="closed the connection without a response") as caught:
                    await secoda.request(method, "auth/group")
        assert len(heard) == 1
        assert caught.value.maybe_sent is False

    @pytest.mark.parametrize("proxy", ["socks5://p:1", "http://", "http://u:pw@h:99999", "http://[::1", "http://:80"])
    def test_a_proxy_that_cannot_be_used_is_told_of_at_once(self, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(ConfigurationError, match="proxy for https") as caught:
            SecodaClient("key", trust_env=True)
        assert_only_sdk_errors(caught.value)
        assert "pw" not in str(caught.value)


@pytest.mark.requirement("ER-1")
@pytest.mark.parametrize(
    ("identity", "ends", "is_trusted", "reason"),
    [
        ("127.0.0.1", timedelta(days=1), False, "unable to get local issuer certificate|self-signed certificate"),
        ("127.0.0.1", timedelta(days=-1), True, "certificate has expired"),
        ("127.0.0.2", timedelta(days=1), True, "IP address mismatch"),
    ],
)
async def test_a_refused_certificate_comes_with_the_reason(
    connect: Connect, identity: str, ends: timedelta, reason: str, *, is_trusted: bool
) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = datetime.now(UTC)
    certificate = authority.issue_cert(identity, not_before=now - timedelta(days=9), not_after=now + ends)
    certificate.configure_cert(tls)  # pyright: ignore[reportUnknownMemberType]
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode()) if is_trusted else None
    async with serve_with(respond_with_group, tls) as origin:
        with pytest.raises(TransportError, match=f"certificate of .* is not trusted: .*({reason})") as caught:
            await connect(base_url=origin, ssl=trusting, retry=RetryPolicy(attempts=1)).groups.get("g")
        assert_only_sdk_errors(caught.value)
