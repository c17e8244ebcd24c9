from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.stored_lines import read_after
from tests.unit.control.subjects import codes, made, served
from tiergate.store.tables import AUDIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

ACME = {"id": "acme", "tags": ["eu", "vip"], "attributes": {"name": "Ácme “GmbH”", "region": "de"}}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite."""
    with served(sqlite_url) as found:
        yield found


@pytest.fixture
def sales(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of a sales agent."""
    return api[0].as_("sales-agent")


def test_a_customer_is_created_read_and_told_to_sidecars(store_url: str) -> None:
    """What was written is what is read, in the feed too; on both databases."""
    with served(store_url) as (admin, store, _):
        client = admin.as_("sales-agent")
        answer = client.post("/v1/customers", json=ACME)
        data = made(answer)
        assert data == ACME | {
            "etag": '"1"',
            "created_at": "2027-01-15T08:00:00.000Z",
            "updated_at": "2027-01-15T08:00:00.000Z",
        }
        assert answer.headers["location"] == "/v1/customers/acme"
        read = client.get("/v1/customers/acme")
        assert (read.json(), read.headers["etag"]) == (data, '"1"')
        (entry,) = store.read(lambda unit: read_after(unit.session, 1, 10))
        assert json.loads(entry.line)["record"] == [["acme", ["eu", "vip"], ACME["attributes"], [], [], "", {}, {}], []]


def test_a_second_customer_of_an_id_is_refused(sales: httpx.Client) -> None:
    """Creating never replaces."""
    made(sales.post("/v1/customers", json=ACME))
    again = sales.post("/v1/customers", json=ACME)
    assert (again.status_code, again.json()["type"]) == (409, "urn:tiergate:problem:already-exists")


def test_creating_again_with_the_key_gives_the_first_answer(sales: httpx.Client) -> None:
    """A request that was lost on its way back can be sent again."""
    first, second = (sales.post("/v1/customers", json=ACME, headers={"idempotency-key": "k"}) for _ in range(2))
    assert (second.status_code, second.content) == (first.status_code, first.content)


def test_an_answer_can_be_edited_and_sent_back(sales: httpx.Client) -> None:
    """PUT takes what GET gave, and says nothing new where nothing is."""
    data = made(sales.post("/v1/customers", json=ACME))
    same = sales.put("/v1/customers/acme", json=data)
    assert (same.status_code, same.json()) == (200, data)
    changed = made(sales.put("/v1/customers/acme", json=data | {"tags": ["eu"]}), 200)
    assert (changed["tags"], changed["etag"]) == (["eu"], '"2"')


def test_a_lost_race_is_refused(sales: httpx.Client) -> None:
    """Who edits what somebody else has changed meanwhile is told so, and what it now is."""
    made(sales.post("/v1/customers", json=ACME))
    made(sales.patch("/v1/customers/acme", json={"tags": ["x"]}, headers={"if-match": '"1"'}), 200)
    for late in (
        sales.put("/v1/customers/acme", json={}, headers={"if-match": '"1"'}),
        sales.patch("/v1/customers/acme", json={}, headers={"if-match": '"1"'}),
        sales.delete("/v1/customers/acme", headers={"if-match": '"1"'}),
        sales.put("/v1/customers/acme", json={}, headers={"if-none-match": "*"}),
    ):
        assert (late.status_code, late.headers["etag"]) == (412, '"2"')
    assert sales.get("/v1/customers/acme").json()["tags"] == ["x"]


def test_putting_creates_where_there_is_none(sales: httpx.Client) -> None:
    """So that a CRM can write what it knows; but not where it believed that there was one."""
    assert sales.put("/v1/customers/beta", json={}, headers={"if-match": '"1"'}).status_code == 404
    assert made(sales.put("/v1/customers/beta", json={"tags": ["eu"]}))["id"] == "beta"


def test_a_patch_changes_what_it_names(sales: httpx.Client) -> None:
    """A merge patch adds, changes and removes members, and leaves the others."""
    made(sales.post("/v1/customers", json=ACME))
    patched = sales.patch(
        "/v1/customers/acme",
        content=b'{"attributes": {"region": null, "tier": "1"}}',
        headers={"content-type": "application/merge-patch+json"},
    )
    assert made(patched, 200)["attributes"] == {"name": "Ácme “GmbH”", "tier": "1"}
    assert patched.json()["tags"] == ["eu", "vip"]


def test_the_id_of_the_address_is_not_changed_by_the_body(sales: httpx.Client) -> None:
    """A body that names another customer is refused."""
    made(sales.post("/v1/customers", json=ACME))
    assert codes(sales.put("/v1/customers/acme", json={"id": "beta"})) == [("/id", "fixed-value")]


def test_all_problems_of_a_body_are_told(sales: httpx.Client) -> None:
    """Each with its pointer."""
    body = {"id": " no id", "tags": ["a b"], "attributes": {"n": 7}, "overrides": [{"feature": "moviez", "value": 1}]}
    found = codes(sales.post("/v1/customers", json=body))
    assert [pointer for pointer, _ in found] == ["/id", "/tags/0", "/attributes/n", "/overrides/0/feature"]


