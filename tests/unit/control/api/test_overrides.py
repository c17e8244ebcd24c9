from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, NOW, codes, made, served, taken
from tiergate.model import FOREVER, format_instant
from tiergate.store import SYSTEM
from tiergate.store.tables import DELIVERIES, WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store, WriteUnit

PROMISE = {"feature": "movies", "value": 99, "reason": "a promise"}
PATHS = ["/v1/customers/acme", "/v1/subscriptions/s1"]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer and its subscription."""
    with served(sqlite_url) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        yield found


@pytest.fixture
def support(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of customer support."""
    return api[0].as_("customer-support")


@pytest.fixture
def sales(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of a sales agent."""
    return api[0].as_("sales-agent")


@pytest.mark.parametrize("path", PATHS)
def test_an_override_is_given_read_replaced_and_taken(support: httpx.Client, sales: httpx.Client, path: str) -> None:
    """To customers and subscriptions alike; its author is whoever did it last."""
    answer = support.post(f"{path}/overrides", json=PROMISE)
    assert made(answer) == PROMISE | {"id": "movies-1", "author": "test/customer-support"}
    assert answer.headers["location"] == f"{path}/overrides/movies-1"
    assert str(made(support.post(f"{path}/overrides", json=PROMISE | {"value": 100}))["id"]).startswith("movies-2")
    one = f"{path}/overrides/movies-1"
    two = f"{path}/overrides/movies-2"
    replaced = made(taken(sales, "PUT", two, json=PROMISE | {"value": 98, "reason": "less"}), 200)
    assert (replaced["value"], replaced["author"]) == (98, "test/sales-agent")
    assert support.get(two).json() == replaced
    assert [it["id"] for it in support.get(f"{path}/overrides").json()["items"]] == ["movies-1", "movies-2"]
    assert sales.delete(one).status_code == 204  # it did nothing beside the other
    assert support.get(one).status_code == 404
    assert taken(sales, "DELETE", two).status_code == 204
    assert made(support.post(f"{path}/overrides", json=PROMISE))["id"] == "movies-6"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"reason": ""}, ("/reason", "empty-text")),
        ({"reason": " "}, ("/reason", "empty-text")),
        ({"feature": "legacy", "value": True}, ("/feature", "feature-archived")),
        ({"feature": "moviez"}, ("/feature", "unknown-feature")),
        ({"value": -1}, ("/value", "bad-number")),
        ({"mode": "disabled"}, ("/value", "key-conflict")),
    ],
)
def test_an_override_that_cannot_be_is_refused(
    support: httpx.Client, path: str, change: dict[str, Any], problem: tuple[str, str]
) -> None:
    """Without a reason, for an archived feature, by the published catalog."""
    assert codes(support.post(f"{path}/overrides", json=PROMISE | change)) == [problem]


def test_a_reason_turns_no_direction(support: httpx.Client) -> None:
    """It would be read as something else."""
    answer = support.post("/v1/customers/acme/overrides", json=PROMISE | {"reason": "x\u202ey"})
    assert codes(answer, 400) == [("/reason", "bad-character")]


@pytest.mark.parametrize("path", PATHS)
def test_an_override_may_give_another_kind_of_limit(
    api: tuple[Admin, Store, Ticking], support: httpx.Client, path: str
) -> None:
    """Shown as it was written, with its effect; only where usage is counted."""
    soft = PROMISE | {"value": {"value": 50, "limit": "soft", "overage_max": 5}}
    assert codes(support.post(f"{path}/overrides", json=soft)) == [("/value/limit", "limit-not-metered")]
    put_in_force(
        api[1], CATALOG.replace("id: movies, type: quantity", "id: movies, type: quantity, metered: {reset: month}")
    )
    assert made(support.post(f"{path}/overrides", json=soft))["value"] == soft["value"]
    (listed,) = support.get(f"{path}/overrides").json()["items"]
    assert listed["value"] == soft["value"]
    assert listed["effect"] == {"state": "raises", "from": 50, "to": soft["value"]}
    hard = soft | {"value": {"value": 50, "limit": "hard", "overage_max": 5}}
    assert codes(support.post(f"{path}/overrides", json=hard)) == [("/value/overage_max", "key-conflict")]
    assert codes(support.post(f"{path}/overrides", json=soft | {"mode": "at_least"})) == [("/value", "wrong-type")]


def test_an_override_says_its_author_in_vain(support: httpx.Client, sales: httpx.Client) -> None:
    """The author is who asked, in every way of writing."""
    forged = PROMISE | {"author": "the chief"}
    assert made(support.post("/v1/subscriptions/s1/overrides", json=forged))["author"] == "test/customer-support"
    found = made(sales.patch("/v1/subscriptions/s1", json={"overrides": [forged | {"id": "movies-1"}]}), 200)
    assert found["overrides"] == [forged | {"id": "movies-1", "author": "test/customer-support"}]
    found = made(sales.patch("/v1/customers/acme", json={"overrides": [forged | {"value": 100}]}), 200)
    assert found["overrides"] == [forged | {"id": "movies-1", "value": 100, "author": "test/sales-agent"}]


def test_a_lost_race_for_an_override_is_refused(support: httpx.Client) -> None:
    """Its entity tag is its subject's."""
    etag = support.get("/v1/subscriptions/s1").headers["etag"]
    first = support.post("/v1/subscriptions/s1/overrides", json=PROMISE, headers={"if-match": etag})
    assert first.headers["etag"] == '"2"'
    assert support.post("/v1/subscriptions/s1/overrides", json=PROMISE, headers={"if-match": etag}).status_code == 412


@pytest.mark.parametrize("path", PATHS)
def test_an_override_says_why(support: httpx.Client, path: str) -> None:
    """Without a reason there is none."""
    body = {"feature": "movies", "value": 99}
    assert codes(support.post(f"{path}/overrides", json=body)) == [("", "missing-key")]


@pytest.mark.parametrize("path", PATHS)
def test_a_feature_is_suspended_and_resumed(api: tuple[Admin, Store, Ticking], sales: httpx.Client, path: str) -> None:
    """Until a moment, or for good; resuming ends what is, and takes back what was to come."""
    later = format_instant(NOW + 1_000_000)
    found = made(sales.post(f"{path}/suspensions", json={"feature": "movies", "reason": "abuse", "until": later}))
    assert found == {
        "feature": "movies",
        "from": "2027-01-15T08:00:00Z",
        "until": "2027-01-15T08:16:40Z",
        "reason": "abuse",
    }
    made(sales.post(f"{path}/suspensions", json={"feature": "movies", "from": later}))
    made(sales.post(f"{path}/suspensions", json={"feature": "support"}))
    api[2].now += 5000
    assert sales.delete(f"{path}/suspensions/movies").status_code == 204
    record = api[1].read(lambda unit: unit.record("acme"))
    assert record is not None
    subject = record.customer if "customers" in path else record.subscriptions[0]
    assert [(it.feature, it.start, it.until) for it in subject.suspensions] == [
        ("movies", NOW, NOW + 5000),
        ("support", NOW, FOREVER),
    ]
    assert sales.delete(f"{path}/suspensions/movies").status_code == 404
    assert len(sales.get(f"{path}/suspensions").json()["items"]) == 2
    at = format_instant(NOW + 9000)
    assert sales.delete(f"{path}/suspensions/support", params={"at": at}).status_code == 204


def test_a_suspension_that_is_over_is_refused(sales: httpx.Client) -> None:
    """It would do nothing."""
    body = {"feature": "movies", "until": "2026-01-01T00:00:00Z"}
    assert codes(sales.post("/v1/customers/acme/suspensions", json=body)) == [("/until", "empty-period")]


def test_webhooks_are_told_what_is_suspended_and_resumed(
    api: tuple[Admin, Store, Ticking], sales: httpx.Client
) -> None:
    """Once each, with whom it is about."""

    def listen(unit: WriteUnit) -> None:
        row = {"id": "w", "url": "https://example.com", "events": "[]", "secrets": "[]", "created_at": 0}
        row |= {"etag": 1, "description": "", "enabled": True, "updated_at": 0}
        unit.session.connection().execute(insert(WEBHOOKS), [row])

    api[1].change(listen, SYSTEM)
    path = "/v1/subscriptions/s1/suspensions"
    made(sales.post(path, json={"feature": "movies", "until": format_instant(NOW + 9000)}))
    api[2].now += 5
    assert sales.delete(f"{path}/movies").status_code == 204
    columns = DELIVERIES.c
    query = select(columns.payload).where(columns.type.startswith("feature."))
    sent = api[1].read(lambda unit: unit.session.connection().execute(query).scalars().all())
    whose = {"feature": "movies", "customer": "acme", "subscription": "s1", "until": format_instant(NOW + 9000)}
    assert sorted((json.loads(it)["type"], json.loads(it)["data"] == whose) for it in sent) == [
        ("feature.resumed", True),
        ("feature.suspended", True),
    ]
