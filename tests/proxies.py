"""An HTTP proxy for tests: it notes where a client wants to go, and refuses."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def recording_proxy() -> Iterator[tuple[str, list[str]]]:
    """Give the URL of a proxy, and the first lines of the requests that it gets."""
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        lines.append(connection.recv(65536).split(b"\r\n")[0].decode())
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", lines
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)
