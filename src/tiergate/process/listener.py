"""One application on sockets that are bound already: uvicorn's server, with an end that loses no request.

How it ends. First nobody new gets in, and whoever had got in by then is accepted: for a moment new TCP connections are
dropped by a filter on the listening socket before they are made, so that closing it resets none; at a Unix socket its
path is taken away. Then every connection is told (`shutdown` of the protocol), and the last ones are waited for.
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


_ACCEPT_THE_LAST: Final = 0.02
"""Seconds in which those who are connected already are accepted."""

_LOOK: Final = 0.01
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
    """Serves one application until `end`. `listening` is set once connections are accepted."""

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
        """Prepare. `leave` is called when nobody new shall connect. Durations in seconds.

        `each_second` is called about once a second while it serves.
        `certificate`: the files of a chain of certificates and of its key, both in PEM, to serve HTTPS.
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
        self._told: set[object] = set()
        self._shutdown_timeout = shutdown_timeout
        self._leave = leave
        self._each_second = each_second

    async def run_until_end(self) -> None:
        """Serve until `end` was called and the last answer is given, or the time for that is over."""
        await self.serve(self._sockets)

    def end(self) -> None:
        """Begin to end."""
        self.should_exit = True
        self._end.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever composes."""
        yield

    def renew_certificate(self) -> None:
        """Read the files of the certificate again, for the connections to come.

        Raises:
            OSError: they cannot be read, or do not fit together (`ssl.SSLError`); the former ones stay.
        """
        if self.config.ssl is not None and self.config.ssl_certfile is not None:
            self.config.ssl.load_cert_chain(self.config.ssl_certfile, self.config.ssl_keyfile)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Keep the header `Date` right, until the end."""
        while not await self.on_tick(0):
            self._each_second()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DATE_EVERY):
                    await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, as the module says."""
        deadline = time.monotonic() + self._shutdown_timeout
        self._tell()
        self._leave()
        for one in sockets or ():
            _refuse_new(one)
        await asyncio.sleep(_ACCEPT_THE_LAST)
        for server in self.servers:
            server.close()
        for one in sockets or ():
            one.close()
        while self.server_state.connections or self.server_state.tasks:
            self._tell()
            if time.monotonic() > deadline or self.force_exit:
                _log.warning(
                    "ending with connections open",
                    connections=len(self.server_state.connections),
                    requests=len(self.server_state.tasks),
                )
                return
            await asyncio.sleep(_LOOK)

    def _tell(self) -> None:
        """Tell every connection that has not been told."""
        for connection in list(self.server_state.connections):
            if connection not in self._told:
                self._told.add(connection)
                connection.shutdown()


def _refuse_new(listening: socket.socket) -> None:
    """Have the kernel drop attempts to connect. Only a kernel that can; without it, few may be reset at the end."""
    if sys.platform != "linux" or listening.family == socket.AF_UNIX:
        return
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    buffer = ctypes.create_string_buffer(program)
    with contextlib.suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_DROP_SYN), ctypes.addressof(buffer))
        )
