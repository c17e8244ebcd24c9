"""Names, metadata and external ids over the API: written, searched, and used as addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.subjects import codes, made, served, taken

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin

ADA = {
    "id": "ada",
    "name": "Łukasz & Söhne",
    "metadata": {"crm": "0015"},
    "external_ids": {"stripe": "cus_1", "sap": "ACME / 7:b"},
}
SUB = {
    "id": "s1",
    "status": "active",
    "items": [{"item": "gold"}],
    "metadata": {"channel": "web"},
    "external_ids": {"stripe": "sub_1"},
}


@pytest.fixture
def api(store_url: str) -> Iterator[Admin]:
    """An API with a customer and a subscription that other systems know, on either database."""
    with served(store_url) as (admin, _, _):
        client = admin.as_("admin")
        made(client.post("/v1/customers", json=ADA))
        made(client.post("/v1/customers/ada/subscriptions", json=SUB))
        yield admin


@pytest.fixture
def sales(api: Admin) -> httpx.Client:
    """A client of a sales agent."""
    return api.as_("sales-agent")


def test_names_metadata_and_external_ids_are_answered_as_written(sales: httpx.Client) -> None:
    """Of customers and of subscriptions; a merge patch changes one of them alone."""
    found = sales.get("/v1/customers/ada").json()
    assert {key: found[key] for key in ADA} == ADA
    held = sales.get("/v1/subscriptions/s1").json()
    assert (held["metadata"], held["external_ids"]) == (SUB["metadata"], SUB["external_ids"])
    patched = made(
        sales.patch("/v1/customers/ada", json={"name": "Łukasz", "metadata": {"crm": None, "tier": "1"}}), 200
    )
    assert (patched["name"], patched["metadata"]) == ("Łukasz", {"tier": "1"})
    patched = made(sales.patch("/v1/subscriptions/s1", json={"external_ids": {"stripe": None}}), 200)
    assert "external_ids" not in patched


def test_a_change_of_a_name_needs_the_right_to_edit_the_customer(api: Admin) -> None:
    """Metadata and external ids likewise; of a subscription, the right to edit that."""
    narrow = api.as_("customer-support")
    for body in ({"name": "x"}, {"metadata": {"a": "b"}}, {"external_ids": {"x": "y"}}):
        assert narrow.patch("/v1/customers/ada", json=body).status_code == 403
    assert narrow.patch("/v1/subscriptions/s1", json={"metadata": {"a": "b"}}).status_code == 403


@pytest.mark.parametrize("address", ["ext:stripe:cus_1", "ext:sap:ACME%20%2F%207%3Ab", "ext%3Astripe%3Acus_1"])
def test_a_customer_is_addressed_by_an_external_id(sales: httpx.Client, address: str) -> None:
    """On every path that has a customer; answers show the canonical id, and entity tags hold."""
    path = f"/v1/customers/{address}"
    found = sales.get(path)
    assert (found.json()["id"], found.headers["etag"]) == ("ada", '"1"')
    assert sales.get(path, headers={"if-none-match": '"1"'}).status_code == 304
    assert made(sales.patch(path, json={"tags": ["vip"]}, headers={"if-match": '"1"'}), 200)["id"] == "ada"
    body = {"name": "Ada", "external_ids": ADA["external_ids"]}
    assert made(sales.put(path, json=body), 200)["id"] == "ada"
    assert made(sales.put(path, json=body | {"id": "ada"}), 200)["id"] == "ada"
    answer = sales.post(f"{path}/overrides", json={"feature": "movies", "value": 99, "reason": "r"})
    assert made(answer)["id"] == "movies-3"
    assert answer.headers["location"] == "/v1/customers/ada/overrides/movies-3"
    assert taken(sales, "DELETE", f"{path}/overrides/movies-3").status_code == 204
    made(sales.post(f"{path}/suspensions", json={"feature": "movies", "reason": "r"}))
    assert [one["id"] for one in sales.get(f"{path}/subscriptions").json()["items"]] == ["s1"]
    added = sales.post(f"{path}/subscriptions", json={"id": "s2", "status": "active", "items": []})
    assert made(added)["customer"] == "ada"


def test_a_subscription_is_addressed_by_an_external_id(sales: httpx.Client) -> None:
    """On every path, steps and items included; where it is created, its customer can be named so."""
    path = "/v1/subscriptions/ext:stripe:sub_1"
    assert made(sales.get(path), 200)["id"] == "s1"
    assert made(sales.post(f"{path}/pause"), 200)["id"] == "s1"
    assert made(sales.post(f"{path}/resume"), 200)["status"] == "active"
    assert made(sales.post(f"{path}/items", json={"item": "extra-movies"}))["id"] == "s1"
    assert (
        made(
            sales.put(path, json=SUB | {"customer": "ext:stripe:cus_1"}, params={"accept_loss": accepted(sales, path)}),
            200,
        )["id"]
        == "s1"
    )
    body = {"id": "s9", "customer": "ext:stripe:cus_1", "status": "active", "items": []}
    assert made(sales.post("/v1/subscriptions", json=body))["customer"] == "ada"
    listed = sales.get("/v1/subscriptions", params={"customer": "ext:stripe:cus_1"}).json()["items"]
    assert [one["id"] for one in listed] == ["s1", "s9"]


def accepted(client: httpx.Client, path: str) -> str:
    """The token of what the put of the next line takes."""
    token: str = client.put(path, json=SUB | {"customer": "ada"}).json()["accept_loss"]
    return token


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/customers/ext:stripe:nobody", None),
        ("PUT", "/v1/customers/ext:stripe:nobody", {}),
        ("PATCH", "/v1/customers/ext:stripe:nobody", {"tags": []}),
        ("DELETE", "/v1/customers/ext:", None),
        ("GET", "/v1/customers/ext:stripe", None),
        ("GET", "/v1/customers/ext:other:cus_1", None),
        ("GET", "/v1/customers/ext:stripe:sub_1", None),
        ("POST", "/v1/subscriptions/ext:stripe:cus_1/pause", {}),
        ("GET", "/v1/subscriptions?customer=ext:stripe:nobody", None),
        ("POST", "/v1/subscriptions", {"id": "x", "customer": "ext:a:b", "status": "active", "items": []}),
    ],
)
def test_an_external_id_that_nobody_has_is_not_found(
    sales: httpx.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Nothing is created under it, and the refusal names it."""
    answer = sales.request(method, path, json=body) if body is not None else sales.request(method, path)
    assert answer.status_code == 404, answer.text
    assert "no customer `ext:" in answer.json()["detail"] or "no subscription `ext:" in answer.json()["detail"]


