"""A receiver of webhooks on a real socket: it remembers what came, and answers as it is told."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


class Received(NamedTuple):
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Where it listens, what arrived, and the answers to give: each once and in turn, then 204."""

    def __init__(self) -> None:
        self.port = 0
        self.received: queue.Queue[Received] = queue.Queue()
        self.answers: queue.Queue[tuple[int, dict[str, str]]] = queue.Queue()
        self.holding: threading.Event | None = None
        """While set to an event, answers wait for it."""

    def answer(self, *statuses: int, **headers: str) -> None:
        """Give these answers next."""
        for status in statuses:
            self.answers.put((status, {name.replace("_", "-"): value for name, value in headers.items()}))

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """A URL of it, by one of its names."""
        return f"{scheme}://{host}:{self.port}{path}"

    def take(self) -> Received:
        """Wait for the next request."""
        return self.received.get(timeout=30)

    @property
    def count(self) -> int:
        """How many requests have arrived and were not taken."""
        return self.received.qsize()

    @classmethod
    @contextmanager
    def listening(cls, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
        """Listen on a free port of this machine."""
        receiver = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.put(Received(self.path, headers, body))
                if receiver.holding is not None:
                    receiver.holding.wait(30)
                status, extra = receiver.answers.get() if receiver.answers.qsize() else (204, {})
                self.send_response(status)
                for name, value in {"content-length": "0", **extra}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # whoever comes while all are busy waits

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a sender that hangs up is part of what is tested

        with Server(("127.0.0.1", 0), Handler) as server:
            if tls is not None:
                server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            receiver.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield receiver
            finally:
                if receiver.holding is not None:
                    receiver.holding.set()
                server.shutdown()
                thread.join()
