"""The workers of a leader: started, told, counted, and replaced when they end."""

from __future__ import annotations

import asyncio
import signal
import time
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

import structlog

from tiergate.sidecar.api.tokens import TokenFile
from tiergate.sidecar.metrics import Metrics, WorkerCounts
from tiergate.sidecar.metrics_snapshot import add, reset, take_snapshot
from tiergate.sidecar.settings import TABLE
from tiergate.sidecar.usage.meter import MeterAbsence
from tiergate.sidecar.workers.log_turns import take_turn
from tiergate.sidecar.workers.messages import Begin, Counted, Damaged, HangUp, Listening, Resume, Using
from tiergate.sidecar.workers.shared_state import SharedState
from tiergate.sidecar.workers.worker_process import WorkerProcess

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tiergate.model import Instant
    from tiergate.process.sockets import UnixListener
    from tiergate.sidecar.api_server import ApiServer
    from tiergate.sidecar.settings import Settings
    from tiergate.sidecar.workers.messages import ToLeader, Update

_HOLD_SECONDS: Final = 1.0
"""How long the leader waits until its workers have applied what they were told."""

_SILENT_SECONDS: Final = 30.0
"""How long a worker may say nothing; then it hangs, and is killed."""

_FIRST_RESTART: Final = 0.1
_LAST_RESTART: Final = 5.0
_STABLE_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class WorkerPool:
    """Runs workers until `end`. `state` is the leader's; `metrics` are the sum of theirs.

    `on_damage` is called when a worker finds a damaged file, `on_ready` when one can decide. All in the loop's thread.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[list[socket.socket]],
        unix: UnixListener | None,
        clock: Callable[[], Instant],
        *,
        log_key: bytes,
        connections: int,
    ) -> None:
        """Prepare; `run` starts a worker for each list of `sockets`. `connections`: the most of one listener.

        Raises:
            SettingsError: if the file of the tokens cannot be used.
        """
        if settings.token_file is not None:
            TokenFile(settings.token_file, "token-file")  # each worker reads it again
        self.state = SharedState(clock, self)
        self.metrics = Metrics()
        self.metrics.workers = lambda: WorkerCounts(len(sockets), self._count_ready(), self._restarts)
        self.on_damage: Callable[[], None] = lambda: None
        self.on_ready: Callable[[], None] = lambda: None
        self.counting: ApiServer | None = None
        """The leader's own part that answers what workers hand on, because it counts usage."""
        self.counting_path: Path | None = None
        self.absence = MeterAbsence.NO_DATA_FOLDER
        """Why nothing is counted, if nothing is."""
        self._restarts = 0
        self._settings = settings
        self._sockets = sockets
        self._unix = unix
        self._log_key = log_key
        self._log_lock = TemporaryFile()  # noqa: SIM115 - as long as this object
        self._connections = -(-connections // len(sockets))
        self._workers: dict[int, WorkerProcess] = {}
        self._past = Metrics()
        self._holds = 0
        self._end = asyncio.Event()
        self._listening = asyncio.Event()

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Keep the workers running until all have ended after `end`."""
        async with asyncio.TaskGroup() as tasks:
            counting = self.counting
            if counting is not None:
                tasks.create_task(counting.run())
            numbers = range(1, len(self._sockets) + 1)
            await asyncio.wait([tasks.create_task(self._keep_running(number)) for number in numbers])
            if counting is not None:
                counting.end()  # what the workers have handed on is answered
        self._log_lock.close()

    async def _keep_running(self, number: int) -> None:
        pause = _FIRST_RESTART
        while not self._end.is_set():
            begun = time.monotonic()
            try:
                ended = await self._run(number)
            except OSError as error:
                ended = f"cannot be started: {error.strerror}"
            if self._end.is_set():
                return
            pause = _FIRST_RESTART if time.monotonic() - begun > _STABLE_SECONDS else min(2 * pause, _LAST_RESTART)
            self._restarts += 1
            _log.error("a worker has ended; starting another one", number=number, ended=ended, again_in=pause)
            await asyncio.sleep(pause)

    async def _run(self, number: int) -> str:
        """Run a worker until its end; return how it ended."""
        worker = self._workers[number] = WorkerProcess(self._begin(number))
        try:
            async for message in worker.messages():
                self._on_message(worker, message)
            return await worker.wait()
        finally:
            worker.kill()
            del self._workers[number]
            if worker.counted is not None:
                add(self._past, worker.counted, lives=False)
                self._sum_up()

    def _begin(self, number: int) -> Begin:
        flags = TABLE.write(self._settings)
        flags["cache-size"] = [str(self.cache_share())]
        return Begin(
            number,
            flags,
            [bound.fileno() for bound in self._sockets[number - 1]],
            None if self._unix is None else self._unix.socket.fileno(),
            self._log_lock.fileno(),
            self._log_key,
            self._connections,
            None if self.counting_path is None else str(self.counting_path),
            self.absence.name,
        )

    def log_turn(self) -> AbstractContextManager[object]:
        """Return the turn of this process in writing the decision log."""
        return take_turn(self._log_lock.fileno())

    def cache_share(self) -> int:
        """Return the bytes of the caches of each process that answers."""
        return self._settings.cache_size // (len(self._sockets) + (self.counting_path is not None))

    def _on_message(self, worker: WorkerProcess, message: ToLeader) -> None:
        if isinstance(message, Listening):
            worker.listening = True
            worker.update(self.state.everything())
            if self._end.is_set():
                worker.send_signal(signal.SIGTERM)
            if len(self._listeners()) == len(self._sockets):
                self._listening.set()
        elif isinstance(message, Using):
            self.on_ready()
        elif isinstance(message, Counted):
            worker.counted = message.metrics
            self._sum_up()
        elif isinstance(message, Damaged):
            self.on_damage()

    def _sum_up(self) -> None:
        reset(self.metrics)
        add(self.metrics, take_snapshot(self._past))
        if self.counting is not None:
            add(self.metrics, take_snapshot(self.counting.metrics), lives=False)
        for worker in self._workers.values():
            if worker.counted is not None:
                add(self.metrics, worker.counted)

    # ── what the server asks ─────────────────────────────────────────────────────────────────────────────────────────

    async def listening(self) -> None:
        """Wait until all workers accept connections."""
        await self._listening.wait()

    def end(self) -> None:
        """Begin the shutdown: nothing new is accepted, and pending requests get their responses."""
        self._end.set()
        if self._unix is not None:
            self._unix.remove()
            self._unix.socket.close()
        for worker in self._workers.values():
            worker.send_signal(signal.SIGTERM)
        for sockets in self._sockets:  # the workers have them, and close them when they have accepted the last
            for bound in sockets:
                bound.close()

    def force_end(self) -> None:
        """End without waiting for pending requests."""
        for worker in self._workers.values():
            worker.send_signal(signal.SIGTERM)

    def look_around(self) -> None:
        """Kill workers that hang. Call it about once a second."""
        if self.counting is not None:
            self.counting.look_around()
        now = time.monotonic()
        for worker in self._workers.values():
            if now - worker.seen_at > _SILENT_SECONDS:
                _log.error("a worker does not respond; killing it", number=worker.number, pid=worker.pid)
                worker.kill()

    def hang_up(self) -> None:
        """Let all read their tokens again, and open the decision log again."""
        if self.counting is not None:
            self.counting.hang_up()
        for worker in self._workers.values():
            worker.tell(HangUp())

    def count_requests(self) -> int:
        """Return how many requests this process received: it leaves them to the workers, but for those that count."""
        return 0 if self.counting is None else self.counting.count_requests()

    def report(self) -> list[dict[str, object]]:
        """Return the workers as members of `/status`."""
        return [
            {"worker": worker.number, "pid": worker.pid, "ready": worker.is_ready, "generation": worker.newest or None}
            for _, worker in sorted(self._workers.items())
        ]

    # ── what the state tells ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def are_ready(self) -> bool:
        """Whether all workers can decide."""
        return self._count_ready() == len(self._sockets)

    def tell(self, update: Update) -> None:
        """Tell all workers what changed."""
        for worker in self._listeners():
            worker.update(update)

    async def hold(self, *, release: bool) -> bool:
        """Wait until all workers have applied what they were told; return whether they have."""
        self._holds += 1
        workers = self._listeners()
        holds = [worker.hold(self._holds, release=release, seconds=_HOLD_SECONDS) for worker in workers]
        held = await asyncio.gather(*holds)
        late = [worker.number for worker, in_time in zip(workers, held, strict=True) if not in_time]
        if late:
            _log.warning("workers are slow to follow", numbers=late, seconds=_HOLD_SECONDS)
        return not late

    def resume(self) -> None:
        """Let all workers begin their next read transaction."""
        for worker in self._listeners():
            worker.tell(Resume())

    def generations(self) -> Collection[int]:
        """Return the numbers of the generations that workers use."""
        return {number for worker in self._workers.values() for number in worker.generations()}

    def _count_ready(self) -> int:
        return sum(worker.is_ready for worker in self._workers.values())

    def _listeners(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker.listening]
