"""The sidecar's process: composes its parts from settings, serves, and shuts down.

Settings, sockets and the data directory fail before anything is served. After that the process continues whatever
happens to the files; after the startup deadline, if there is one, it serves without data. It ends on SIGTERM or SIGINT:
first `/readyz` fails, then pending requests get their responses, the decision log is written out, and the probes end
last. A second signal ends it at once.

With one worker, the default, this process answers checks itself. With several, it keeps the data current, serves the
probes, and runs the workers, which answer (`workers`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeGuard

import structlog
import uvloop

from tiergate import __version__
from tiergate.process.garbage_collection import GarbageCollection
from tiergate.process.import_guard import block_imports
from tiergate.process.listener import Listener
from tiergate.process.logs import configure_logs
from tiergate.process.open_files import connection_limit, fit_to_limit, raise_open_files_limit
from tiergate.process.sockets import UnixListener, bind_shared_tcp, bind_tcp, url_of
from tiergate.process.termination import exit_within
from tiergate.sidecar.api.probes import probes
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api_server import (
    END_AT_LAST,
    SWITCH_INTERVAL,
    ApiServer,
    ApiSockets,
    Counting,
    engine_options,
    log_key,
    now_ms,
    open_decision_log,
)
from tiergate.sidecar.listener_limits import ListenerLimits
from tiergate.sidecar.listener_protocol import protocol_class
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.outcomes.open_outcomes import open_delivery, open_recorder
from tiergate.sidecar.outcomes.outcome_service import OutcomesAbsence
from tiergate.sidecar.outcomes.outcome_upkeep import OutcomeUpkeep
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.disk_health import DiskMonitor
from tiergate.sidecar.replica.file_source.follower import FileFollower
from tiergate.sidecar.replica.file_source.source_files import Sources
from tiergate.sidecar.setting_sources import unknown_variables
from tiergate.sidecar.state import State
from tiergate.sidecar.usage.local_meter import LocalMeter
from tiergate.sidecar.usage.meter import MeterAbsence
from tiergate.sidecar.usage.open_meter import open_meter

if TYPE_CHECKING:
    import socket

    from tiergate.engine import EngineOptions
    from tiergate.sidecar.replica.sync.feed_follower import FeedFollower
    from tiergate.sidecar.settings import Settings
    from tiergate.sidecar.usage.lease_meter import LeaseMeter
    from tiergate.sidecar.workers.pool import WorkerPool

_PROBE_CONNECTIONS: Final = 256
_KEPT_BACK: Final = 256
"""Descriptors that are not connections of the API or of probes: files, sync, and rejected connections."""

_PROBE_SHUTDOWN: Final = 1.0
_COUNT_SECONDS: Final = 1.0
_LEAST_END: Final = 1.0
"""Seconds in which usage may be reported at the end, however long the shutdown took."""

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SettingsError: if a setting cannot be used.
        ListenError: if an address cannot be bound.
    """
    open_files = raise_open_files_limit()
    configure_logs(settings.log_format, settings.log_level)
    for name in unknown_variables(os.environ):
        _log.warning("unknown variable ignored", variable=name)
    with ExitStack() as opened:
        sidecar = _Sidecar(settings, opened, open_files)
        uvloop.run(sidecar.serve())


