"""A total deadline for requests of `httpx.Client`, which by itself bounds each step alone.

A peer that sends a byte each second is never silent for long, and would hold who asks for as long as it likes. Within
`within` everything that a bounded client reads or writes has the time that is left, however many steps it takes. Who
transfers much is given more time for each byte, so that it is a rate that is asked for, and not a size.

For coroutines `asyncio.timeout` does the same, and nothing of this is needed.
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
    """When it must be over, in seconds of a clock that only goes forward; and bytes per second that put it off."""

    __slots__ = ("rate", "until")

    def __init__(self, until: float, rate: float | None) -> None:
        self.until, self.rate = until, rate

    def left(self, timeout: float | None, error: type[Exception]) -> float | None:
        """The seconds that a step may take."""
        rest = self.until - time.monotonic()
        if rest <= 0:
            raise error("the time for the whole is over")
        return rest if timeout is None else min(timeout, rest)

    def moved(self, count: int) -> None:
        """Take note of bytes that were transferred."""
        if self.rate is not None:
            self.until += count / self.rate


_now: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float, rate: float | None = None) -> Iterator[None]:
    """Have everything that a bounded client does in this thread end within so many seconds.

    `rate`: bytes per second; each that is transferred puts the end off by as much.
    """
    token = _now.set(_Deadline(time.monotonic() + seconds, rate))
    try:
        yield
    finally:
        _now.reset(token)


def bounded(client: httpx.Client) -> httpx.Client:
    """Have a client keep to the deadlines of `within`, on its way through proxies too.

    Raises:
        RuntimeError: the library is of another version, where this has no place; a test would show it.
    """
    transports = [client._transport, *client._mounts.values()]  # noqa: SLF001 - there is no other way in
    for transport in transports:
        if transport is None:
            continue
        pool: Any = getattr(transport, "_pool", None)
        if not isinstance(pool, httpcore.ConnectionPool) or not hasattr(pool, "_network_backend"):
            raise RuntimeError("the HTTP library has no network backend to bound")
        pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001 - as above
    return client


class _Backend(httpcore.NetworkBackend):
    def __init__(self, own: httpcore.NetworkBackend) -> None:
        self._own = own

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        rest = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._own.connect_tcp(host, port, rest, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._own.connect_unix_socket(path, _left(timeout, httpcore.ConnectTimeout), socket_options))

    def sleep(self, seconds: float) -> None:
        self._own.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, own: httpcore.NetworkStream) -> None:
        self._own = own

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        found = self._own.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        _moved(len(found))
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._own.write(buffer, _left(timeout, httpcore.WriteTimeout))
        _moved(len(buffer))

    def close(self) -> None:
        self._own.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._own.start_tls(ssl_context, server_hostname, _left(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - the library's
        return self._own.get_extra_info(info)


def _left(timeout: float | None, error: type[Exception]) -> float | None:
    deadline = _now.get()
    return timeout if deadline is None else deadline.left(timeout, error)


def _moved(count: int) -> None:
    deadline = _now.get()
    if deadline is not None:
        deadline.moved(count)
