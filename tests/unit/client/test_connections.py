from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import pytest

from tests.certificates import certify
from tiergate.client.connections import Connections
from tiergate.errors import SettingsError, SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.client.conftest import Server


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    """Two requests, one after the other, go over one connection."""
    connections = Connections(server.url, 5)
    for _ in range(2):
        assert connections.request("GET", "/", None, {}).status == 200
    connections.close()
    assert (len(server.requests), server.connections) == (2, 1)


def test_a_kept_connection_that_the_other_side_closed_is_replaced(server: Server) -> None:
    """A request over a connection that died while it was idle is sent again over a new one."""
    server.closes = True
    connections = Connections(server.url, 5)
    for _ in range(3):
        assert connections.request("GET", "/", None, {}).status == 200
        server.closed.acquire(timeout=5)
    connections.close()
    assert (len(server.requests), server.connections) == (3, 3)


def test_requests_at_once_have_a_connection_each(server: Server) -> None:
    """Threads share a client without mixing up their answers."""
    server.body = b'{"answer": 1}'
    connections = Connections(server.url, 5)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(connections.request("GET", "/", None, {}).body)) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connections.close()
    assert found == [server.body] * 12


def test_a_unix_socket_is_asked_by_its_path(tmp_path: Path) -> None:
    """`unix:/path` is a sidecar's socket."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Seen: yes\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        connections = Connections(f"unix:{path}", 5)
        response = connections.request("GET", "/there", None, {})
        connections.close()
        thread.join()
    assert (response.status, response.body, response.headers["x-seen"]) == (200, b"{}", "yes")
    assert asked[0].startswith(b"GET /there HTTP/1.1\r\nHost: localhost\r\n")


def test_nobody_there_is_said_with_the_address() -> None:
    """A port on which nobody listens is an unreachable sidecar, not an `OSError`."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(SidecarUnreachableError, match="connection refused") as caught:
            Connections(url, 5).request("GET", "/", None, {})
    assert caught.value.url == url


def test_a_missing_socket_file_is_an_unreachable_sidecar(tmp_path: Path) -> None:
    """So is a Unix socket that does not exist."""
    with pytest.raises(SidecarUnreachableError, match="no such file"):
        Connections(f"unix:{tmp_path}/none", 5).request("GET", "/", None, {})


def test_an_answer_that_does_not_come_in_time_is_given_up() -> None:
    """A sidecar that accepts and says nothing costs no more than the timeout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        connections = Connections(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.05)
        with pytest.raises(SidecarUnreachableError, match="timed out"):
            connections.request("GET", "/", None, {})


def test_an_answer_that_is_no_http_is_an_unreachable_sidecar() -> None:
    """Whatever else listens there is not mistaken for a sidecar."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SidecarUnreachableError, match="is not HTTP"):
            Connections(f"http://127.0.0.1:{listener.getsockname()[1]}", 5).request("GET", "/", None, {})
        thread.join()