class _Sidecar:
    """The parts of one process."""

    def __init__(self, settings: Settings, opened: ExitStack, open_files: int) -> None:
        """Open what can fail: sockets, the data directory, the decision log. `opened` closes it."""
        self._settings = settings
        self._most_probes = min(_PROBE_CONNECTIONS, max(1, open_files // 8))
        room = connection_limit(open_files, _KEPT_BACK + self._most_probes)
        listeners = 1 if settings.uds is None else 2
        connections = fit_to_limit(room, "max-connections", settings.max_connections, times=listeners)
        self._tcp = _bind_workers(settings, opened)
        self._probe_sockets = _keep(bind_tcp(settings.probe_host, settings.probe_port, option="probe-port"), opened)
        self._unix = _bind_unix(settings, opened)
        directory = DataDirectory.open(settings.data)
        opened.callback(directory.close)
        key = log_key(settings)
        log = open_decision_log(settings, key)
        if log is not None:
            opened.callback(log.close)
        self._api: ApiServer | WorkerPool
        self._meter: LocalMeter | LeaseMeter | MeterAbsence = MeterAbsence.NO_DATA_FOLDER
        if settings.workers == 1:
            self._state = State(now_ms)
            self._meter = open_meter(settings, directory, self._state)
            engine = engine_options(settings)
            if not isinstance(self._meter, MeterAbsence):
                opened.callback(self._meter.close)
                engine = engine_options(settings, self._meter)
            self._source = _source(settings, directory, self._state, engine)
            subjects = None if isinstance(self._source, FileFollower) else self._source.on_demand
            unix = (None, lambda: None) if self._unix is None else (self._unix.socket, self._unix.remove)
            sockets = ApiSockets(self._tcp[0], *unix)
            self._api = ApiServer(
                settings,
                self._state,
                sockets,
                log,
                rechecks=engine.rechecks,
                connections=connections,
                subjects=subjects,
                counting=Counting(self._meter),
            )
        else:
            if log is not None:
                log.close()  # it can be opened; each worker opens it again
            from tiergate.sidecar.workers import pool  # noqa: PLC0415 - a megabyte that others do not need

            self._api = pool.WorkerPool(settings, self._tcp, self._unix, now_ms, log_key=key, connections=connections)
            self._state = self._api.state
            self._meter, engine = _count_for_workers(settings, directory, self._api, key, opened)
            self._source = _source(settings, directory, self._state, engine)
            self._api.on_damage = self._source.note_damage
            self._api.on_ready = self._on_change
        self._outcomes = _open_outcomes(settings, directory, self._api, opened)
        self._state.report = self._source.report
        self._state.ready_unloaded = bool(settings.startup_allow)
        self._data = DiskMonitor(directory, settings.data_limit)
        self._api.metrics.data = lambda: self._data.report
        self._probes = self._probe_listener()
        self._garbage = GarbageCollection(self._api.count_requests)
        self._end = asyncio.Event()
        self._ready = False

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number))
        loop.add_signal_handler(signal.SIGHUP, self._api.hang_up)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._state.subscribe(self._on_change)
        if self._settings.startup_deadline is not None:
            loop.call_later(self._settings.startup_deadline, self._on_deadline)
        if not isinstance(self._meter, MeterAbsence):
            self._meter.start()
        if self._outcomes is not None:
            self._outcomes.start()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._source.run())
            watching = tasks.create_task(self._data.run())
            counting = tasks.create_task(self._count())
            leasing = tasks.create_task(self._lease())
            delivering = tasks.create_task(self._deliver())
            probing = tasks.create_task(self._probes.run_until_end())
            serving = tasks.create_task(self._api.run())
            await self._probes.listening.wait()
            await self._api.listening()
            _log.info("listening", version=__version__, **self._addresses())
            await self._end.wait()
            end_at = loop.time() + self._settings.shutdown_timeout
            self._state.drain()
            watching.cancel()
            counting.cancel()
            self._api.end()
            if not isinstance(self._api, ApiServer):
                await asyncio.wait([serving])  # the workers read the replica until they end
            following.cancel()
            await asyncio.wait([following, serving])
            leasing.cancel()
            delivering.cancel()
            await asyncio.wait([leasing, delivering])
            if _is_leasing(self._meter):
                await self._meter.shut_down(max(_LEAST_END, end_at - loop.time()))
            if self._outcomes is not None:
                await self._outcomes.shut_down(max(_LEAST_END, end_at - loop.time()))
            self._probes.end()
            await probing
        _log.info("ended")

    # ── listeners ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _probe_listener(self) -> Listener:
        access = Access(names=frozenset(name.lower() for name in self._settings.allowed_host), addresses=True)
        workers = list if isinstance(self._api, ApiServer) else self._api.report
        return Listener(
            probes(self._state, self._api.metrics, access, workers),
            self._probe_sockets,
            # Own metrics: only connections of the API are counted.
            protocol=protocol_class(Metrics(), None, ListenerLimits(connections=self._most_probes)),
            shutdown_timeout=_PROBE_SHUTDOWN,
            each_second=self._look_around,
        )

    def _addresses(self) -> dict[str, str]:
        addresses = {
            "api": " ".join(url_of(bound) for bound in self._tcp[0]),
            "probes": " ".join(url_of(bound) for bound in self._probe_sockets),
        }
        if self._unix is not None:
            addresses["uds"] = str(self._unix.path)
        return addresses

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_signal(self, number: signal.Signals) -> None:
        _log.info("shutting down", signal=number.name)
        if not self._end.is_set():
            exit_within(self._settings.shutdown_timeout + END_AT_LAST)
        if self._end.is_set():
            self._api.force_end()
            self._probes.force_exit = True
        self._end.set()

    async def _count(self) -> None:
        """Do what is due of the usage that is counted here, until cancelled."""
        meter = self._meter
        if not isinstance(meter, MeterAbsence):
            while True:
                await asyncio.sleep(_COUNT_SECONDS)
                await meter.tick(now_ms())

    async def _lease(self) -> None:
        """Report usage and lease units, until cancelled."""
        if _is_leasing(self._meter):
            await self._meter.run()

    async def _deliver(self) -> None:
        """Look after outcomes, and deliver them, until cancelled."""
        if self._outcomes is not None:
            await self._outcomes.run()

    def _look_around(self) -> None:
        """Check, once a second, for changes that nothing reports."""
        self._api.look_around()
        self._garbage.look()

    def _on_deadline(self) -> None:
        """Serve checks without data from now on, if none is loaded."""
        if self._state.current is None and not self._state.draining:
            self._state.serve_unloaded()
            _log.error(
                "startup deadline passed; serving checks without data",
                meaning="no data was loaded before the startup deadline; until it is, all checks are denied except "
                "those of startup-allow",
                startup_deadline=self._settings.startup_deadline,
                startup_allow=list(self._settings.startup_allow),
                error=self._state.report().error,
            )

    def _on_change(self) -> None:
        """Log once that checks are served."""
        current = self._state.current
        if not self._ready and current is not None and self._state.ready:
            self._ready = True
            self._garbage.begin()
            _log.info("ready", publication=current.publication, revision=current.revision, **self._addresses())


