"""Plans that buyers put together: one at a time, replaced by the next, with a key that can do nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.api.test_custom_plans import api, given
from tests.unit.control.subjects import made

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.publishing import Press

PLAN, BUYER = "/v1/customers/beta/plan", "/v1/customers/beta"


@pytest.fixture
def world(store_url: str) -> Iterator[tuple[Admin, Press]]:
    """An API in which `beta` has an empty subscription, on either database."""
    with api(store_url) as (admin, press, _):
        body: dict[str, Any] = {"id": "b1", "status": "active", "items": []}
        made(admin.as_("admin").post(f"{BUYER}/subscriptions", json=body))
        yield admin, press


@pytest.fixture
def page(world: tuple[Admin, Press]) -> httpx.Client:
    """A page of `beta`: a key for its own plan alone."""
    return world[0].as_("sales-agent", customers=["beta"], actions=["ownPlan"])


def save(page: httpx.Client, **features: object) -> dict[str, Any]:
    """Save the plan, in the subscription."""
    return made(page.put(f"{PLAN}?subscription=b1", json={"features": features}), 200)


def test_saving_again_replaces_the_plan_before(world: tuple[Admin, Press], page: httpx.Client) -> None:
    """Nothing adds up, up or down; one item holds all of its versions."""
    admin, press = world
    seen = set()
    for movies in (20, 50, 50, 20, "unlimited", 50):
        saved = save(page, movies=movies)
        seen.add(saved["id"])
        assert [one["item"] for one in saved["subscription"]["items"]] == [saved["id"]]
        found = given(admin.as_("admin"), BUYER, "movies") if movies != "unlimited" else movies
        assert found == movies
    assert len(seen) == 1
    assert [id_ for id_ in press.catalog.items if id_.startswith("own-")] == [*seen]
    assert saved["newest_version"] == 3  # 20, 50, unlimited: what was given before comes back as it was


def test_the_same_plan_again_publishes_nothing(page: httpx.Client) -> None:
    """So a page can save as often as it likes."""
    first, second = save(page, movies=50), save(page, movies=50)
    assert (first["publication"], first["etag"]) == (second["publication"], second["etag"])
    assert second["subscription"]["etag"] == first["subscription"]["etag"]


@pytest.mark.parametrize("features", [{"support": "chat"}, {"storage": 5}, {"movies": 21}, {"nothing": 1}])
def test_only_what_is_offered_can_be_chosen(page: httpx.Client, features: dict[str, object]) -> None:
    """With values that plans may have."""
    assert page.put(f"{PLAN}?subscription=b1", json={"features": features}).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "POST",
            f"{BUYER}/items?subscription=b1",
            {"id": "x", "kind": "plan", "entitlements": {"movies": "unlimited"}},
        ),
        ("POST", f"{BUYER}/items", {"id": "x", "kind": "plan", "entitlements": {"movies": "unlimited"}}),
        ("POST", "/v1/subscriptions/b1/items", {"item": "gold"}),
        ("PATCH", "/v1/subscriptions/b1", {"items": [{"item": "gold"}]}),
        ("PUT", "/v1/subscriptions/b1", {"customer": "beta", "status": "active", "items": []}),
        ("POST", f"{BUYER}/overrides", {"feature": "movies", "value": "unlimited", "reason": "x"}),
        ("POST", "/v1/subscriptions/b1/overrides", {"feature": "movies", "value": "unlimited", "reason": "x"}),
        ("POST", "/v1/subscriptions/b1/pause", {}),
        ("POST", "/v1/subscriptions/b1/plan", {"id": "x"}),
        ("PATCH", BUYER, {"tags": ["vip"]}),
        ("GET", BUYER, None),
        ("PUT", "/v1/customers/acme/plan", {"features": {"movies": 20}}),
        ("PUT", PLAN, {"features": {"movies": 20}, "id": "gold"}),
        ("PUT", PLAN, {"features": {"movies": 20}, "id": "of-my-own"}),
        ("DELETE", "/v1/subscriptions/b1", None),
    ],
)
def test_the_key_for_an_own_plan_is_no_master_key(
    page: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Everything else is refused, for its own customer too."""
    answer = page.request(method, path, json=body) if body is not None else page.request(method, path)
    assert answer.status_code == 403, answer.text


def test_the_subscription_is_the_customers_own(page: httpx.Client) -> None:
    """Of another customer it is as if it were not there."""
    assert page.put(f"{PLAN}?subscription=s1", json={"features": {"movies": 20}}).status_code == 404


def test_an_own_plan_takes_the_place_of_the_plan_that_is_held(world: tuple[Admin, Press], page: httpx.Client) -> None:
    """A subscription has one plan: what the other one gave besides is a loss that the buyer accepts."""
    admin = world[0].as_("admin")
    made(admin.post("/v1/subscriptions/b1/items", json={"item": "gold"}))
    refused = page.put(f"{PLAN}?subscription=b1", json={"features": {"movies": 50, "analytics": True}})
    assert refused.status_code == 409
    lost = {one["feature"] for one in refused.json()["impact"]["features"]}
    assert lost == {"storage", "support"}
    path = f"{PLAN}?subscription=b1&accept_loss={refused.json()['accept_loss']}"
    saved = page.put(path, json={"features": {"movies": 50, "analytics": True}})
    assert saved.status_code == 200, saved.text
    assert [one["item"] for one in saved.json()["subscription"]["items"]] == [saved.json()["id"]]


def test_an_addon_that_needs_the_other_plan_stands_in_the_way(world: tuple[Admin, Press], page: httpx.Client) -> None:
    """Nothing is published for nothing."""
    admin, press = world
    client = admin.as_("admin")
    made(client.post("/v1/subscriptions/b1/items", json={"item": "gold"}))
    made(client.post("/v1/subscriptions/b1/items", json={"item": "extra"}))
    refused = page.put(f"{PLAN}?subscription=b1", json={"features": {"movies": 50}})
    assert refused.status_code == 422
    assert not [id_ for id_ in press.catalog.items if id_.startswith("own-")]


def test_an_own_plan_without_a_subscription_is_one_item_too(world: tuple[Admin, Press], page: httpx.Client) -> None:
    """It is private to the customer, and held by nobody yet."""
    first = made(page.post(PLAN, json={"features": {"movies": 20}}))
    second = made(page.post(PLAN, json={"features": {"movies": 50}, "name": "Mine"}))
    assert (first["id"], first["private_to"]) == (second["id"], "beta")
    assert world[1].catalog.items[str(first["id"])].name == "Mine"
