"""Usage is downloaded as CSV and NDJSON: all of it, exact, filtered, and continued where it broke off."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import DECEMBER, NOW, problem, usage_plane
from tiergate.admin import usage_exports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.control.usage_plane import Plane

PATH = "/v1/export/usage"


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger: `acme` used calls and exports in December and January, `beta` calls with a user, `gamma` some trips."""
    with usage_plane(store_url) as opened:
        client = opened.admin.as_("admin")
        for customer, tags in (("beta", ["eu"]), ("gamma", ["eu", "vip"])):
            made(client.post("/v1/customers", json={"id": customer, "tags": tags}))
        opened.clock[0] = DECEMBER + 1
        opened.report(amount=70)
        opened.clock[0] = NOW
        opened.report(amount=130, at="2027-01-14T23:30:00Z")
        opened.report(amount=5, at="2027-01-15T00:10:00Z")
        opened.report(feature="exports", amount=0.25)
        opened.report(subject={"id": "beta", "type": "customer", "user": "ada"}, amount=2)
        opened.report(subject="gamma", feature="trips", amount=3)
        grant = {"feature": "calls", "amount": 50, "reason": "a person's words", "id": "g"}
        made(client.post("/v1/customers/acme/grants", json=grant))
        yield opened


def lines(plane: Plane, **query: str) -> list[dict[str, Any]]:
    """The lines of an export, without their cursors."""
    found = raw(plane, **query)
    for line in found:
        line.pop("cursor")
    return found


def raw(plane: Plane, **query: str) -> list[dict[str, Any]]:
    """The lines of an export."""
    answer = plane.admin.as_("analyst").get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line, parse_float=Decimal) for line in answer.text.splitlines()]


def test_windows_have_what_was_used_and_what_could_be(plane: Plane) -> None:
    """Closed and open ones, of every scope, with what was used of grants, and overage."""
    found = lines(plane, feature="calls,exports", customer="acme")
    assert [(it["feature"], it["starts_at"], it["closed"], it["used"]) for it in found] == [
        ("calls", "2026-12-01T00:00:00.000Z", True, 70),
        ("calls", "2027-01-01T00:00:00.000Z", False, 135),
        ("exports", "2027-01-10T00:00:00.000Z", False, Decimal("0.25")),
    ]
    assert found[1] == {
        "customer": "acme",
        "feature": "calls",
        "scope": "customer",
        "member_id": "",
        "starts_at": "2027-01-01T00:00:00.000Z",
        "ends_at": "2027-02-01T00:00:00.000Z",
        "closed": False,
        "used": 135,
        "leased": 0,
        "unlimited": False,
        "allowance": 100,
        "usage_limit": 150,
        "overage": 0,
        "used_of_grants": 35,
    }
    scopes = [(it["customer"], it["scope"], it["member_id"]) for it in lines(plane, feature="calls")]
    assert scopes == [
        ("", "everybody", ""),
        ("", "everybody", ""),
        ("acme", "customer", ""),
        ("acme", "customer", ""),
        ("beta", "customer", ""),
        ("beta", "user", "ada"),
    ]


def test_series_are_exported_by_day_and_by_hour(plane: Plane) -> None:
    """In UTC, without periods of no usage, and only those of the interval."""
    days = lines(plane, dataset="days", **{"from": "2027-01-14T00:00:00Z"})
    assert [(it["feature"], it["customer"], it["starts_at"][:10], it["used"]) for it in days] == [
        ("calls", "acme", "2027-01-14", 130),
        ("calls", "acme", "2027-01-15", 5),
        ("calls", "beta", "2027-01-15", 2),
        ("exports", "acme", "2027-01-15", Decimal("0.25")),
        ("trips", "gamma", "2027-01-15", 3),
    ]
    hours = lines(plane, dataset="hours", customer="acme", feature="calls", until="2027-01-15T00:00:00Z")
    assert [(it["starts_at"], it["used"]) for it in hours] == [
        ("2026-12-01T00:00:00.000Z", 70),
        ("2027-01-14T23:00:00.000Z", 130),
    ]


