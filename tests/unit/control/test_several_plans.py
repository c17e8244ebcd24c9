"""One plan at an instant, by every way in, unless the catalog says that there may be many."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, ENDPOINTS, codes, made, served
from tiergate.control.api import imports

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

PATH, CHANGE = "/v1/subscriptions/s1", "/v1/subscriptions/s1/change"
ONE = CATALOG.replace(", excludes: [gold]", "")
MANY = ONE.replace("apiVersion: tiergate/v1\n", "apiVersion: tiergate/v1\nplans: many\n")
BOTH = [{"item": "gold"}, {"item": "silver"}]
REFUSED = [("/items/1", "several-plans")]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer who holds gold, of which nothing excludes silver."""
    with served(sqlite_url, [*ENDPOINTS, *imports.endpoints()]) as found:
        put_in_force(found[1], ONE)
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        yield found


@pytest.fixture
def admin(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of an admin."""
    return api[0].as_("admin")


def sent(client: httpx.Client, items: list[dict[str, str]]) -> httpx.Response:
    """Import the subscription with these items."""
    lines: list[dict[str, object]] = [
        {"apiVersion": "tiergate/v1"},
        {"type": "customer", "id": "acme"},
        {"type": "subscription", "id": "s1", "customer": "acme", "status": "active", "items": items},
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    return client.post("/v1/import/subjects", content=content, headers={"content-type": "application/x-ndjson"})


def test_a_second_plan_is_refused_by_every_way_in(admin: httpx.Client) -> None:
    """Two clicks give one plan; and so do documents, billing and imports."""
    assert codes(admin.post(f"{PATH}/items", json={"item": "gold"})) == REFUSED
    assert codes(admin.post(f"{PATH}/items", json={"item": "silver"})) == REFUSED
    body = {"customer": "acme", "status": "active", "items": BOTH}
    assert codes(admin.post("/v1/subscriptions", json=body | {"id": "s2"})) == REFUSED
    assert codes(admin.put(PATH, json=body)) == REFUSED
    assert codes(admin.patch(PATH, json={"items": BOTH})) == REFUSED
    assert codes(admin.put(f"{PATH}/billing", json=body)) == REFUSED
    answer = sent(admin, BOTH)
    assert [(one["line"], one["code"]) for one in answer.json()["errors"]] == [(3, "several-plans")]
    apart = [{"item": "gold", "until": "2027-06-01"}, {"item": "silver", "from": "2027-06-01"}]
    made(admin.put(f"{PATH}/billing", json={"status": "active", "items": apart}), 200)


def test_a_change_of_plan_never_makes_two(admin: httpx.Client) -> None:
    """Now, later, and over again."""
    for said in (
        {"to": "silver", "at": "2027-02-01T00:00:00Z"},
        {"to": "silver", "at": "2027-03-01T00:00:00Z"},
        {"to": "gold", "quantity": 2},
        {"to": "silver"},
        {"to": "gold", "at": "2027-02-01T00:00:00Z"},
    ):
        made(admin.post(CHANGE, json=said), 200)
    found = made(admin.get(PATH), 200)
    assert found["scheduled_change"] == {
        "from_item": "silver",
        "to": "gold",
        "quantity": 2,
        "at": "2027-02-01T00:00:00.000Z",
    }
    assert len(found["items"]) == 2  # type: ignore[arg-type]


def test_a_catalog_may_allow_many(api: tuple[Admin, Store, Ticking], admin: httpx.Client) -> None:
    """A change then says which of them it means."""
    put_in_force(api[1], MANY)
    made(admin.post(f"{PATH}/items", json={"item": "silver"}))
    answer = admin.post(CHANGE, json={"to": "acme-only"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:ambiguous-plan")
    found = made(admin.post(CHANGE, json={"to": "acme-only", "from_item": "silver"}), 200)
    assert [one["item"] for one in found["items"]] == ["gold", "acme-only"]  # type: ignore[attr-defined]


def test_who_has_several_plans_goes_on_with_them(api: tuple[Admin, Store, Ticking], admin: httpx.Client) -> None:
    """A store that allowed many is read on: every edit but one more plan, and every way out."""
    put_in_force(api[1], MANY)
    made(admin.post(f"{PATH}/items", json={"item": "silver"}))
    put_in_force(api[1], ONE)
    made(admin.post(f"{PATH}/past-due", json={}), 200)
    made(admin.put(f"{PATH}/billing", json={"status": "active", "items": BOTH[::-1]}), 200)
    made(
        admin.put(PATH, json={"status": "active", "items": [{"item": "silver", "quantity": 3}, {"item": "gold"}]}), 200
    )
    assert codes(admin.post(f"{PATH}/items", json={"item": "acme-only"})) == [("/items/2", "several-plans")]
    assert sent(admin, BOTH).is_success
    made(admin.put(f"{PATH}/billing", json={"status": "active", "items": BOTH[:1]}), 200)
    assert codes(admin.post(f"{PATH}/items", json={"item": "silver"})) == REFUSED
