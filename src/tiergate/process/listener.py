"""Serve an application on bound sockets: a uvicorn server whose shutdown loses no request.

At the shutdown, a filter on the listening TCP socket first drops new connection attempts, and connections that were
made are accepted, so that closing the socket resets none; a Unix socket is removed from its path. Then every connection
is shut down (`shutdown` of the protocol), and the last requests finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp


_LAST_ACCEPTS: Final = 0.02
"""Seconds in which connections that were made are still accepted."""

_POLL: Final = 0.01
_DATE_EVERY: Final = 1.0

_SO_ATTACH_FILTER: Final = 26
# A classic BPF program over the TCP header: drop segments that ask for a connection (SYN without ACK), pass the rest.
_DROP_SYN: Final = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # pass
)

_log = structlog.get_logger(__name__)


class Listener(uvicorn.Server):
    """Serves an application until `end`. `listening` is set once connections are accepted."""

    def __init__(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        *,
        protocol: type[asyncio.Protocol] | None = None,
        keep_alive: float = 75.0,
        shutdown_timeout: float = 10.0,
        leave: Callable[[], None] = lambda: None,
        certificate: tuple[Path, Path] | None = None,
        each_second: Callable[[], object] = lambda: None,
    ) -> None:
        """Do not serve yet. Durations in seconds.

        `leave` is called when the shutdown starts, `each_second` about every second before it. `certificate`: the files
        of a certificate chain and of its key, both in PEM, to serve HTTPS.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol or "httptools",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=keep_alive,  # type: ignore[arg-type] # seconds for `call_later`
                backlog=2048,
                ssl_certfile=None if certificate is None else str(certificate[0]),
                ssl_keyfile=None if certificate is None else str(certificate[1]),
            )
        )
        self._sockets = list(sockets)
        self.listening = asyncio.Event()
        self._end = asyncio.Event()
        self._shut: set[object] = set()
        self._shutdown_timeout = shutdown_timeout
        self._leave = leave
        self._each_second = each_second

    async def run_until_end(self) -> None:
        """Serve until `end` is called and the last response is sent, or the shutdown timeout has passed."""
        await self.serve(self._sockets)

    def end(self) -> None:
        """Start the shutdown."""
        self.should_exit = True
        self._end.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not handle signals."""
        yield

    def renew_certificate(self) -> None:
        """Read the files of the certificate again, for new connections.

        Raises:
            OSError: they cannot be read, or do not fit together (`ssl.SSLError`); the previous ones stay.
        """
        if self.config.ssl is not None and self.config.ssl_certfile is not None:
            self.config.ssl.load_cert_chain(self.config.ssl_certfile, self.config.ssl_keyfile)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Update the header `Date` until the shutdown."""
        while not await self.on_tick(0):
            self._each_second()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_EVERY):
                    await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down; see the module."""
        deadline = time.monotonic() + self._shutdown_timeout
        self._shut_connections()
        self._leave()
        for listening in sockets or ():
            _drop_new_connections(listening)
        await asyncio.sleep(_LAST_ACCEPTS)
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        while self.server_state.connections or self.server_state.tasks:
            self._shut_connections()
            if time.monotonic() > deadline or self.force_exit:
                _log.warning(
                    "shutdown timeout passed with open connections",
                    connections=len(self.server_state.connections),
                    requests=len(self.server_state.tasks),
                )
                return
            await asyncio.sleep(_POLL)

    def _shut_connections(self) -> None:
        """Shut down every connection that has not been shut down yet."""
        for connection in list(self.server_state.connections):
            if connection not in self._shut:
                self._shut.add(connection)
                connection.shutdown()


def _drop_new_connections(listening: socket.socket) -> None:
    """Make the kernel drop connection attempts. Linux only; without it, the shutdown may reset a few."""
    if sys.platform != "linux" or listening.family == socket.AF_UNIX:
        return
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(program)
    with contextlib.suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_DROP_SYN), ctypes.addressof(buffer))
        )
