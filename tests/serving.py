"""A sidecar's API on real sockets in this process, for tests: a real uvicorn in a thread of its own.

`Service` holds what a test may change while it serves; `exchange` talks raw HTTP with it, so that a test decides
every byte and when it goes out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import uvicorn
import uvloop

from tests import wire
from tiergate import publish
from tiergate.bundle import Bundle
from tiergate.engine import EngineOptions, Rechecks
from tiergate.engine.recent_keys import RecentKeys
from tiergate.engine.sources import NO_USAGE
from tiergate.model import (
    FOREVER,
    Customer,
    Override,
    OverrideMode,
    SubjectRecord,
    SubjectType,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
)
from tiergate.sidecar.api.app import DEFAULT_CACHE_BYTES, NativeApi, app
from tiergate.sidecar.api.request_limits import Access
from tiergate.sidecar.check_service import CheckService
from tiergate.sidecar.fast_path import DEFAULT_CACHE_BYTES as DEFAULT_FAST_PATH_BYTES
from tiergate.sidecar.fast_path import FastPath
from tiergate.sidecar.http_protocol import SidecarProtocol
from tiergate.sidecar.listener_protocol import protocol_class
from tiergate.sidecar.metrics import Metrics
from tiergate.sidecar.outcomes.outcome_service import OutcomesAbsence
from tiergate.sidecar.outcomes.recorder import OutcomeRecorder, RecorderOptions
from tiergate.sidecar.request_context import NO_CONTEXT
from tiergate.sidecar.state import Generation, State
from tiergate.sidecar.usage.local_meter import LocalMeter
from tiergate.sidecar.usage.meter import MeterAbsence

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from tiergate.model import Instant, Subject
    from tiergate.sidecar.api.responses import HttpResponse
    from tiergate.sidecar.check_service import SubjectFetcher
    from tiergate.sidecar.decision_log import DecisionLog
    from tiergate.sidecar.listener_limits import ListenerLimits

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: analytics, name: Analytics, type: switch, tags: [reports]}
  - {id: movies, type: quantity, unit: movies/month, levels: [20, 30, 50, unlimited]}
  - {id: api-limit, type: range, unit: requests/min, min: 100, max: 1000}
  - {id: support, type: custom, levels: [email, chat, phone, priority-phone]}
  - {id: storage, type: quantity, unit: GB, scale: 3, combine: max, batch: {minimum: 1, increment: 0.5}}
items:
  - id: gold
    kind: plan
    version: 3
    entitlements: {analytics: true, movies: 50, api-limit: 800, support: phone, storage: 10}
  - id: silver
    kind: plan
    entitlements: {movies: 30, support: chat}
  - id: platinum
    kind: plan
    entitlements: {analytics: true, movies: unlimited}
"""

RECORDER = RecorderOptions(64 * 2**20, 1_000, 24 * 3_600_000)

NOW = 1_700_000_000_000
"""The instant at which a service's clock stands at first."""

T = TypeVar("T")


def customer(
    name: str, plan: str = "gold", overrides: tuple[Override, ...] = (), suspensions: tuple[Suspension, ...] = ()
) -> SubjectRecord:
    """A customer with one live subscription to a plan, whose id is `sub-` and the customer's."""
    held = Subscription(f"sub-{name}", name, SubscriptionStatus.ACTIVE, (SubscriptionItem(plan),))
    return SubjectRecord(Customer(name, overrides=overrides, suspensions=suspensions), (held,))


def disabled(feature: str, start: Instant, until: Instant) -> Override:
    """An override that takes a feature away for a while."""
    return Override("gone", feature, OverrideMode.DISABLED, None, start, until)


class Subjects:
    """Subjects in memory."""

    def __init__(self, *records: SubjectRecord) -> None:
        self.records = {record.customer.id: record for record in records}

    def find(self, subject: Subject) -> SubjectRecord | None:
        """The record of a customer, or of a subscription's."""
        if subject.type is SubjectType.CUSTOMER:
            return self.records.get(subject.id)
        for record in self.records.values():
            if any(held.id == subject.id for held in record.subscriptions):
                return record
        return None

    def list_ids(self, kind: SubjectType, after: str, most: int) -> list[str]:
        """The ids of customers or subscriptions that follow one."""
        records = self.records.values()
        ids = [it.customer.id for it in records]
        if kind is SubjectType.SUBSCRIPTION:
            ids = [held.id for it in records for held in it.subscriptions]
        return sorted(id_ for id_ in ids if id_ > after)[:most]


