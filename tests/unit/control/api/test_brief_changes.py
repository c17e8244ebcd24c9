"""Requests whose changes share a transaction: each gets its own answer."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sqlalchemy import event

from tests.unit.control.subjects import ENDPOINTS, made, served

if TYPE_CHECKING:
    import httpx

    from tests.admin import Admin


MORE = {"feature": "movies", "mode": "add", "value": 1, "reason": "asked"}


def change(admin: Admin, number: int) -> list[int]:
    """Send changes that succeed and changes that fail, each for a reason of its own; return the statuses."""
    client, path = admin.as_("admin"), f"/v1/subscriptions/s{number}"
    found: list[httpx.Response] = []
    for turn in range(2, 6):
        items = {"items": [{"item": "gold", "quantity": turn}]}
        key = {"idempotency-key": f"k{number}-{turn}"}
        found += [
            client.patch(path, json=items),
            client.patch(path, json=items | {"colour": "red"}),
            client.patch(path, json=items, headers={"if-match": '"999"'}),
            client.patch(f"/v1/subscriptions/none{number}", json=items),
            admin.as_("customer-support").patch(path, json=items),
            client.post(f"{path}/items", json={"item": "silver"}),
            client.post(f"{path}/overrides", json=MORE, headers=key),
            client.post(f"{path}/overrides", json=MORE, headers=key),
            client.get(path),
        ]
        assert found[-1].json()["items"][0]["quantity"] == turn
        assert len(found[-1].json()["overrides"]) == turn - 1
        assert found[-2].headers["idempotency-replayed"] == "true"
    return [answer.status_code for answer in found]


def test_each_request_gets_its_own_answer(store_url: str) -> None:
    """Whatever becomes of those that share its transaction."""
    with served(store_url) as (admin, store, _):
        client = admin.as_("admin")
        for n in range(6):
            made(client.post("/v1/customers", json={"id": f"c{n}"}))
            body = {"id": f"s{n}", "status": "active", "items": [{"item": "gold"}]}
            made(client.post(f"/v1/customers/c{n}/subscriptions", json=body))
        commits: list[object] = []
        event.listen(store.database.engine, "commit", commits.append)
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(lambda n: change(admin, n), range(6)))
        one_turn = [200, 422, 412, 404, 403, 422, 201, 201, 200]
        assert found == [one_turn * 4] * 6
        assert len(commits) < 6 * 4 * 2  # two of each turn write, and some of them share a commit


def test_brief_endpoints_wait_for_nothing() -> None:
    """They run in the one thread of changes: none is a coroutine, and pinning, which may publish, is none of them."""
    brief = [endpoint for endpoint in ENDPOINTS if endpoint.is_brief]
    assert not any(inspect.iscoroutinefunction(endpoint.handler) for endpoint in brief)
    assert {(it.method, it.path) for it in ENDPOINTS if it.method != "GET" and not it.is_brief} == {
        ("PUT", "/v1/subscriptions/{subscription}/items/{item}/pin")
    }
