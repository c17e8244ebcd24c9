"""What was deleted: late words about it do not make it again, newer ones do, and it is not remembered for ever."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.control.subjects import ENDPOINTS, NOW, made, served
from tiergate.control.api import erasure, imports
from tiergate.control.background_jobs import Retention, apply_retention
from tiergate.model import SubjectType
from tiergate.store.write_order import deletion_instants

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

CUSTOMER, PATH = "/v1/customers/acme", "/v1/subscriptions/s1"
EARLY, DELETED, LATE = "2027-01-01T00:00:00Z", "2027-01-05T00:00:00Z", "2027-01-10T00:00:00Z"
BODY = {"customer": "acme", "status": "active", "items": [{"item": "gold"}]}
PASSED = {"applied": False, "deleted": True, "as_of": "2027-01-05T00:00:00.000Z"}
DAY = 86_400_000
BOTH = [("PUT", f"{PATH}/billing", BODY), ("PUT", PATH, BODY), ("POST", "/v1/subscriptions", BODY | {"id": "s1"})]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API with a customer and a subscription."""
    with served(sqlite_url, [*ENDPOINTS, *imports.endpoints(), *erasure.endpoints()]) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        made(client.put(f"{PATH}/billing", json=BODY | {"as_of": EARLY}))
        yield found


@pytest.fixture
def admin(api: tuple[Admin, Store, Ticking]) -> httpx.Client:
    """A client of an admin."""
    return api[0].as_("admin")


