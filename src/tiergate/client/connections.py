"""Connections to a sidecar over TCP or a Unix socket, kept alive and reused. Safe to use from several threads.

Rules:

- **A deadline, not a time-out for each step.** The time for a request is counted from its beginning, whatever it waits
  for: connecting, sending, each byte of the answer, and a second attempt. Only a name server takes its own time.
- **After a fork nothing is shared.** A connection belongs to the process that made it. A child drops the connections
  of its parent without a word to the other side, because two processes that read from one socket get each other's
  answers.
- **One answer for one request.** A connection with bytes on it that nobody asked for is closed, never read.
- A request is sent at once, head and body together.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import httptools

from tiergate.errors import SettingsError, SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SCHEME: Final = "unix:"
_KEPT: Final = 8
_PIECE: Final = 64 * 1024
_MAX_BODY: Final = 64 * 2**20
_FIRST_FINAL: Final = 200


class _Forks:
    """How often this process is the child of a fork: tells it from its parent, whatever their process ids."""

    count = 0

    @classmethod
    def happened(cls) -> None:
        cls.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Forks.happened)


class Response(NamedTuple):
    """A whole answer; the names of the headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _LateError(Exception):
    """The time is over."""


class _UnansweredError(Exception):
    """The other side has closed the connection before it answered with a single byte."""


class _Reading:
    """What the parser has read of one answer."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.status = 0
        self.begun = 0
        self.reusable = False

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            httptools.HttpParserError, httptools.HttpParserUpgrade: there is no answer in it.
        """
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.status:
                raise
            self.reusable = False  # what follows the answer is none

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.size += len(body)
        if self.size <= _MAX_BODY and not self.status:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status < _FIRST_FINAL:  # an interim answer: the final one follows
            self.headers.clear()
            self.begun -= 1
        elif not self.status:
            self.status = status
            self.reusable = self.parser.should_keep_alive()


class _Connection:
    """One connection, and the process that it belongs to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._forks = _Forks.count
        self._process = os.getpid()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def is_ours(self) -> bool:
        """Whether this process made it."""
        return self._forks == _Forks.count and self._process == os.getpid()

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer: neither an end nor bytes that nobody asked for."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close it, for this process."""
        self._sock.close()

    def ask(self, request: bytes, deadline: float) -> tuple[Response, bool]:
        """Send a request and read the answer to its end; say whether the connection can be used again.

        Raises:
            OSError, httptools.HttpParserError, httptools.HttpParserUpgrade: it cannot be sent, or the answer is none.
            _LateError: not until `deadline`.
            _UnansweredError: the connection was closed before an answer began.
        """
        self._sock.settimeout(_left(deadline))
        self._sock.sendall(request)  # with one time-out for the whole
        reading = _Reading()
        received = False
        while not reading.status:
            self._sock.settimeout(_left(deadline))
            data = self._sock.recv(_PIECE)
            if not data:
                if received:
                    raise ConnectionError("the connection broke off")
                raise _UnansweredError
            received = True
            reading.feed(data)
            if reading.size > _MAX_BODY:
                raise ConnectionError("the answer is too large")
        response = Response(reading.status, reading.headers, b"".join(reading.parts))
        return response, reading.reusable and reading.begun == 1  # a second answer was not asked for


_FAILURES = (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade, _LateError, _UnansweredError)


class Connections:
    """Sends requests to one address. Up to eight idle connections are kept."""

    def __init__(self, url: str, timeout: float) -> None:
        """Prepare to connect; nothing is sent yet. `timeout`: seconds for a request, from its beginning to its end.

        Raises:
            SettingsError: `url` is neither `http://host:port` nor `unix:/path`.
        """
        self.url = url
        self._timeout = timeout
        self._idle: deque[_Connection] = deque()
        self._path = url.removeprefix(_SCHEME) if url.startswith(_SCHEME) else ""
        self._host, self._port = ("", 0) if self._path else _address(url)
        self._named = "localhost" if self._path else _authority(self._host, self._port)

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        """Send a request and read the answer to its end.

        A kept connection may have been closed by the other side meanwhile: then another one is tried, in the same time.

        Raises:
            SidecarUnreachableError: nobody answers, or not in time.
        """
        deadline = time.monotonic() + self._timeout
        request = b"".join(_written(method, target, self._named, headers, body))
        while True:
            kept = self._take()
            connection = kept
            try:
                connection = connection or self._connect(deadline)
                response, reusable = connection.ask(request, deadline)
            except _FAILURES as error:
                if connection is not None:
                    connection.close()
                if kept is not None and isinstance(error, ConnectionError | _UnansweredError):
                    continue
                raise SidecarUnreachableError(self.url, _detail(error)) from None
            except BaseException:
                if connection is not None:
                    connection.close()  # an answer may still come: nobody else may read it
                raise
            if reusable:
                self._keep(connection)
            else:
                connection.close()
            return response

    def close(self) -> None:
        """Close the kept connections."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _take(self) -> _Connection | None:
        """A kept connection of this process on which nothing has come."""
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
        """Connect to the first of the host's addresses that answers.

        Raises:
            OSError: to none of them.
            _LateError: not until `deadline`.
        """
        if self._path:
            return _connected(socket.AF_UNIX, self._path, deadline)
        failure: OSError | None = None
        for family, _, _, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            try:
                return _connected(family, address, deadline)
            except OSError as error:
                failure = failure or error
        raise failure or OSError("the host has no address")


def _connected(family: int, address: object, deadline: float) -> _Connection:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(address)  # type: ignore[arg-type] # as `getaddrinfo` says it, or a path
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(sock)
    except BaseException:
        sock.close()
        raise


def _left(deadline: float) -> float:
    """How many seconds are left.

    Raises:
        _LateError: none.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise _LateError
    return left


def _written(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> Iterator[bytes]:
    yield f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n".encode("ascii")
    for name, value in headers.items():
        yield f"{name}: {value}\r\n".encode("ascii")
    if body is None:
        yield b"\r\n"
    else:
        yield b"content-length: %d\r\n\r\n" % len(body)
        yield body


def _address(url: str) -> tuple[str, int]:
    rule = "must be `http://host:port` or `unix:/path/of/the/socket`"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("url", f"`{url}` {rule}") from None
    is_host = bool(parts.hostname) and (parts.hostname or "").isascii()
    if parts.scheme != "http" or not is_host or parts.path not in {"", "/"} or parts.query or parts.username:
        raise SettingsError("url", f"`{url}` {rule}")
    return parts.hostname or "", 80 if port is None else port


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _detail(error: Exception) -> str:
    match error:
        case _LateError() | TimeoutError():
            return "it took too long"
        case _UnansweredError():
            return "the connection broke off"
        case OSError() if error.strerror:
            return error.strerror[:1].lower() + error.strerror[1:]
        case OSError():
            return str(error)
        case _:
            return "the answer is no HTTP"
