"""Leases are listed, and those of a lost sidecar are written off. On both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.usage_plane import NOW, problem, usage_plane
from tiergate.model import BEGINNING
from tiergate.store.usage_leases import LeaseCounts, count_leases
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.leases import holder_name
from tiergate.usage.protocol import (
    Acquire,
    Granted,
    Hello,
    KeyedUse,
    Need,
    Reply,
    Report,
    Request,
    Settle,
    Settled,
    Spend,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.unit.control.usage_plane import Plane
    from tiergate.usage.protocol import Operation

LIST = "/v1/usage/leases"
PATH = f"{LIST}/write-off"
REASON = {"tiergate-reason": "the node is gone"}
IDENTITY = "a-secret-of-the-sidecar"
NAME = holder_name(IDENTITY)
CREDITS = Account("credits", Scope.CUSTOMER, "acme", "", BEGINNING)
HOUR = 3_600_000


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`."""
    with usage_plane(store_url) as opened:
        yield opened


class Sidecar:
    """A holder of leases that sends requests one after the other."""

    def __init__(self, plane: Plane, identity: str = IDENTITY) -> None:
        """It has greeted the ledger."""
        self.plane, self.identity = plane, identity
        self.sequence = self.reported = 0
        self.send(Hello(0, 0))

    def send(self, *operations: Operation, report: Report | None = None) -> Reply:
        """Send the next request."""
        self.sequence += 1
        return self.plane.ledger.exchange(Request(self.identity, 1, b"i", self.sequence, operations, report))

    def lease(self, units: int, account: Account = CREDITS) -> int:
        """Lease units, in 10^-1 of credits; return the number of the lease."""
        (result,) = self.send(Acquire(self.plane.clock[0], (Need(account, units, units),))).results
        assert isinstance(result, Granted), result
        return result.leases[0].number

    def spend(self, lease: int, units: int) -> None:
        """Report that units of a lease were spent."""
        self.reported += 1
        key = f"{self.identity} {self.reported}".encode()
        use = KeyedUse(key, b"d" * 16, NOW, (Spend(CREDITS, units, lease),))
        self.send(report=Report(self.reported, self.reported, keyed=(use,)))


def balance(plane: Plane) -> tuple[float, float]:
    """How many credits are used and leased."""
    (shown,) = plane.admin.as_("admin").get("/v1/customers/acme/usage?feature=credits").json()["items"]
    return shown["used"], shown["leased"]


def write_off(plane: Plane, role: str = "sales-manager", **body: object) -> httpx.Response:
    """Write leases of the sidecar off."""
    return plane.admin.as_(role).post(PATH, json={"holder": NAME} | body, headers=REASON)


