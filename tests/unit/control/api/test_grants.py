"""Grants are given, topped up, changed and ended at the control plane. On both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.usage_plane import CATALOG, JANUARY, problem, usage_plane
from tiergate.admin import usage_grants
from tiergate.model import parse_instant
from tiergate.store.keyed_rows import read_rows
from tiergate.store.tables import USAGE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.unit.control.usage_plane import Plane
    from tiergate.store import ReadUnit

PATH = "/v1/customers/acme/grants"


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`, who may make 100 calls a month."""
    with usage_plane(store_url) as opened:
        yield opened


def give(plane: Plane, role: str = "customer-support", **body: object) -> httpx.Response:
    """Give 50 calls, unless it says otherwise."""
    defaults: dict[str, Any] = {"feature": "calls", "amount": 50, "reason": "a promise"}
    return plane.admin.as_(role).post(PATH, json=defaults | body)


def limits(plane: Plane) -> tuple[int, int, str | None]:
    """The version, the limit, and where the units came from, of the account of acme's calls."""

    def read(unit: ReadUnit) -> tuple[int, int, str | None]:
        connection = unit.session.connection()
        (row,) = (
            row
            for row in read_rows(connection, USAGE_ACCOUNTS, ("customer", "feature"), [("acme", "calls")])
            if row.scope == "customer"
        )
        return row.version, row.limit_units, row.drawn

    return plane.store.read(read)


def test_a_grant_is_given_listed_and_audited(plane: Plane) -> None:
    """By support, with a reason; whoever may not override may not give."""
    assert give(plane, "analyst").status_code == 403
    answer = give(plane, id="promise", until="2027-06-01T00:00:00Z", priority=10)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PATH}/promise"
    grant = answer.json()
    assert grant == {
        "id": "promise",
        "feature": "calls",
        "amount": 50,
        "spent": 0,
        "remaining": 50,
        "state": "active",
        "priority": 10,
        "from": "2027-01-15T08:00:00.000Z",
        "until": "2027-06-01T00:00:00.000Z",
        "reason": "a promise",
        "author": "test/customer-support",
        "created_at": "2027-01-15T08:00:00.000Z",
    }
    give(plane, feature="credits", amount=1.5, **{"from": "2027-02-01T00:00:00Z"})
    admin = plane.admin.as_("admin")
    listed = admin.get(PATH).json()["items"]
    assert [(it["feature"], it["amount"], it["state"]) for it in listed] == [
        ("calls", 50, "active"),
        ("credits", 1.5, "scheduled"),
    ]
    assert admin.get(PATH, params={"feature": "calls"}).json()["items"] == [grant]
    assert admin.get(f"{PATH}/promise").json() == grant
    entries = admin.get("/v1/audit", params={"action": "grant.given"}).json()["items"]
    assert [(it["kind"], it["customer"]) for it in entries] == [("grant", "acme")] * 2
    assert (entries[1]["resource"], entries[1]["after"]) == ("promise", grant)


def test_usage_above_the_limit_is_taken_over_by_a_grant_at_once(plane: Plane) -> None:
    """And the account has a new version, on which answers rest; without usage there is nothing to do."""
    give(plane, feature="exports", amount=1)
    plane.report(amount=130)
    before = limits(plane)
    assert before[1:] == (100, '{"":100,"+":30}')
    give(plane, id="top-up", amount=20)
    after = limits(plane)
    assert after[0] > before[0]
    assert after[1:] == (120, '{"":100,"+":10,"top-up":20}')
    assert plane.admin.as_("admin").get(f"{PATH}/top-up").json()["state"] == "used_up"
    assert plane.booked() == 130


def test_a_top_up_adds_to_what_is_there(plane: Plane) -> None:
    """Twice is twice; support may give, and not change."""
    give(plane, id="g")
    plane.report(amount=110)
    support, sales = plane.admin.as_("customer-support"), plane.admin.as_("sales-manager")
    assert support.patch(f"{PATH}/g", json={"add": 5}).status_code == 403
    for _ in range(2):
        assert sales.patch(f"{PATH}/g", json={"add": 5}).status_code == 200
    grant = sales.get(f"{PATH}/g").json()
    assert (grant["amount"], grant["spent"], grant["remaining"]) == (60, 10, 50)
    assert limits(plane)[1] == 160
    assert problem(sales.patch(f"{PATH}/g", json={"add": 10**18})) == (422, "invalid-body")


def test_a_grant_is_changed_and_audited(plane: Plane) -> None:
    """Only what is named; `until: null` takes the end away; what changes nothing makes no entry."""
    give(plane, id="g", until="2027-06-01T00:00:00Z")
    sales, admin = plane.admin.as_("sales-manager"), plane.admin.as_("admin")
    changed = sales.patch(f"{PATH}/g", json={"amount": 5, "until": None, "priority": 0, "reason": "less"}).json()
    assert (changed["amount"], changed["priority"], changed["reason"]) == (5, 0, "less")
    assert "until" not in changed
    assert changed["from"] == "2027-01-15T08:00:00.000Z"
    sales.patch(f"{PATH}/g", json={"amount": 5})
    (entry,) = admin.get("/v1/audit", params={"action": "grant.changed"}).json()["items"]
    assert (entry["before"]["amount"], entry["after"]["amount"]) == (50, 5)


def test_a_grant_ends_now(plane: Plane) -> None:
    """What is left of it is lost; what was spent of it stays paid for. Twice is once."""
    give(plane, id="g")
    plane.report(amount=120)
    plane.clock[0] += 1000
    sales = plane.admin.as_("sales-manager")
    for _ in range(2):
        ended = sales.delete(f"{PATH}/g").json()
    assert (ended["state"], ended["spent"], ended["remaining"]) == ("ended", 20, 0)
    assert ended["until"] == "2027-01-15T08:00:01.000Z"
    assert limits(plane)[1:] == (120, '{"":100,"g":20}')
    entries = plane.admin.as_("admin").get("/v1/audit", params={"action": "grant.ended"}).json()["items"]
    assert len(entries) == 1
    give(plane, id="later", **{"from": "2027-05-01T00:00:00Z"})
    assert sales.delete(f"{PATH}/later").json()["state"] == "ended"


