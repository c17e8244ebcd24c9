from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tiergate.client.connections import Connections
from tiergate.errors import SettingsError, SidecarUnreachableError

if TYPE_CHECKING:
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
        with pytest.raises(SidecarUnreachableError, match="too long"):
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
        with pytest.raises(SidecarUnreachableError, match="broke off"):
            Connections(f"http://127.0.0.1:{listener.getsockname()[1]}", 5).request("GET", "/", None, {})
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8437",
        "https://localhost:8437",
        "http://",
        "http://localhost:port",
        "http://localhost/v1",
        "ftp://a",
    ],
)
def test_an_address_of_another_form_is_refused_at_once(url: str) -> None:
    """A URL is `http://host:port` or `unix:/path`; anything else is a mistake of the caller."""
    with pytest.raises(SettingsError, match="must be `http://host:port`"):
        Connections(url, 1)