def listed(plane: Plane, **query: str) -> list[dict[str, Any]]:
    """The leases that a query finds."""
    answer = plane.admin.as_("admin").get(LIST, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_leases_are_listed_without_the_secret_of_their_holder(plane: Plane) -> None:
    """Who holds what of whom, until when, expired or not."""
    one = Sidecar(plane)
    one.spend(one.lease(100), 30)
    expected = {
        "holder": NAME,
        "lease": 1,
        "feature": "credits",
        "scope": "customer",
        "customer": "acme",
        "amount": 10,
        "reported": 3,
        "state": "live",
        "expires_at": "2027-01-15T08:00:10.000Z",
        "seen_at": "2027-01-15T08:00:00.000Z",
    }
    assert listed(plane) == [expected]
    plane.clock[0] += HOUR
    assert listed(plane) == [expected | {"state": "expired"}]
    write_off(plane)
    assert [lease["state"] for lease in listed(plane)] == ["written_off"]
    assert IDENTITY not in plane.admin.as_("admin").get(LIST).text


def test_leases_are_filtered_and_paged(plane: Plane) -> None:
    """By the names of their holders, and their numbers."""
    for identity in ("one", "two", "three"):
        sidecar = Sidecar(plane, identity)
        for units in (1, 2):
            sidecar.lease(units)
    client, cursor, found = plane.admin.as_("admin"), None, []
    while True:
        page = client.get(LIST, params={"limit": "4"} | ({"cursor": cursor} if cursor else {})).json()
        found += [(lease["holder"], lease["lease"]) for lease in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == sorted((holder_name(it), number) for it in ("one", "two", "three") for number in (1, 2))
    assert {lease["holder"] for lease in listed(plane, holder=holder_name("two"))} == {holder_name("two")}
    assert len(listed(plane, customer="acme", feature="credits")) == 6
    assert listed(plane, customer="beta") == listed(plane, feature="calls") == listed(plane, holder="two") == []


@pytest.mark.parametrize(("spent", "used"), [("all", 10), ("none", 3)])
def test_expired_leases_are_written_off_and_audited(plane: Plane, spent: str, used: float) -> None:
    """As spent, or as not spent but for what was reported."""
    one = Sidecar(plane)
    one.spend(one.lease(100), 30)
    plane.clock[0] += HOUR
    answer = write_off(plane, spent=spent)
    assert answer.status_code == 200, answer.text
    account = {"feature": "credits", "scope": "customer", "customer": "acme", "leases": 1, "amount": 7}
    assert answer.json() == {"holder": NAME, "spent": spent, "written_off": [account]}
    assert balance(plane) == (used, 0)
    (entry,) = plane.admin.as_("admin").get("/v1/audit", params={"action": "usage.written_off"}).json()["items"]
    assert (entry["customer"], entry["resource"], entry["reason"]) == ("acme", "credits", REASON["tiergate-reason"])
    assert entry["after"] == {"holder": NAME, "spent": spent} | account


@pytest.mark.parametrize("spent", ["all", "none"])
def test_what_the_holder_reports_later_counts_exactly(plane: Plane, spent: str) -> None:
    """Its disk was not lost after all."""
    one = Sidecar(plane)
    lease = one.lease(100)
    one.spend(lease, 30)
    plane.clock[0] += HOUR
    write_off(plane, spent=spent)
    one.spend(lease, 40)
    assert balance(plane) == ((10, 0) if spent == "all" else (7, 0))
    assert one.send(Settle(lease, 70)).results == (Settled(lease),)
    assert balance(plane) == (7, 0)
    assert listed(plane) == []


def test_what_was_written_off_as_not_spent_can_be_leased_again(plane: Plane) -> None:
    """What is then reported may exceed the limit; it counts all the same."""
    lost = Sidecar(plane)
    lease = lost.lease(500)
    plane.clock[0] += HOUR
    write_off(plane, spent="none")
    other = Sidecar(plane, "another")
    other.spend(other.lease(500), 500)
    lost.spend(lease, 200)
    assert balance(plane) == (70, 0)


def test_a_lease_that_has_not_expired_is_not_written_off(plane: Plane) -> None:
    """Nor are the expired ones beside it; nothing is audited."""
    one = Sidecar(plane)
    one.lease(100)
    plane.clock[0] += HOUR
    one.lease(50)
    assert problem(write_off(plane)) == (409, "lease-not-expired")
    assert balance(plane) == (0, 15)
    assert plane.admin.as_("admin").get("/v1/audit", params={"action": "usage.written_off"}).json()["items"] == []


def test_only_what_is_named_is_written_off(plane: Plane) -> None:
    """And what is written off is not written off again."""
    Sidecar(plane).lease(100)
    plane.clock[0] += HOUR
    assert write_off(plane, customer="beta").status_code == 404
    assert write_off(plane, feature="calls").status_code == 404
    assert write_off(plane, holder=IDENTITY).status_code == 404
    assert balance(plane) == (0, 10)
    assert write_off(plane, customer="acme", feature="credits").status_code == 200
    assert write_off(plane, spent="none").status_code == 404
    assert balance(plane) == (10, 0)


def test_it_needs_a_reason_and_the_customer(plane: Plane) -> None:
    """A key for one customer writes off nothing of others."""
    Sidecar(plane).lease(100)
    plane.clock[0] += HOUR
    body = {"holder": NAME}
    assert plane.admin.as_("admin").post(PATH, json=body).status_code == 400
    assert write_off(plane, "support").status_code == 403
    beta = plane.admin.as_("admin", customers=["beta"])
    for whose in ({}, {"customer": "acme"}):
        assert beta.post(PATH, json=body | whose, headers=REASON).status_code == 403
        assert beta.get(LIST, params=whose).status_code == 403
    acme = plane.admin.as_("admin", customers=["acme"])
    assert acme.post(PATH, json=body | {"customer": "acme"}, headers=REASON).status_code == 200


@pytest.mark.parametrize("body", [{"spent": "some"}, {"spent": 3}, {"usr": "ada"}, {"holder": 1}])
def test_what_is_no_write_off_is_refused(plane: Plane, body: dict[str, Any]) -> None:
    """And says where it is wrong."""
    assert write_off(plane, **body).status_code == 422


def test_open_and_expired_leases_are_counted(plane: Plane) -> None:
    """Those that are written off are not expired any more."""
    sidecar = Sidecar(plane)
    sidecar.lease(10)
    sidecar.lease(20)
    assert plane.store.read(count_leases) == LeaseCounts(2, 0)
    plane.clock[0] += HOUR
    assert plane.store.read(count_leases) == LeaseCounts(2, 2)
    assert write_off(plane, "admin").status_code == 200
    assert plane.store.read(count_leases).expired == 0
