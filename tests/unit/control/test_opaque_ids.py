"""Ids of other systems over the administration API: in paths, bodies, lists, the feed, keys and exports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.ids import OPAQUE, SPELLINGS
from tests.stored_lines import read_after
from tests.unit.control.subjects import codes, served
from tiergate.naming import path_segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


@pytest.fixture
def sales(sqlite_url: str) -> Iterator[httpx.Client]:
    """A client of a sales agent."""
    with served(sqlite_url) as (admin, _, _):
        yield admin.as_("sales-agent")


def _said(answer: httpx.Response, status: int = 200) -> Any:  # noqa: ANN401 - JSON
    assert answer.status_code == status, answer.text
    return answer.json()


def _all(client: httpx.Client, path: str) -> list[str]:
    """The ids of a list, page by page, three at a time."""
    found: list[str] = []
    more = ""
    while True:
        page = _said(client.get(f"{path}?limit=3{more}"))
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            return found
        more = f"&cursor={page['next']}"


def test_whoever_has_an_id_of_another_system_is_addressed_by_it(store_url: str) -> None:
    """Made, read, changed, listed in the order of code points and deleted, on both databases."""
    with served(store_url) as (admin, store, _):
        client = admin.as_("admin")
        for id_ in OPAQUE:
            path = f"/v1/customers/{path_segment(id_)}"
            made = client.post("/v1/customers", json={"id": id_})
            assert (_said(made, 201)["id"], made.headers["location"]) == (id_, path)
            held = {"id": id_, "status": "active", "items": [{"item": "gold"}]}
            made = client.post(f"{path}/subscriptions", json=held)
            assert _said(made, 201)["customer"] == id_
            assert made.headers["location"] == f"/v1/subscriptions/{path_segment(id_)}"
            override = {"id": "o", "feature": "movies", "value": 70, "reason": "a promise"}
            made = client.post(f"{path}/overrides", json=override)
            assert _said(made, 201)["id"] == "o"
            assert made.headers["location"] == f"{path}/overrides/o"
            assert _said(client.get(made.headers["location"]))["value"] == 70
            patch = {"tags": ["eu"]}
            patched = client.patch(path, json=patch)
            assert (_said(patched)["id"], patched.json()["tags"]) == (id_, ["eu"])
            subscription = f"/v1/subscriptions/{path_segment(id_)}"
            assert _said(client.put(subscription, json={**held, "customer": id_}))["id"] == id_
            assert _said(client.get(f"{path}/subscriptions"))["items"][0]["id"] == id_
        assert _all(client, "/v1/customers") == sorted(OPAQUE)
        assert _all(client, "/v1/subscriptions") == sorted(OPAQUE)
        records = [json.loads(entry.line) for entry in store.read(lambda unit: read_after(unit.session, 0, 10_000))]
        assert {one["customer"] for one in records if "customer" in one} == set(OPAQUE)
        for id_ in OPAQUE:
            assert client.delete(f"/v1/subscriptions/{path_segment(id_)}").status_code == 204
            assert client.delete(f"/v1/customers/{path_segment(id_)}").status_code == 204
        assert _all(client, "/v1/customers") == []


@pytest.mark.parametrize(("id_", "spelling"), SPELLINGS)
def test_another_spelling_addresses_the_same_customer(store_url: str, id_: str, spelling: str) -> None:
    """In a path, in a body and in a search, on both databases."""
    with served(store_url) as (admin, _, _):
        client = admin.as_("admin")
        assert _said(client.post("/v1/customers", json={"id": spelling}), 201)["id"] == id_
        assert client.post("/v1/customers", json={"id": id_}).status_code == 409
        for one in (id_, spelling):
            path = f"/v1/customers/{path_segment(one)}"
            assert _said(client.get(path))["id"] == id_
            assert _said(client.put(path, json={"id": one, "tags": ["eu"]}))["id"] == id_
            assert [it["id"] for it in _said(client.get("/v1/customers", params={"text": one}))["items"]] == [id_]


def test_a_path_that_is_no_text_names_nothing(sales: httpx.Client) -> None:
    """What is not percent-encoded UTF-8, or has control characters, is no id."""
    for segment in ("a/b", "", "%00", "a%0Ab", "%FF", "%", "a%2", "%ED%A0%80"):
        assert sales.get(f"/v1/customers/{segment}").status_code == 404, segment


def test_an_id_that_nobody_can_have_is_refused(sales: httpx.Client) -> None:
    """With the rule that it breaks."""
    for id_ in (" a", "a\u2028b", "a" * 257, "ext:crm:7", "\u202ea"):
        assert codes(sales.post("/v1/customers", json={"id": id_})) == [("/id", "bad-id")], id_
    for id_ in (" a", "a" * 257, "\u202ea"):
        assert codes(sales.put(f"/v1/customers/{path_segment(id_)}", json={})) == [("", "bad-id")], id_


def test_a_key_is_narrowed_to_customers_of_any_id(store_url: str) -> None:
    """What it may do for one, it may not do for another whose id only begins alike."""
    with served(store_url) as (admin, _, _):
        for id_ in OPAQUE[:20]:
            if "+" in id_ or "@" in id_ or not id_.isascii():
                continue
            client = admin.as_("admin", customers=[id_])
            path = f"/v1/customers/{path_segment(id_)}"
            assert client.put(path, json={"id": id_}).status_code == 201
            assert client.put(f"{path}x", json={}).status_code == 403
            assert client.post("/v1/customers", json={"id": f"{id_}x"}).status_code == 403
            assert client.post("/v1/customers", json={}).status_code == 403