class Peer:
    """A peer that answers each connection with what a function sends, in a thread of its own."""

    def __init__(self, speak: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._speak = speak
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.received.append(connection.recv(65_536))
                self._speak(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def test_the_time_for_a_request_is_a_deadline() -> None:
    """A peer that sends a byte now and then, for ever, holds nobody up."""
    gone = threading.Event()

    def trickle(connection: socket.socket) -> None:
        for place in itertools.count():
            connection.sendall(OK[place % 16 : place % 16 + 1])
            if gone.wait(0.02):
                return

    with Peer(trickle) as peer:
        begun = time.monotonic()
        with pytest.raises(SidecarUnreachableError, match="timed out"):
            Connections(peer.url, 0.2).request("GET", "/", None, {})
        assert time.monotonic() - begun < 2
        gone.set()


def test_a_request_is_sent_at_once() -> None:
    """Head and body in one piece."""
    with Peer(lambda connection: connection.sendall(OK)) as peer:
        connections = Connections(peer.url, 5)
        connections.request("POST", "/v1/check", b'{"subject":"acme"}', {"accept": "application/json"})
        connections.close()
    (received,) = peer.received
    assert received.endswith(b'content-length: 18\r\n\r\n{"subject":"acme"}')


@pytest.mark.parametrize(
    "sent",
    [
        OK + OK,
        OK + b"x",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    ],
)
def test_an_answer_is_what_was_asked_for_and_no_more(sent: bytes) -> None:
    """What else comes on a connection is never taken for the answer to the next request."""
    with Peer(lambda connection: connection.sendall(sent)) as peer:
        connections = Connections(peer.url, 5)
        assert [connections.request("GET", "/", None, {})[::2] for _ in range(2)] == [(200, b"{}")] * 2
        connections.close()
    assert len(peer.received) == 2


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_half_an_answer_is_none(sent: bytes) -> None:
    """Whatever breaks off is an unreachable sidecar."""
    with Peer(lambda connection: connection.sendall(sent)) as peer, pytest.raises(SidecarUnreachableError):
        Connections(peer.url, 5).request("GET", "/", None, {})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8437",
        "http://",
        "http://localhost:port",
        "http://localhost/v1",
        "ftp://a",
    ],
)
def test_an_address_of_another_form_is_refused_at_once(url: str) -> None:
    """A URL is `http://host:port` or `unix:/path`; anything else is a mistake of the caller."""
    with pytest.raises(SettingsError, match="must be `http://host:port`, `https://host:port`"):
        Connections(url, 1)


@contextlib.contextmanager
def speaking_tls(server: Server, folder: Path) -> Iterator[Path]:
    """Serve over TLS behind the server's own port; give the certificate."""
    certificate, key = certify(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    behind = ThreadingHTTPServer(("127.0.0.1", 0), server.handler())
    behind.socket = context.wrap_socket(behind.socket, server_side=True)
    thread = threading.Thread(target=behind.serve_forever, daemon=True)
    thread.start()
    server.url = f"https://localhost:{behind.server_address[1]}"
    try:
        yield certificate
    finally:
        behind.shutdown()
        behind.server_close()


def test_a_proxy_that_ends_tls_is_asked_over_kept_connections(server: Server, tmp_path: Path) -> None:
    """Session tickets, which TLS sends when it likes, are no answers and end no connection."""
    with speaking_tls(server, tmp_path) as certificate:
        connections = Connections(server.url, 5, str(certificate))
        before = server.connections
        for _ in range(3):
            assert connections.request("POST", "/v1/check", b"{}", {}).body == b"{}"
        assert server.connections == before + 1
        server.closes = True
        connections.request("GET", "/", None, {})
        server.closed.acquire()
        server.closes = False
        assert connections.request("GET", "/", None, {}).status == 200
        assert server.connections == before + 2
        connections.close()


def test_a_certificate_that_nobody_vouches_for_is_no_answer(server: Server, tmp_path: Path) -> None:
    """And one that cannot be read is a mistake at once, as is one for a URL without TLS."""
    with (
        speaking_tls(server, tmp_path),
        pytest.raises(SidecarUnreachableError, match="the certificate is not valid: self-signed"),
    ):
        Connections(server.url, 5).request("GET", "/", None, {})
    for url in ("https://localhost", "http://localhost"):
        with pytest.raises(SettingsError) as refused:
            Connections(url, 5, str(tmp_path / "none.pem"))
        assert refused.value.setting == "ca_file"


def test_a_handshake_that_does_not_come_is_given_up() -> None:
    """It counts to the time of the request."""

    def wait(connection: socket.socket) -> None:
        connection.recv(1)

    with Peer(wait) as peer:
        url = peer.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
        with pytest.raises(SidecarUnreachableError, match="timed out"):
            Connections(url, 0.2).request("GET", "/", None, {})
