"""Connections to a sidecar over TCP or a Unix socket, kept alive and reused. Safe to use from several threads."""

from __future__ import annotations

import http.client
import socket
from collections import deque
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tiergate.errors import SettingsError, SidecarUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Connections", "Response"]

_SCHEME = "unix:"
_KEPT = 8


class Response(NamedTuple):
    """A whole answer; the names of the headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Connections:
    """Sends requests to one address. Up to eight idle connections are kept."""

    def __init__(self, url: str, timeout: float) -> None:
        """Prepare to connect; nothing is sent yet.

        Raises:
            SettingsError: `url` is neither `http://host:port` nor `unix:/path`.
        """
        self.url = url
        self._timeout = timeout
        self._idle: deque[http.client.HTTPConnection] = deque(maxlen=_KEPT)
        self._path = url.removeprefix(_SCHEME) if url.startswith(_SCHEME) else ""
        self._host, self._port = ("", 0) if self._path else _address(url)

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        """Send a request and read the answer to its end.

        A kept connection may have been closed by the other side meanwhile: then, once, a new one is tried.

        Raises:
            SidecarUnreachableError: nobody answers, or not in time.
        """
        while True:
            kept = self._take()
            connection = kept or self._connection()
            try:
                connection.request(method, target, body, dict(headers))
                answer = connection.getresponse()
                content = answer.read()
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if kept is not None and isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                    continue
                raise SidecarUnreachableError(self.url, _detail(error)) from None
            if answer.will_close:
                connection.close()
            else:
                self._keep(connection)
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def close(self) -> None:
        """Close the kept connections."""
        while (connection := self._take()) is not None:
            connection.close()

    def _take(self) -> http.client.HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        if len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._path:
            return _UnixConnection(self._path, self._timeout)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)


def _address(url: str) -> tuple[str, int]:
    rule = "must be `http://host:port` or `unix:/path/of/the/socket`"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("url", f"`{url}` {rule}") from None
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.username:
        raise SettingsError("url", f"`{url}` {rule}")
    return parts.hostname, 80 if port is None else port


def _detail(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return "the connection broke off" if isinstance(error, http.client.HTTPException) else str(error)