def _count_for_workers(
    settings: Settings, directory: DataDirectory, pool: WorkerPool, key: bytes, opened: ExitStack
) -> tuple[LocalMeter | LeaseMeter | MeterAbsence, EngineOptions]:
    """Let the leader answer what its workers hand on, if it counts usage; return the meter, and options of engines."""
    from tiergate.sidecar.workers.counting import bind_for_workers  # noqa: PLC0415 - as above
    from tiergate.sidecar.workers.leader_client import CONNECTIONS  # noqa: PLC0415 - as above

    meter = open_meter(settings, directory, pool.state)
    if isinstance(meter, MeterAbsence):
        pool.absence = meter
        return meter, engine_options(settings)
    opened.callback(meter.close)
    bound, pool.counting_path = bind_for_workers(directory.named, opened)
    settings = replace(settings, cache_size=pool.cache_share())
    engine = engine_options(settings, meter)
    pool.counting = ApiServer(
        settings,
        pool.state,
        ApiSockets([], bound),
        open_decision_log(settings, key, pool.log_turn),
        rechecks=engine.rechecks,
        connections=CONNECTIONS * settings.workers,
        counting=Counting(meter),
    )
    pool.metrics.usage = pool.counting.metrics.usage
    return meter, engine


def _open_outcomes(
    settings: Settings, directory: DataDirectory, api: ApiServer | WorkerPool, opened: ExitStack
) -> OutcomeUpkeep | None:
    """Open what counts outcomes for an API, or for workers in the leader's, if anything does."""
    counting = api if isinstance(api, ApiServer) else api.counting
    if counting is None:
        return None
    recorder = open_recorder(settings, directory, now_ms)
    if isinstance(recorder, OutcomesAbsence):
        counting.count_outcomes(recorder)
        return None
    opened.callback(recorder.close)
    counting.count_outcomes(recorder)
    upkeep = OutcomeUpkeep(recorder, open_delivery(settings, recorder, now_ms))
    api.metrics.outcomes = upkeep.report
    return upkeep


def _is_leasing(meter: LocalMeter | LeaseMeter | MeterAbsence) -> TypeGuard[LeaseMeter]:
    return not isinstance(meter, MeterAbsence | LocalMeter)


def _source(
    settings: Settings, directory: DataDirectory, state: State, engine: EngineOptions
) -> FileFollower | FeedFollower:
    """Create the follower of files or of a control plane."""
    if settings.key_file is None:
        return FileFollower(
            _sources(settings),
            directory,
            state,
            engine=engine,
            load_timeout=settings.load_timeout,
            strict=settings.strict_subjects,
            data_limit=settings.data_limit,
        )
    # The HTTP client takes long to import, and file mode does not need it.
    with block_imports("pygments", "rich"):  # httpx has a command line, for colours
        from tiergate.sidecar.replica.sync.follower_factory import create_follower  # noqa: PLC0415

    return create_follower(settings, directory, state, engine)


def _sources(settings: Settings) -> Sources:
    return Sources(
        tuple(str(path.absolute()) for path in settings.catalog),
        tuple(str(path.absolute()) for path in settings.subjects),
        None if settings.rules is None else str(settings.rules.absolute()),
    )


def _bind_workers(settings: Settings, opened: ExitStack) -> list[list[socket.socket]]:
    """Bind the address of the API: the sockets of each worker."""
    if settings.workers == 1:
        return [_keep(bind_tcp(settings.host, settings.port), opened)]
    return [_keep(sockets, opened) for sockets in bind_shared_tcp(settings.host, settings.port, settings.workers)]


def _keep(sockets: list[socket.socket], opened: ExitStack) -> list[socket.socket]:
    for bound in sockets:
        opened.callback(bound.close)
    return sockets


def _bind_unix(settings: Settings, opened: ExitStack) -> UnixListener | None:
    if settings.uds is None:
        return None
    unix = UnixListener(settings.uds, settings.uds_mode, settings.uds_group)
    opened.callback(unix.close)
    return unix
