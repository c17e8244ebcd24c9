"""All routes of the control plane, for tests of what is said of them; nothing behind them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.bundle import SigningKey
from tiergate.control.api.probes import Probes
from tiergate.control.api.roles import RolesInForce
from tiergate.control.app import all_endpoints
from tiergate.control.feed_api.bundle_archives import Packs
from tiergate.control.feed_api.endpoints import Sync
from tiergate.control.feed_api.feed_watcher import Tail
from tiergate.control.feed_api.head_signer import Heads
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.control.metrics import Requests, registry
from tiergate.control.webhooks.webhook_targets import Destinations
from tiergate.publish.signer import Signer

if TYPE_CHECKING:
    from tiergate.control.api.router import Endpoint
    from tiergate.store import Store


def all_routes(store: Store) -> list[Endpoint]:
    """Every route."""
    signer, tail = Signer([SigningKey.generate()]), Tail(store)
    return all_endpoints(
        store=store,
        signer=signer,
        sync=Sync(store, tail, Heads(store.id, signer), Snapshots(store), Packs(store)),
        destinations=Destinations(),
        in_force=RolesInForce(store),
        probes=Probes(tail, registry(Requests(), dict), store).endpoints(),
    )
