"""What begins and ends by itself: an event at its instant, once, with what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.api.test_usage_thresholds import accepted
from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import Plane, usage_plane
from tiergate.admin.clock import Clock
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.store import Store
from tiergate.store.tables import RECORDS
from tiergate.store.usage_ledger import UsageLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, scale: 1, metered: {reset: day, limit: soft, thresholds: [80%]}}
  - {id: trips, type: quantity, metered: {reset: day, anchor: first_use}}
  - {id: seats, type: quantity}
  - {id: sso, type: switch}
  - {id: help, type: custom, levels: [email, phone]}
items:
  - {id: gold, kind: plan, entitlements: {calls: 10, seats: 3, sso: true, help: phone, trips: 5}}
  - {id: more, kind: addon, entitlements: {seats: 2}}
"""
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A control plane on 15 January 2027, 8 o'clock, with the customer `acme`, who has `gold`."""
    with usage_plane(store_url, CATALOG) as made_plane:
        yield made_plane


@pytest.fixture
def client(plane: Plane) -> httpx.Client:
    """An admin's client."""
    return plane.admin.as_("admin")


def patch(client: httpx.Client, **body: object) -> None:
    """Change the subscription."""
    made(accepted(client, "PATCH", "/v1/subscriptions/s1", json=body, headers=MERGE), 200)


def told(plane: Plane, *, changes: bool = False) -> list[tuple[str, str]]:
    """The events with their instants, without publications; `changes`: those of changed entitlements too."""
    events = plane.listed("after=0")
    return [
        (event["type"], event["timestamp"][:16])
        for event in events
        if not event["type"].startswith("publication") and (changes or "entitlements_changed" not in event["type"])
    ]


def entitlements(plane: Plane, type_: str) -> list[dict[str, Any]]:
    """The entitlements in the last event of a type."""
    found: list[dict[str, Any]] = plane.events(type_)[-1]["entitlements"]
    return found


ALL_OF_GOLD: list[dict[str, Any]] = [
    {"feature": "calls", "before": 10, "after": 0},
    {"feature": "help", "before": "phone", "after": None},
    {"feature": "seats", "before": 3, "after": 0},
    {"feature": "sso", "before": True, "after": False},
    {"feature": "trips", "before": 5, "after": 0},
]


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({"status": "trialing", "trial_end": "2027-01-20T12:00:00Z"}, "trial.ended"),
        ({"status": "past_due", "grace_until": "2027-01-20T12:00:00Z"}, "grace.ended"),
        ({"end": "2027-01-20T12:00:00Z"}, "subscription.ended"),
        ({"status": "canceled", "end": "2027-01-20T12:00:00Z"}, "subscription.ended"),
    ],
)
def test_a_subscription_that_ends_by_itself(
    plane: Plane, client: httpx.Client, body: dict[str, object], type_: str
) -> None:
    """At its instant, with everything that it gave; and once."""
    patch(client, **body)
    plane.wait("2027-01-20T11:59:59Z")
    assert told(plane) == []
    plane.wait("2027-01-20T12:00:01Z")
    plane.wait("2027-01-20T12:00:02Z")
    assert told(plane) == [(type_, "2027-01-20T12:00")]
    assert entitlements(plane, type_) == ALL_OF_GOLD
    assert plane.events(type_)[0] | {"entitlements": 0} == {"customer": "acme", "subscription": "s1", "entitlements": 0}
    assert entitlements(plane, "customer.entitlements_changed") == ALL_OF_GOLD
    (*_, last) = plane.listed("type=customer.entitlements_changed")
    assert last["timestamp"] == "2027-01-20T12:00:00.000Z"
    assert last["recorded_at"] == "2027-01-20T12:00:01.000Z"


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ({"start": "2027-01-20T12:00:00Z"}, "subscription.started"),
        (
            {"status": "trialing", "start": "2027-01-20T12:00:00Z", "trial_end": "2027-02-20T12:00:00Z"},
            "trial.started",
        ),
        ({"status": "paused", "resume_at": "2027-01-20T12:00:00Z"}, "subscription.resumed"),
    ],
)
def test_a_subscription_that_begins_by_itself(
    plane: Plane, client: httpx.Client, body: dict[str, object], type_: str
) -> None:
    """At its instant, with everything that it gives."""
    patch(client, **body)
    plane.wait("2027-01-20T12:00:00Z")
    assert told(plane) == [(type_, "2027-01-20T12:00")]
    assert entitlements(plane, type_) == [
        {"feature": it["feature"], "before": it["after"], "after": it["before"]} for it in ALL_OF_GOLD
    ]


