"""The sidecar's process: composes its parts from settings, serves, and shuts down.

Settings, sockets and the data directory fail before anything is served. After that the process continues whatever
happens to the files; after the startup deadline, if there is one, it serves without data. It ends on SIGTERM or SIGINT:
first `/readyz` fails, then pending requests get their responses, the decision log is written out, and the probes end
last. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import structlog
import uvloop

from tiergate import __version__
from tiergate.engine import CacheLimits, Difference, EngineOptions, Rechecks
from tiergate.errors import SettingsError
from tiergate.http.loopback import is_loopback
from tiergate.model import Reason
from tiergate.process.garbage_collection import GarbageCollection
from tiergate.process.import_guard import block_imports
from tiergate.process.listener import Listener
from tiergate.process.logs import configure_logs
from tiergate.process.open_files import connection_limit, fit_to_limit, raise_open_files_limit
from tiergate.process.regular_files import read_regular
from tiergate.process.sockets import UnixListener, bind_tcp, url_of
from tiergate.process.termination import exit_within
from tiergate.sidecar.api.app import DEFAULT_CACHE_BYTES, NativeApi, app
from tiergate.sidecar.api.probes import probes
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api.tokens import TokenFile
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.decision_log import DecisionLog, LogRules, Mask
from tiergate.sidecar.fast_path import DEFAULT_CACHE_BYTES as QUICK_PATH_BYTES
from tiergate.sidecar.fast_path import FastPath
from tiergate.sidecar.http_protocol import ListenerLimits, protocol_class
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.replica.data_directory import DataDirectory
from tiergate.sidecar.replica.disk_health import DiskMonitor
from tiergate.sidecar.replica.file_source.follower import FileFollower
from tiergate.sidecar.replica.file_source.source_files import Sources
from tiergate.sidecar.setting_sources import unknown_variables
from tiergate.sidecar.settings import Settings
from tiergate.sidecar.state import State

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from tiergate.model import Instant
    from tiergate.sidecar.replica.sync.feed_follower import FeedFollower

_SWITCH_INTERVAL: Final = 0.0005
"""Seconds after which another thread must release the interpreter's lock to the event loop's thread."""

_PROBE_CONNECTIONS: Final = 256
_KEPT_BACK: Final = 256
"""Descriptors that are not connections of the API or of probes: files, sync, and rejected connections."""

_PROBE_SHUTDOWN: Final = 1.0

_SECRET: Final = re.compile(rb"[!-~]{16,}")
_LONGEST_KEY: Final = 64
_MOST_SECRET_BYTES: Final = 64 * 1024

_END_AT_LAST: Final = 5.0
"""Seconds after the shutdown timeout at which the process ends in any case."""

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
        self._most_connections = fit_to_limit(room, "max-connections", settings.max_connections, times=listeners)
        self._tokens = None if settings.token_file is None else TokenFile(settings.token_file, "token-file")
        self._tcp = _bind(settings.host, settings.port, opened)
        self._probe_sockets = _bind(settings.probe_host, settings.probe_port, opened)
        self._unix = _bind_unix(settings, opened)
        directory = DataDirectory.open(settings.data)
        opened.callback(directory.close)
        self._decisions = _open_decision_log(settings, opened)
        self._state = State(_now)
        rechecks = Rechecks(settings.recheck_one_in, _report_difference)
        self._source = _source(settings, directory, self._state, rechecks)
        self._state.report = self._source.report
        self._metrics = Metrics()
        self._metrics.rechecks = rechecks
        self._data = DiskMonitor(directory)
        self._metrics.data = lambda: self._data.report
        self._service = CheckService(
            self._state,
            self._metrics,
            log=self._decisions,
            stale_deny=settings.stale_deny,
            startup_allow=settings.startup_allow,
            subjects=None if isinstance(self._source, FileFollower) else self._source.on_demand,
        )
        self._native = NativeApi(self._service, int(DEFAULT_CACHE_BYTES * _share(settings.cache_size)))
        self._listeners = [self._api_on_tcp(), *([] if self._unix is None else [self._api_on_unix(self._unix)])]
        self._probes = self._probe_listener()
        self._garbage = GarbageCollection(self._count_requests)
        self._end = asyncio.Event()
        self._ready = False

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number))
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._state.subscribe(self._on_change)
        if self._settings.startup_deadline is not None:
            loop.call_later(self._settings.startup_deadline, self._on_deadline)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._source.run())
            watching = tasks.create_task(self._data.run())
            probing = tasks.create_task(self._probes.run_until_end())
            serving = [tasks.create_task(listener.run_until_end()) for listener in self._listeners]
            for listener in (*self._listeners, self._probes):
                await listener.listening.wait()
            _log.info("listening", version=__version__, **self._addresses())
            await self._end.wait()
            self._state.drain()
            following.cancel()
            watching.cancel()
            for listener in self._listeners:
                listener.end()
            await asyncio.wait([following, *serving])
            if self._decisions is not None:
                await asyncio.to_thread(self._decisions.close)
            self._probes.end()
            await probing
        _log.info("ended")

    # ── listeners ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _api_on_tcp(self) -> Listener:
        settings = self._settings
        names = {settings.host.lower(), *(name.lower() for name in settings.allowed_host)}
        access = Access(
            names=frozenset(names),
            addresses=not is_loopback(settings.host),
            origins=frozenset(settings.allowed_origin),
            tokens=None if self._tokens is None else self._tokens.tokens,
        )
        return self._api("tcp", access, self._tcp)

    def _api_on_unix(self, unix: UnixListener) -> Listener:
        access = Access(everywhere=True, tokens=None if self._tokens is None else self._tokens.tokens)
        return self._api("unix", access, [unix.socket], unix.remove)

    def _api(
        self, name: str, access: Access, sockets: list[socket.socket], leave: Callable[[], None] = lambda: None
    ) -> Listener:
        settings = self._settings
        cache_bytes = int(QUICK_PATH_BYTES * _share(settings.cache_size))
        quick = FastPath(self._service, name, cache_bytes=cache_bytes, max_body=settings.max_body)
        if self._tokens is not None:
            self._tokens.changed.append(quick.forget)
        limits = ListenerLimits(head_timeout=settings.request_timeout, connections=self._most_connections)
        return Listener(
            app(self._native, access, max_body=settings.max_body, body_timeout=settings.request_timeout),
            sockets,
            protocol=protocol_class(self._metrics, quick, limits),
            keep_alive=settings.keep_alive,
            shutdown_timeout=settings.shutdown_timeout,
            leave=leave,
        )

    def _probe_listener(self) -> Listener:
        access = Access(names=frozenset(name.lower() for name in self._settings.allowed_host), addresses=True)
        return Listener(
            probes(self._state, self._metrics, access),
            self._probe_sockets,
            # Own metrics: only connections of the API are counted.
            protocol=protocol_class(Metrics(), None, ListenerLimits(connections=self._most_probes)),
            shutdown_timeout=_PROBE_SHUTDOWN,
            each_second=self._look_around,
        )

    def _addresses(self) -> dict[str, str]:
        addresses = {
            "api": " ".join(url_of(bound) for bound in self._tcp),
            "probes": " ".join(url_of(bound) for bound in self._probe_sockets),
        }
        if self._unix is not None:
            addresses["uds"] = str(self._unix.path)
        return addresses

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_signal(self, number: signal.Signals) -> None:
        _log.info("shutting down", signal=number.name)
        if not self._end.is_set():
            exit_within(self._settings.shutdown_timeout + _END_AT_LAST)
        if self._end.is_set():
            for listener in (*self._listeners, self._probes):
                listener.force_exit = True
        self._end.set()

    def _look_around(self) -> None:
        """Check, once a second, for changes that nothing reports."""
        self._metrics.descriptors.check()
        self._garbage.look()
        if self._tokens is not None:
            self._tokens.refresh()

    def _count_requests(self) -> int:
        return sum(listener.server_state.total_requests for listener in self._listeners)

    def _on_hangup(self) -> None:
        if self._tokens is not None:
            self._tokens.refresh()
        if self._decisions is not None:
            self._decisions.reopen()

    def _on_deadline(self) -> None:
        """Serve checks without data from now on, if none is loaded."""
        if self._state.current is None and not self._state.draining:
            self._state.serve_unloaded()
            _log.error(
                "startup deadline passed; ready without data, denying checks",
                meaning="no data was loaded before the startup deadline; until it is, all checks are denied except "
                "those of startup-allow",
                startup_deadline=self._settings.startup_deadline,
                startup_allow=list(self._settings.startup_allow),
                error=self._state.report().error,
            )

    def _on_change(self) -> None:
        """Log once that checks are served."""
        current = self._state.current
        if not self._ready and current is not None:
            self._ready = True
            self._garbage.begin()
            _log.info("ready", publication=current.publication, revision=current.revision, **self._addresses())


def _now() -> Instant:
    return time.time_ns() // 1_000_000


def _source(
    settings: Settings, directory: DataDirectory, state: State, rechecks: Rechecks
) -> FileFollower | FeedFollower:
    """Create the follower of files or of a control plane."""
    engine = EngineOptions(_limits(settings.cache_size), not settings.always_ask_cedar, rechecks)
    if settings.key_file is None:
        return FileFollower(
            _sources(settings),
            directory,
            state,
            engine=engine,
            load_timeout=settings.load_timeout,
            strict=settings.strict_subjects,
        )
    # The HTTP client takes long to import, and file mode does not need it.
    with block_imports("pygments", "rich"):  # httpx has a command line, for colours
        from tiergate.sidecar.replica.sync.follower_factory import create_follower  # noqa: PLC0415

    return create_follower(settings, directory, state, engine)


def _report_difference(difference: Difference) -> None:
    """Log a kept answer that Cedar does not confirm. It says nothing about any customer."""
    _log.error(
        "a kept answer differs from Cedar's; asking Cedar for every decision until the next bundle",
        feature=difference.feature,
        kept_allowed=difference.kept.allowed,
        kept_policies=difference.kept.static,
        cedar_allowed=difference.result.allowed,
        cedar_policies=difference.result.policies,
        cedar_errors=difference.result.errors,
    )


def _sources(settings: Settings) -> Sources:
    return Sources(
        tuple(str(path.absolute()) for path in settings.catalog),
        tuple(str(path.absolute()) for path in settings.subjects),
        None if settings.rules is None else str(settings.rules.absolute()),
    )


def _bind(host: str, port: int, opened: ExitStack) -> list[socket.socket]:
    sockets = bind_tcp(host, port)
    for bound in sockets:
        opened.callback(bound.close)
    return sockets


def _bind_unix(settings: Settings, opened: ExitStack) -> UnixListener | None:
    if settings.uds is None:
        return None
    unix = UnixListener(settings.uds, settings.uds_mode, settings.uds_group)
    opened.callback(unix.close)
    return unix


def _open_decision_log(settings: Settings, opened: ExitStack) -> DecisionLog | None:
    if settings.decision_log is None:
        return None
    rules = LogRules(
        sample=settings.decision_log_sample,
        allowed={"all": None, "allowed": True, "denied": False}[settings.decision_log_outcome],
        reasons=frozenset(Reason(reason) for reason in settings.decision_log_reason),
        features=frozenset(settings.decision_log_feature),
        subject=Mask(settings.decision_log_subject),
        user=Mask(settings.decision_log_user),
        key=os.urandom(32)
        if settings.decision_log_key_file is None
        else _read_secret(settings.decision_log_key_file, "decision-log-key-file")[:_LONGEST_KEY],
        records=settings.decision_log_record,
    )
    log = DecisionLog(settings.decision_log, rules, capacity=settings.decision_log_queue)
    try:
        log.start()
    except OSError as error:
        raise SettingsError("decision-log", f"`{settings.decision_log}` cannot be written: {error.strerror}") from None
    opened.callback(log.close)
    return log


def _read_secret(path: Path, setting: str) -> bytes:
    """Read a file that has one line, a secret."""
    try:
        secret = read_regular(path, _MOST_SECRET_BYTES).strip()
    except OSError as error:
        raise SettingsError(setting, f"`{path}` cannot be read: {error.strerror}") from None
    if _SECRET.fullmatch(secret) is None:
        raise SettingsError(setting, f"`{path}` must hold one line of at least 16 visible ASCII characters")
    return secret


def _limits(size: int) -> CacheLimits:
    """Return the engine's part of the memory for caches."""
    usual = CacheLimits()
    share = _share(size)
    return CacheLimits(**{name: max(1, int(getattr(usual, name) * share)) for name in usual.__struct_fields__})


def _share(size: int) -> float:
    """Return the ratio of a cache size to the default."""
    return size / Settings().cache_size
