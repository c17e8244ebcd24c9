"""The endpoints for operators: `/livez`, `/readyz`, `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint, Open
from tiergate.errors import RequestError
from tiergate.http.metrics import CONTENT_TYPE, metrics_text

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from tiergate.control.api.request import AdminRequest
    from tiergate.control.feed_api.feed_watcher import FeedWatcher
    from tiergate.store import Store

PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are served beyond the connection limit."""

_SILENT_MS: Final = 15_000
"""Milliseconds without a response of the database after which the process is not ready."""


class Probes:
    """Endpoints without data of customers, open to everybody who reaches the port."""

    def __init__(self, tail: FeedWatcher, registry: CollectorRegistry, store: Store) -> None:
        self._tail, self._registry, self._store = tail, registry, store
        self.draining = False

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        return [
            Endpoint("GET", "/livez", Open.ANYBODY, self.live),
            Endpoint("GET", "/readyz", Open.ANYBODY, self.ready),
            Endpoint("GET", "/metrics", Open.ANYBODY, self.metrics),
        ]

    async def live(self, request: AdminRequest) -> Response:  # noqa: ARG002 - as every handler
        """Return that the process runs."""
        return Response.json({"status": "live"})

    async def ready(self, request: AdminRequest) -> Response:  # noqa: ARG002 - as every handler
        """Return whether requests can be served."""
        if self.draining:
            raise RequestError(503, "not ready", "shutting down")
        state = self._tail.state
        # No response counts as a failure: a host that is gone sends none.
        if state is None or self._store.clock() - state.confirmed_at > _SILENT_MS:
            raise RequestError(503, "not ready", "the database does not answer")
        # A read-only database still serves sidecars, which need sync.
        return Response.json({"status": "ready", "read_only": self._store.database.read_only_error is not None})

    async def metrics(self, request: AdminRequest) -> Response:  # noqa: ARG002 - as every handler
        """Return all metrics, for Prometheus."""
        return Response(200, metrics_text(self._registry), {"content-type": CONTENT_TYPE})
