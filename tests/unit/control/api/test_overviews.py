"""Lists across the catalog and across customers, and what all lists have in common."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.admin import serving
from tests.routes import all_routes
from tiergate.control.api.route_schemas import SHAPES
from tiergate.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

FEATURES = [{"id": "seats", "type": "quantity"}, {"id": "sso", "type": "switch"}, {"id": "api", "type": "switch"}]
ITEMS: list[dict[str, Any]] = [
    {"id": "basic", "kind": "plan", "entitlements": {"seats": 5}},
    {"id": "gold", "kind": "plan", "entitlements": {"seats": 20, "sso": True}},
    {"id": "more", "kind": "addon", "entitlements": {"seats": {"add": 1}}},
]


@pytest.fixture
def admin(store_url: str) -> Iterator[Admin]:
    """The whole API, on either database."""
    store = Store.open(store_url)
    try:
        with serving(store, all_routes(store)) as found:
            yield found
    finally:
        store.close()


@pytest.fixture
def api(admin: Admin) -> httpx.Client:
    """An admin's client, of a store with a published catalog."""
    client = admin.as_("admin")
    for path, bodies in (("/v1/features", FEATURES), ("/v1/items", ITEMS)):
        for body in bodies:
            assert client.post(path, json=body).status_code == 201
    assert client.post("/v1/publish", json={}).status_code == 201
    return client