@functools.cache
def bundle(catalog: str = CATALOG, rules: tuple[tuple[str, str], ...] = ()) -> Bundle:
    """Compile a catalog and rules (file name and text)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "catalog.yaml")
        path.write_text(catalog)
        written = Path(folder, "rules")
        written.mkdir()
        for name, text in rules:
            Path(written, name).write_text(text)
        return Bundle.from_files(publish.compile_bundle([path], written))


class Clock:
    """A clock that stands until somebody moves it."""

    def __init__(self, now: Instant = NOW) -> None:
        self.now = now

    def __call__(self) -> Instant:
        """The instant."""
        return self.now


class Where(NamedTuple):
    """An address: host and port, or a path."""

    host: str = ""
    port: int = 0
    path: str = ""

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """Open a connection."""
        if self.path:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self.path)
            return sock
        sock = socket.create_connection((self.host, self.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    @property
    def url(self) -> str:
        """What an HTTP client takes."""
        return f"http://{self.host}:{self.port}"


class AllKnown(RecentKeys):
    """Takes every check for one that was asked before, so that tests need not ask twice until it is cached."""

    def add(self, key: Hashable) -> bool:
        """Say that it was."""
        super().add(key)
        return True


class Service:
    """One sidecar's API: state, decider, application and protocol, as they are composed in the sidecar."""

    def __init__(
        self,
        *records: SubjectRecord,
        catalog: str = CATALOG,
        rules: tuple[tuple[str, str], ...] = (),
        access: Access | None = None,
        limits: ListenerLimits | None = None,
        memo: bool = True,
        max_body: int = 2**20,
        body_timeout: float = 10.0,
        keep_alive: float = 75,
        log: DecisionLog | None = None,
        ready: bool = True,
        stale_deny: tuple[str, ...] = (),
        startup_allow: tuple[str, ...] = (),
        ensures: SubjectFetcher | None = None,
        caches_at_once: bool = False,
        usage: Path | None = None,
        outcomes: Path | None = None,
    ) -> None:
        """`usage`, `outcomes`: the folder in which usage or outcomes are counted; without it none are."""
        self.clock = Clock()
        self.state = State(self.clock)
        self.meter = None if usage is None else LocalMeter.open(self.state, usage)
        self.metrics = Metrics()
        self.log = log
        self.service = CheckService(
            self.state,
            self.metrics,
            log=log,
            stale_deny=stale_deny,
            startup_allow=startup_allow,
            subjects=ensures,
        )
        self.native = NativeApi(
            self.service, DEFAULT_CACHE_BYTES if memo else 0, self.meter or MeterAbsence.NO_DATA_FOLDER
        )
        self.recorder = None if outcomes is None else OutcomeRecorder.open(outcomes, self.clock, RECORDER)
        self.native.outcomes.service.use(self.recorder or OutcomesAbsence.NO_DATA_FOLDER)
        if caches_at_once:
            self.native.decisions._asked = AllKnown(1)
        self.quick = FastPath(
            self.service, "tcp", cache_bytes=DEFAULT_FAST_PATH_BYTES if memo else 0, max_body=max_body
        )
        self.app = app(
            self.native, access if access is not None else Access(), max_body=max_body, body_timeout=body_timeout
        )
        self.protocol = protocol_class(self.metrics, self.quick if memo else None, limits)
        self.keep_alive = keep_alive
        self.loop: asyncio.AbstractEventLoop | None = None
        self.server: uvicorn.Server | None = None
        self.number = 0
        self.published = 0
        self.rules = rules
        self.subjects = Subjects()
        if ready:
            self.publish(*records, catalog=catalog)

    def reset(self, *records: SubjectRecord) -> None:
        """Stand as at the beginning: clock, counts, and a first publication."""
        self.clock.now = NOW
        self.published = 0

        def forget() -> None:
            self.state.set_stale_at(FOREVER)
            for tally in self.metrics.reasons.values():
                for name in tally.__slots__:
                    setattr(tally, name, 0)
            for durations in self.metrics.durations.values():
                durations.counts[:] = [0] * len(durations.counts)
            self.metrics.requests.clear()
            self.metrics.problems.clear()

        self.run(forget)
        self.publish(*records)

    def check(self, body: bytes) -> HttpResponse:
        """Respond to one check."""
        response = self.native.checks.respond_now(body, NO_CONTEXT)
        return response if response is not None else asyncio.run(self.native.checks.respond(body, NO_CONTEXT))

    def publish(self, *records: SubjectRecord, catalog: str = CATALOG) -> None:
        """Put a new generation in force."""
        compiled = bundle(catalog, self.rules)
        self.number += 1
        self.published += 1
        self.subjects = Subjects(*records)
        options = EngineOptions(rechecks=Rechecks(1), usage=self.meter or NO_USAGE)
        engine = options.build(compiled, self.subjects, self.published)
        generation = Generation(self.number, engine, self.published, compiled.revision, self.clock())
        self.run(lambda: self.state.install(generation))

    def run(self, action: Callable[[], T]) -> T:
        """Do something in the event loop's thread, and wait until it is done."""
        if self.loop is None:
            return action()
        done: Future[T] = Future()

        def act() -> None:
            try:
                done.set_result(action())
            except BaseException as error:  # noqa: BLE001 - handed on
                done.set_exception(error)

        self.loop.call_soon_threadsafe(act)
        return done.result(10)

    @contextlib.contextmanager
    def serve(self, *, uds: bool = False, loop: str = "uvloop") -> Iterator[Where]:
        """Serve on a free port of 127.0.0.1, or on a Unix socket in a folder of its own."""
        with contextlib.ExitStack() as stack:
            if uds:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                listener = socket.socket(socket.AF_UNIX)
                where = Where(path=str(Path(folder, "api.sock")))
                listener.bind(where.path)
            else:
                listener = socket.socket()
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", 0))
                where = Where(*listener.getsockname())
            stack.callback(listener.close)
            config = uvicorn.Config(
                self.app,
                http=self.protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=self.keep_alive,  # type: ignore[arg-type]
                timeout_graceful_shutdown=5,
            )
            self.server = uvicorn.Server(config)
            started = threading.Event()
            factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop

            async def main() -> None:
                self.loop = asyncio.get_running_loop()
                if self.meter is not None:
                    self.meter.journal.start()
                if self.recorder is not None:
                    self.recorder.start()
                serving = asyncio.create_task(self.server.serve([listener]))  # type: ignore[union-attr]
                while not self.server.started:  # type: ignore[union-attr]  # noqa: ASYNC110 - has no event
                    await asyncio.sleep(0)
                started.set()
                await serving

            def run() -> None:
                with asyncio.Runner(loop_factory=factory) as runner:
                    runner.run(main())

            thread = threading.Thread(target=run, name="sidecar")
            thread.start()
            try:
                assert started.wait(10)
                yield where
            finally:
                self.stop()
                thread.join(10)
                self.loop = None
                if self.meter is not None:
                    self.meter.close()
                if self.recorder is not None:
                    self.recorder.close()
                assert not thread.is_alive()

    def connections(self) -> list[SidecarProtocol]:
        """All open connections; to be called in the event loop's thread."""
        assert self.server is not None
        return [open_ for open_ in self.server.server_state.connections if isinstance(open_, SidecarProtocol)]

    def stop(self) -> None:
        """Begin a graceful shutdown."""
        if self.server is not None:
            self.server.should_exit = True


def post(
    path: str, body: bytes | str | Mapping[str, Any], *, headers: Mapping[str, str] | None = None, close: bool = False
) -> bytes:
    """The bytes of a request with a JSON body."""
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    sent = {"Host": "localhost:8437", "Content-Type": "application/json", **(headers or {})}
    sent["Content-Length"] = str(len(content))
    if close:
        sent["Connection"] = "close"
    return wire.request("POST", path, sent, content)


def get(path: str, *, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request without a body."""
    return wire.request("GET", path, {"Host": "localhost:8437", **(headers or {})})