def imported(client: httpx.Client, as_of: str) -> dict[str, object]:
    """Import the customer and the subscription as they are as of an instant."""
    lines: list[dict[str, object]] = [
        {"apiVersion": "tiergate/v1"},
        {"type": "customer", "id": "acme", "as_of": as_of},
        {"type": "subscription", "id": "s1", "as_of": as_of, **BODY},
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    return made(client.post("/v1/import/subjects", content=content, headers=headers), 200)


@pytest.mark.parametrize(("method", "path", "body"), BOTH)
def test_a_late_word_does_not_make_a_deleted_subscription_again(
    admin: httpx.Client, method: str, path: str, body: dict[str, object]
) -> None:
    """Nor one of the same instant; a newer one does, and what is elder than the deletion stays so."""
    assert admin.delete(PATH, params={"as_of": DELETED}).status_code == 204
    for as_of in (EARLY, DELETED):
        assert made(admin.request(method, path, json=body | {"as_of": as_of}), 200) == PASSED
    assert admin.get(PATH).status_code == 404
    made(admin.request(method, path, json=body | {"as_of": LATE}))
    assert made(admin.put(f"{PATH}/billing", json=BODY | {"as_of": EARLY}), 200)["applied"] is False
    assert admin.delete(PATH).status_code == 204
    made(admin.request(method, path, json=body))
    late = made(admin.put(f"{PATH}/billing", json=BODY | {"as_of": EARLY}), 200)
    assert (late["applied"], late["id"]) == (False, "s1")


@pytest.mark.parametrize(("method", "path"), [("PUT", CUSTOMER), ("POST", "/v1/customers")])
def test_a_late_word_does_not_make_a_deleted_customer_again(admin: httpx.Client, method: str, path: str) -> None:
    """As of a subscription."""
    assert admin.delete(PATH).status_code == 204
    assert admin.delete(CUSTOMER, params={"as_of": DELETED}).status_code == 204
    body = {} if method == "PUT" else {"id": "acme"}
    assert made(admin.request(method, path, json=body | {"as_of": EARLY}), 200) == PASSED
    assert admin.get(CUSTOMER).status_code == 404
    assert "billing_as_of" not in made(admin.request(method, path, json=body | {"as_of": LATE}))


def test_a_deletion_without_an_instant_is_as_of_the_clock(api: tuple[Admin, Store, Ticking]) -> None:
    """Or as of what is known, where that is ahead of the clock: its event, sent again, undoes nothing."""
    admin = api[0].as_("admin")
    ahead = BODY | {"as_of": "2027-01-15T08:03:00Z"}
    made(admin.put(f"{PATH}/billing", json=ahead), 200)
    assert admin.delete(PATH).status_code == 204
    assert made(admin.put(f"{PATH}/billing", json=ahead), 200)["deleted"] is True
    made(admin.put(f"{PATH}/billing", json=BODY | {"as_of": "2027-01-15T08:04:00Z"}))
    api[2].now = NOW + DAY
    assert admin.delete(PATH).status_code == 204
    late = BODY | {"as_of": "2027-01-16T07:59:59Z"}
    assert made(admin.put(f"{PATH}/billing", json=late), 200)["as_of"] == "2027-01-16T08:00:00.000Z"


def test_an_elder_deletion_is_passed_over(admin: httpx.Client) -> None:
    """What was said since is newer."""
    made(admin.put(f"{PATH}/billing", json=BODY | {"as_of": LATE}), 200)
    made(admin.patch(CUSTOMER, json={"name": "Acme", "as_of": LATE}), 200)
    assert made(admin.delete(PATH, params={"as_of": EARLY}), 200)["applied"] is False
    assert made(admin.delete(CUSTOMER, params={"as_of": EARLY}), 200)["applied"] is False
    made(admin.get(PATH), 200)


def test_an_import_does_not_make_again_what_was_deleted_since(admin: httpx.Client) -> None:
    """Its lines are counted as passed over; newer ones make it again, and are known from then on."""
    assert admin.delete(PATH, params={"as_of": DELETED}).status_code == 204
    found = imported(admin, EARLY)
    assert (found["changed"], found["passed_over"]) == (0, 1)
    assert admin.get(PATH).status_code == 404
    assert admin.delete(CUSTOMER, params={"as_of": DELETED}).status_code == 204
    found = imported(admin, EARLY)
    assert (found["changed"], found["passed_over"]) == (0, 2)
    assert admin.get(CUSTOMER).status_code == 404
    assert imported(admin, LATE)["changed"] == 2
    assert made(admin.get(PATH), 200)["as_of"] == "2027-01-10T00:00:00.000Z"
    assert made(admin.get(CUSTOMER), 200)["as_of"] == "2027-01-10T00:00:00.000Z"


def test_a_deletion_is_remembered_for_as_long_as_the_feed_goes_back(api: tuple[Admin, Store, Ticking]) -> None:
    """What was made again is not forgotten with it."""
    admin, store, clock = api[0].as_("admin"), api[1], api[2]
    made(admin.put("/v1/subscriptions/s2/billing", json=BODY | {"as_of": EARLY}))
    for id_ in ("s1", "s2"):
        assert admin.delete(f"/v1/subscriptions/{id_}", params={"as_of": DELETED}).status_code == 204
    made(admin.put("/v1/subscriptions/s2/billing", json=BODY | {"as_of": LATE}))
    apply_retention(store, clock.now + 29 * DAY, Retention())
    assert made(admin.put(f"{PATH}/billing", json=BODY | {"as_of": EARLY}), 200) == PASSED
    apply_retention(store, clock.now + 31 * DAY, Retention())
    made(admin.put(f"{PATH}/billing", json=BODY | {"as_of": EARLY}))
    late = made(admin.put("/v1/subscriptions/s2/billing", json=BODY | {"as_of": EARLY}), 200)
    assert late["applied"] is False


def test_erasure_forgets_the_deletions_of_a_customer(api: tuple[Admin, Store, Ticking]) -> None:
    """Its own, and those of its subscriptions; nobody else's."""
    admin = api[0].as_("admin")
    made(admin.post("/v1/customers", json={"id": "other"}))
    made(admin.put("/v1/subscriptions/s2/billing", json=BODY | {"customer": "other"}))
    for path in (PATH, "/v1/subscriptions/s2", CUSTOMER):
        assert admin.delete(path).status_code == 204
    admin.post(f"{CUSTOMER}/erase", json={}).raise_for_status()

    def gone(kind: SubjectType, ids: list[str]) -> set[str]:
        return set(api[1].read(lambda unit: deletion_instants(unit.session, kind, ids)))

    assert gone(SubjectType.SUBSCRIPTION, ["s1", "s2"]) == {"s2"}
    assert gone(SubjectType.CUSTOMER, ["acme"]) == set()