def test_a_grant_outlives_the_reset(plane: Plane) -> None:
    """What is left of it is there in the next window."""
    give(plane, id="g")
    plane.report(amount=120)
    plane.clock[0] = parse_instant("2027-02-02T00:00:00Z")
    plane.report(amount=110)
    grant = plane.admin.as_("admin").get(f"{PATH}/g").json()
    assert (grant["spent"], grant["remaining"]) == (30, 20)
    assert plane.booked(window=JANUARY) == 120


def test_a_repeated_gift_is_given_once(plane: Plane) -> None:
    """By its idempotency key, or its id."""
    admin = plane.admin.as_("admin")
    body = {"feature": "calls", "amount": 50, "reason": "a promise"}
    first, second = (admin.post(PATH, json=body, headers={"idempotency-key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert give(plane, id="g").status_code == 201
    assert problem(give(plane, id="g", feature="credits")) == (409, "already-exists")
    assert len(admin.get(PATH).json()["items"]) == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"amount": 0}, "/amount"),
        ({"amount": -5}, "/amount"),
        ({"amount": 1.5}, "/amount"),
        ({"amount": "5"}, "/amount"),
        ({"feature": "cals"}, "/feature"),
        ({"feature": "seats"}, "/feature"),
        ({"id": "~rollover@5"}, "/id"),
        ({"reason": " "}, "/reason"),
        ({"until": "2027-01-15T08:00:00Z"}, "/until"),
        ({"from": "2027-01-01T00:00:00Z", "until": "2027-01-15T07:00:00Z"}, "/until"),
        ({"priority": 101}, "/priority"),
        ({"amout": 5}, "/amout"),
    ],
)
def test_what_is_no_grant_is_refused(plane: Plane, body: dict[str, Any], pointer: str) -> None:
    """And says where it is wrong."""
    answer = give(plane, **body)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert plane.admin.as_("admin").get(PATH).json()["items"] == []


def test_what_is_not_there_is_not_found(plane: Plane) -> None:
    """Neither a grant nor a customer."""
    admin = plane.admin.as_("admin")
    path = "/v1/customers/nobody/grants"
    assert admin.get(path).status_code == 404
    assert admin.post(path, json={"feature": "calls", "amount": 1, "reason": "r"}).status_code == 404
    for answer in (admin.get(f"{PATH}/g"), admin.patch(f"{PATH}/g", json={}), admin.delete(f"{PATH}/g")):
        assert answer.status_code == 404


def test_what_rolled_over_is_listed_and_cannot_be_changed(plane: Plane) -> None:
    """It follows from the window before; usage shows how much came from it."""
    rolling = "metered: {reset: month, rollover: {max: 20}}, caps: {total"
    put_in_force(plane.store, CATALOG.replace("metered: {reset: month}, caps: {total", rolling))
    plane.report(amount=90)
    plane.clock[0] = parse_instant("2027-02-02T00:00:00Z")
    admin = plane.admin.as_("admin")
    (before,) = admin.get("/v1/customers/acme/usage", params={"feature": "calls"}).json()["items"]
    assert (before["limit"], before["used"]) == (110, 0)
    plane.report(amount=105)
    (usage,) = admin.get("/v1/customers/acme/usage", params={"feature": "calls"}).json()["items"]
    assert [(it["pool"], it["units"]) for it in usage["pools"]] == [("allowance", 100), ("rollover", 5)]
    (grant,) = admin.get(PATH).json()["items"]
    assert (grant["amount"], grant["spent"], grant["rolled_over"]) == (10, 5, True)
    for answer in (admin.patch(f"{PATH}/{grant['id']}", json={"add": 1}), admin.delete(f"{PATH}/{grant['id']}")):
        assert problem(answer) == (409, "rolled-over")


def test_concurrent_top_ups_usage_and_corrections_lose_nothing(plane: Plane) -> None:
    """Each is counted once, whatever meets it."""
    give(plane, id="g", amount=1)
    plane.report(amount=100)

    def top_up(number: int) -> int:
        client = plane.admin.as_("admin")
        plane.report(amount=2)
        headers = {"tiergate-reason": "r", "idempotency-key": f"k{number}"}
        body = {"feature": "calls", "amount": -1}
        answers = [
            client.patch(f"{PATH}/g", json={"add": 2}, headers={"idempotency-key": f"t{number}"}),
            client.patch(f"{PATH}/g", json={"add": 2}, headers={"idempotency-key": f"t{number}"}),
            client.post("/v1/customers/acme/usage/corrections", json=body, headers=headers),
        ]
        return sum(answer.status_code == 200 for answer in answers)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(top_up, range(12))) == [3] * 12
    assert plane.booked() == 112
    grant = plane.admin.as_("admin").get(f"{PATH}/g").json()
    assert (grant["amount"], grant["spent"]) == (25, 12)


def test_a_customer_has_only_so_many_open_grants(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each consumption reads them; ended ones and those of other features do not count."""
    monkeypatch.setattr(usage_grants, "MAX_OPEN_GRANTS", 2)
    give(plane, id="a")
    give(plane, id="b")
    assert problem(give(plane, id="c")) == (409, "too-many-grants")
    assert give(plane, id="c", feature="credits").status_code == 201
    plane.admin.as_("admin").delete(f"{PATH}/a")
    assert give(plane, id="d").status_code == 201
