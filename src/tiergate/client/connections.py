"""Connections to a sidecar over TCP, TLS or a Unix socket, kept alive and reused. Safe to use from several threads.

Rules:

- **A deadline, not a time-out for each step.** The time of a request runs from its beginning: connecting, sending, each
  byte of the response, and a second attempt. Only name resolution is not limited.
- **Nothing is shared after a fork.** A connection belongs to the process that opened it. A child closes the connections
  of its parent without sending anything, because two processes that read one socket get each other's responses.
- **One response for one request.** A connection with unexpected bytes is closed, never read.
- A request is sent at once, head and body together.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from tiergate.client.addresses import Address, Forks, failure_detail, request_bytes
from tiergate.client.http_response import Response, ResponseError, ResponseReader
from tiergate.errors import SidecarUnreachableError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_KEPT: Final = 8
_PIECE: Final = 64 * 1024


class _LateError(TimeoutError):
    """The deadline has passed."""


class _UnansweredError(ConnectionError):
    """The other side closed the connection before the first byte of a response."""

    def __init__(self) -> None:
        super().__init__("the connection was closed")


class _Connection:
    """A connection and the process that owns it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._forks = Forks.count
        self._process = os.getpid()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def is_ours(self) -> bool:
        return self._forks == Forks.count and self._process == os.getpid()

    def is_quiet(self) -> bool:
        """Return whether nothing arrived since the last response: neither an end nor unexpected bytes."""
        return not self._poll.poll(0)

    def close(self) -> None:
        self._sock.close()

    def ask(self, request: bytes, deadline: float) -> tuple[Response, bool]:
        """Send a request and read the whole response; return it and whether the connection can be reused.

        Raises:
            OSError, ResponseError: it cannot be sent or answered.
            _LateError: `deadline` passes.
            _UnansweredError: the connection is closed before a response begins.
        """
        self._sock.settimeout(_left(deadline))
        self._sock.sendall(request)  # with one time-out for the whole
        reader = ResponseReader()
        while reader.response is None:
            self._sock.settimeout(_left(deadline))
            data = self._sock.recv(_PIECE)
            if data:
                reader.feed(data)
            elif reader.begun:
                reader.end()
            else:
                raise _UnansweredError
        return reader.response, reader.reusable


class _TlsConnection(_Connection):
    """A connection with TLS. The other side may send parts of TLS at any time, which are no response."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self._tls = sock

    def is_quiet(self) -> bool:
        import ssl  # noqa: PLC0415 - it takes long to import, and most clients need none

        if super().is_quiet() and not self._tls.pending():
            return True
        self._tls.settimeout(0)
        try:
            self._tls.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False

    def ask(self, request: bytes, deadline: float) -> tuple[Response, bool]:
        import ssl  # noqa: PLC0415 - as above

        try:
            return super().ask(request, deadline)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ConnectionError("the connection was closed") from None


_FAILURES = (OSError, ResponseError)


class Connections:
    """Sends requests to one address. Keeps up to eight idle connections."""

    def __init__(self, url: str, timeout: float, ca_file: str | None = None) -> None:
        """Prepare to connect; nothing is sent yet. `timeout`: seconds for a whole request.

        `ca_file`: the certificates, in PEM, that verify an `https://` server, instead of the system's. Raises
        `SettingsError` if `url` is neither `http(s)://host:port` nor `unix:/path`, or the certificates cannot be used.
        """
        self.url = url
        self._timeout = timeout
        self._address = Address.of(url, ca_file)
        self._idle: deque[_Connection] = deque()

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        """Send a request and read the whole response.

        If the other side has closed an idle connection, another one is tried before the same deadline. Raises
        `SidecarUnreachableError` if there is no response in time.
        """
        deadline = time.monotonic() + self._timeout
        request = request_bytes(method, target, self._address.authority, headers, body)
        while True:
            kept = self._take()
            connection = kept
            try:
                connection = connection or self._connect(deadline)
                response, reusable = connection.ask(request, deadline)
            except _FAILURES as error:
                if connection is not None:
                    connection.close()
                if kept is not None and isinstance(error, ConnectionError):
                    continue
                raise SidecarUnreachableError(self.url, failure_detail(error)) from None
            except BaseException:
                if connection is not None:
                    connection.close()  # a response may still arrive: no other request may read it
                raise
            if reusable:
                self._keep(connection)
            else:
                connection.close()
            return response

    def close(self) -> None:
        """Close the idle connections."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _take(self) -> _Connection | None:
        """Return an idle connection of this process without unexpected bytes."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_ours() and connection.is_quiet():
                return connection
            connection.close()

    def _keep(self, connection: _Connection) -> None:
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self, deadline: float) -> _Connection:
        """Connect to the first address of the host that accepts."""
        path, host, port, tls, _ = self._address
        if path:
            return _connected(socket.AF_UNIX, path, deadline)
        failure: OSError | None = None
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return _connected(family, address, deadline, tls, host)
            except OSError as error:
                failure = failure or error
        raise failure or OSError("the host has no address")


def _connected(
    family: int, address: object, deadline: float, tls: ssl.SSLContext | None = None, host: str = ""
) -> _Connection:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(address)  # type: ignore[arg-type] # as `getaddrinfo` says it, or a path
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return _Connection(sock)
        sock.settimeout(_left(deadline))
        sock = wrapped = tls.wrap_socket(sock, server_hostname=host)
        return _TlsConnection(wrapped)
    except BaseException:
        sock.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _LateError
    return left
