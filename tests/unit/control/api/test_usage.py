"""Usage after the fact is counted at the control plane, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.unit.control.usage_plane import DECEMBER, JANUARY, NOW, TENTH, problem, usage_plane
from tiergate.model import BEGINNING, Subject, parse_instant
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.idempotency import digest_of_record, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.control.usage_plane import Plane


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`."""
    with usage_plane(store_url) as opened:
        yield opened


def test_one_record_counts_on_all_accounts_that_it_concerns(plane: Plane) -> None:
    """The customer's, the subscription's, the user's and everybody's; even above the limit."""
    about = {"type": "subscription", "id": "s1", "user": "ada"}
    answer = plane.report(subject=about, amount=120)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.pop("key").startswith("tg:")
    assert body == {
        "feature": "calls",
        "amount": 120,
        "window": {"from": "2027-01-01T00:00:00.000Z", "until": "2027-02-01T00:00:00.000Z"},
        "replayed": False,
    }
    found = [
        plane.booked(scope=scope, member=member)
        for scope, member in (
            (Scope.CUSTOMER, ""),
            (Scope.SUBSCRIPTION, "s1"),
            (Scope.USER, "ada"),
            (Scope.EVERYBODY, ""),
        )
    ]
    assert found == [120] * 4
    assert plane.report(amount=5).status_code == 200
    assert (plane.booked(), plane.booked(scope=Scope.SUBSCRIPTION, member="s1")) == (125, 120)


def test_the_window_is_the_ledger_s_whatever_was_guessed(plane: Plane) -> None:
    """By the subscription's anchor; by the first use, even if a later record comes with an earlier instant."""
    answer = plane.report(feature="exports", amount=1.25)
    assert answer.json()["window"]["from"] == "2027-01-10T00:00:00.000Z"
    assert answer.json()["amount"] == 1.25
    assert plane.booked("exports", TENTH) == 125
    opened = plane.report(feature="trips", at="2027-01-15T06:00:00Z").json()["window"]
    assert opened["from"] == "2027-01-15T06:00:00.000Z"
    assert plane.report(feature="trips", at="2027-01-15T07:00:00Z").json()["window"] == opened
    assert plane.booked("trips", parse_instant("2027-01-15T06:00:00Z")) == 2


def test_a_feature_that_draws_debits_its_source_rounded_up(plane: Plane) -> None:
    """0.3 units at 2.5 each are 0.75 credits: 0.8."""
    assert plane.report(feature="renders", amount=0.3).json()["amount"] == 0.3
    assert plane.booked("credits", BEGINNING) == 8


def test_late_usage_counts_in_its_window_as_long_as_that_is_open(plane: Plane) -> None:
    """Then it is refused, and says so; what is in the future, too."""
    plane.clock[0] = parse_instant("2027-01-03T00:00:00Z")
    assert plane.report(at="2026-12-31T23:59:59Z", amount=7).json()["window"]["from"] == "2026-12-01T00:00:00.000Z"
    assert (plane.booked(window=DECEMBER), plane.booked()) == (7, 0)
    plane.clock[0] = parse_instant("2027-01-04T00:01:00Z")
    late = plane.report(at="2026-12-31T23:59:59Z", amount=7)
    assert problem(late) == (422, "usage-too-late")
    assert "2027-01-01T00:00:00" in late.json()["detail"]
    assert problem(plane.report(at="2027-01-04T00:02:01Z")) == (422, "usage-in-the-future")
    assert (plane.booked(window=DECEMBER), plane.booked()) == (7, 0)


def test_a_key_counts_once(plane: Plane) -> None:
    """The same content gets the first answer; other content is refused; so does the header."""
    first = plane.report(amount=3, key="order-17").json()
    plane.clock[0] += 1000
    again = plane.report(amount=3.0, key="order-17").json()
    assert again == first | {"replayed": True}
    assert problem(plane.report(amount=4, key="order-17")) == (409, "idempotency-key-reused")
    headers = {"idempotency-key": "order-17"}
    body = {"subject": "acme", "feature": "calls", "amount": 3}
    assert plane.service.post("/v1/usage", json=body, headers=headers).json()["replayed"] is True
    assert plane.booked() == 3


def test_a_key_that_a_sidecar_has_reported_counts_no_more(plane: Plane) -> None:
    """Its answer is not kept, so it is made again."""
    account = Account("calls", Scope.CUSTOMER, "acme", "", JANUARY)
    digest = digest_of_record(Subject("acme"), "calls", 2, None)
    plane.ledger.record(Consumption(key_of("", "k"), digest, NOW, (Debit(account, 2),)))
    answer = plane.report(amount=2, key="k").json()
    assert (answer["replayed"], answer["amount"], answer["key"]) == (True, 2, "k")
    assert plane.booked() == 2