def test_an_item_that_comes_and_goes(plane: Plane, client: httpx.Client) -> None:
    """With what the customer has before and after."""
    held = {"item": "more", "from": "2027-01-18T00:00:00Z", "until": "2027-01-20T00:00:00Z", "quantity": 2}
    patch(client, items=[{"item": "gold"}, held])
    plane.wait("2027-01-19T00:00:00Z")
    assert entitlements(plane, "item.started") == [{"feature": "seats", "before": 3, "after": 7}]
    plane.wait("2027-01-21T00:00:00Z")
    assert entitlements(plane, "item.ended") == [{"feature": "seats", "before": 7, "after": 3}]
    assert told(plane) == [("item.started", "2027-01-18T00:00"), ("item.ended", "2027-01-20T00:00")]
    assert plane.events("item.ended")[0]["quantity"] == 2


def test_an_override_that_comes_and_goes(plane: Plane, client: httpx.Client) -> None:
    """Of the customer or of a subscription, without its reason and author."""
    body = {"id": "o1", "feature": "seats", "value": 9, "from": "2027-01-18T00:00:00Z", "until": "2027-01-20T00:00:00Z"}
    made(client.post("/v1/customers/acme/overrides", json={**body, "reason": "a deal"}))
    plane.wait("2027-01-30T00:00:00Z")
    assert told(plane) == [("override.started", "2027-01-18T00:00"), ("override.ended", "2027-01-20T00:00")]
    assert plane.events("override.started") == [
        {
            "customer": "acme",
            "override": "o1",
            "feature": "seats",
            "mode": "replace",
            "entitlements": [{"feature": "seats", "before": 3, "after": 9}],
        }
    ]


def test_a_suspension_that_comes_and_goes(plane: Plane, client: httpx.Client) -> None:
    """It is told when it begins, and not when somebody enters it."""
    body = {"feature": "sso", "from": "2027-01-18T00:00:00Z", "until": "2027-01-20T00:00:00Z", "reason": "why"}
    made(accepted(client, "POST", "/v1/customers/acme/suspensions", json=body))
    assert told(plane) == []
    plane.wait("2027-01-30T00:00:00Z")
    assert told(plane) == [("feature.suspended", "2027-01-18T00:00"), ("feature.resumed", "2027-01-20T00:00")]
    assert entitlements(plane, "feature.suspended") == [{"feature": "sso", "before": True, "after": False}]


def test_a_suspension_that_is_taken_back_before_it_begins_was_none(plane: Plane, client: httpx.Client) -> None:
    """Nothing began, so nothing ends."""
    body = {"feature": "sso", "from": "2027-01-18T00:00:00Z", "reason": "why"}
    made(accepted(client, "POST", "/v1/customers/acme/suspensions", json=body))
    assert client.delete("/v1/customers/acme/suspensions/sso").status_code == 204
    plane.wait("2027-01-30T00:00:00Z")
    assert told(plane) == []


def test_what_fell_while_nobody_was_there_is_told_once_and_in_order(plane: Plane, client: httpx.Client) -> None:
    """By the control plane that starts then, with the instants at which it was."""
    patch(client, end="2027-01-25T00:00:00Z")
    body = {"id": "o1", "feature": "seats", "value": 9, "from": "2027-01-18T00:00:00Z", "until": "2027-01-20T00:00:00Z"}
    made(client.post("/v1/customers/acme/overrides", json={**body, "reason": "a deal"}))
    plane.clock[0] += 100 * 86_400_000
    ledger = UsageLedger(plane.store, PublishedBounds())
    try:
        assert Clock(plane.store, ledger).tick() == 1
        assert Clock(plane.store, ledger).tick() == 0
    finally:
        ledger.close()
    assert told(plane) == [
        ("override.started", "2027-01-18T00:00"),
        ("override.ended", "2027-01-20T00:00"),
        ("subscription.ended", "2027-01-25T00:00"),
    ]


def test_a_change_in_the_moment_before_the_clock_looks_loses_nothing(plane: Plane, client: httpx.Client) -> None:
    """What was due is told first, as the record was then."""
    body = {"id": "o1", "feature": "seats", "value": 9, "until": "2027-01-20T00:00:00Z"}
    made(client.post("/v1/customers/acme/overrides", json={**body, "reason": "a deal"}))
    plane.clock[0] += 6 * 86_400_000
    made(client.post("/v1/customers/acme/overrides", json={"feature": "seats", "value": 20, "reason": "another"}))
    plane.teller.tick()
    assert told(plane) == [("override.ended", "2027-01-20T00:00")]
    assert entitlements(plane, "override.ended") == [{"feature": "seats", "before": 9, "after": 3}]
    assert entitlements(plane, "customer.entitlements_changed") == [{"feature": "seats", "before": 3, "after": 20}]


