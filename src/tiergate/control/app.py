"""All routes of the control plane. Two routes with the same method and path are an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.control.api import (
    apply_export,
    audit,
    bundles,
    custom_plans,
    customers,
    entitlements,
    erasure,
    events,
    features,
    immediate_changes,
    imports,
    items,
    keys,
    openapi,
    overrides,
    overviews,
    publishing,
    replays,
    roles,
    rules,
    service_levels,
    status,
    subscriptions,
)
from tiergate.control.api.usage import UsageEndpoints
from tiergate.control.api.usage_exports import UsageExportEndpoints
from tiergate.control.api.usage_leases import UsageLeaseEndpoints
from tiergate.control.api.webhooks import WebhookEndpoints
from tiergate.control.feed_api import outcome_exchange
from tiergate.control.feed_api.usage_exchange import UsageExchange
from tiergate.publish.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.admin.roles import PublishedRoles
    from tiergate.control.api.router import Endpoint
    from tiergate.control.feed_api.endpoints import FeedApi
    from tiergate.control.usage_export.exporter import UsageExporter
    from tiergate.control.usage_metrics import UsageMetrics
    from tiergate.control.webhooks.webhook_targets import WebhookTargets
    from tiergate.publish.signer import Signer
    from tiergate.store import Store
    from tiergate.store.usage_ledger import UsageLedger


class UsageParts(NamedTuple):
    """What exports usage, if anything does, and what counts how it is reported."""

    exporter: UsageExporter | None = None
    metrics: UsageMetrics | None = None


def all_endpoints(
    *,
    store: Store,
    signer: Signer,
    sync: FeedApi,
    ledger: UsageLedger,
    targets: WebhookTargets,
    published_roles: PublishedRoles,
    open_routes: Iterable[Endpoint],
    usage: UsageParts | None = None,
) -> list[Endpoint]:
    """Return every endpoint of the control plane; `open_routes`: probes, and the public page of the status."""
    publisher = Publisher(store, signer)
    usage = usage or UsageParts()
    routes = [
        *features.endpoints(),
        *items.endpoints(),
        *publishing.endpoints(publisher),
        *immediate_changes.endpoints(publisher),
        *rules.endpoints(publisher),
        *apply_export.endpoints(publisher),
        *bundles.endpoints(publisher, sync.archives),
        *customers.endpoints(),
        *subscriptions.endpoints(publisher),
        *overrides.endpoints(),
        *entitlements.endpoints(),
        *replays.endpoints(),
        *erasure.endpoints(),
        *imports.endpoints(),
        *custom_plans.endpoints(publisher),
        *keys.endpoints(
            published_roles, {"store": store.id, "public_keys": [key.to_pem() for key in signer.verify_keys]}
        ),
        *roles.endpoints(published_roles),
        *audit.endpoints(),
        *events.endpoints(),
        *status.endpoints(),
        *overviews.endpoints(),
        *service_levels.endpoints(),
        *WebhookEndpoints(targets).endpoints(),
        *sync.endpoints(),
        *UsageExchange(ledger, usage.metrics).endpoints(),
        *outcome_exchange.endpoints(),
        *UsageEndpoints(ledger, usage.metrics).endpoints(),
        *UsageExportEndpoints(usage.exporter).endpoints(),
        *UsageLeaseEndpoints(ledger).endpoints(),
        *open_routes,
    ]
    return [*routes, openapi.endpoint(routes)]
