"""All routes of the control plane, for tests of what is said of them; nothing behind them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.admin.roles import PublishedRoles
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.bundle import SigningKey
from tiergate.control.api.probes import Probes
from tiergate.control.app import all_endpoints
from tiergate.control.feed_api.bundle_archives import BundleArchives
from tiergate.control.feed_api.endpoints import FeedApi
from tiergate.control.feed_api.feed_pages import HeadSigner
from tiergate.control.feed_api.feed_watcher import FeedWatcher
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.control.metrics import RequestCounts, build_registry
from tiergate.control.status_page.endpoints import StatusPage
from tiergate.control.webhooks.webhook_targets import WebhookTargets
from tiergate.publish.signer import Signer
from tiergate.store.usage_ledger import UsageLedger

if TYPE_CHECKING:
    from tiergate.control.api.router import Endpoint
    from tiergate.store import Store


def all_routes(store: Store) -> list[Endpoint]:
    """Every route."""
    signer, tail = Signer([SigningKey.generate()]), FeedWatcher(store)
    return all_endpoints(
        store=store,
        signer=signer,
        sync=FeedApi(store, tail, HeadSigner(store.id, signer), Snapshots(store), BundleArchives(store)),
        ledger=UsageLedger(store, PublishedBounds()),
        targets=WebhookTargets(),
        published_roles=PublishedRoles(store),
        open_routes=[
            *Probes(tail, build_registry(RequestCounts(), dict), store).endpoints(),
            *StatusPage(store, title="Status").endpoints(),
        ],
    )
