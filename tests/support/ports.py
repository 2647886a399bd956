"""A port of this machine for a server in another process."""

import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Generator[int, None, None]:
    """Find a free port, and reserve it until the end, also while the server does not run.

    The socket that reserves the port never listens. Linux lets a server with SO_REUSEADDR listen on that port, and
    does not give the port to a program that asks for any port; on other systems the port is only free at the start.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
        if sys.platform == "linux":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            held.close()
        yield port