def entries(client: httpx.Client, path: str, **query: str) -> list[dict[str, Any]]:
    """All entries of a list, by pages of two."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = client.get(path, params=query | {"limit": "2"} | ({} if cursor is None else {"cursor": cursor}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) == 2 or page["next"] is None
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def test_which_items_give_a_feature(api: httpx.Client) -> None:
    """By version and draft; an edit that waits is told apart, and so is one that takes the feature away."""
    assert api.put("/v1/items/gold/draft", json={"entitlements": {"seats": 30}}).status_code == 200
    assert entries(api, "/v1/entitlements", feature="seats") == [
        {"item": "basic", "kind": "plan", "feature": "seats", "version": 1, "value": 5},
        {"item": "gold", "kind": "plan", "feature": "seats", "version": 1, "value": 20, "draft": 30},
        {"item": "more", "kind": "addon", "feature": "seats", "version": 1, "value": {"add": 1}},
    ]
    assert entries(api, "/v1/entitlements", feature="sso") == [
        {"item": "gold", "kind": "plan", "feature": "sso", "version": 1, "value": True, "draft": None}
    ]
    assert entries(api, "/v1/entitlements", feature="api") == []
    assert [it["feature"] for it in entries(api, "/v1/entitlements", item="gold")] == ["seats", "sso"]
    assert [(it["item"], it["feature"]) for it in entries(api, "/v1/entitlements")] == [
        ("basic", "seats"),
        ("gold", "seats"),
        ("gold", "sso"),
        ("more", "seats"),
    ]


def test_versions_that_some_get_are_told(api: httpx.Client) -> None:
    """Beside the one that new customers get."""
    assert api.put("/v1/items/gold/draft", json={"entitlements": {"seats": 30, "api": True}}).status_code == 200
    rollout = {"audience": {"tag": "beta"}}
    assert api.post("/v1/publish", json={"rollout": rollout}).status_code == 201
    assert entries(api, "/v1/entitlements", item="gold") == [
        {"item": "gold", "kind": "plan", "feature": "api", "others": [{"version": 2, "value": True}]},
        {
            "item": "gold",
            "kind": "plan",
            "feature": "seats",
            "version": 1,
            "value": 20,
            "others": [{"version": 2, "value": 30}],
        },
        {"item": "gold", "kind": "plan", "feature": "sso", "version": 1, "value": True},
    ]


@pytest.mark.parametrize("query", ["feature=seat", "item=golt"])
def test_what_is_not_in_the_catalog_is_no_filter(api: httpx.Client, query: str) -> None:
    """A misspelt id is no empty list."""
    answer = api.get(f"/v1/entitlements?{query}")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:tiergate:problem:invalid-request")


def test_what_ends_by_the_clock_is_listed(api: httpx.Client) -> None:
    """Of every kind, the earliest first, with what it is about; a page begins where the last one ended."""

    def day(number: int) -> str:
        return f"2099-01-{number:02}T00:00:00.000Z"

    assert api.post("/v1/customers", json={"id": "acme"}).status_code == 201
    subscriptions: list[dict[str, Any]] = [
        {"id": "s1", "status": "trialing", "trial_end": day(3), "items": [{"item": "gold", "until": day(3)}]},
        {"id": "s2", "status": "past_due", "grace_until": day(2), "items": [{"item": "basic"}]},
        {"id": "s3", "status": "paused", "resume_at": day(4), "items": []},
        {"id": "s4", "status": "canceled", "end": day(5), "items": [{"item": "basic"}]},
        {"id": "s5", "status": "active", "items": [{"item": "basic"}]},
        {"id": "s6", "status": "trialing", "trial_end": day(3), "items": []},
        {"id": "s7", "status": "trialing", "trial_end": day(3), "items": []},
    ]
    for body in subscriptions:
        assert api.post("/v1/customers/acme/subscriptions", json=body).status_code == 201
    override = {"id": "o", "feature": "seats", "value": 50, "until": day(3), "reason": "R"}
    assert api.post("/v1/customers/acme/overrides", json=override).status_code == 201
    assert api.post("/v1/subscriptions/s5/overrides", json=override | {"until": day(6)}).status_code == 201
    assert api.post("/v1/subscriptions/s5/overrides", json=override | {"id": "p", "until": None}).status_code == 422
    suspension = {"feature": "sso", "until": day(1)}
    assert api.post("/v1/customers/acme/suspensions", json=suspension).status_code == 201
    assert api.post("/v1/subscriptions/s5/suspensions", json=suspension | {"until": day(7)}).status_code == 201

    def told(**query: str) -> list[tuple[str, str, str | None]]:
        found = entries(api, "/v1/endings", **query)
        assert {it["customer"] for it in found} <= {"acme"}
        return [(it["at"], it["type"], it.get("subscription")) for it in found]

    everything = [
        (day(1), "suspension", None),
        (day(2), "grace", "s2"),
        (day(3), "item", "s1"),
        (day(3), "override", None),
        (day(3), "trial", "s1"),
        (day(3), "trial", "s6"),
        (day(3), "trial", "s7"),
        (day(4), "pause", "s3"),
        (day(5), "subscription", "s4"),
        (day(6), "override", "s5"),
        (day(7), "suspension", "s5"),
    ]
    assert told() == told(customer="acme") == everything
    assert told(type="trial,grace") == [it for it in everything if it[1] in {"trial", "grace"}]
    assert told(**{"from": day(3), "until": day(5)}) == [it for it in everything if day(3) <= it[0] < day(5)]
    assert told(customer="nobody") == told(**{"from": day(8)}) == []
    (one,) = entries(api, "/v1/endings", type="item")
    assert one == {"type": "item", "at": day(3), "customer": "acme", "subscription": "s1", "item": "gold"}
    assert entries(api, "/v1/endings", type="override")[0]["id"] == "o"
    assert entries(api, "/v1/endings", type="override")[0]["feature"] == "seats"


def test_a_key_of_a_customer_sees_its_ends_alone(admin: Admin, api: httpx.Client) -> None:
    """As it sees the customer."""
    assert api.post("/v1/customers", json={"id": "acme"}).status_code == 201
    narrowed = admin.as_("analyst", customers=["acme"])
    assert narrowed.get("/v1/endings?customer=acme").status_code == 200
    assert narrowed.get("/v1/endings?customer=other").status_code == 403
    assert narrowed.get("/v1/endings").status_code == 403


def test_short_lists_have_pages(api: httpx.Client) -> None:
    """A list inside a customer has `limit` and `cursor` as all lists, and goes on if the last entry is gone."""
    assert api.post("/v1/customers", json={"id": "acme"}).status_code == 201
    for number in range(5):
        body = {"id": f"o{number}", "feature": "seats", "mode": "add", "value": 1, "reason": "R"}
        assert api.post("/v1/customers/acme/overrides", json=body).status_code == 201
    path = "/v1/customers/acme/overrides"
    assert [it["id"] for it in entries(api, path)] == ["o0", "o1", "o2", "o3", "o4"]
    first = api.get(path, params={"limit": 2}).json()
    taken = api.delete(f"{path}/o1")
    loss = taken.json()["accept_loss"]
    assert api.delete(f"{path}/o1", params={"accept_loss": loss}).status_code == 204
    rest = api.get(path, params={"cursor": first["next"]}).json()
    assert [it["id"] for it in rest["items"]] == ["o2", "o3", "o4"]


WRITTEN = [
    "Café Zoë",
    "\uff26\uff55\uff4c\uff4c \uff37\uff49\uff44\uff54\uff48",
    "東京ガス",
    "Straße 7",
    'a "quoted" \\ one',
    "100%_sure",
    "Łódź  Ørsted",
    "Ελλάδα",
]
SOUGHT = ["CAFE ZOE", "full width", "ガス", "STRASSE", '"QUOTED" \\', "%_S", "lodz orsted", "ελλαδα"]


def test_text_is_found_as_it_was_written_or_nearly(api: httpx.Client) -> None:
    """In any script, in names and metadata, alike on the lists of features, items, customers and subscriptions."""
    for number, text in enumerate(WRITTEN):
        metadata = {"metadata": {"note": text}}
        for path, body in (
            ("/v1/features", {"type": "switch", "name": text}),
            ("/v1/items", {"kind": "addon", **metadata}),
            ("/v1/customers", {"name": text}),
            ("/v1/subscriptions", {"customer": "t0", "status": "active", "items": [], **metadata}),
        ):
            assert api.post(path, json={"id": f"t{number}", **body}).status_code == 201, text
    for path in ("features", "items", "customers"):
        for number, (text, sought) in enumerate(zip(WRITTEN, SOUGHT, strict=True)):
            for query in (text, sought, f" {sought} "):
                found = entries(api, f"/v1/{path}", text=query)
                assert [it["id"] for it in found] == [f"t{number}"], f"{path}: {query}"
    for number, sought in enumerate(SOUGHT[1:], start=1):
        assert [it["id"] for it in entries(api, "/v1/subscriptions", text=sought)] == [f"t{number}"], sought
    for path in ("features", "items", "customers", "subscriptions", "audit"):
        assert api.get(f"/v1/{path}", params={"text": "x" * 201}).status_code == 400
        assert len(entries(api, f"/v1/{path}", text=" ")) >= len(WRITTEN)
    for sought in SOUGHT:
        assert entries(api, "/v1/audit", text=sought, action="customer.created"), sought


LISTS = sorted(route.removeprefix("GET ") for route, shape in SHAPES.items() if shape.page and route.startswith("GET "))


@pytest.fixture
def empty(sqlite_url: str) -> Iterator[httpx.Client]:
    """An admin's client of an empty store."""
    store = Store.open(sqlite_url)
    try:
        with serving(store, all_routes(store)) as found:
            yield found.as_("admin")
    finally:
        store.close()


def test_all_lists_take_the_same_limits(empty: httpx.Client) -> None:
    """1 to 500, and a cursor that a list gave out; nothing that is unknown, and nothing twice."""
    assert len(LISTS) > 20
    for path in LISTS:
        at = re.sub(r"\{\w+\}", "x", path)
        for query in ("limit=0", "limit=501", "limit=x", "limit=", "cursor=%FF", "limit=1&limit=2", "sort=name"):
            answer = empty.get(f"{at}?{query}")
            # What is not there is 404 before its list is read; an unknown parameter comes before everything.
            expected = {400} if "sort" in query or "&" in query or "{" not in path else {400, 404}
            assert answer.status_code in expected, f"{at}?{query}: {answer.status_code}"
        if "{" not in path:
            for limit in ("1", "500"):
                assert empty.get(f"{at}?limit={limit}").json() == {"items": [], "next": None}, path
