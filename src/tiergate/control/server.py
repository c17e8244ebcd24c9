"""The process of the control plane: composes its parts, serves, and shuts down.

Invalid settings, keys, schemas and addresses fail before anything is served. SIGTERM or SIGINT start the shutdown:
`/readyz` fails, waiting requests are answered, and requests in progress finish. A second signal ends it at once. The
certificate is read again when its files change, and on SIGHUP.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import structlog
import uvloop

from tiergate import __version__
from tiergate.admin.budget_watch import BudgetWatch
from tiergate.admin.clock import Clock
from tiergate.admin.roles import PublishedRoles
from tiergate.admin.status_clock import NO_COUNTS, StatusCounts
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.bundle import SigningKey
from tiergate.control.api.admin_api import AdminApi
from tiergate.control.api.probes import PATHS, Probes
from tiergate.control.app import UsageParts, all_endpoints
from tiergate.control.auth.authentication import Authenticator, TokenVerifier, read_issuers
from tiergate.control.auth.bootstrap_admin import read_admin_key, register_admin_key
from tiergate.control.auth.recent_callers import RecentCallers
from tiergate.control.background_jobs import (
    Retention,
    count_open_leases,
    enforce_retention,
    export_usage,
    follow_limits,
    follow_outcomes,
    refresh_snapshots,
    run_forever,
    tell_time,
    update_object_store,
    watch_budgets,
    watch_certificate,
    watch_read_only,
    watch_status,
)
from tiergate.control.budget_metrics import budget_metrics
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.control.feed_api.endpoints import FeedApi
from tiergate.control.feed_api.feed_pages import HeadSigner
from tiergate.control.feed_api.feed_watcher import FeedWatcher
from tiergate.control.feed_api.object_store import ObjectStoreWriter
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.control.metrics import ObservedApp, RequestCounts, build_registry, status_gauges
from tiergate.control.settings import TABLE
from tiergate.control.status_page.endpoints import StatusPage
from tiergate.control.usage_export.exporter import UsageExporter
from tiergate.control.usage_metrics import UsageMetrics
from tiergate.control.webhooks.delivery import WebhookSender
from tiergate.control.webhooks.dispatcher import Dispatcher
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.errors import SettingsError
from tiergate.http.bounded_protocol import ConnectionLimits, ConnectionTally, bounded
from tiergate.http.loopback import is_loopback
from tiergate.process.atomic_files import write_new_file
from tiergate.process.garbage_collection import GarbageCollection
from tiergate.process.listener import Listener
from tiergate.process.logs import configure_logs
from tiergate.process.open_files import DescriptorShortage, connection_limit, fit_to_limit, raise_open_files_limit
from tiergate.process.sockets import bind_tcp, url_of
from tiergate.process.termination import exit_within
from tiergate.publish.signer import Signer
from tiergate.store import Store
from tiergate.store.usage_ledger import UsageLedger

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from tiergate.control.api.router import Endpoint
    from tiergate.control.settings import Settings

_SWITCH_INTERVAL: Final = 0.001
"""Seconds after which a busy thread yields to the event loop, which all requests need."""

_KEPT_BACK: Final = 256
"""Descriptors for the database (three for each connection to SQLite), webhooks, files and rejected connections."""

_PROBE_CONNECTIONS: Final = 64
_PROBE_SHUTDOWN: Final = 1.0

_NOT_WAITING: Final = 100
"""Connections that are reserved for requests that do not wait for news."""

_COLLECT_ALL_EVERY: Final = 3600.0
"""Seconds after which all garbage is collected although requests come, which sidecars send all the time."""

_SECRET_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_PRIVATE: Final = 0o077

_END_AT_LAST: Final = 5.0
"""Seconds after the shutdown timeout at which the process exits anyway."""

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SettingsError: a setting names something unusable.
        ListenError: it cannot listen on the address.
        StoreError: the database is unusable, or has the schema of another release.
    """
    open_files = raise_open_files_limit()
    configure_logs(settings.log_format, settings.log_level)
    for name in TABLE.unknown_variables(os.environ):
        _log.warning("unknown variable ignored", variable=name)
    os.umask(_PRIVATE)  # a SQLite database has data of customers and secrets of webhooks
    with ExitStack() as opened:
        plane = _ControlPlane(settings, opened, open_files)
        uvloop.run(plane.serve())


