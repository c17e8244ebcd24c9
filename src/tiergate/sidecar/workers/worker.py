"""A worker: answers the API, and follows what its leader tells it.

It ends as a sidecar does, on SIGTERM or when its leader has ended. It also ends if it cannot open what it is told to
activate: the leader starts another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import uvloop
from structlog.contextvars import bind_contextvars

from tiergate.errors import OperatorError
from tiergate.process.garbage_collection import GarbageCollection
from tiergate.process.logs import configure_logs
from tiergate.process.open_files import raise_open_files_limit
from tiergate.process.termination import exit_within
from tiergate.sidecar.api_server import (
    END_AT_LAST,
    SWITCH_INTERVAL,
    ApiServer,
    ApiSockets,
    Counting,
    engine_options,
    now_ms,
    open_decision_log,
)
from tiergate.sidecar.metrics_snapshot import take_snapshot
from tiergate.sidecar.settings import TABLE, Settings
from tiergate.sidecar.state import State
from tiergate.sidecar.usage.leader_usage import UsageOfLeader
from tiergate.sidecar.usage.meter import MeterAbsence
from tiergate.sidecar.workers.follower import WorkerFollower
from tiergate.sidecar.workers.handing_on import HandingOn
from tiergate.sidecar.workers.leader_client import LeaderClient
from tiergate.sidecar.workers.log_turns import take_turn
from tiergate.sidecar.workers.messages import (
    Begin,
    Counted,
    Damaged,
    Hold,
    Listening,
    Resume,
    Update,
    encode,
    read_as_worker,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tiergate.sidecar.workers.messages import ToLeader, ToWorker

_REPORT_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


def run(descriptor: int) -> None:
    """Serve, as the leader at the other end of a socket says."""
    uvloop.run(_serve(socket.socket(fileno=descriptor)))


async def _serve(leader: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=leader)
    messages = read_as_worker(reader)
    begin = await anext(messages)
    if not isinstance(begin, Begin):
        raise TypeError("the first message is not `Begin`")
    settings = Settings(**TABLE.read(begin.settings, {}))
    raise_open_files_limit()
    configure_logs(settings.log_format, settings.log_level)
    bind_contextvars(worker=begin.worker)

    def tell(message: ToLeader) -> None:
        if not writer.is_closing():
            writer.write(encode(message))

    worker = _Worker(settings, begin, tell)
    await worker.serve(messages)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()


class _Worker:
    """The parts of one worker."""

    def __init__(self, settings: Settings, begin: Begin, tell: Callable[[ToLeader], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._state = State(now_ms)
        log = open_decision_log(settings, begin.log_key, partial(take_turn, begin.log_lock))
        unix = None if begin.unix is None else _socket(begin.unix)
        sockets = ApiSockets([_socket(descriptor) for descriptor in begin.tcp], unix)
        leader = None if begin.counting is None else LeaderClient(begin.counting)
        self._engine = engine_options(settings) if leader is None else engine_options(settings, UsageOfLeader())
        self._api = ApiServer(
            settings,
            self._state,
            sockets,
            log,
            rechecks=self._engine.rechecks,
            connections=begin.connections,
            counting=Counting(
                MeterAbsence[begin.absence],
                None if leader is None else lambda app, metrics: HandingOn(app, leader, metrics),
                None if leader is None else leader.answer_soon,
            ),
        )
        self._garbage = GarbageCollection(self._api.count_requests)
        self._end = asyncio.Event()
        self._ready = False

    async def serve(self, messages: AsyncIterator[ToWorker]) -> None:
        """Serve until the end of the leader, or a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._api.hang_up)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._state.subscribe(self._on_change)
        async with asyncio.TaskGroup() as tasks:
            follower = WorkerFollower(self._state, self._engine, self._tell, tasks)
            serving = tasks.create_task(self._api.run())
            await self._api.listening()
            self._tell(Listening())
            following = tasks.create_task(self._follow(follower, messages))
            reporting = tasks.create_task(self._report(follower))
            await self._end.wait()
            self._state.drain()
            self._api.end()
            await asyncio.wait([serving])
            following.cancel()
            reporting.cancel()
            follower.close()
        self._tell(Counted(take_snapshot(self._api.metrics)))

    async def _follow(self, follower: WorkerFollower, messages: AsyncIterator[ToWorker]) -> None:
        """Do what the leader says; end with it, or if that is not possible."""
        try:
            async for message in messages:
                if isinstance(message, Update):
                    await follower.apply(message)
                elif isinstance(message, Hold):
                    follower.hold(message)
                elif isinstance(message, Resume):
                    follower.resume()
                else:
                    self._api.hang_up()
            _log.error("the leader has ended; ending too")
        except (OperatorError, OSError) as error:
            _log.error("cannot follow the leader; ending, to be started again", error=str(error))
        self._on_signal()

    async def _report(self, follower: WorkerFollower) -> None:
        while True:
            self._tell(Counted(take_snapshot(self._api.metrics)))
            follower.report()
            if follower.take_damage():
                self._tell(Damaged())
            self._api.look_around()
            self._garbage.look()
            await asyncio.sleep(_REPORT_SECONDS)

    def _on_signal(self) -> None:
        if self._end.is_set():
            self._api.force_end()
        else:
            exit_within(self._settings.shutdown_timeout + END_AT_LAST)
        self._end.set()

    def _on_change(self) -> None:
        if not self._ready and self._state.current is not None:
            self._ready = True
            self._garbage.begin()


def _socket(descriptor: int) -> socket.socket:
    opened = socket.socket(fileno=descriptor)
    opened.setblocking(False)
    return opened
