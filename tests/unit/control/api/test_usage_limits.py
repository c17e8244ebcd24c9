"""Lists of customers go by the limit that holds now, whatever moved it since their usage changed. On both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import NOW, Plane, usage_plane
from tiergate.admin.usage_limits import follow_dates, follow_publication
from tiergate.model import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month}}
  - {id: mails, type: quantity, metered: {reset: month, thresholds: [50%]}}
items:
  - id: gold
    kind: plan
    versions:
      - {version: 1, entitlements: {calls: 100, mails: 100}}
      - {version: 2, entitlements: {calls: 200, mails: 100}}
    rollouts: [{version: 1}, {version: 2, from: 2027-01-20T00:00:00Z}]
"""


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`, who may make 100 calls a month until the 20th of January, then 200."""
    with usage_plane(store_url, CATALOG) as opened:
        opened.report(amount=80)
        yield opened


@pytest.fixture
def client(plane: Plane) -> httpx.Client:
    """An administrator."""
    return plane.admin.as_("admin")


def shown(plane: Plane, order: str = "closest") -> tuple[float, float]:
    """The limit of acme in a list of customers, and the part of it that is used."""
    answer = plane.admin.as_("analyst").get("/v1/features/calls/usage", params={"order": order})
    (item,) = answer.json()["items"]
    return item["limit"], item["utilisation"]


def test_a_publication_moves_limits(plane: Plane) -> None:
    """Of the features that it changes; the row of usage stays as it was otherwise."""
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: 400"))
    assert shown(plane) == (100, 0.8)
    assert follow_publication(plane.store, plane.ledger) == 1
    assert shown(plane) == (400, 0.2)
    assert follow_publication(plane.store, plane.ledger) == 0
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: 400").replace("50%", "60%"))
    assert follow_publication(plane.store, plane.ledger) == 0


def test_an_override_moves_the_limit_when_it_begins_and_ends(plane: Plane, client: httpx.Client) -> None:
    """At once if it begins at once, else within a second of its instant."""
    body: dict[str, Any] = {"feature": "calls", "mode": "replace", "value": 320, "reason": "r", "id": "o"}
    dates = {"from": "2027-01-16T00:00:00Z", "until": "2027-01-17T00:00:00Z"}
    made(client.post("/v1/customers/acme/overrides", json=body | dates))
    assert shown(plane) == (100, 0.8)
    plane.wait("2027-01-16T00:00:01Z")
    assert shown(plane, "most_used") == (320, 0.25)
    plane.wait("2027-01-17T00:00:01Z")
    assert shown(plane) == (100, 0.8)
    made(client.post("/v1/customers/acme/overrides", json=body | {"id": "p"}))
    assert shown(plane) == (320, 0.25)


def test_a_grant_moves_the_limit_when_it_begins_and_ends(plane: Plane, client: httpx.Client) -> None:
    """At once if it begins at once, else within a second of its instant."""
    body: dict[str, Any] = {"feature": "calls", "amount": 100, "reason": "r", "until": "2027-01-16T00:00:00Z"}
    made(client.post("/v1/customers/acme/grants", json=body))
    assert shown(plane) == (200, 0.4)
    plane.wait("2027-01-16T00:00:01Z")
    assert shown(plane) == (100, 0.8)
    later = {"from": "2027-01-17T00:00:00Z", "until": "2027-01-18T00:00:00Z"}
    made(client.post("/v1/customers/acme/grants", json=body | later))
    assert shown(plane) == (100, 0.8)
    plane.wait("2027-01-17T00:00:01Z")
    assert shown(plane) == (200, 0.4)


def test_another_plan_moves_the_limit_at_once(plane: Plane, client: httpx.Client) -> None:
    """What was used stays."""
    answer = client.patch(
        "/v1/subscriptions/s1",
        json={"items": [{"item": "gold", "version": 2}]},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert answer.status_code == 200, answer.text
    assert shown(plane) == (200, 0.4)


def test_a_rollout_moves_limits_at_its_date(plane: Plane) -> None:
    """Once, by the interval that is asked for."""
    date = parse_instant("2027-01-20T00:00:00Z")
    plane.clock[0] = date
    assert follow_dates(plane.store, plane.ledger, NOW, date - 1) == 0
    assert follow_dates(plane.store, plane.ledger, NOW, date) == 1
    assert shown(plane) == (200, 0.4)
    assert follow_dates(plane.store, plane.ledger, date, date + 1) == 0