class _ControlPlane:
    """The parts of one process."""

    def __init__(self, settings: Settings, opened: ExitStack, open_files: int) -> None:
        """Open the store, keys and sockets; `opened` closes them."""
        self._settings = settings
        self._connections, self._shortage = ConnectionTally(), DescriptorShortage()
        probe_connections = 0 if settings.probe_port is None else min(_PROBE_CONNECTIONS, max(1, open_files // 8))
        room = connection_limit(open_files, _KEPT_BACK + probe_connections)
        targets = _webhook_targets(settings)
        tokens = _tokens(settings)
        admin_key = read_admin_key(settings.bootstrap_admin_key_file)
        self._sockets = bind_tcp(settings.host, settings.port)
        self._probe_sockets = (
            []
            if settings.probe_port is None
            else bind_tcp(settings.probe_host, settings.probe_port, option="probe-port")
        )
        for bound in (*self._sockets, *self._probe_sockets):
            opened.callback(bound.close)
        migrating = settings.migrate or settings.database.startswith("sqlite")
        self._store = Store.open(settings.database, migrating=migrating)
        opened.callback(self._store.close)
        signer = signer_of(settings, self._store)
        register_admin_key(admin_key, self._store)
        self._watcher = FeedWatcher(self._store)
        snapshots, archives = Snapshots(self._store), BundleArchives(self._store)
        self._object_store = (
            None if settings.object_store is None else ObjectStoreWriter(settings.object_store, snapshots, archives)
        )
        self._feed_api = FeedApi(
            self._store,
            self._watcher,
            HeadSigner(self._store.id, signer),
            snapshots,
            archives,
            max_waiting=fit_to_limit(room - min(_NOT_WAITING, room // 4), "max-waiting", settings.max_waiting),
            lines_between_snapshots=settings.snapshot_every,
        )
        self._requests = RequestCounts()
        self._garbage = GarbageCollection(lambda: self._requests.received, at_last=_COLLECT_ALL_EVERY)
        self._budgets = BudgetWatch(self._store)
        self._usage_metrics = UsageMetrics()
        registry = build_registry(
            self._requests,
            self._gauges,
            self._counters,
            lambda: [*budget_metrics(self._budgets.standings), *self._usage_metrics.collect()],
        )
        self._probes = Probes(self._watcher, registry, self._store)
        try:
            self._sender = WebhookSender(targets, proxy=settings.webhook_proxy)
        except ValueError as error:
            raise SettingsError("webhook-proxy", f"is not the URL of a proxy: {error}") from None
        self._dispatcher = Dispatcher(self._store, self._sender)
        roles = PublishedRoles(self._store)
        self._ledger = UsageLedger(self._store, PublishedBounds(), tell_windows=settings.window_events)
        opened.callback(self._ledger.close)
        self._exporter = _usage_exporter(settings, self._store)
        self._statuses = NO_COUNTS
        self._clock = Clock(self._store, self._ledger)
        endpoints = all_endpoints(
            signer=signer,
            store=self._store,
            sync=self._feed_api,
            ledger=self._ledger,
            targets=targets,
            published_roles=roles,
            open_routes=[
                *(self._probes.endpoints() if settings.probe_port is None else ()),
                *_status_page(settings, self._store),
            ],
            usage=UsageParts(self._exporter, self._usage_metrics),
        )
        authenticator = Authenticator(self._store, tokens)
        self._known = RecentCallers(self._store, authenticator, roles)
        api = AdminApi(
            endpoints,
            identify=authenticator.identify,
            roles=roles,
            store=self._store,
            known=self._known,
            sidecar_threads=max(1, settings.threads // 2),
        )
        self._listener = Listener(
            ObservedApp(api, self._requests, [endpoint.path for endpoint in endpoints], settings.log_requests),
            self._sockets,
            protocol=bounded(
                ConnectionLimits(
                    most=room,
                    probes=PATHS if settings.probe_port is None else frozenset(),
                    max_age=settings.max_connection_age,
                ),
                self._connections,
            ),
            each_second=self._look_around,
            keep_alive=settings.keep_alive,
            shutdown_timeout=settings.shutdown_timeout,
            certificate=_certificate(settings),
        )
        probing = self._probes.endpoints()
        self._probe_listener = Listener(
            ObservedApp(
                AdminApi(probing, identify=authenticator.identify, roles=roles, store=self._store),
                self._requests,
                [endpoint.path for endpoint in probing],
                settings.log_requests,
            ),
            self._probe_sockets,
            protocol=bounded(ConnectionLimits(most=probe_connections)),
            shutdown_timeout=_PROBE_SHUTDOWN,
        )
        self._end = asyncio.Event()

    async def serve(self) -> None:
        """Serve until a signal, then shut down."""
        loop = asyncio.get_running_loop()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number))
        loop.add_signal_handler(signal.SIGHUP, self._reload_certificate)
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._settings.threads
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(work) for work in self._background()]
            serving = tasks.create_task(self._listener.run_until_end())
            probing = tasks.create_task(self._serve_probes())
            await self._listener.listening.wait()
            _log.info("listening", version=__version__, store=self._store.id, **self._addresses())
            waiting = tasks.create_task(self._log_ready())
            await self._end.wait()
            self._probes.draining = True
            self._watcher.end()
            self._listener.end()
            await serving
            self._probe_listener.end()
            await probing
            for task in (*background, waiting):
                task.cancel()
        await self._sender.close()
        _log.info("ended")

    async def _serve_probes(self) -> None:
        """Serve probes and metrics on a port of their own, if there is one; they answer during the shutdown, too."""
        if self._probe_sockets:
            await self._probe_listener.run_until_end()

    def _background(self) -> list[Coroutine[Any, Any, None]]:
        settings = self._settings
        retention = Retention(
            settings.feed_retention,
            settings.history_retention,
            settings.usage_retention,
            settings.usage_hours_retention,
            settings.events_retention,
            settings.status_retention,
            settings.outcomes_retention,
        )
        jobs = [
            run_forever("tail", self._watcher.run),
            run_forever("webhooks", self._dispatcher.run),
            run_forever("clock", lambda: tell_time(self._clock)),
            run_forever("budgets", lambda: watch_budgets(self._budgets, self._watcher)),
            run_forever("limits", lambda: follow_limits(self._store, self._ledger, self._watcher)),
            run_forever("leases", lambda: count_open_leases(self._store, self._usage_metrics)),
            run_forever("outcomes", lambda: follow_outcomes(self._store)),
            run_forever("callers", self._known.run),
            run_forever("status", lambda: watch_status(self._store, self._note_statuses)),
            run_forever("writes", lambda: watch_read_only(self._store)),
            run_forever("snapshots", lambda: refresh_snapshots(self._feed_api)),
            run_forever("retention", lambda: enforce_retention(self._store, retention)),
        ]
        writer = self._object_store
        if writer is not None:
            pace = {"every": settings.object_store_every, "snapshots_every": settings.object_store_snapshots_every}
            jobs.append(
                run_forever(
                    "objects", lambda: update_object_store(writer, self._feed_api, self._watcher, self._store, **pace)
                )
            )
        exporter = self._exporter
        if exporter is not None:
            jobs.append(run_forever("usage", lambda: export_usage(exporter, every=settings.usage_export_every)))
        certificate = _certificate(settings)
        if certificate is not None:
            jobs.append(run_forever("certificate", lambda: watch_certificate(certificate, self._reload_certificate)))
        return jobs

    async def _log_ready(self) -> None:
        """Log once that the database answers."""
        await self._watcher.wait(lambda _: True, float("inf"))
        state = self._watcher.state
        if state is not None:
            self._garbage.begin()
            _log.info("ready", position=state.head.position, publication=state.head.publication, api=self._address())

    def _look_around(self) -> None:
        """Check, once a second, for changes that nothing reports."""
        self._shortage.check()
        self._garbage.look()

    def _addresses(self) -> dict[str, str]:
        own = {"probes": " ".join(url_of(bound) for bound in self._probe_sockets)} if self._probe_sockets else {}
        return {"api": self._address(), **own}

    def _address(self) -> str:
        addresses = " ".join(url_of(bound) for bound in self._sockets)
        return addresses if self._settings.tls_cert is None else addresses.replace("http://", "https://")

    def _counters(self) -> Mapping[str, tuple[str, float]]:
        return {
            "connections_refused": ("Connections beyond what the open files allow.", self._connections.refused),
            "open_files_exhausted": ("How often no descriptor was left.", self._shortage.count),
            "deliveries_succeeded": ("Attempts to deliver an event that succeeded.", self._dispatcher.delivered),
            "deliveries_failed": ("Attempts to deliver an event that failed.", self._dispatcher.failed),
            "deliveries_given_up": ("Deliveries that are dead after their last attempt.", self._dispatcher.given_up),
        }

    def _gauges(self) -> Mapping[str, tuple[str, float]]:
        gauges: dict[str, tuple[str, float]] = {
            "connections": ("Open connections.", self._connections.open),
            "waiting_readers": ("Requests that wait for news.", self._feed_api.waiting),
            "feed_failing": ("1 where the database does not answer.", int(self._watcher.failing)),
            "feed_listening": ("1 where commits of other instances are notified of.", int(self._watcher.listening)),
            "store_read_only": (
                "1 where the database takes no changes.",
                int(self._store.database.read_only_error is not None),
            ),
        }
        backlog = self._dispatcher.backlog
        gauges["deliveries_waiting"] = ("Deliveries that wait, to all enabled webhooks.", backlog.waiting)
        gauges["deliveries_dead"] = ("Deliveries that are dead.", backlog.dead)
        waited = 0 if backlog.oldest is None else max(0, self._store.clock() - backlog.oldest) / 1000
        gauges["deliveries_oldest_age_seconds"] = ("How long the oldest of those that wait has waited.", waited)
        gauges |= status_gauges(self._statuses)
        state = self._watcher.state
        if state is not None:
            age = max(0, self._store.clock() - state.confirmed_at) / 1000
            gauges["feed_position"] = ("The last position of the feed.", state.head.position)
            gauges["feed_floor"] = ("The position after which the feed begins.", state.head.floor)
            gauges["feed_confirmed_age_seconds"] = ("How long ago the database was asked.", age)
            gauges["publication"] = ("The active publication.", state.head.publication)
        if self._object_store is not None:
            gauges["object_store_failing"] = (
                "1 where the object store cannot be written.",
                int(self._object_store.failing),
            )
            gauges["object_store_put_timestamp_seconds"] = (
                "When it was last brought up to date.",
                self._object_store.put_at,
            )
        if self._exporter is not None:
            gauges["usage_export_failing"] = ("1 where the usage cannot be exported.", int(self._exporter.failing))
            gauges["usage_export_until_timestamp_seconds"] = (
                "Until when usage has been exported.",
                max(0, self._exporter.written_until) / 1000,
            )
        return gauges

    def _note_statuses(self, counts: StatusCounts) -> None:
        self._statuses = counts

    def _on_signal(self, number: signal.Signals) -> None:
        _log.info("shutting down", signal=number.name)
        if not self._end.is_set():
            exit_within(self._settings.shutdown_timeout + _END_AT_LAST)
        if self._end.is_set():
            self._listener.force_exit = self._probe_listener.force_exit = True
        self._end.set()

    def _reload_certificate(self) -> bool:
        try:
            self._listener.renew_certificate()
        except OSError as error:
            _log.error("cannot read the certificate again; keeping the previous one", error=str(error))
            return False
        _log.info("certificate reloaded")
        return True


def signer_of(settings: Settings, store: Store) -> Signer:
    """Return the signing keys of the settings; on loopback with SQLite, one beside the database, made for a new store.

    Raises:
        SettingsError: there is no key, or it cannot be read or written.
    """
    beside = store.database.engine.url.database if store.database.is_sqlite else None
    if settings.signing_key_file or beside is None or not is_loopback(settings.host):
        return Signer.read(settings.signing_key_file)
    path = Path(beside).with_suffix(".signing-key.pem")
    if not path.exists():
        if store.read(lambda unit: unit.head().position):
            raise SettingsError(
                "signing-key-file", f"is required: the store already has signed data, and `{path}` is missing"
            )
        key = SigningKey.generate()
        try:
            write_new_file(path, key.to_pem().encode(), _SECRET_MODE)
            path.with_suffix(".public.pem").write_text(key.verify_key.to_pem())
            path.with_suffix(".public.pem").chmod(_PUBLIC_MODE)
        except OSError as error:
            raise SettingsError("signing-key-file", f"`{path}` cannot be written: {error.strerror}") from None
        _log.info("signing key created", file=str(path), sidecars_trust=str(path.with_suffix(".public.pem")))
    return Signer.read([path])


def _status_page(settings: Settings, store: Store) -> list[Endpoint]:
    if not settings.public_status:
        return []
    return StatusPage(store, title=settings.public_status_title, tag=settings.public_status_tag).endpoints()


def _usage_exporter(settings: Settings, store: Store) -> UsageExporter | None:
    if settings.usage_export is None:
        return None
    return UsageExporter(
        settings.usage_export,
        store,
        retention=settings.usage_retention,
        hours_retention=settings.usage_hours_retention,
    )


def _certificate(settings: Settings) -> tuple[Path, Path] | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    for name, path in (("tls-cert", settings.tls_cert), ("tls-key", settings.tls_key)):
        if not path.is_file():
            raise SettingsError(name, f"there is no file `{path}`")
    return settings.tls_cert, settings.tls_key


def _webhook_targets(settings: Settings) -> WebhookTargets:
    try:
        return WebhookTargets(settings.webhook_network)
    except ValueError as error:
        raise SettingsError("webhook-network", str(error)) from None


def _tokens(settings: Settings) -> TokenVerifier:
    if settings.issuers_file is None:
        return TokenVerifier([])
    try:
        text = settings.issuers_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("issuers-file", f"`{settings.issuers_file}` cannot be read: {error}") from None
    return TokenVerifier(read_issuers(text))
