"""Usage is taken back at the control plane: audited, in any window, never below zero. On both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.usage_plane import CATALOG, DECEMBER, JANUARY, TENTH, problem, usage_plane
from tiergate.model import BEGINNING, parse_instant
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.unit.control.usage_plane import Plane

REASON = {"tiergate-reason": "a job ran twice"}
PATH = "/v1/customers/acme/usage/corrections"


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`."""
    with usage_plane(store_url) as opened:
        yield opened


def correct(plane: Plane, headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
    """Correct usage of calls, unless it says otherwise."""
    client = plane.admin.as_("sales-manager")
    return client.post(PATH, json={"feature": "calls", "amount": -1} | body, headers=REASON | (headers or {}))


def test_usage_is_taken_back_from_all_accounts_and_audited(plane: Plane) -> None:
    """With the reason, and what was used before and after."""
    plane.report(subject={"type": "subscription", "id": "s1", "user": "ada"}, amount=20)
    plane.report(amount=5)
    answer = correct(plane, amount=-8, subscription="s1", user="ada")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "customer": "acme",
        "feature": "calls",
        "amount": -8,
        "window": {"from": "2027-01-01T00:00:00.000Z", "until": "2027-02-01T00:00:00.000Z"},
        "subscription": "s1",
        "user": "ada",
        "used": 12,
    }
    found = (
        plane.booked(),
        plane.booked(scope=Scope.SUBSCRIPTION, member="s1"),
        plane.booked(scope=Scope.USER, member="ada"),
        plane.booked(scope=Scope.EVERYBODY),
    )
    assert found == (17, 12, 12, 17)
    query = {"action": "usage.corrected"}
    (entry,) = plane.admin.as_("admin").get("/v1/audit", params=query).json()["items"]
    assert (entry["resource"], entry["customer"], entry["reason"]) == ("calls", "acme", "a job ran twice")
    assert (entry["before"]["used"], entry["after"]["used"], entry["after"]["amount"]) == (20, 12, -8)


def test_a_correction_without_reason_is_refused(plane: Plane) -> None:
    """Nothing changes."""
    plane.report(amount=5)
    client = plane.admin.as_("admin")
    assert client.post(PATH, json={"feature": "calls", "amount": -1}).status_code == 400
    assert plane.booked() == 5


def test_usage_does_not_fall_below_zero(plane: Plane) -> None:
    """Not the customer's, not the user's; then nothing changes at all, and nothing is audited."""
    plane.report(subject={"id": "acme", "user": "ada"}, amount=2)
    plane.report(amount=5)
    assert problem(correct(plane, amount=-8)) == (409, "usage-below-zero")
    assert problem(correct(plane, amount=-3, user="ada")) == (409, "usage-below-zero")
    assert (plane.booked(), plane.booked(scope=Scope.USER, member="ada")) == (7, 2)
    assert plane.admin.as_("admin").get("/v1/audit", params={"action": "usage.corrected"}).json()["items"] == []
    assert correct(plane, amount=-7).json()["used"] == 0


def test_a_window_of_the_past_is_named_by_an_instant(plane: Plane) -> None:
    """However long ago it ended; a window without usage has none to take back."""
    plane.clock[0] = parse_instant("2026-12-20T00:00:00Z")
    plane.report(amount=9)
    plane.clock[0] = parse_instant("2027-06-01T00:00:00Z")
    plane.report(amount=4)
    answer = correct(plane, amount=-2, at="2026-12-05T00:00:00Z").json()
    assert (answer["used"], answer["window"]["from"]) == (7, "2026-12-01T00:00:00.000Z")
    assert (plane.booked(window=DECEMBER), plane.booked(window=parse_instant("2027-06-01"))) == (7, 4)
    assert problem(correct(plane, at="2027-01-05T00:00:00Z")) == (409, "usage-below-zero")


def test_decimals_and_draws_are_taken_back_exactly(plane: Plane) -> None:
    """From the source too."""
    plane.report(feature="exports", amount=1.25)
    assert correct(plane, feature="exports", amount=-0.75).json()["used"] == 0.5
    assert plane.booked("exports", TENTH) == 50
    plane.report(feature="renders", amount=4)
    assert correct(plane, feature="renders", amount=-2).json()["used"] == 2
    assert (plane.booked("renders", JANUARY), plane.booked("credits", BEGINNING)) == (20, 50)


def test_a_repeated_correction_counts_once(plane: Plane) -> None:
    """By its idempotency key."""
    plane.report(amount=5)
    answers = [correct(plane, {"idempotency-key": "c1"}, amount=-2) for _ in range(2)]
    assert [answer.json()["used"] for answer in answers] == [3, 3]
    assert plane.booked() == 3


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"amount": 1}, 422, "/amount"),
        ({"amount": 0}, 422, "/amount"),
        ({"amount": -1.5}, 422, "/amount"),
        ({"feature": "cals"}, 422, "/feature"),
        ({"feature": "seats"}, 422, "/feature"),
        ({"at": "yesterday"}, 422, "/at"),
        ({"usr": "ada"}, 422, "/usr"),
        ({"subscription": "s2"}, 404, None),
    ],
)
def test_what_is_no_correction_is_refused(plane: Plane, body: dict[str, Any], status: int, pointer: str | None) -> None:
    """And says where it is wrong."""
    plane.report(amount=5)
    answer = correct(plane, **body)
    assert answer.status_code == status, answer.text
    assert [error["pointer"] for error in answer.json().get("errors", ())] == ([pointer] if pointer else [])
    assert plane.booked() == 5


def test_a_subscription_of_another_customer_is_not_corrected(plane: Plane) -> None:
    """It is as unknown as one that does not exist; and so is another customer."""
    admin = plane.admin.as_("admin", customers=["beta"])
    assert admin.post(PATH, json={"feature": "calls", "amount": -1}, headers=REASON).status_code == 403
    plane.admin.as_("admin").post("/v1/customers", json={"id": "beta"})
    path = "/v1/customers/beta/usage/corrections"
    body = {"feature": "calls", "amount": -1, "subscription": "s1"}
    assert plane.admin.as_("admin").post(path, json=body, headers=REASON).status_code == 404
    path = "/v1/customers/nobody/usage/corrections"
    assert plane.admin.as_("admin").post(path, json=body, headers=REASON).status_code == 404


def test_a_cap_for_everybody_that_is_newer_than_the_usage_stays_at_zero(plane: Plane) -> None:
    """It keeps no correction from being made."""
    put_in_force(plane.store, CATALOG.replace("total: 150, ", ""))
    plane.report(amount=9)
    put_in_force(plane.store, CATALOG)
    plane.report(amount=1)
    assert correct(plane, amount=-6).json()["used"] == 4
    assert plane.booked(scope=Scope.EVERYBODY) == 0


def test_an_erased_customer_leaves_no_user_in_the_audit_log(plane: Plane) -> None:
    """The numbers stay."""
    plane.report(subject={"id": "acme", "user": "ada"}, amount=3)
    assert correct(plane, amount=-2, user="ada").status_code == 200
    admin = plane.admin.as_("admin")
    assert admin.post("/v1/customers/acme/erase", json={}).status_code == 200
    (entry,) = admin.get("/v1/audit", params={"action": "usage.corrected"}).json()["items"]
    assert (entry.get("reason"), entry["redacted"], entry["after"]["used"]) == (None, True, 1)
    assert "ada" not in str(entry)
