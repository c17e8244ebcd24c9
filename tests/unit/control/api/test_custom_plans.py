from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.admin import serving
from tests.publishing import Press
from tests.unit.control.subjects import NOW, Ticking, codes, made, taken
from tiergate.control.api import (
    custom_plans,
    customers,
    entitlements,
    items,
    overrides,
    subscriptions,
)
from tiergate.model import Amount, format_instant
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: analytics, type: switch, tags: [self-service]}
  - {id: legacy, type: switch, status: archived, tags: [self-service]}
  - {id: movies, type: quantity, levels: [20, 50, unlimited], tags: [self-service]}
  - {id: storage, type: quantity, unit: GB, scale: 3, combine: max}
  - {id: support, type: custom, levels: [email, chat, phone]}
items:
  - {id: gold, kind: plan, entitlements: {analytics: true, movies: 50, support: chat, storage: 2.5}}
  - {id: extra, kind: addon, available_for: [gold], entitlements: {movies: {add: 10}, support: phone}}
"""
DEAL = {"id": "acme-deal", "kind": "plan", "name": "Acme's own", "entitlements": {"movies": 50, "storage": 7.125}}


@contextmanager
def api(url: str) -> Iterator[tuple[Admin, Press, Ticking]]:
    """An API with a publisher; `acme` holds `gold`, `beta` nothing."""
    clock = Ticking()
    store = Store.open(url, clock=clock)
    press = Press(store)
    press.apply(CATALOG)
    endpoints = [*customers.endpoints(), *subscriptions.endpoints(press.publisher), *overrides.endpoints()]
    endpoints += [*custom_plans.endpoints(press.publisher)]
    endpoints += items.endpoints()
    try:
        with serving(store, [*endpoints, *entitlements.endpoints()]) as admin:
            client = admin.as_("admin")
            for id_ in ("acme", "beta"):
                made(client.post("/v1/customers", json={"id": id_}))
            body = {"id": "s1", "status": "active", "items": [{"item": "gold"}, {"item": "extra", "quantity": 3}]}
            made(client.post("/v1/customers/acme/subscriptions", json=body))
            yield admin, press, clock
    finally:
        store.close()


@pytest.fixture
def sold(sqlite_url: str) -> Iterator[tuple[Admin, Press, Ticking]]:
    """The same on SQLite."""
    with api(sqlite_url) as found:
        yield found


def given(client: httpx.Client, path: str, feature: str) -> object:
    """What is entitled to."""
    entries = client.get(f"{path}/entitlements").json()["entitlements"]
    return next(entry["entitlement"]["value"] for entry in entries if entry["feature"] == feature)


def test_an_item_for_one_customer_is_sold_at_once(store_url: str) -> None:
    """Made, published by itself, held, by those who may not publish; on both databases."""
    with api(store_url) as (admin, press, _):
        press.draft("gold", {})
        sales_agent = admin.as_("sales-agent")
        body = {"id": "s2", "status": "active", "items": []}
        made(sales_agent.post("/v1/customers/acme/subscriptions", json=body))
        found = made(sales_agent.post("/v1/customers/acme/items?subscription=s2", json=DEAL))
        assert (found["private_to"], found["newest_version"], found["has_draft"]) == ("acme", 1, False)
        assert found["subscription"]["items"][0]["item"] == "acme-deal"  # type: ignore[index]
        assert given(sales_agent, "/v1/subscriptions/s2", "storage") == 7.125
        assert given(sales_agent, "/v1/subscriptions/s1", "movies") == 80  # what others drafted stays a draft
        held = {"id": "b", "status": "active", "items": [{"item": "acme-deal"}]}
        assert codes(sales_agent.post("/v1/customers/beta/subscriptions", json=held)) == [
            ("/items/0/item", "unknown-item")
        ]


def test_an_item_sold_again_with_its_key_is_the_same_item(sold: tuple[Admin, Press, Ticking]) -> None:
    """Nothing is published or held twice."""
    client = sold[0].as_("sales-agent")
    path, headers = "/v1/customers/acme/items?subscription=s1", {"idempotency-key": "k"}
    body = {**DEAL, "kind": "addon"}
    first, second = (made(client.post(path, json=body, headers=headers)) for _ in range(2))
    assert (first["publication"], first["subscription"]) == (second["publication"], second["subscription"])
    assert [one["item"] for one in second["subscription"]["items"]] == ["gold", "extra", "acme-deal"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "change", "problem"),
    [
        ("acme/items", {"private_to": "beta"}, ("/private_to", "fixed-value")),
        ("acme/items", {"entitlements": {"movies": 7}}, ("/entitlements/movies", "unknown-level")),
        ("acme/items", {"versions": []}, ("/versions", "not-edited-here")),
        ("acme/items", {"kind": "addon", "available_for": ["goldd"]}, ("/available_for/0", "unknown-item")),
    ],
)
def test_an_item_that_cannot_be_is_not_sold(
    sold: tuple[Admin, Press, Ticking], path: str, change: dict[str, object], problem: tuple[str, str]
) -> None:
    """And nothing is published."""
    found = sold[0].as_("sales-agent").post(f"/v1/customers/{path}", json=DEAL | change)
    assert problem in codes(found)
    assert "acme-deal" not in sold[1].catalog.items


def test_an_item_is_sold_to_somebody(sold: tuple[Admin, Press, Ticking]) -> None:
    """Not to a customer who is not there, nor into a subscription of another one, nor under an id that is taken."""
    client = sold[0].as_("sales-agent")
    assert client.post("/v1/customers/nobody/items", json=DEAL).status_code == 404
    assert client.post("/v1/customers/beta/items?subscription=s1", json=DEAL).status_code == 404
    taken = client.post("/v1/customers/acme/items", json=DEAL | {"id": "gold"})
    assert taken.status_code == 409
    assert "acme-deal" not in sold[1].catalog.items
    support = sold[0].as_("customer-support")
    assert support.post("/v1/customers/acme/items", json=DEAL).status_code == 403


def test_a_buyer_puts_a_plan_together_from_what_is_offered(sold: tuple[Admin, Press, Ticking]) -> None:
    """Features with the tag, with values that plans may have."""
    client = sold[0].as_("sales-agent", customers=["acme"])
    path = "/v1/customers/acme/plan"
    plan = made(client.post(path, json={"features": {"movies": "unlimited", "analytics": True}, "name": "Mine"}))
    assert (plan["kind"], plan["private_to"], plan["entitlements"]) == (
        "plan",
        "acme",
        {"analytics": True, "movies": "unlimited"},
    )
    assert codes(client.post(path, json={"features": {"support": "chat"}})) == [("/features/support", "not-offered")]
    assert codes(client.post(path, json={"features": {"movies": 21}})) == [("/features/movies", "unknown-level")]
    assert client.post(path, json={"features": {"legacy": True}}).status_code == 409
    assert client.post("/v1/customers/beta/plan", json={"features": {}}).status_code == 403


def test_a_plan_is_drafted_of_what_a_subscription_has(sold: tuple[Admin, Press, Ticking]) -> None:
    """Its items together, with its overrides in force; a draft, until somebody publishes it."""
    admin, press, clock = sold
    client = admin.as_("sales-agent")
    override = {"feature": "storage", "value": 9.5, "mode": "at_least", "reason": "a promise"}
    made(client.post("/v1/subscriptions/s1/overrides", json=override))
    later = {"feature": "analytics", "value": False, "reason": "x", "from": format_instant(NOW + 10)}
    made(taken(client, "POST", "/v1/subscriptions/s1/overrides", json=later))
    lowered = {"feature": "movies", "value": 1, "reason": "not sold"}
    made(taken(client, "POST", "/v1/customers/acme/overrides", json=lowered))
    plan = made(client.post("/v1/subscriptions/s1/plan", json={"id": "diamond", "name": "Diamond"}))
    wanted = {"analytics": True, "movies": {"add": 80}, "storage": 9.5, "support": "phone"}
    assert (plan["entitlements"], plan["has_draft"], plan["newest_version"]) == (wanted, True, 0)
    assert plan["status"] == "draft"
    press.publish()
    assert "diamond" not in press.catalog.items  # publishing everything sells nobody's half-done plan
    made(admin.as_("admin").post("/v1/items/diamond/activate"), 200)
    press.publish()
    body = {"id": "b1", "status": "active", "items": [{"item": "diamond"}]}
    made(client.post("/v1/customers/beta/subscriptions", json=body))
    for feature, value in {"analytics": True, "movies": 80, "storage": 9.5, "support": "phone"}.items():
        assert given(client, "/v1/customers/beta", feature) == value
    clock.now += 10


def test_a_plan_is_not_made_of_what_gives_nothing_or_cannot_be_sold(sold: tuple[Admin, Press, Ticking]) -> None:
    """Nor of one that is paused, nor of what no definition may give."""
    client = sold[0].as_("admin")
    body = {"id": "diamond"}
    lowered = {"feature": "storage", "value": 1, "reason": "x"}
    made(taken(client, "POST", "/v1/subscriptions/s1/overrides", json=lowered))
    made(client.post("/v1/subscriptions/s1/pause"), 200)
    paused = client.post("/v1/subscriptions/s1/plan", json=body)
    assert paused.json()["type"] == "urn:tiergate:problem:not-live"
    made(client.post("/v1/subscriptions/s1/activate"), 200)
    assert client.post("/v1/subscriptions/s1/plan", json={"id": "gold"}).status_code == 409
    assert codes(client.post("/v1/subscriptions/s1/plan", json={"id": "x", "kind": "addon"})) == [
        ("/kind", "fixed-value")
    ]


def test_a_pin_brings_a_version_back_that_no_rollout_reaches(sold: tuple[Admin, Press, Ticking]) -> None:
    """By a publication of its own, unless it comes late; what was never published is refused."""
    admin, press, _ = sold
    press.draft("gold", {"movies": Amount(20)})
    press.publish()
    client = admin.as_("sales-agent")
    assert [one.version for one in press.catalog.items["gold"].versions] == [2]
    assert given(client, "/v1/subscriptions/s1", "movies") == 50
    path = "/v1/subscriptions/s1/items/gold/pin"
    made(client.patch("/v1/subscriptions/s1", json={"metadata": {"a": "b"}, "as_of": "2027-01-10T00:00:00Z"}), 200)
    assert made(client.put(path, json={"version": 1, "as_of": "2027-01-09T00:00:00Z"}), 200)["applied"] is False
    assert [one.version for one in press.catalog.items["gold"].versions] == [2]
    made(client.put(path, json={"version": 1}), 200)
    assert [one.version for one in press.catalog.items["gold"].versions] == [1, 2]
    assert given(client, "/v1/subscriptions/s1", "movies") == 80
    assert codes(client.put(path, json={"version": 9})) == [("/version", "unknown-version")]
    assert admin.as_("customer-support").put(path, json={"version": 1}).status_code == 403
