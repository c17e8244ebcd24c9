"""The part of a sidecar that answers checks: the check service and its listeners.

A sidecar with one process has it beside the follower of its data. With several (`workers`), each worker has one, on
sockets that it was given.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from tiergate.engine import CacheLimits, Difference, EngineOptions, Rechecks
from tiergate.engine.sources import NO_USAGE
from tiergate.errors import SettingsError
from tiergate.http.loopback import is_loopback
from tiergate.model import Reason
from tiergate.process.listener import Listener
from tiergate.process.regular_files import read_regular
from tiergate.sidecar.api.app import DEFAULT_CACHE_BYTES, NativeApi, app
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.api.tokens import TokenFile
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.decision_log import DecisionLog, LogRules, Mask
from tiergate.sidecar.fast_path import DEFAULT_CACHE_BYTES as QUICK_PATH_BYTES
from tiergate.sidecar.fast_path import FastPath
from tiergate.sidecar.listener_limits import ListenerLimits
from tiergate.sidecar.listener_protocol import protocol_class
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.outcomes.outcome_service import OutcomesAbsence
from tiergate.sidecar.settings import Settings
from tiergate.sidecar.usage.meter import MeterAbsence

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from starlette.types import ASGIApp

    from tiergate.engine.sources import UsageSource
    from tiergate.model import Instant
    from tiergate.sidecar.check_service import SubjectFetcher
    from tiergate.sidecar.deferred import Deferred
    from tiergate.sidecar.outcomes.recorder import OutcomeRecorder
    from tiergate.sidecar.state import State
    from tiergate.sidecar.usage.meter import Meter

SWITCH_INTERVAL: Final = 0.0001
"""Seconds after which another thread must release the interpreter's lock to the event loop's thread.

