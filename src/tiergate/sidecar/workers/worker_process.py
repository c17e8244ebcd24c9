"""One worker, as its leader sees it: a process, and the socket to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from tiergate.process.detached_threads import run_detached
from tiergate.process.worker import status_text
from tiergate.sidecar.workers.messages import Held, Hold, Using, encode, read_as_leader

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Collection

    from tiergate.sidecar.metrics_snapshot import MetricsSnapshot
    from tiergate.sidecar.workers.messages import Begin, ToLeader, ToWorker, Update

_COMMAND: Final = (sys.executable, "-P", "-m", "tiergate.sidecar.workers")

_LONGEST_BACKLOG: Final = 64 * 2**20
"""How many bytes a worker may be behind; then it hangs."""


class WorkerProcess:
    """A started process. `listening`: it accepts connections, and is told everything. `counted`: its newest metrics."""

    def __init__(self, begin: Begin) -> None:
        """Start it. It gets the descriptors that `begin` names.

        Raises:
            OSError: if it cannot be started.
        """
        self.number = begin.worker
        self.listening = False
        self.is_ready = False
        self.newest = 0
        self.counted: MetricsSnapshot | None = None
        self.seen_at = time.monotonic()
        self._told = 0
        self._using: Collection[int] = ()
        self._holds: dict[int, asyncio.Future[bool]] = {}
        self._socket, theirs = socket.socketpair()
        descriptors = [*begin.tcp, begin.log_lock, theirs.fileno()]
        if begin.unix is not None:
            descriptors.append(begin.unix)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the command is our own
                [*_COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # a Ctrl-C in the terminal is for the leader
            )
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._begin = begin
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    async def messages(self) -> AsyncIterator[ToLeader]:
        """Tell it to begin, and yield what it says until it ends."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
        self.tell(self._begin)
        try:
            async for message in read_as_leader(reader):
                self.seen_at = time.monotonic()
                self._note(message)
                yield message
        finally:
            self._writer.close()
            for held in self._holds.values():
                if not held.done():
                    held.set_result(True)  # it reads nothing any more
            self._holds.clear()

    def _note(self, message: ToLeader) -> None:
        if isinstance(message, Using):
            self.is_ready, self.newest, self._using = message.is_ready, message.newest, message.generations
        elif isinstance(message, Held):
            held = self._holds.pop(message.number, None)
            if held is not None and not held.done():
                held.set_result(True)

    def tell(self, message: ToWorker) -> None:
        """Send a message. A worker that does not read its messages is killed."""
        if self._writer is None or self._writer.is_closing():
            return
        self._writer.write(encode(message))
        if self._writer.transport.get_write_buffer_size() > _LONGEST_BACKLOG:
            self.kill()

    def update(self, update: Update) -> None:
        """Tell what changed."""
        if update.generation is not None:
            self._told = update.generation.number
        self.tell(update)

    async def hold(self, number: int, *, release: bool, seconds: float) -> bool:
        """Wait until it has applied everything so far; return whether that was done in time."""
        held = self._holds[number] = asyncio.get_running_loop().create_future()
        self.tell(Hold(number, release))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await asyncio.shield(held)
        self._holds.pop(number, None)
        return False

    def generations(self) -> set[int]:
        """Return the numbers of the generations that it uses or will use."""
        return {*self._using, *range(self.newest + 1, self._told + 1)}

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    async def wait(self) -> str:
        """Wait for its end, and return how it ended."""
        return status_text(await run_detached(self._process.wait, f"worker-{self.number}"))