def test_each_of_several_records_counts_on_its_own(plane: Plane) -> None:
    """Answered in their order."""
    good = {"subject": "acme", "feature": "calls", "amount": 2}
    records: list[Any] = [
        good | {"key": "a"},
        good | {"feature": "cals"},
        good | {"subject": "nobody"},
        good | {"subject": {"type": "subscription", "id": "s2"}},
        good | {"feature": "seats"},
        good | {"feature": "sso"},
        good | {"amount": 0},
        good | {"amount": 1.5},
        {"feature": "calls"},
        good | {"amount": 10**18},
        good | {"key": "a"},
        good,
    ]
    headers = {"authorization": plane.service.headers["authorization"]}
    answer = httpx.post(f"{plane.admin.url}/v1/usage", json={"usage": records}, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    found = [it["type"].rpartition(":")[2] if "type" in it else it["replayed"] for it in results]
    invalid = "invalid-body"
    assert found == [
        False,
        "unknown-feature",
        "unknown-subject",
        "unknown-subject",
        invalid,
        invalid,
        invalid,
        invalid,
        invalid,
        False,
        True,
        False,
    ]
    assert results[1]["suggestion"] == "calls"
    pointers = [error["pointer"] for it in results for error in it.get("errors", ())]
    assert pointers == ["/usage/4/feature", "/usage/5/amount", "/usage/6/amount", "/usage/7/amount", "/usage/8/subject"]
    assert plane.booked() == 4 + 10**18


def test_a_thousand_records_are_counted_in_one_request(plane: Plane) -> None:
    """And no more."""
    record = {"subject": "acme", "feature": "trips", "at": "2027-01-15T06:00:00Z"}
    answer = plane.service.post("/v1/usage", json={"usage": [record] * 1000})
    assert all("feature" in it for it in answer.json()["results"])
    assert plane.booked("trips", parse_instant("2027-01-15T06:00:00Z")) == 1000
    assert problem(plane.service.post("/v1/usage", json={"usage": [record] * 1001})) == (422, "invalid-body")


def test_cloud_events_count_by_source_and_id(plane: Plane) -> None:
    """One alone, or a batch; two sources do not share ids."""
    event = {"specversion": "1.0", "id": "1", "source": "/jobs", "type": "calls", "subject": "acme"}
    one = plane.service.post("/v1/usage", json=event, headers={"content-type": "application/cloudevents+json"})
    assert one.status_code == 200, one.text
    batch = [event, event | {"source": "/mails"}, event | {"id": "2", "data": {"amount": 4}}]
    headers = {"content-type": "application/cloudevents-batch+json"}
    results = plane.service.post("/v1/usage", json=batch, headers=headers).json()["results"]
    assert [it["replayed"] for it in results] == [True, False, False]
    assert plane.booked() == 6


@pytest.mark.parametrize(
    ("content", "status"), [("{", 400), ("[]", 422), ('{"subject":"acme","feature":"calls","amout":1}', 422)]
)
def test_what_is_no_usage_is_refused(plane: Plane, content: str, status: int) -> None:
    """As a mistake of the caller; nothing is counted."""
    answer = plane.service.post("/v1/usage", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    key = {"idempotency-key": "k"}
    assert plane.service.post("/v1/usage", json={"usage": []}, headers=key).status_code == 422
    assert plane.booked() == 0


def test_only_who_may_report_usage_may(plane: Plane) -> None:
    """By the action, which a key may be limited to."""
    body = {"subject": "acme", "feature": "calls"}
    assert plane.admin.as_("sales-manager").post("/v1/usage", json=body).status_code == 403
    assert plane.admin.as_("sidecar", actions=["reportUsage"]).post("/v1/usage", json=body).status_code == 200


def test_a_key_for_some_customers_reports_for_these(plane: Plane) -> None:
    """Whatever is not theirs is refused alike, whether it exists or not, and does not keep the rest from counting."""
    made = plane.admin.as_("admin").post("/v1/customers", json={"id": "beta"})
    assert made.status_code == 201
    limited = plane.admin.as_("sidecar", customers=["acme", "gone"])
    of_subscription = {"type": "subscription", "id": "s1"}
    subjects = ["acme", "beta", of_subscription, {"type": "subscription", "id": "other"}, "nobody", "gone"]
    answer = limited.post("/v1/usage", json={"usage": [{"subject": it, "feature": "calls"} for it in subjects]})
    assert answer.status_code == 200, answer.text
    results = [it.get("status", "counted") for it in answer.json()["results"]]
    assert results == ["counted", 403, "counted", 403, 403, 404]
    assert plane.booked() == 2
    assert problem(limited.post("/v1/usage", json={"subject": "beta", "feature": "calls"})) == (403, "forbidden")
    nobody = plane.admin.as_("sidecar", customers=["acme"], actions=["sync"])
    assert problem(nobody.post("/v1/usage", json={"subject": "acme", "feature": "calls"})) == (403, "forbidden")