A check gives the lock away several times: whenever SQLite looks up a record.
"""

END_AT_LAST: Final = 5.0
"""Seconds after the shutdown timeout at which the process ends in any case."""

_log = structlog.get_logger(__name__)

_SECRET: Final = re.compile(rb"[!-~]{16,}")
_KEY_BYTES: Final = 32
_LONGEST_KEY: Final = 64
_MOST_SECRET_BYTES: Final = 64 * 1024


class ApiSockets(NamedTuple):
    """The sockets of the API: of TCP, and a Unix socket, which `leave` removes from its path."""

    tcp: list[socket.socket]
    unix: socket.socket | None = None
    leave: Callable[[], None] = lambda: None


class Counting(NamedTuple):
    """What counts usage, or why nothing does.

    `within`, `hand_on`: as `app` and `FastPath` take them; a worker hands on what its leader counts.
    """

    meter: Meter | MeterAbsence = MeterAbsence.NO_DATA_FOLDER
    within: Callable[[ASGIApp, Metrics], ASGIApp] | None = None
    hand_on: Callable[[bytes, Metrics], Deferred[bytes]] | None = None


_NOT_COUNTING: Final = Counting()


class ApiServer:
    """Serves the API until `end` is called. `metrics` are its counts."""

    def __init__(
        self,
        settings: Settings,
        state: State,
        sockets: ApiSockets,
        log: DecisionLog | None,
        *,
        rechecks: Rechecks,
        connections: int,
        subjects: SubjectFetcher | None = None,
        counting: Counting = _NOT_COUNTING,
    ) -> None:
        """Prepare to serve. `rechecks`: those of the engines. `connections`: the most of one listener.

        `counting`: what counts usage, or why nothing does.

        Raises:
            SettingsError: if the file of the tokens cannot be used.
        """
        self._settings = settings
        self._connections = connections
        self._tokens = None if settings.token_file is None else TokenFile(settings.token_file, "token-file")
        self._log = log
        self.metrics = Metrics()
        self.metrics.rechecks = rechecks
        self._service = CheckService(
            state,
            self.metrics,
            log=log,
            stale_deny=settings.stale_deny,
            startup_allow=settings.startup_allow,
            subjects=subjects,
        )
        self._native = NativeApi(
            self._service,
            int(DEFAULT_CACHE_BYTES * cache_share(settings)),
            counting.meter,
            authzen_url=settings.authzen_url,
        )
        if isinstance(counting.meter, MeterAbsence):
            self._native.outcomes.service.use(OutcomesAbsence[counting.meter.name])
        self._counting = counting
        self._listeners = [self._on_tcp(sockets.tcp)] if sockets.tcp else []
        if sockets.unix is not None:
            self._listeners.append(self._on_unix(sockets.unix, sockets.leave))

    def count_outcomes(self, recorder: OutcomeRecorder | OutcomesAbsence) -> None:
        """Count outcomes with a recorder, or say why nothing is counted."""
        self._native.outcomes.service.use(recorder)

    async def run(self) -> None:
        """Serve until the last response after `end`, then write out the decision log."""
        async with asyncio.TaskGroup() as tasks:
            for listener in self._listeners:
                tasks.create_task(listener.run_until_end())
        if self._log is not None:
            await asyncio.to_thread(self._log.close)

    async def listening(self) -> None:
        """Wait until connections are accepted."""
        for listener in self._listeners:
            await listener.listening.wait()

    def end(self) -> None:
        """Begin the shutdown: nothing new is accepted, and pending requests get their responses."""
        for listener in self._listeners:
            listener.end()

    def force_end(self) -> None:
        """End without waiting for pending requests."""
        for listener in self._listeners:
            listener.force_exit = True

    def look_around(self) -> None:
        """Check, once a second, for changes that nothing reports."""
        self.metrics.descriptors.check()
        if self._tokens is not None:
            self._tokens.refresh()

    def hang_up(self) -> None:
        """Read the tokens again, and open the decision log again."""
        if self._tokens is not None:
            self._tokens.refresh()
        if self._log is not None:
            self._log.reopen()

    def count_requests(self) -> int:
        """Return how many requests were received."""
        return sum(listener.server_state.total_requests for listener in self._listeners)

    def _on_tcp(self, sockets: list[socket.socket]) -> Listener:
        settings = self._settings
        names = {settings.host.lower(), *(name.lower() for name in settings.allowed_host)}
        access = Access(
            names=frozenset(names),
            addresses=not is_loopback(settings.host),
            origins=frozenset(settings.allowed_origin),
            tokens=None if self._tokens is None else self._tokens.tokens,
        )
        return self._listener("tcp", access, sockets)

    def _on_unix(self, bound: socket.socket, leave: Callable[[], None]) -> Listener:
        access = Access(everywhere=True, tokens=None if self._tokens is None else self._tokens.tokens)
        return self._listener("unix", access, [bound], leave)

    def _listener(
        self, name: str, access: Access, sockets: list[socket.socket], leave: Callable[[], None] = lambda: None
    ) -> Listener:
        settings = self._settings
        cache_bytes = int(QUICK_PATH_BYTES * cache_share(settings))
        quick = FastPath(
            self._service,
            name,
            cache_bytes=cache_bytes,
            max_body=settings.max_body,
            hand_on=self._counting.hand_on,
        )
        if self._tokens is not None:
            self._tokens.changed.append(quick.forget)
        limits = ListenerLimits(head_timeout=settings.request_timeout, connections=self._connections)
        return Listener(
            app(
                self._native,
                access,
                max_body=settings.max_body,
                body_timeout=settings.request_timeout,
                within=self._counting.within,
            ),
            sockets,
            protocol=protocol_class(self.metrics, quick, limits),
            keep_alive=settings.keep_alive,
            shutdown_timeout=settings.shutdown_timeout,
            leave=leave,
        )


def now_ms() -> Instant:
    """Return the time in UTC milliseconds."""
    return time.time_ns() // 1_000_000


def engine_options(settings: Settings, usage: UsageSource = NO_USAGE) -> EngineOptions:
    """Return the options of the engines of a process that answers checks. `usage`: what was used."""
    usual, share = CacheLimits(), cache_share(settings)
    limits = CacheLimits(**{name: max(1, int(getattr(usual, name) * share)) for name in usual.__struct_fields__})
    rechecks = Rechecks(settings.recheck_one_in, _report_difference)
    return EngineOptions(limits, not settings.always_ask_cedar, rechecks, usage)


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


def cache_share(settings: Settings) -> float:
    """Return the ratio of the memory for caches to the default."""
    return settings.cache_size / Settings().cache_size


def log_key(settings: Settings) -> bytes:
    """Return the key of the hashes in the decision log: the configured one, or a random one."""
    if settings.decision_log_key_file is None:
        return os.urandom(_KEY_BYTES)
    return _read_secret(settings.decision_log_key_file, "decision-log-key-file")[:_LONGEST_KEY]


def open_decision_log(
    settings: Settings, key: bytes, turn: Callable[[], AbstractContextManager[object]] | None = None
) -> DecisionLog | None:
    """Open the configured decision log. `turn`: what several processes that write to it take turns by.

    Raises:
        SettingsError: if it cannot be opened.
    """
    if settings.decision_log is None:
        return None
    rules = LogRules(
        sample=settings.decision_log_sample,
        allowed={"all": None, "allowed": True, "denied": False}[settings.decision_log_outcome],
        reasons=frozenset(Reason(reason) for reason in settings.decision_log_reason),
        features=frozenset(settings.decision_log_feature),
        subject=Mask(settings.decision_log_subject),
        user=Mask(settings.decision_log_user),
        key=key,
        records=settings.decision_log_record,
    )
    log = DecisionLog(settings.decision_log, rules, capacity=settings.decision_log_queue, turn=turn)
    try:
        log.start()
    except OSError as error:
        raise SettingsError("decision-log", f"`{settings.decision_log}` cannot be written: {error.strerror}") from None
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
