"""Redis servers for the tests: a real one, a TCP forwarder before it, and a scripted one."""

import asyncio
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from tests.support import programs
from tests.support.ports import reserved_port

OPTIONS = ("--save", "", "--appendonly", "no", "--daemonize", "no", "--bind", "127.0.0.1")


@define
class RedisServer:
    """A server that can be stopped and restarted on the same port."""

    directory: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            programs.require("redis-server", "redis-server", "valkey-server"),
            "--port",
            str(self.port),
            "--dir",
            str(self.directory),
            *OPTIONS,
            *self.options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, "redis-server exited immediately"
                time.sleep(0.002)
            else:
                return

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @contextmanager
    def frozen(self) -> Generator[None, None, None]:
        """Freeze the process: it accepts connections and commands, and replies when the block has ended."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def running(directory: Path, *options: str) -> Generator[RedisServer, None, None]:
    with reserved_port() as port:
        server = RedisServer(directory, port, options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Forwarder:
    """A TCP forwarder on loopback, with a delay in each direction, a target that can change, and optional TLS.

    A new target does not affect open connections, like the failover of a DNS name or a virtual address.
    """

    def __init__(self, target: int, *, delay: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        self._delay = delay
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers.append(onward_writer)
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await asyncio.sleep(self._delay)
                sink.write(data)
        sink.close()


class ScriptedRedis:
    """A server that replies to every command with the same error."""

    def __init__(self, error: str) -> None:
        self.commands: list[str] = []
        self._error = error

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}?protocol=2"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                count = int((await reader.readuntil(b"\n"))[1:])
                words: list[bytes] = []
                for _ in range(count):
                    size = int((await reader.readuntil(b"\n"))[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                if words[0] == b"CLIENT":
                    writer.write(b"+OK\r\n")
                else:
                    self.commands.append(words[0].decode())
                    writer.write(f"-{self._error}\r\n".encode())
        writer.close()
