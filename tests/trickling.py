"""A server that sends a byte now and then and never ends: silent for nobody's timeout, and of no use to anybody."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"


@contextmanager
def trickling(
    *, in_head: bool = False, every: float = 0.02, certificate: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """The port of one. `in_head`: it never comes to the body; `every`: seconds between two bytes."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(10)
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*certificate)
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.recv(65536)
                if in_head:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
                else:
                    connection.sendall(HEAD)
                while not over.wait(every):
                    connection.sendall(b" ")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