def test_a_narrowed_key_learns_nothing_from_external_ids(api: Admin) -> None:
    """Another's external id and one that nobody has are refused alike."""
    client = api.as_("admin")
    made(client.post("/v1/customers", json={"id": "bob", "external_ids": {"stripe": "cus_2"}}))
    narrow = api.as_("sales-agent", customers=["bob"])
    assert narrow.get("/v1/customers/ext:stripe:cus_2").status_code == 200
    refused = [narrow.get(f"/v1/customers/ext:stripe:{id_}") for id_ in ("cus_1", "nobody")]
    assert [one.status_code for one in refused] == [403, 403]
    assert refused[0].json() == refused[1].json()
    assert narrow.post("/v1/subscriptions/ext:stripe:sub_1/pause").status_code == 403


def test_an_external_id_of_another_is_refused(sales: httpx.Client) -> None:
    """The refusal says who has it; an id that looks like an address is no id."""
    made(sales.post("/v1/customers", json={"id": "bob"}))
    refused = sales.patch("/v1/customers/bob", json={"external_ids": {"stripe": "cus_1"}})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:tiergate:problem:external-id-taken")
    assert "`ada`" in refused.json()["detail"]
    assert codes(sales.post("/v1/customers", json={"id": "ext:stripe:cus_9"})) == [("/id", "bad-id")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("text=łUKASZ", ["ada"]),
        ("text=SÖHNE", ["ada"]),
        ("text=So%CC%88hne", ["ada"]),
        ("text=cus_1", ["ada"]),
        ("external_id=stripe:cus_1", ["ada"]),
        ("external_id=stripe", ["ada"]),
        ("external_id=ext:stripe:cus_1", ["ada"]),
        ("external_id=stripe:sub_1", []),
        ("external_id=other", []),
    ],
)
def test_customers_are_found_by_name_and_external_id(sales: httpx.Client, query: str, found: list[str]) -> None:
    """In any script, on both databases."""
    made(sales.post("/v1/customers", json={"id": "bob"}))
    assert [one["id"] for one in sales.get(f"/v1/customers?{query}").json()["items"]] == found


def test_subscriptions_are_found_by_their_customers_name_and_external_id(sales: httpx.Client) -> None:
    """And by their own external ids; a system that is none is a mistake."""
    for query in ("text=söhne", "text=SUB_1", "external_id=stripe:sub_1"):
        assert [one["id"] for one in sales.get(f"/v1/subscriptions?{query}").json()["items"]] == ["s1"]
    assert sales.get("/v1/subscriptions?external_id=stripe:cus_1").json()["items"] == []
    assert sales.get("/v1/subscriptions?external_id=:x").status_code == 400
