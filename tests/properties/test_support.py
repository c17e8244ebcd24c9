"""Support gives and takes nothing: whatever it asks for over the API, nothing that a customer holds is ever less."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.unit.control.subjects import ENDPOINTS, NOW, made, served
from tiergate.control.api import entitlements
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

DAYS = (0, 5, 10, 20)
INSTANTS = [format_instant(NOW + day * 86_400_000) for day in DAYS]
LEVELS = ("email", "chat", "phone")
NUMBERS = st.one_of(st.integers(0, 120), st.just("unlimited"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "analytics": st.booleans(),
    "movies": NUMBERS,
    "storage": NUMBERS,
    "api-limit": NUMBERS,
    "support": st.sampled_from(LEVELS),
}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """An API, for all examples."""
    from tiergate.store import Store  # noqa: PLC0415 - a store is made before it is served

    url = f"sqlite:///{tmp_path_factory.mktemp('support') / 'store.sqlite'}"
    Store.open(url, migrating=True).close()
    with served(url, [*ENDPOINTS, *entitlements.endpoints()]) as (admin, _, _):
        yield admin


@st.composite
def overrides(draw: st.DrawFn) -> dict[str, Any]:
    """An override of some feature, in some mode, over some interval."""
    feature = draw(st.sampled_from(sorted(VALUES)))
    modes = ["replace", "replace", "at_least", *(["add"] if VALUES[feature] is NUMBERS else []), "disabled"]
    found: dict[str, Any] = {"feature": feature, "reason": "r", "mode": draw(st.sampled_from(modes))}
    if found["mode"] == "add":
        found["value"] = draw(st.integers(1, 50))
    elif found["mode"] != "disabled":
        found["value"] = draw(VALUES[feature])
    start, end = draw(st.tuples(st.sampled_from([None, None, 0, 1, 2]), st.sampled_from([None, None, 2, 3])))
    found |= {} if start is None else {"from": INSTANTS[start]}
    found |= {} if end is None else {"until": INSTANTS[end]}
    return found


def held(client: httpx.Client, customer: str, subscriptions: list[str]) -> dict[tuple[str, str, str], float]:
    """What the customer and each subscription hold of every feature at every instant, as numbers."""
    found = {}
    paths = [f"/v1/customers/{customer}", *(f"/v1/subscriptions/{id_}" for id_ in subscriptions)]
    for path, at in itertools.product(paths, INSTANTS):
        for one in client.get(f"{path}/entitlements", params={"at": at}).json()["entitlements"]:
            value = one["entitlement"].get("value")
            if one["entitlement"].get("unlimited"):
                value = float("inf")
            elif isinstance(value, str):
                value = LEVELS.index(value) + 1
            found[path, at, one["feature"]] = float(value or 0)
    return found


@given(st.data())
@settings(max_examples=settings.default.max_examples // 2, suppress_health_check=list(HealthCheck))  # type: ignore[union-attr]
def test_support_lowers_nothing_at_any_instant(world: Admin, data: st.DataObject) -> None:
    """Beside any holdings and any overrides that others gave, also while a subscription is paused."""
    admin, support = world.as_("admin"), world.as_("customer-support")
    number = next(_numbers)
    customer, subscriptions = f"c{number}", [f"s{number}-{place}" for place in range(data.draw(st.integers(1, 2)))]
    made(admin.post("/v1/customers", json={"id": customer, "overrides": []}))
    paths = [f"/v1/customers/{customer}", *(f"/v1/subscriptions/{id_}" for id_ in subscriptions)]
    for id_ in subscriptions:
        items = data.draw(st.sampled_from([["gold"], ["silver"], ["gold", "extra-movies"], []]))
        body = {"id": id_, "status": "active", "items": [{"item": item} for item in items]}
        made(admin.post(f"/v1/customers/{customer}/subscriptions", json=body))
    for path, body in data.draw(st.lists(st.tuples(st.sampled_from(paths), overrides()), max_size=3)):
        answer = admin.post(f"{path}/overrides", json=body)
        if answer.status_code == 409 and "accept_loss" in answer.json():
            admin.post(f"{path}/overrides", json=body, params={"accept_loss": answer.json()["accept_loss"]})
    is_paused = data.draw(st.booleans())
    before = held(admin, customer, subscriptions)
    if is_paused:
        made(admin.post(f"/v1/subscriptions/{subscriptions[0]}/pause"), 200)
    for path, body in data.draw(st.lists(st.tuples(st.sampled_from(paths), overrides()), min_size=2, max_size=5)):
        answer = support.post(f"{path}/overrides", json=body)
        event(f"{answer.status_code}")
        assert answer.status_code in {201, 403, 409, 422}, answer.text
        assert (
            support.post(f"{path}/overrides", json=body, params={"accept_loss": f"loss-1-{'0' * 32}"}).status_code
            != 500
        )
    if is_paused:
        made(admin.post(f"/v1/subscriptions/{subscriptions[0]}/resume"), 200)
    after = held(admin, customer, subscriptions)
    assert {key: (value, after[key]) for key, value in before.items() if after[key] < value} == {}
