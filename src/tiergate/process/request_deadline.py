"""A total deadline for requests of `httpx.Client`, whose own timeouts limit single steps.

A server that sends a byte every second never times out by itself. Within `request_deadline`, all reads and writes of a
client with `enforce_deadlines` share the time that is left. Each transferred byte can extend the deadline, so that
large transfers have to be fast and not small. Coroutines use `asyncio.timeout` instead.
"""

from __future__ import annotations

import ssl  # noqa: TC003 - part of a signature of the library's
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import httpx


class _Deadline:
    """A time of the monotonic clock, in seconds; `rate`: transferred bytes that extend it by a second."""

    __slots__ = ("rate", "until")

    def __init__(self, until: float, rate: float | None) -> None:
        self.until, self.rate = until, rate

    def left(self, timeout: float | None, error: type[Exception]) -> float | None:
        """Return the seconds that a step may take."""
        rest = self.until - time.monotonic()
        if rest <= 0:
            raise error("the total deadline of the request has passed")
        return rest if timeout is None else min(timeout, rest)

    def extend(self, count: int) -> None:
        """Extend the deadline after a transfer of `count` bytes."""
        if self.rate is not None:
            self.until += count / self.rate


_now: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def request_deadline(seconds: float, rate: float | None = None) -> Iterator[None]:
    """Limit the time of all that clients with `enforce_deadlines` do in this thread.

    `rate`: bytes per second; each transferred byte extends the deadline accordingly.
    """
    token = _now.set(_Deadline(time.monotonic() + seconds, rate))
    try:
        yield
    finally:
        _now.reset(token)


def enforce_deadlines(client: httpx.Client) -> httpx.Client:
    """Make a client respect `request_deadline`, also through proxies.

    Raises:
        RuntimeError: the HTTP library has changed its internals.
    """
    transports = [client._transport, *client._mounts.values()]  # noqa: SLF001 - the library has no public way
    for transport in transports:
        if transport is None:
            continue
        pool: Any = getattr(transport, "_pool", None)
        if not isinstance(pool, httpcore.ConnectionPool) or not hasattr(pool, "_network_backend"):
            raise RuntimeError("the HTTP library has no network backend to wrap")
        pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - as above
    return client


class _Backend(httpcore.NetworkBackend):
    def __init__(self, own: httpcore.NetworkBackend) -> None:
        self._inner = own

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        rest = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, rest, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(path, _left(timeout, httpcore.ConnectTimeout), socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, own: httpcore.NetworkStream) -> None:
        self._inner = own

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        _extend(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))
        _extend(len(buffer))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the library's
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    deadline = _now.get()
    return timeout if deadline is None else deadline.left(timeout, error)


def _extend(count: int) -> None:
    deadline = _now.get()
    if deadline is not None:
        deadline.extend(count)
