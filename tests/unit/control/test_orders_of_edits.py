"""Edits of one part of a subject that say as of when they are so: each against the side that owns the part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.control.subjects import ENDPOINTS, made, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.model import SubjectRecord
    from tiergate.store import Store

CUSTOMER, PATH = "/v1/customers/acme", "/v1/subscriptions/s1"
EARLY, LATE = "2027-01-01T00:00:00Z", "2027-01-10T00:00:00Z"
OVERRIDE = {"feature": "movies", "value": 5, "mode": "add", "reason": "a deal"}
BILLING_KEYS = [
    ("POST", f"{PATH}/items", {"item": "huge"}),
    ("PATCH", f"{PATH}/items/extra-movies", {"quantity": 3}),
    ("DELETE", f"{PATH}/items/extra-movies", None),
    ("POST", f"{PATH}/change", {"to": "silver", "addons": "end"}),
    ("DELETE", f"{PATH}/change", None),
]
PEOPLE_KEYS = [
    ("PUT", f"{PATH}/items/gold/pin", {"version": 1}),
    ("DELETE", f"{PATH}/items/gold/pin", None),
    *(
        (method, f"{holder}/{path}", body)
        for holder in (PATH, CUSTOMER)
        for method, path, body in (
            ("POST", "overrides", OVERRIDE),
            ("PUT", "overrides/o1", OVERRIDE | {"value": 6}),
            ("DELETE", "overrides/o1", None),
            ("POST", "suspensions", {"feature": "storage", "reason": "abuse"}),
            ("DELETE", "suspensions/analytics", None),
        )
    ),
]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API with a customer and a subscription that have something of everything, a change of plan to come too."""
    with served(sqlite_url, ENDPOINTS) as found:
        client = found[0].as_("admin")
        exceptions = {
            "overrides": [OVERRIDE | {"id": "o1"}],
            "suspensions": [{"feature": "analytics", "reason": "abuse"}],
        }
        made(client.post("/v1/customers", json={"id": "acme", **exceptions}))
        items = [
            {"item": "gold", "version": 2, "until": "2027-06-01"},
            {"item": "silver", "from": "2027-06-01"},
            {"item": "extra-movies"},
        ]
        made(client.post("/v1/customers/acme/subscriptions", json={"id": "s1", "status": "active", "items": items}))
        client.patch(PATH, json=exceptions).raise_for_status()
        yield found


@pytest.fixture
def admin(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of an admin."""
    return api[0].as_("admin")


def stored(api: tuple[Admin, Store, Ticking]) -> SubjectRecord:
    """All that the customer has."""
    record = api[1].read(lambda unit: unit.record("acme"))
    assert record is not None
    return record


def sent(client: httpx.Client, method: str, path: str, body: dict[str, object] | None, as_of: str) -> httpx.Response:
    """Send an edit that says as of when it is so, and accept what it takes away."""

    def send(**more: str) -> httpx.Response:
        if body is None:
            return client.request(method, path, params={"as_of": as_of, **more})
        return client.request(method, path, params=more, json=body | {"as_of": as_of})

    answer = send()
    token = answer.json().get("accept_loss") if answer.status_code == 409 else None
    return answer if token is None else send(accept_loss=token)


def said(client: httpx.Client, side: str, path: str, as_of: str) -> None:
    """Have something be known of one side of the subject of a path, as of an instant."""
    if path.startswith(CUSTOMER):
        made(client.patch(CUSTOMER, json={"name": "Acme", "as_of": as_of}), 200)
    elif side == "billing":
        made(client.patch(PATH, json={"start": "2026-01-01", "as_of": as_of}), 200)
    else:
        made(client.patch(PATH, json={"metadata": {"a": "b"}, "as_of": as_of}), 200)


@pytest.mark.parametrize(
    ("side", "method", "path", "body"),
    [*(("billing", *one) for one in BILLING_KEYS), *(("people", *one) for one in PEOPLE_KEYS)],
)
def test_an_elder_edit_is_acknowledged_and_changes_nothing(
    api: tuple[Admin, Store, Ticking],
    admin: httpx.Client,
    side: str,
    method: str,
    path: str,
    body: dict[str, object] | None,
) -> None:
    """A newer one is applied, and then known; what was said of the other side is no matter."""
    other = "people" if side == "billing" else "billing"
    if path.startswith(PATH):
        said(admin, other, path, "2027-01-14T00:00:00Z")
    said(admin, side, path, LATE)
    before = stored(api)
    passed = made(sent(admin, method, path, body, EARLY), 200)
    assert passed["applied"] is False
    assert stored(api) == before
    newer = sent(admin, method, path, body, "2027-01-11T00:00:00Z")
    assert newer.is_success, newer.text
    assert stored(api) != before
    known = made(admin.get(CUSTOMER if path.startswith(CUSTOMER) else PATH), 200)
    key = "people_as_of" if side == "people" and path.startswith(PATH) else "as_of"
    assert known[key] == "2027-01-11T00:00:00.000Z"
    assert made(sent(admin, method, path, body, LATE), 200)["applied"] is False


@pytest.mark.parametrize(("method", "path", "body"), [*BILLING_KEYS, *PEOPLE_KEYS])
def test_an_order_that_is_none_is_refused(
    api: tuple[Admin, Store, Ticking], admin: httpx.Client, method: str, path: str, body: dict[str, object] | None
) -> None:
    """Or one that is ahead of the store's clock; and nothing is changed."""
    before = stored(api)
    for as_of in ("soon", "2031-01-01T00:00:00Z"):
        answer = sent(admin, method, path, body, as_of)
        assert answer.status_code == (400 if body is None else 422)
        assert "as_of" in answer.text
    assert stored(api) == before
