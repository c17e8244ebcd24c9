"""All routes of the control plane, put together by hand. Two of one method and path are an error at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.control.api import (
    apply_export,
    audit,
    bundles,
    custom_plans,
    customers,
    drafts,
    entitlements,
    erasure,
    features,
    immediate_changes,
    imports,
    items,
    keys,
    openapi,
    overrides,
    plan_retirement,
    previews,
    publishing,
    replays,
    roles,
    rules,
    subscriptions,
)
from tiergate.control.api.admin_api import AdminApi
from tiergate.control.api.webhooks import WebhookEndpoints
from tiergate.publish.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.admin.published_roles import PublishedRoles
    from tiergate.control.api.router import Endpoint
    from tiergate.control.auth.authentication import Authenticator
    from tiergate.control.auth.recent_callers import RecentCallers
    from tiergate.control.feed_api.endpoints import FeedApi
    from tiergate.control.webhooks.webhook_targets import WebhookTargets
    from tiergate.publish.signer import Signer
    from tiergate.store import Store


def admin_api(
    store: Store,
    endpoints: Iterable[Endpoint],
    authenticator: Authenticator,
    in_force: PublishedRoles,
    known: RecentCallers,
    *,
    threads: int,
) -> AdminApi:
    """The application that serves these endpoints. `threads`: how many requests are worked on at once; see `AdminApi`.

    Raises:
        ValueError: two endpoints have the same method and path.
    """
    return AdminApi(
        endpoints,
        identify=authenticator.identify,
        roles=in_force,
        store=store,
        known=known,
        sidecar_threads=max(1, threads // 2),
    )


def all_endpoints(
    *,
    store: Store,
    signer: Signer,
    sync: FeedApi,
    destinations: WebhookTargets,
    in_force: PublishedRoles,
    probes: Iterable[Endpoint],
) -> list[Endpoint]:
    """Every endpoint of the control plane."""
    publisher = Publisher(store, signer)
    found = [
        *features.endpoints(),
        *items.endpoints(),
        *drafts.endpoints(),
        *publishing.endpoints(publisher),
        *immediate_changes.endpoints(publisher),
        *rules.endpoints(publisher),
        *apply_export.endpoints(publisher),
        *bundles.endpoints(publisher, sync.archives),
        *previews.endpoints(publisher),
        *customers.endpoints(),
        *subscriptions.endpoints(publisher),
        *overrides.endpoints(),
        *entitlements.endpoints(),
        *replays.endpoints(),
        *erasure.endpoints(),
        *imports.endpoints(),
        *custom_plans.endpoints(publisher),
        *plan_retirement.endpoints(),
        *keys.endpoints(in_force, {"store": store.id, "public_keys": [key.to_pem() for key in signer.verify_keys]}),
        *roles.endpoints(in_force),
        *audit.endpoints(),
        *WebhookEndpoints(destinations).endpoints(),
        *sync.endpoints(),
        *probes,
    ]
    return [*found, openapi.endpoint(found)]
