"""Ways to change what a customer may do without the role for it: one for each route that takes a whole document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.admin import serving
from tests.unit.control.subjects import ENDPOINTS, made, served
from tiergate.permissions import RolePolicies, shipped_roles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.admin import Admin
    from tiergate.store import Store

OVERRIDE = {"id": "o1", "feature": "movies", "value": 5, "reason": "a promise", "author": "test/admin"}
BRIEF = OVERRIDE | {"until": "2028-01-01T00:00:00Z"}  # so that the one below it acts later
MORE = OVERRIDE | {"id": "o2", "value": 6}
SUSPENSION = {"feature": "support", "reason": "abuse"}

# Roles that an organization could write, each without one of the actions.
CLERK = """
@id("{name}")
permit (principal in Role::"{name}", action in [{actions}], resource);
"""
ALL = {"editCustomer", "editSubscription", "pinVersion", "override", "editEntitlement", "view"}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store]]:
    """An API with a role for each action that is allowed all others: `no-override` and so on."""
    texts = [shipped_roles().text]
    for missing in sorted(ALL - {"view"}):
        actions = ", ".join(f'Action::"{action}"' for action in sorted(ALL - {missing}))
        texts.append(CLERK.format(name=f"no-{missing}", actions=actions))
    table = RolePolicies.parse("\n".join(texts))
    with served(sqlite_url, []) as (_, store, _), serving(store, ENDPOINTS, roles=lambda: table) as admin:
        client = admin.as_("admin")
        made(client.post("/v1/customers", json={"id": "acme", "overrides": [BRIEF], "suspensions": [SUSPENSION]}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold", "version": 1}]}
        body |= {"overrides": [OVERRIDE], "suspensions": [SUSPENSION]}
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        yield admin, store


ATTACKS: dict[str, tuple[str, str, str, dict[str, Any] | None]] = {
    # role, method, path, what changes in the document that stands
    "an override slipped into a customer": (
        *("no-override", "PUT", "/v1/customers/acme"),
        {"overrides": [BRIEF, MORE]},
    ),
    "an override slipped into a subscription": (
        *("no-override", "PUT", "/v1/subscriptions/s1"),
        {"overrides": [OVERRIDE, MORE]},
    ),
    "an override patched into a customer": (
        *("no-override", "PATCH", "/v1/customers/acme"),
        {"overrides": [BRIEF, MORE]},
    ),
    "a new customer that comes with an override": (
        *("no-override", "PUT", "/v1/customers/beta"),
        {"id": "beta", "overrides": [OVERRIDE]},
    ),
    "a new subscription that comes with an override": (
        *("no-override", "PUT", "/v1/subscriptions/s2"),
        {"id": "s2", "overrides": [OVERRIDE], "suspensions": []},
    ),
    "an override raised in a document": (
        *("no-editEntitlement", "PUT", "/v1/customers/acme"),
        {"overrides": [OVERRIDE | {"value": 500}]},
    ),
    "an override that loses its end": (
        *("no-editEntitlement", "PATCH", "/v1/subscriptions/s1"),
        {"overrides": [OVERRIDE | {"until": "2090-01-01T00:00:00Z"}]},
    ),
    "an override left out of a document": (
        *("no-editEntitlement", "PUT", "/v1/subscriptions/s1"),
        {"overrides": []},
    ),
    "an override that takes a feature away": (
        *("no-editEntitlement", "POST", "/v1/customers/acme/overrides"),
        {"feature": "movies", "mode": "disabled", "reason": "no"},
    ),
    "a suspension left out of a customer": (
        *("no-editEntitlement", "PATCH", "/v1/customers/acme"),
        {"suspensions": None},
    ),
    "a suspension lifted by deleting its subscription": ("no-editEntitlement", "DELETE", "/v1/subscriptions/s1", None),
    "an item added in a document": (
        *("no-editEntitlement", "PATCH", "/v1/subscriptions/s1"),
        {"items": [{"item": "gold", "version": 1}, {"item": "extra-movies"}]},
    ),
    "a quantity raised in a document": (
        *("no-editEntitlement", "PUT", "/v1/subscriptions/s1"),
        {"items": [{"item": "gold", "version": 1, "quantity": 9}]},
    ),
    "a new subscription with items": (
        *("no-editEntitlement", "PUT", "/v1/subscriptions/s2"),
        {"id": "s2", "overrides": [], "suspensions": []},
    ),
    "a pin moved in a document": (
        *("no-pinVersion", "PUT", "/v1/subscriptions/s1"),
        {"items": [{"item": "gold", "version": 2}]},
    ),
    "a pin moved as an item's patch": (
        *("no-pinVersion", "PATCH", "/v1/subscriptions/s1/items/gold"),
        {"version": None},
    ),
    "a pin that comes with a new item": (
        *("no-pinVersion", "POST", "/v1/subscriptions/s1/items"),
        {"item": "extra-movies", "version": 1},
    ),
    "tags changed without the right to": ("no-editCustomer", "PUT", "/v1/customers/acme", {"tags": ["vip"]}),
    "a status changed without the right to": (
        *("no-editSubscription", "PATCH", "/v1/subscriptions/s1"),
        {"status": "active", "end": "2090-01-01T00:00:00Z"},
    ),
    "a step taken without the right to": ("no-editSubscription", "POST", "/v1/subscriptions/s1/activate", {}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_document_is_a_way_around_a_role(api: tuple[Admin, Store], attack: str) -> None:
    """What the route for it refuses, no other route lets through; the same with all actions is let through."""
    role, method, path, change = ATTACKS[attack]
    admin, store = api
    body: dict[str, Any] | None = change
    if method == "PUT":
        like = "/v1/customers/acme" if "customers" in path else "/v1/subscriptions/s1"
        body = admin.as_("admin").get(like).json() | (change or {})
    position = store.read(lambda unit: unit.head().position)
    refused = admin.as_(role).request(method, path, json=body)
    assert refused.status_code == 403, refused.text
    assert store.read(lambda unit: unit.head().position) == position
    allowed = admin.as_("sales-agent").request(method, path, json=body)
    if allowed.status_code == 409:  # it takes something, which whoever may do it accepts
        accepted = {"accept_loss": allowed.json()["accept_loss"]}
        allowed = admin.as_("sales-agent").request(method, path, json=body, params=accepted)
    assert allowed.status_code in {200, 201, 204}, allowed.text


def test_a_document_sent_back_as_it_is_needs_no_more_than_its_route(api: tuple[Admin, Store]) -> None:
    """Whoever edits tags alone need not be allowed to give overrides."""
    admin, _ = api
    for path in ("/v1/customers/acme", "/v1/subscriptions/s1"):
        data = admin.as_("admin").get(path).json()
        for role in ("no-override", "no-editEntitlement", "no-pinVersion"):
            assert admin.as_(role).put(path, json=data).status_code == 200
