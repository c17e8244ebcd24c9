"""All routes of the control plane, put together by hand. Two of one method and path are an error at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import cachetools

from tiergate.control import (
    audit,
    billing,
    bundles,
    customers,
    drafts,
    entitlements,
    erasure,
    explanations,
    features,
    gitops,
    imports,
    items,
    keys,
    openapi,
    overrides,
    own_plans,
    previews,
    publishing,
    replays,
    roles,
    rules,
    sales,
    subscription_steps,
    subscriptions,
)
from tiergate.control.access import AdminApi
from tiergate.control.packs import Packs
from tiergate.control.webhooks import WebhookEndpoints
from tiergate.publish.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tiergate.control.access import Endpoint
    from tiergate.control.destinations import Destinations
    from tiergate.control.roles import RolesInForce
    from tiergate.control.sync import Sync
    from tiergate.permissions import Caller
    from tiergate.publish.signer import Signer
    from tiergate.store import Store

__all__ = ["BriefMemory", "admin_api", "all_endpoints"]

_REMEMBERED: Final = 10_000
_REMEMBERED_SECONDS: Final = 1.0
_SIDECAR: Final = frozenset({"sidecar"})


def admin_api(
    store: Store, endpoints: Iterable[Endpoint], identify: Callable[[str], Caller], in_force: RolesInForce
) -> AdminApi:
    """The application that serves these endpoints.

    Raises:
        ValueError: two endpoints have the same method and path.
    """
    return AdminApi(endpoints, identify=BriefMemory(identify), roles=in_force, store=store)


def all_endpoints(
    *,
    store: Store,
    signer: Signer,
    sync: Sync,
    destinations: Destinations,
    in_force: RolesInForce,
    probes: Iterable[Endpoint],
) -> list[Endpoint]:
    """Every endpoint of the control plane."""
    publisher = Publisher(store, signer)
    found = [
        *features.endpoints(),
        *items.endpoints(),
        *drafts.endpoints(),
        *publishing.endpoints(publisher),
        *rules.endpoints(publisher),
        *gitops.endpoints(publisher),
        *bundles.endpoints(publisher, Packs(store)),
        *previews.endpoints(publisher),
        *customers.endpoints(),
        *subscriptions.endpoints(),
        *billing.endpoints(),
        *subscription_steps.endpoints(publisher),
        *overrides.endpoints(),
        *entitlements.endpoints(),
        *explanations.endpoints(),
        *replays.endpoints(),
        *erasure.endpoints(),
        *imports.endpoints(),
        *sales.endpoints(publisher),
        *own_plans.endpoints(publisher),
        *keys.endpoints(in_force, {"store": store.id, "public_keys": [key.to_pem() for key in signer.verify_keys]}),
        *roles.endpoints(in_force),
        *audit.endpoints(),
        *WebhookEndpoints(destinations).endpoints(),
        *sync.endpoints(),
        *probes,
    ]
    return [*found, openapi.endpoint(found)]


class BriefMemory:
    """Remembers for a second who a sidecar is: each asks again with every change, and nobody else is remembered.

    So a sidecar's key that is revoked may follow for a second more.
    """

    def __init__(self, identify: Callable[[str], Caller]) -> None:
        self._identify = identify
        self._known: cachetools.TTLCache[str, Caller] = cachetools.TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._lock = threading.Lock()

    def __call__(self, token: str) -> Caller:
        """Name the caller of a token, as what it wraps."""
        with self._lock:
            caller = self._known.get(token)
        if caller is None:
            caller = self._identify(token)
            if caller.roles == _SIDECAR:
                with self._lock:
                    self._known[token] = caller
        return caller
