"""The injector's process: its parts put together, from settings to the last answer.

What fails here fails before anything is served: settings, files, sockets. Then the probes answer, and as soon as there
is a certificate that the API server trusts, the webhook does. It ends on SIGTERM or SIGINT: first `/readyz` turns, then
requests under way are finished. A second signal ends it at once. On SIGHUP it looks at its files and at the cluster.
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
from tiergate.cluster.injector.operator_config import Words
from tiergate.cluster.injector.serving_certificate import GivenFiles, OwnFiles
from tiergate.cluster.injector.settings import TABLE
from tiergate.cluster.injector.webhook import Counts, probes, webhook
from tiergate.cluster.injector.webhook_registration import Registration
from tiergate.cluster.kubernetes_api import Api
from tiergate.errors import OperatorError, SettingsError
from tiergate.process.http_protocol import ConnectionLimits, bounded
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

_LOOK: Final = 10.0
"""Seconds between two looks at files, at the Secret and at the webhook's configuration."""
_AGAIN: Final = 1.0
"""Seconds between two attempts to have a first certificate."""
_PRIVATE: Final = 0o077
_KEPT_BACK: Final = 64
"""Descriptors for what is neither a review's connection nor a probe's."""

_PROBE_CONNECTIONS: Final = 64

_END_AT_LAST: Final = 5.0
"""Seconds beyond the shutdown timeout after which the process ends whatever it still waits for."""

_log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    sidecar_settings: SettingsTable,
    check: Callable[[Mapping[str, str]], object],
    environ: Mapping[str, str],
) -> None:
    """Serve until SIGTERM or SIGINT.

    `sidecar_settings`: the table of the sidecar's settings, which pods are given; `check`: raises `SettingsError` where
    a sidecar would not start with these variables.

    Raises:
        SettingsError: a setting names what cannot be used.
        ListenError: an address cannot be listened on.
    """
    open_files = raise_open_files_limit()
    disable_created_metrics()  # type: ignore[no-untyped-call]
    configure_logs(settings.log_format, settings.log_level)
    for name in TABLE.unknown_variables(environ):
        _log.warning("unknown variable ignored", variable=name)
    os.umask(_PRIVATE)
    with ExitStack() as opened:
        words = Words(settings, sidecar_settings, check)
        injector = _Injector(settings, words, environ, opened, open_files)
        uvloop.run(injector.serve())


class _Injector:
    """Everything that one process consists of."""

    def __init__(
        self, settings: Settings, words: Words, environ: Mapping[str, str], opened: ExitStack, open_files: int
    ) -> None:
        """Open what can fail: files, sockets. `opened` closes them."""
        self._words = words
        self._counts = Counts()
        probe_connections = min(_PROBE_CONNECTIONS, max(1, open_files // 8))
        self._most = connection_limit(open_files, _KEPT_BACK + probe_connections)
        self._files = _files(settings, environ, opened)
        self._sockets = _bind(settings.host, settings.port, opened)
        probe_sockets = _bind(settings.probe_host, settings.probe_port, opened)
        self._probe_address = " ".join(map(url_of, probe_sockets))
        self._probes = Listener(
            probes(lambda: self._serving and not self._end.is_set(), self._counts),
            probe_sockets,
            protocol=bounded(ConnectionLimits(most=probe_connections)),
            each_second=DescriptorShortage().look,
            shutdown_timeout=settings.shutdown_timeout,
        )
        self._shutdown_timeout = settings.shutdown_timeout
        self._serving = False
        self._end = asyncio.Event()
        self._wake = asyncio.Event()
        self._webhook: Listener | None = None

    async def serve(self) -> None:
        """Serve until a signal, then end."""
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
        """Wait for a certificate, then serve with it, and look after it."""
        while not await self._look():
            if await self._is_ending(_AGAIN):
                return
        self._webhook = Listener(
            webhook(lambda: self._words.injection, self._counts),
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
            while not await self._is_ending(_LOOK):
                await self._look()
            self._webhook.end()
            await serving

    async def _look(self) -> bool:
        """Read what the operator says, and see to the certificate; say whether there is one that can be used."""
        self._words.refresh()
        self._counts.words_failing.set(self._words.failing)
        try:
            is_new = await asyncio.to_thread(self._files.bring)
            if is_new and self._webhook is not None:
                self._webhook.renew_certificate()
        except (OperatorError, OSError) as error:
            self._counts.certificate_failing.set(1)
            _log.warning("there is no certificate yet, or it stays as it was", error=str(error))
            return False
        self._counts.certificate_failing.set(0)
        if is_new and self._files.ends is not None:
            self._counts.certificate_end.set(self._files.ends.timestamp())
            _log.info("a certificate is in use", until=self._files.ends.isoformat())
        return True

    async def _is_ending(self, seconds: float) -> bool:
        """Wait so long, or until a signal; say whether it is one that ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
        return self._end.is_set()

    def _on_signal(self, number: signal.Signals) -> None:
        _log.info("shutting down", signal=number.name)
        if not self._end.is_set():
            exit_within(self._shutdown_timeout + _END_AT_LAST)
        if self._end.is_set():
            for one in (self._webhook, self._probes):
                if one is not None:
                    one.force_exit = True
        self._end.set()
        self._wake.set()


def _files(settings: Settings, environ: Mapping[str, str], opened: ExitStack) -> GivenFiles | OwnFiles:
    if settings.tls_cert is not None and settings.tls_key is not None:
        return GivenFiles(settings.tls_cert, settings.tls_key)
    if settings.service is None or settings.webhook is None or settings.certificate_secret is None:
        raise SettingsError("tls-cert", "is required, or what the injector needs to make its certificate itself")
    api = opened.enter_context(Api.of_this_pod(environ, settings.service_account))
    name = f"{settings.service}.{api.namespace}"
    registration = Registration(
        api,
        secret=settings.certificate_secret,
        webhook=settings.webhook,
        names=(f"{name}.svc", name, *settings.certificate_name),
    )
    return OwnFiles(registration, opened)


def _bind(host: str, port: int, opened: ExitStack) -> list[socket.socket]:
    bound = bind_tcp(host, port)
    for one in bound:
        opened.callback(one.close)
    return bound