def test_two_control_planes_tell_it_once(plane: Plane, client: httpx.Client) -> None:
    """Whoever comes first."""
    patch(client, end="2027-01-20T00:00:00Z")
    other = Store.open(
        str(plane.store.database.engine.url.render_as_string(hide_password=False)), clock=plane.store.clock
    )
    ledger = UsageLedger(other, PublishedBounds())
    try:
        plane.wait("2027-01-21T00:00:00Z")
        Clock(other, ledger).tick()
    finally:
        ledger.close()
        other.close()
    assert told(plane) == [("subscription.ended", "2027-01-20T00:00")]


def test_records_of_the_release_before_are_told_from_now_on(plane: Plane, client: httpx.Client) -> None:
    """What is over by then makes no events."""
    body = {"id": "o1", "feature": "seats", "value": 9, "from": "2027-01-18T00:00:00Z", "until": "2027-01-20T00:00:00Z"}
    made(client.post("/v1/customers/acme/overrides", json={**body, "reason": "a deal"}))
    with plane.store.database.writing() as session:
        session.connection().execute(RECORDS.update().values(next_at=0))
        session.commit()
    plane.wait("2027-01-19T00:00:00Z")
    plane.wait("2027-01-21T00:00:00Z")
    assert told(plane) == [("override.ended", "2027-01-20T00:00")]


def test_changes_by_people_have_what_they_change(plane: Plane, client: httpx.Client) -> None:
    """Before and after; what starts later changes nothing yet."""
    made(client.post("/v1/customers/acme/overrides", json={"feature": "seats", "value": 9, "reason": "a deal"}))
    assert entitlements(plane, "customer.entitlements_changed") == [{"feature": "seats", "before": 3, "after": 9}]
    later = {"feature": "calls", "value": 90, "from": "2027-02-01T00:00:00Z", "reason": "later"}
    made(client.post("/v1/customers/acme/overrides", json=later))
    assert entitlements(plane, "customer.entitlements_changed") == []
    patch(client, status="paused")
    assert [it["feature"] for it in entitlements(plane, "customer.entitlements_changed")] == [
        "calls",
        "help",
        "sso",
        "trips",
    ]
    made(client.post("/v1/customers", json={"id": "other"}))
    assert plane.events("customer.entitlements_changed", "other")[0]["entitlements"] == []


# ── Grants and windows ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_grant_that_comes_and_goes(plane: Plane, client: httpx.Client) -> None:
    """With the limit before and after; and thresholds follow."""
    made(plane.report(amount=8.5), 200)  # 85 % of 10, in this window
    plane.wait("2027-01-16T00:00:00Z")
    body = {"feature": "calls", "amount": 5, "id": "g1", "reason": "top-up"}
    body |= {"from": "2027-01-16T06:00:00Z", "until": "2027-01-16T18:00:00Z"}
    made(client.post("/v1/customers/acme/grants", json=body))
    made(plane.report(amount=9), 200)
    before = len(plane.events("usage.threshold_reached"))
    plane.wait("2027-01-16T12:00:00Z")
    assert plane.events("grant.started") == [
        {
            "customer": "acme",
            "feature": "calls",
            "grant": "g1",
            "amount": 5,
            "remaining": 5,
            "entitlements": [{"feature": "calls", "before": 10, "after": 15}],
        }
    ]
    plane.wait("2027-01-16T19:00:00Z")
    (ended,) = plane.events("grant.ended")
    assert ended["entitlements"] == [{"feature": "calls", "before": 15, "after": 10}]
    assert [it["window"]["from"][:10] for it in plane.events("usage.threshold_reached")][before - 1 :] == ["2027-01-16"]


def test_a_grant_by_a_person_has_the_limit_before_and_after(plane: Plane, client: httpx.Client) -> None:
    """Given, topped up and ended."""
    made(client.post("/v1/customers/acme/grants", json={"feature": "calls", "amount": 5, "id": "g1", "reason": "x"}))
    made(client.patch("/v1/customers/acme/grants/g1", json={"add": 2}, headers=MERGE), 200)
    made(client.patch("/v1/customers/acme/grants/g1", json={"reason": "y"}, headers=MERGE), 200)
    made(client.delete("/v1/customers/acme/grants/g1"), 200)
    changes = [event["entitlements"] for event in plane.events("customer.entitlements_changed")[-4:]]
    assert changes == [
        [{"feature": "calls", "before": 10, "after": 15}],
        [{"feature": "calls", "before": 15, "after": 17}],
        [],
        [{"feature": "calls", "before": 17, "after": 10}],
    ]
    plane.wait("2027-03-01T00:00:00Z")
    assert plane.events("grant.ended") == []


