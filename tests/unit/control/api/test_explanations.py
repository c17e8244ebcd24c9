from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, ENDPOINTS, NOW, made, served
from tiergate.control.api import entitlements, erasure, replays
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

MOVIES = {"subject": "acme", "feature": "movies", "used": 55}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer and its subscription to `gold`."""
    endpoints = [*ENDPOINTS, *replays.endpoints(), *entitlements.endpoints(), *erasure.endpoints()]
    with served(sqlite_url, endpoints) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme", "attributes": {"region": "eu"}}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        yield found


def explained(client: httpx.Client, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """An explanation that works."""
    return made(client.post("/v1/explain", json=MOVIES | body), 200)


def test_a_check_is_explained_as_it_stands(api: tuple[Admin, Store, Ticking]) -> None:
    """As a sidecar would, and by which publication."""
    admin, _, _ = api
    found = explained(admin.as_("customer-support"))
    assert (found["decision"]["reason"], found["decision"]["publication"]) == ("limit_reached", 1)
    assert found["sentences"][0].endswith("55 are used, and 1 more would pass the limit of 50 movies/month.")
    assert [(it["id"], it["standing"]) for it in found["subscriptions"]] == [("s1", "counts")]
    assert (found["position"] > 0, found["redacted"]) == (True, False)


def test_a_moment_of_the_past_is_explained_by_what_was_so(api: tuple[Admin, Store, Ticking]) -> None:
    """The subject and the publication as they were, and the same entitlement as the list of that moment has."""
    admin, store, clock = api
    client = admin.as_("analyst")
    clock.now = NOW + 1000
    put_in_force(store, CATALOG.replace("movies: 50", "movies: 60"))
    clock.now = NOW + 2000
    made(admin.as_("admin").post("/v1/subscriptions/s1/items", json={"item": "extra-movies"}))
    clock.now = NOW + 3000
    for moment, held in ((999, 50), (1000, 60), (2000, 70), (9000, 70)):
        at = format_instant(NOW + moment)
        found = explained(client, at=at)
        listed = client.get("/v1/customers/acme/entitlements", params={"at": at}).json()["entitlements"]
        same = next(entry for entry in listed if entry["feature"] == "movies")
        assert found["asked"]["at"] == at
        assert found["decision"]["entitlement"]["value"] == same["entitlement"]["value"] == held
        assert found["decision"]["allowed"] == (held >= 56)
        assert f"The limit is {held} movies/month" in found["sentences"][1]


def test_nobody_known_is_explained_too(api: tuple[Admin, Store, Ticking]) -> None:
    """As a denial, which a check of them is."""
    admin, _, _ = api
    found = explained(admin.as_("admin"), subject="nobody")
    assert (found["known"], found["decision"]["reason"], found["position"]) == (False, "unknown_subject", 0)


def test_a_moment_before_anything_was_published_is_not_there(api: tuple[Admin, Store, Ticking]) -> None:
    """Nothing could have been decided then."""
    admin, _, _ = api
    assert admin.as_("admin").post("/v1/explain", json=MOVIES | {"at": "2001-01-01"}).status_code == 404


def test_what_was_erased_from_a_record_is_said(api: tuple[Admin, Store, Ticking]) -> None:
    """What rules read then may be gone, so the decision may have been another."""
    admin, _, clock = api
    client = admin.as_("admin")
    clock.now = NOW + 1000
    made(client.post("/v1/customers/acme/erase", json={}), 200)
    assert explained(client, at=format_instant(NOW))["redacted"] is True


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"amuont": 1}, 422, "/amuont"),
        ({"amount": 0}, 422, "/amount"),
        ({"subject": {"id": "a b "}}, 422, "/subject/id"),
        ({"at": "yesterday"}, 422, "/at"),
        ({"at": 5}, 422, "/at"),
        ({"feature": "moovies"}, 404, None),
    ],
)
def test_a_mistake_is_a_problem(
    api: tuple[Admin, Store, Ticking], body: dict[str, Any], status: int, pointer: str | None
) -> None:
    """It names the field, as everywhere."""
    admin, _, _ = api
    answer = admin.as_("admin").post("/v1/explain", json=MOVIES | body)
    assert answer.status_code == status, answer.text
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_others_customers_are_not_explained(api: tuple[Admin, Store, Ticking]) -> None:
    """To a key that is for some alone."""
    admin, _, _ = api
    client = admin.as_("admin", customers=["other"])
    for subject in ("acme", "nobody", {"type": "subscription", "id": "s1"}):
        assert client.post("/v1/explain", json=MOVIES | {"subject": subject}).status_code == 403
    assert client.post("/v1/explain", content=b"[", headers={"content-type": "application/json"}).status_code == 403


def test_a_key_for_one_customer_does_not_read_the_rules(api: tuple[Admin, Store, Ticking]) -> None:
    """It learns which decided; their texts may tell of others."""
    admin, store, _ = api
    rule = (
        '@id("fraud") @description("globex cheats") forbid (principal, action, resource) when { context.amount > 9 };'
    )
    put_in_force(store, CATALOG, rules={"house": rule.replace("action,", 'action == Action::"consume",')})
    narrow = explained(admin.as_("admin", customers=["acme"]), amount=10)
    wide = explained(admin.as_("admin"), amount=10)

    assert narrow["decision"] == wide["decision"]
    assert narrow["decision"]["reason"] == "rule_denied"
    assert "The rule house/fraud forbids it." in narrow["sentences"]
    assert "The rule house/fraud forbids it: globex cheats." in wide["sentences"]
    texts = [{it["id"]: it["text"] for it in found["policies"]}["rule/house/fraud"] for found in (narrow, wide)]
    assert (texts[0], "forbid" in texts[1]) == ("", True)
    assert "globex" not in str(narrow)
