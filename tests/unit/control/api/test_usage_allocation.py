"""Allocation against use: what all customers may use of each feature, and have used. On both databases."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import Plane, usage_plane
from tiergate.model import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/v1/usage/allocation"
CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, unit: call, metered: {reset: month}}
  - {id: mails, type: quantity, scale: 1, combine: sum, metered: {reset: day}}
  - {id: seats, type: quantity}
items:
  - id: gold
    kind: plan
    versions:
      - {version: 1, entitlements: {calls: 100, mails: 10, seats: 5}}
      - {version: 2, entitlements: {calls: 200, mails: 20.5}}
    rollouts: [{version: 1}, {version: 2, audience: {share: 50}}]
  - {id: free, kind: plan, entitlements: {calls: 10}}
  - {id: huge, kind: plan, entitlements: {calls: unlimited}}
  - {id: pack, kind: addon, available_for: [gold, free], entitlements: {calls: {value: 25, per: unit}, mails: 5}}
"""
SHARES = ("none", "below_25", "below_50", "below_75", "below_90", "below_100", "full", "over")


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`, who has gold."""
    with usage_plane(store_url, CATALOG) as opened:
        yield opened


def listed(plane: Plane, **query: str) -> dict[str, dict[str, Any]]:
    """The allocation by feature, as an analyst reads it."""
    answer = plane.admin.as_("analyst").get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return {it["feature"]: it for it in answer.json()["items"]}


def customer(plane: Plane, id_: str, *held: tuple[str, int], tags: tuple[str, ...] = (), **dates: str) -> None:
    """Create a customer with a subscription."""
    client = plane.admin.as_("admin")
    made(client.post("/v1/customers", json={"id": id_, "tags": list(tags)}))
    subscribe(plane, id_, f"{id_}-1", *held, **dates)


def subscribe(plane: Plane, customer_id: str, id_: str, *held: tuple[str, int], **dates: str) -> None:
    """Create a subscription."""
    items = [{"item": item, "quantity": quantity} for item, quantity in held]
    body = {"id": id_, "status": "active", "items": items} | dates
    made(plane.admin.as_("admin").post(f"/v1/customers/{customer_id}/subscriptions", json=body))


def expected(windows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same, added up from what each customer has and has used."""
    shares = dict.fromkeys(SHARES, 0)
    found: dict[str, Any] = {"customers": 0, "unlimited": 0, "allowed": 0, "used": 0, "used_unlimited": 0}
    for window in windows:
        if window["unlimited"]:
            found["customers"] += 1
            found["unlimited"] += 1
            found["used_unlimited"] += window["used"]
        elif window["limit"] or window["used"]:
            found["customers"] += 1
            found["allowed"] += window["limit"]
            found["used"] += window["used"]
            shares[share_of(window["used"], window["limit"])] += 1
    return found | {"customers_by_share": shares}


def share_of(used: float, limit: float) -> str:
    """Which part of a limit is used."""
    if used >= limit or not used:
        return "none" if not used else "full" if used == limit else "over"
    bounds = zip((0.25, 0.5, 0.75, 0.9, 1), SHARES[1:], strict=False)
    return next(name for bound, name in bounds if used / limit < bound)


def test_what_is_allowed_stands_against_what_is_used(plane: Plane) -> None:
    """Whether customers have used something or not; those without a limit are counted apart."""
    put_in_force(plane.store, CATALOG.replace(", {version: 2, audience: {share: 50}}", ""))
    customer(plane, "idle", ("gold", 1), ("pack", 3))
    customer(plane, "free", ("free", 1))
    customer(plane, "huge", ("huge", 1))
    customer(plane, "nobody")
    for id_, amount in (("acme", 80), ("free", 15), ("huge", 1000), ("nobody", 2)):
        plane.report(subject=id_, amount=amount)
    made(
        plane.admin.as_("admin").post(
            "/v1/customers/acme/grants", json={"feature": "calls", "amount": 20, "reason": "r"}
        )
    )
    found = listed(plane)
    assert found["calls"] == {
        "feature": "calls",
        "scale": 0,
        "unit": "call",
        "customers": 5,
        "unlimited": 1,
        "allowance": 285,
        "granted": 20,
        "allowed": 305,
        "used": 97,
        "used_unlimited": 1000,
        "share": 0.318033,
        "customers_by_share": dict.fromkeys(SHARES, 0) | {"none": 1, "below_75": 1, "over": 2},
    }
    assert list(found) == ["calls", "mails"]
    assert (found["mails"]["customers"], found["mails"]["allowed"], found["mails"]["used"]) == (2, 35, 0)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_it_is_the_sum_over_customers(plane: Plane, seed: int) -> None:
    """With any items, quantities, dates, overrides, suspensions, grants and usage; narrowed by tag and item too."""
    chosen, client = random.Random(seed), plane.admin.as_("admin")
    tags: dict[str, tuple[str, ...]] = {"acme": ()}
    plans = {"acme": {"gold"}}
    for number in range(14):
        id_, plan = f"c{number}", chosen.choice(["gold", "gold", "free", "huge"])
        tags[id_] = tuple(chosen.sample(["eu", "beta"], chosen.randrange(3)))
        held = [(plan, chosen.randrange(1, 3))]
        if plan != "huge" and chosen.random() < 0.6:
            held.append(("pack", chosen.randrange(1, 4)))
        ended = chosen.random() < 0.2
        customer(plane, id_, *held, tags=tags[id_], **({"end": "2027-01-12T00:00:00Z"} if ended else {}))
        plans[id_] = set() if ended else {item for item, _ in held}
        if chosen.random() < 0.3:
            subscribe(plane, id_, f"{id_}-2", ("free", 1))
            plans[id_].add("free")
        if chosen.random() < 0.3:
            mode: dict[str, object] = chosen.choice([{"mode": "add", "value": 7}, {"mode": "at_least", "value": 400}])
            owner = chosen.choice([f"customers/{id_}", f"subscriptions/{id_}-1"])
            answer = client.post(f"/v1/{owner}/overrides", json={"feature": "calls", "reason": "r"} | mode)
            assert answer.status_code in {201, 409}  # 409: it would have no effect
        if chosen.random() < 0.2:
            made(client.post(f"/v1/subscriptions/{id_}-1/suspensions", json={"feature": "calls", "reason": "r"}))
        for feature in ("calls", "mails"):
            if chosen.random() < 0.6:
                plane.report(subject=id_, feature=feature, amount=chosen.choice([1, 5, 10, 25, 90, 100, 125, 180]))
            if chosen.random() < 0.3:
                body = {"feature": feature, "amount": chosen.choice([3, 40]), "reason": "r"}
                made(client.post(f"/v1/customers/{id_}/grants", json=body))
    windows = {id_: client.get(f"/v1/customers/{id_}/usage").json()["items"] for id_ in tags}
    for query in ({}, {"tag": "eu"}, {"tag": "eu,beta"}, {"item": "gold"}, {"item": "pack", "tag": "beta"}):
        wanted = set(query.get("tag", "").split(",")) - {""}
        item = query.get("item")
        customers = [it for it in tags if wanted <= set(tags[it]) and (item is None or item in plans[it])]
        found = listed(plane, **query)
        for feature in ("calls", "mails"):
            want = expected([it for id_ in customers for it in windows[id_] if it["feature"] == feature])
            assert {name: found[feature][name] for name in want} == want, query


def test_a_past_window_has_those_who_used_it(plane: Plane) -> None:
    """By the limits of its end; in the open window too, if an instant is named."""
    customer(plane, "free", ("free", 1))
    customer(plane, "idle", ("free", 1))
    plane.report(amount=50)
    plane.report(subject="free", amount=10)
    plane.clock[0] = parse_instant("2027-02-03T00:00:00Z")
    plane.report(amount=1)
    calls = listed(plane, at="2027-01-31T00:00:00Z")["calls"]
    assert (calls["customers"], calls["used"], calls["customers_by_share"]["full"]) == (2, 60, 1)
    now = listed(plane, feature="calls")["calls"]
    assert (now["customers"], now["used"], now["customers_by_share"]["none"]) == (3, 1, 2)
    assert listed(plane, at="2027-02-02T00:00:00Z", item="free")["calls"]["customers"] == 0


def test_features_come_in_pages(plane: Plane) -> None:
    """By their ids."""
    client = plane.admin.as_("analyst")
    first = client.get(PATH, params={"limit": 1}).json()
    assert [it["feature"] for it in first["items"]] == ["calls"]
    last = client.get(PATH, params={"limit": 1, "cursor": first["next"]}).json()
    assert ([it["feature"] for it in last["items"]], last["next"]) == (["mails"], None)


@pytest.mark.parametrize(
    ("query", "status"), [({"at": "2028-01-01T00:00:00Z"}, 400), ({"feature": "seats"}, 404), ({"tag": "§"}, 400)]
)
def test_what_cannot_be_added_up_is_refused(plane: Plane, query: dict[str, str], status: int) -> None:
    """The future, features that are not metered, and tags that are none."""
    assert plane.admin.as_("analyst").get(PATH, params=query).status_code == status