def test_a_grant_that_ends_lets_thresholds_fire(plane: Plane, client: httpx.Client) -> None:
    """Usage is above a level of what is left."""
    body = {"feature": "calls", "amount": 20, "id": "g1", "reason": "top-up", "until": "2027-01-15T18:00:00Z"}
    made(client.post("/v1/customers/acme/grants", json=body))
    made(plane.report(amount=9), 200)
    assert plane.events("usage.threshold_reached") == []
    plane.wait("2027-01-15T18:00:00Z")
    (event,) = plane.events("usage.threshold_reached")
    assert (event["used"], event["limit"]) == (9, 10)


def test_an_override_that_ends_lets_thresholds_fire(plane: Plane, client: httpx.Client) -> None:
    """By itself, as by a person."""
    body = {"feature": "calls", "value": 50, "until": "2027-01-15T18:00:00Z", "reason": "a day"}
    made(client.post("/v1/customers/acme/overrides", json=body))
    made(plane.report(amount=9), 200)
    assert plane.events("usage.threshold_reached") == []
    plane.wait("2027-01-15T18:00:00Z")
    assert [event["limit"] for event in plane.events("usage.threshold_reached")] == [10]


def test_a_window_that_ends_and_the_next(plane: Plane) -> None:
    """With what was used; one without usage is not told."""
    made(plane.report(amount=2.5), 200)
    plane.wait("2027-01-18T00:00:00Z")
    first, second = "2027-01-15T00:00:00.000Z", "2027-01-16T00:00:00.000Z"
    assert plane.events("usage.window_ended") == [
        {"customer": "acme", "feature": "calls", "window": {"from": first, "until": second}, "used": 2.5, "limit": 10}
    ]
    (started,) = plane.events("usage.window_started")
    assert started["window"] == {"from": second, "until": "2027-01-17T00:00:00.000Z"}
    assert started["limit"] == 10
    assert [event[1] for event in told(plane)] == ["2027-01-16T00:00"] * 2


def test_usage_in_the_moment_before_the_clock_looks_tells_the_end(plane: Plane) -> None:
    """The window that it opens comes after."""
    made(plane.report(amount=1), 200)
    plane.clock[0] += 86_400_000
    made(plane.report(amount=2), 200)
    plane.teller.tick()
    assert [event["used"] for event in plane.events("usage.window_ended")] == [1]
    assert [event[0] for event in told(plane)] == ["usage.window_ended", "usage.window_started"]
    plane.wait("2027-01-17T00:00:00Z")
    assert [event["used"] for event in plane.events("usage.window_ended")] == [1, 2]


def test_a_window_of_the_first_use_starts_with_it(plane: Plane) -> None:
    """And the next one not by itself."""
    made(plane.report(amount=1, feature="trips"), 200)
    plane.wait("2027-01-18T00:00:00Z")
    made(plane.report(amount=1, feature="trips"), 200)
    assert told(plane) == [
        ("usage.window_started", "2027-01-15T08:00"),
        ("usage.window_ended", "2027-01-16T08:00"),
        ("usage.window_started", "2027-01-18T00:00"),
    ]


def test_windows_may_be_no_events(plane: Plane) -> None:
    """By a setting; nothing is left to be told then."""
    plane.teller.tick()
    plane.ledger.tell_windows = False
    made(plane.report(amount=1), 200)
    assert plane.wait("2027-01-18T00:00:00Z") == 1
    assert plane.teller.tick() == 0
    assert told(plane) == []


# ── The catalog ──────────────────────────────────────────────────────────────────────────────────────────────────────

SUSPENDED = CATALOG.replace(
    "{id: sso, type: switch}",
    "{id: sso, type: switch, suspensions: [{from: 2027-01-18T00:00:00Z, until: 2027-01-20T00:00:00Z, reason: why}]}",
)


def test_what_begins_and_ends_in_the_catalog(plane: Plane) -> None:
    """A suspension for everybody, at its instants."""
    put_in_force(plane.store, SUSPENDED)
    assert told(plane) == []
    plane.wait("2027-01-19T00:00:00Z")
    plane.wait("2027-01-30T00:00:00Z")
    plane.wait("2027-01-31T00:00:00Z")
    assert told(plane) == [("feature.suspended", "2027-01-18T00:00"), ("feature.resumed", "2027-01-20T00:00")]


def test_what_was_over_when_it_was_published_is_not_told(plane: Plane) -> None:
    """It never began by itself."""
    plane.wait("2027-01-30T00:00:00Z")
    put_in_force(plane.store, SUSPENDED)
    plane.wait("2027-01-31T00:00:00Z")
    assert told(plane) == []
