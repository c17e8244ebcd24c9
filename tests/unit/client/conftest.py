"""A real HTTP server that gives the answers which a test writes down."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    """Answers every request with `status` and `body`, and keeps what was asked.

    `closes`: it closes each connection after an answer without saying so before.
    """

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.headers: dict[str, str] = {}
        self.closes = False
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)
        self.url = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Make the class that serves connections for this server."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def finish(self) -> None:
                super().finish()
                self.connection.close()
                server.closed.release()

            def answer(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append((self.command, self.path, headers, self.rfile.read(size)))
                self.send_response(server.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(server.body)))
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.body)
                self.close_connection = server.closes

            do_GET = answer  # noqa: N815 - the library finds it by this name
            do_POST = answer  # noqa: N815 - and this one

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Listen on a port of its own while the block lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), server.handler()) as listener:
        listener.daemon_threads = True
        server.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a listening server."""
    with running(Server()) as listening:
        yield listening
