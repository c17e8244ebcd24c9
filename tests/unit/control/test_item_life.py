"""The life of items: drafts, sold, archived; and metadata, which no publication decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.subjects import ENDPOINTS, codes, made, served
from tiergate.control.api import imports, items

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin


@pytest.fixture
def api(store_url: str) -> Iterator[Admin]:
    """An API with a customer who holds gold, on either database; the catalog stands as it was published."""
    with served(store_url, [*ENDPOINTS, *items.endpoints(), *imports.endpoints()]) as (admin, _, _):
        client = admin.as_("admin")
        for id_ in ("gold", "silver", "extra-movies"):
            kind = "addon" if id_ == "extra-movies" else "plan"
            made(client.post("/v1/items", json={"id": id_, "kind": kind}))
        made(client.post("/v1/customers", json={"id": "acme"}))
        made(client.post("/v1/customers/acme/subscriptions", json=held("s1", "gold")))
        yield admin


@pytest.fixture
def admin(api: Admin) -> httpx.Client:
    """A client that may do everything."""
    return api.as_("admin")


def held(id_: str, *items_: str) -> dict[str, Any]:
    """A subscription."""
    return {"id": id_, "status": "active", "items": [{"item": item} for item in items_]}


def test_an_archived_item_is_kept_and_given_to_nobody_new(api: Admin, admin: httpx.Client) -> None:
    """At once, without a publication; by every way that adds it; who holds it can change what else it has."""
    made(admin.post("/v1/customers/acme/subscriptions", json=held("s5")))
    assert made(admin.post("/v1/items/gold/archive"), 200)["status"] == "archived"
    made(admin.post("/v1/items/silver/archive"), 200)
    made(admin.put("/v1/subscriptions/s1", json=held("s1", "gold", "extra-movies") | {"customer": "acme"}), 200)
    made(admin.patch("/v1/subscriptions/s1/items/gold", json={"quantity": 2}), 200)
    lines = [
        {"apiVersion": "tiergate/v1"},
        {"type": "customer", "id": "x"},
        {"type": "subscription", "customer": "x"} | held("x1", "gold"),
    ]
    body = "\n".join(json.dumps(line) for line in lines)
    refused = {
        "added": admin.post("/v1/subscriptions/s5/items", json={"item": "silver"}),
        "patched": admin.patch("/v1/subscriptions/s5", json={"items": [{"item": "silver"}]}),
        "put": admin.put("/v1/subscriptions/s5", json=held("s5", "silver") | {"customer": "acme"}),
        "new": admin.post("/v1/customers/acme/subscriptions", json=held("s2", "gold")),
        "created by a put": admin.put("/v1/subscriptions/s3", json=held("s3", "gold") | {"customer": "acme"}),
        "imported": api.as_("sales-agent").post(
            "/v1/import/subjects", content=body, headers={"content-type": "application/x-ndjson"}
        ),
    }
    for way, answer in refused.items():
        assert (way, answer.status_code) == (way, 409), answer.text
        assert answer.json()["type"] == "urn:tiergate:problem:item-archived", way
    restored = admin.post("/v1/import/subjects", content=body, headers={"content-type": "application/x-ndjson"})
    assert restored.status_code == 200, restored.text  # who may edit roles restores a backup
    made(admin.post("/v1/items/silver/activate"), 200)
    made(admin.post("/v1/customers/acme/subscriptions", json=held("s4", "silver")))


def test_a_draft_is_given_to_nobody(admin: httpx.Client) -> None:
    """Until it is activated; a published item does not become a draft again."""
    made(admin.patch("/v1/items/silver", json={"status": "draft"}), 200)
    refused = admin.post("/v1/customers/acme/subscriptions", json=held("s2", "silver"))
    assert (refused.status_code, codes(refused, 409)) == (409, [("/items/0", "item-draft")])
    made(admin.post("/v1/items/silver/activate"), 200)
    made(admin.post("/v1/customers/acme/subscriptions", json=held("s2", "silver")))


def test_items_are_listed_by_status(admin: httpx.Client) -> None:
    """A status that there is not is a mistake."""
    made(admin.post("/v1/items/silver/archive"), 200)
    for status, found in (("archived", ["silver"]), ("active", ["extra-movies", "gold"]), ("draft", [])):
        assert [one["id"] for one in admin.get(f"/v1/items?status={status}").json()["items"]] == found
    assert admin.get("/v1/items?status=retired").status_code == 400


def test_archiving_needs_the_right_to_edit_items(api: Admin) -> None:
    """Support and sales do not decide what is sold."""
    for role in ("customer-support", "sales-agent", "analyst"):
        assert api.as_(role).post("/v1/items/gold/archive").status_code == 403


def test_metadata_of_an_item_is_edited_as_a_patch(admin: httpx.Client) -> None:
    """Text by key; null takes a key away."""
    found = made(admin.patch("/v1/items/gold", json={"metadata": {"stripe": "price_1", "a": "b"}}), 200)
    assert found["metadata"] == {"stripe": "price_1", "a": "b"}
    found = made(admin.patch("/v1/items/gold", json={"metadata": {"a": None}}), 200)
    assert found["metadata"] == {"stripe": "price_1"}
    assert codes(admin.patch("/v1/items/gold", json={"metadata": {"a": 1}})) == [("/metadata/a", "wrong-type")]