def test_grants_are_exported_without_what_people_wrote(plane: Plane) -> None:
    """How much there was, and how much was spent."""
    (grant,) = lines(plane, dataset="grants")
    assert (grant["grant_id"], grant["amount"], grant["spent"], grant["rolled_over"]) == ("g", 50, 35, False)
    assert "person" not in json.dumps(grant)


@pytest.mark.parametrize(
    ("query", "customers"),
    [
        ({"item": "gold"}, {"acme"}),
        ({"tag": "eu"}, {"beta", "gamma"}),
        ({"tag": "eu,vip"}, {"gamma"}),
        ({"tag": "none"}, set()),
        ({"until": "2027-01-01T00:00:00Z"}, {"acme", ""}),
        ({"from": "2027-01-15T09:00:00Z", "feature": "trips"}, {"gamma"}),
        ({"from": "2027-01-17T00:00:00Z", "feature": "trips"}, set()),
    ],
)
def test_an_export_can_be_narrowed(plane: Plane, query: dict[str, str], customers: set[str]) -> None:
    """To a plan, tags, features, and the time that windows overlap."""
    assert {it["customer"] for it in lines(plane, **query)} == customers


@pytest.mark.parametrize("dataset", ["windows", "days", "hours", "grants"])
def test_an_export_continues_behind_any_row(plane: Plane, monkeypatch: pytest.MonkeyPatch, dataset: str) -> None:
    """Nothing is missing and nothing is there twice, whatever the pages in which the store is read."""
    whole = raw(plane, dataset=dataset)
    for size in (1, 2, 3):
        monkeypatch.setattr(usage_exports, "PAGE", size)
        monkeypatch.setattr(usage_exports, "_CUSTOMERS", size + 1)
        assert raw(plane, dataset=dataset) == whole
        for place, line in enumerate(whole):
            assert raw(plane, dataset=dataset, cursor=line["cursor"]) == whole[place + 1 :]


def test_csv_has_the_same_rows(plane: Plane) -> None:
    """With the names of the columns, and nothing where there is no value."""
    answer = plane.admin.as_("analyst").get(f"{PATH}/csv", params={"dataset": "windows", "feature": "calls,credits"})
    assert answer.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text)))
    same = raw(plane, dataset="windows", feature="calls,credits")
    assert [{name: text(value) for name, value in line.items()} for line in same] == table


def text(value: object) -> str:
    """A value of JSON as CSV has it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": "WyJkYXlzIixbXV0"},
        {"dataset": "minutes"},
        {"from": "2027-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
    ],
)
def test_what_cannot_be_exported_is_refused(plane: Plane, query: dict[str, str]) -> None:
    """Before anything is sent."""
    assert plane.admin.as_("analyst").get(PATH, params=query).status_code == 400


def test_a_cursor_is_of_one_dataset(plane: Plane) -> None:
    """Another one says that it is not its own."""
    (line, *_) = raw(plane, dataset="days")
    refused = plane.admin.as_("analyst").get(PATH, params={"dataset": "hours", "cursor": line["cursor"]})
    assert refused.status_code == 400


def test_only_who_may_see_all_customers_exports_all(plane: Plane) -> None:
    """A key for some customers exports those, one at a time; a sidecar nothing."""
    narrowed = plane.admin.as_("analyst", customers=["beta"])
    assert narrowed.get(PATH).status_code == 403
    assert narrowed.get(PATH, params={"customer": "acme"}).status_code == 403
    own = narrowed.get(PATH, params={"customer": "beta"})
    assert {json.loads(line)["customer"] for line in own.text.splitlines()} == {"beta"}
    assert plane.admin.as_("sidecar").get(PATH).status_code == 403


def test_without_an_object_store_nothing_is_written_to_one(plane: Plane) -> None:
    """The answer names the setting."""
    client = plane.admin.as_("analyst")
    days = {"first": "2027-01-01", "last": "2027-01-02"}
    for answer in (client.get("/v1/usage/exports"), client.post("/v1/usage/exports", json=days)):
        assert problem(answer) == (409, "not-configured")
