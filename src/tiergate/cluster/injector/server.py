"""The process of the injector: composes its parts, serves, and shuts down.

Invalid settings, files and addresses fail before anything is served. Then the probes answer, and the webhook once it
has a certificate that the API server trusts. SIGTERM or SIGINT start the shutdown: `/readyz` fails, and requests in
progress finish. A second signal ends it at once. On SIGHUP it checks its files and the cluster.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

import structlog
import uvloop
from prometheus_client import disable_created_metrics

from tiergate import __version__
from tiergate.cluster.injector.operator_config import OperatorConfig
from tiergate.cluster.injector.serving_certificate import ManagedCertificate, MountedCertificate
from tiergate.cluster.injector.settings import TABLE
from tiergate.cluster.injector.webhook import InjectorMetrics, probe_app, webhook_app
from tiergate.cluster.injector.webhook_registration import WebhookRegistration
from tiergate.cluster.kubernetes_api import KubernetesApi
from tiergate.errors import OperatorError, SettingsError
from tiergate.http.bounded_protocol import ConnectionLimits, bounded
from tiergate.process.listener import Listener
from tiergate.process.logs import configure_logs
from tiergate.process.open_files import DescriptorShortage, connection_limit, raise_open_files_limit
from tiergate.process.sockets import bind_tcp, url_of
from tiergate.process.termination import exit_within

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from tiergate.cluster.injector.settings import Settings
    from tiergate.process.settings import SettingsTable

_CHECK_EVERY: Final = 10.0
"""Seconds between two checks of the files, the Secret and the webhook configuration."""
_RETRY_AFTER: Final = 1.0
"""Seconds between two attempts to get the first certificate."""
_PRIVATE: Final = 0o077
_RESERVED: Final = 64
"""Descriptors for everything but connections of reviews and probes."""

_PROBE_CONNECTIONS: Final = 64

_EXIT_AFTER: Final = 5.0
"""Seconds after the shutdown timeout at which the process exits anyway."""

_log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    sidecar_settings: SettingsTable,
    check: Callable[[Mapping[str, str]], object],
    environ: Mapping[str, str],
) -> None:
    """Serve until SIGTERM or SIGINT.

    `sidecar_settings`: the table of the sidecar's settings; `check`: raises `SettingsError` if a sidecar would not
    start with these variables.

    Raises:
        SettingsError: a setting names something unusable.
        ListenError: it cannot listen on an address.
    """
    open_files = raise_open_files_limit()
    disable_created_metrics()  # type: ignore[no-untyped-call]
    configure_logs(settings.log_format, settings.log_level)
    for name in TABLE.unknown_variables(environ):
        _log.warning("unknown variable ignored", variable=name)
    os.umask(_PRIVATE)
    with ExitStack() as opened:
        config = OperatorConfig(settings, sidecar_settings, check)
        injector = _Injector(settings, config, environ, opened, open_files)
        uvloop.run(injector.serve())


class _Injector:
    """The parts of one process."""

    def __init__(
        self, settings: Settings, config: OperatorConfig, environ: Mapping[str, str], opened: ExitStack, open_files: int
    ) -> None:
        """Open files and sockets; `opened` closes them."""
        self._config = config
        self._counts = InjectorMetrics()
        probe_connections = min(_PROBE_CONNECTIONS, max(1, open_files // 8))
        self._most = connection_limit(open_files, _RESERVED + probe_connections)
        self._files = _files(settings, environ, opened)
        self._sockets = _bind(settings.host, settings.port, "port", opened)
        probe_sockets = _bind(settings.probe_host, settings.probe_port, "probe-port", opened)
        self._probe_address = " ".join(map(url_of, probe_sockets))
        self._probes = Listener(
            probe_app(lambda: self._serving and not self._end.is_set(), self._counts),
            probe_sockets,
            protocol=bounded(ConnectionLimits(most=probe_connections)),
            each_second=DescriptorShortage().check,
            shutdown_timeout=settings.shutdown_timeout,
        )
        self._shutdown_timeout = settings.shutdown_timeout
        self._serving = False
        self._end = asyncio.Event()
        self._wake = asyncio.Event()
        self._webhook: Listener | None = None

    async def serve(self) -> None:
        """Serve until a signal, then shut down."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, signal.Signals(number))
        loop.add_signal_handler(signal.SIGHUP, self._wake.set)
        async with asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(self._probes.run_until_end())
            await self._probes.listening.wait()
            _log.info("listening", version=__version__, probes=self._probe_address)
            serving = tasks.create_task(self._serve_webhook())
            await self._end.wait()
            await serving
            self._probes.end()
            await probing
        _log.info("ended")

    async def _serve_webhook(self) -> None:
        """Wait for a certificate, serve with it, and keep it up to date."""
        while not await self._update():
            if await self._is_ending(_RETRY_AFTER):
                return
        self._webhook = Listener(
            webhook_app(lambda: self._config.injection, self._counts),
            self._sockets,
            protocol=bounded(ConnectionLimits(most=self._most)),
            shutdown_timeout=self._shutdown_timeout,
            certificate=self._files.paths,
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self._webhook.run_until_end())
            await self._webhook.listening.wait()
            self._serving = True
            _log.info("ready", webhook=" ".join(map(url_of, self._sockets)).replace("http://", "https://"))
            while not await self._is_ending(_CHECK_EVERY):
                await self._update()
            self._webhook.end()
            await serving

    async def _update(self) -> bool:
        """Update the configuration and the certificate; return whether there is a usable certificate."""
        self._config.refresh()
        self._counts.config_failing.set(self._config.failing)
        try:
            is_new = await asyncio.to_thread(self._files.update)
            if is_new and self._webhook is not None:
                self._webhook.renew_certificate()
        except (OperatorError, OSError) as error:
            self._counts.certificate_failing.set(1)
            _log.warning("cannot update the certificate; keeping the previous one, if any", error=str(error))
            return False
        self._counts.certificate_failing.set(0)
        if is_new and self._files.expires_at is not None:
            self._counts.certificate_end.set(self._files.expires_at.timestamp())
            _log.info("certificate loaded", until=self._files.expires_at.isoformat())
        return True

    async def _is_ending(self, seconds: float) -> bool:
        """Wait for some seconds or a signal; return whether the shutdown has started."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
        return self._end.is_set()

    def _on_signal(self, number: signal.Signals) -> None:
        _log.info("shutting down", signal=number.name)
        if not self._end.is_set():
            exit_within(self._shutdown_timeout + _EXIT_AFTER)
        if self._end.is_set():
            for one in (self._webhook, self._probes):
                if one is not None:
                    one.force_exit = True
        self._end.set()
        self._wake.set()


def _files(
    settings: Settings, environ: Mapping[str, str], opened: ExitStack
) -> MountedCertificate | ManagedCertificate:
    if settings.tls_cert is not None and settings.tls_key is not None:
        return MountedCertificate(settings.tls_cert, settings.tls_key)
    if settings.service is None or settings.webhook is None or settings.certificate_secret is None:
        raise SettingsError(
            "tls-cert", "is required, or the settings for a certificate that the injector creates itself"
        )
    api = opened.enter_context(KubernetesApi.of_this_pod(environ, settings.service_account))
    name = f"{settings.service}.{api.namespace}"
    registration = WebhookRegistration(
        api,
        secret=settings.certificate_secret,
        webhook=settings.webhook,
        names=(f"{name}.svc", name, *settings.certificate_name),
    )
    return ManagedCertificate(registration, opened)


def _bind(host: str, port: int, option: str, opened: ExitStack) -> list[socket.socket]:
    bound = bind_tcp(host, port, option=option)
    for one in bound:
        opened.callback(one.close)
    return bound