def test_a_customer_with_subscriptions_is_not_deleted(sales: httpx.Client) -> None:
    """What is still held is ended first."""
    made(sales.post("/v1/customers", json=ACME))
    made(sales.post("/v1/customers/acme/subscriptions", json={"id": "s", "status": "active", "items": []}))
    assert sales.delete("/v1/customers/acme").status_code == 409
    assert sales.delete("/v1/subscriptions/s").status_code == 204
    assert sales.delete("/v1/customers/acme").status_code == 204
    assert sales.get("/v1/customers/acme").status_code == 404


def test_customers_are_searched(store_url: str) -> None:
    """By tags, text, overridden feature, held item and status, whatever stands in the text; on both databases."""
    with served(store_url) as (admin, _, _):
        client = admin.as_("admin")
        made(client.post("/v1/customers", json=ACME))
        override = {"feature": "movies", "value": 7, "reason": "a promise"}
        made(client.post("/v1/customers", json={"id": "beta", "tags": ["eu"], "overrides": [override]}))
        made(client.post("/v1/customers", json={"id": "gamma", "attributes": {"note": "100% _sure_"}}))
        held = {"id": "s1", "status": "active", "items": [{"item": "gold"}], "overrides": [override]}
        made(client.post("/v1/customers/gamma/subscriptions", json=held))
        for query, wanted in {
            "": ["acme", "beta", "gamma"],
            "tag=eu": ["acme", "beta"],
            "tag=eu,vip": ["acme"],
            "text=ÁCME": ["acme"],
            "text=cME “gmbh”": ["acme"],
            "text=%25": ["gamma"],
            "text=_sure_": ["gamma"],
            "text=xsurex": [],
            "text=' OR 1=1 --": [],
            "text=ET": ["beta"],
            "feature=movies": ["beta", "gamma"],
            "feature=support": [],
            "item=gold": ["gamma"],
            "item=gold&status=active": ["gamma"],
            "item=gold&status=paused": [],
            "status=active": ["gamma"],
        }.items():
            found = client.get(f"/v1/customers?{query}").json()
            assert [one["id"] for one in found["items"]] == wanted, query


def test_pages_follow_each_other_whatever_is_written_between(sales: httpx.Client) -> None:
    """No customer is skipped or seen twice because another one came or went."""
    for number in range(5):
        made(sales.post("/v1/customers", json={"id": f"c{number}"}))
    first = sales.get("/v1/customers?limit=2").json()
    assert [one["id"] for one in first["items"]] == ["c0", "c1"]
    sales.delete("/v1/customers/c0")
    made(sales.post("/v1/customers", json={"id": "a"}))
    rest = sales.get("/v1/customers", params={"limit": 3, "cursor": first["next"]}).json()
    assert ([one["id"] for one in rest["items"]], rest["next"]) == (["c2", "c3", "c4"], None)


def test_every_change_is_written_down(api: tuple[Admin, Store, Ticking]) -> None:
    """Who, what, before, after, why."""
    admin, store, _ = api
    client = admin.as_("sales-agent")
    made(client.post("/v1/customers", json=ACME))
    client.patch("/v1/customers/acme", json={"tags": None}, headers={"tiergate-reason": "cleaned up"})
    client.patch("/v1/customers/acme", json={})
    client.delete("/v1/customers/acme")
    rows = store.read(lambda unit: unit.session.connection().execute(select(AUDIT)).all())
    assert [(row.action, row.customer, row.actor) for row in rows] == [
        ("customer.created", "acme", "test/sales-agent"),
        ("customer.changed", "acme", "test/sales-agent"),
        ("customer.deleted", "acme", "test/sales-agent"),
    ]
    assert (rows[1].reason, json.loads(rows[1].before)["tags"], json.loads(rows[1].after).get("tags")) == (
        "cleaned up",
        ["eu", "vip"],
        None,
    )


def test_a_narrowed_key_sees_and_writes_its_own_customers_alone(api: tuple[Admin, Store, Ticking]) -> None:
    """Neither by path nor by body does it reach another one."""
    admin = api[0].as_("admin")
    made(admin.post("/v1/customers", json={"id": "beta"}))
    made(admin.post("/v1/subscriptions", json={"id": "b1", "customer": "beta", "status": "active", "items": []}))
    narrow = api[0].as_("sales-agent", customers=["acme"])
    made(narrow.post("/v1/customers", json=ACME))
    for answer in (
        narrow.get("/v1/customers"),
        narrow.get("/v1/customers/beta"),
        narrow.post("/v1/customers", json={"id": "gamma"}),
        narrow.put("/v1/customers/beta", json={}),
        narrow.get("/v1/customers/beta/subscriptions"),
        narrow.get("/v1/subscriptions/b1"),
        narrow.get("/v1/subscriptions/none"),
        narrow.put("/v1/subscriptions/b1", json={"customer": "acme", "status": "active", "items": []}),
        narrow.post("/v1/subscriptions", json={"id": "b2", "customer": "beta", "status": "active", "items": []}),
        narrow.post("/v1/subscriptions/b1/end"),
    ):
        assert answer.status_code == 403, answer.text
