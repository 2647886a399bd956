"""A real Redis of the tests' own."""

import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field
from installed import found

WITHOUT_TRACE = ("--save", "", "--appendonly", "no", "--daemonize", "no", "--bind", "127.0.0.1")


@define
class RedisServer:
    """One that can be stopped and started again, on the same port."""

    directory: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            found("redis-server", "redis-server", "valkey-server"),
            "--port",
            str(self.port),
            "--dir",
            str(self.directory),
            *WITHOUT_TRACE,
            *self.options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, "redis-server ended at once"
                time.sleep(0.002)
            else:
                return

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def running(directory: Path, *options: str) -> Generator[RedisServer, None, None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = RedisServer(directory, port, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
