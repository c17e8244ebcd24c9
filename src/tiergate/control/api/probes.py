"""What those ask who run the control plane: `/livez`, `/readyz`, `/metrics`, and the description of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint, Open
from tiergate.control.metrics import CONTENT_TYPE, metrics_text
from tiergate.errors import RequestError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from tiergate.control.api.request import AdminRequest
    from tiergate.control.feed_api.feed_watcher import FeedWatcher
    from tiergate.store import Store

PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""What is answered however many connections there are."""

_SILENT_MS: Final = 15_000
"""After so long without an answer of the database, others should be asked."""


class Probes:
    """Endpoints that tell nothing about any customer, and are open to whoever reaches the port."""

    def __init__(self, tail: FeedWatcher, registry: CollectorRegistry, store: Store) -> None:
        self._tail, self._registry, self._store = tail, registry, store
        self.draining = False

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("GET", "/livez", Open.ANYBODY, self.live),
            Endpoint("GET", "/readyz", Open.ANYBODY, self.ready),
            Endpoint("GET", "/metrics", Open.ANYBODY, self.metrics),
        ]

    async def live(self, request: AdminRequest) -> Answer:  # noqa: ARG002 - as every handler
        """Say that the process runs."""
        return Answer.json({"status": "live"})

    async def ready(self, request: AdminRequest) -> Answer:  # noqa: ARG002 - as every handler
        """Say whether requests can be served."""
        if self.draining:
            raise RequestError(503, "not ready", "a shutdown has begun")
        state = self._tail.state
        # A question without an answer counts as a failed one: a host that is gone says nothing.
        if state is None or self._store.clock() - state.confirmed_at > _SILENT_MS:
            raise RequestError(503, "not ready", "the database does not answer")
        # One that only reads still serves sidecars: to take it out of the service would take sync from the fleet.
        return Answer.json({"status": "ready", "read_only": self._store.database.refusal is not None})

    async def metrics(self, request: AdminRequest) -> Answer:  # noqa: ARG002 - as every handler
        """Tell all counts, for Prometheus."""
        return Answer(200, metrics_text(self._registry), {"content-type": CONTENT_TYPE})
