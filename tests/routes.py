"""All routes of the control plane, for tests of what is said of them; nothing behind them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.bundle import SigningKey
from tiergate.control.app import all_endpoints
from tiergate.control.destinations import Destinations
from tiergate.control.heads import Heads
from tiergate.control.observation import Requests, registry
from tiergate.control.packs import Packs
from tiergate.control.probes import Probes
from tiergate.control.roles import RolesInForce
from tiergate.control.snapshots import Snapshots
from tiergate.control.sync import Sync
from tiergate.control.tail import Tail
from tiergate.publish.signer import Signer

if TYPE_CHECKING:
    from tiergate.control.access import Endpoint
    from tiergate.store import Store

__all__ = ["all_routes"]


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
