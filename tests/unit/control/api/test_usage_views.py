"""Usage is read at the control plane: of a customer, its series, the customers of a feature. On both databases."""

from __future__ import annotations

from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import CATALOG, NOW, usage_plane
from tests.usage_bounds import customer_account
from tiergate.model import parse_instant
from tiergate.usage.accounts import Consumption, Debit
from tiergate.usage.protocol import Acquire, Granted, Hello, Need, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.control.usage_plane import Plane

PATH = "/v1/customers/acme/usage"
JANUARY = {"from": "2027-01-01T00:00:00.000Z", "until": "2027-02-01T00:00:00.000Z"}


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A ledger with the customer `acme`, who may make 100 calls a month."""
    with usage_plane(store_url) as opened:
        yield opened


def read(plane: Plane, path: str = PATH, **query: str | int) -> list[dict[str, Any]]:
    """The entries of a list, as an analyst reads them."""
    answer = plane.admin.as_("analyst").get(path, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def refused(plane: Plane, path: str, **query: str) -> int:
    """The status of a question that is refused."""
    return plane.admin.as_("analyst").get(path, params=query).status_code


def test_now_every_metered_feature_is_shown_used_or_not(plane: Plane) -> None:
    """With the limit that holds now, what is left, when it resets, and what the units came from."""
    plane.report(amount=130)
    plane.report(feature="exports", amount=0.25)
    give = {"feature": "calls", "amount": 50, "reason": "r", "id": "g"}
    made(plane.admin.as_("admin").post("/v1/customers/acme/grants", json=give))
    shown = {it["feature"]: it for it in read(plane)}
    assert list(shown) == ["calls", "credits", "exports", "renders", "trips"]
    assert shown["calls"] == {
        "feature": "calls",
        "scale": 0,
        "window": JANUARY,
        "used": 130,
        "leased": 0,
        "unlimited": False,
        "limit": 150,
        "remaining": 20,
        "resets_at": "2027-02-01T00:00:00.000Z",
        "pools": [
            {"pool": "allowance", "units": 100},
            {"pool": "grant", "grant": "g", "units": 30},
        ],
    }
    assert (shown["exports"]["used"], shown["exports"]["remaining"]) == (0.25, 9.75)
    assert shown["exports"]["window"]["from"] == "2027-01-10T00:00:00.000Z"
    credits_ = shown["credits"]
    assert (credits_["used"], credits_["limit"], credits_["window"], credits_["pools"]) == (0, 50, {}, [])
    assert "resets_at" not in credits_
    assert [it["feature"] for it in read(plane, feature="trips")] == ["trips"]
    assert refused(plane, PATH, feature="seats") == 404
    assert refused(plane, "/v1/customers/nobody/usage") == 404


def test_a_changed_limit_is_shown_at_once(plane: Plane) -> None:
    """In the current window, though no usage has changed; what is above it is overage; unlimited has none."""
    plane.report(amount=30)
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: 20"))
    (shown,) = read(plane, feature="calls")
    assert (shown["limit"], shown["remaining"], shown["overage"]) == (20, 0, 10)
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: unlimited"))
    (shown,) = read(plane, feature="calls")
    assert shown["unlimited"] is True
    assert not {"limit", "remaining", "overage"} & shown.keys()


def test_leased_units_are_shown_beside_used_ones(plane: Plane) -> None:
    """Nobody has used them yet."""
    account = customer_account(parse_instant("2027-01-01"))
    plane.ledger.exchange(Request("h" * 20, 1, b"i", 1, (Hello(0, 0),)))
    reply = plane.ledger.exchange(Request("h" * 20, 1, b"i", 2, (Acquire(NOW, (Need(account, 7, 7),)),)))
    assert isinstance(reply.results[0], Granted)
    (shown,) = read(plane, feature="calls")
    assert (shown["used"], shown["leased"], shown["remaining"]) == (0, 7, 100)


def test_windows_of_the_past_have_the_limit_of_their_time(plane: Plane) -> None:
    """Of an instant, or of an interval; pages go on where they ended."""
    for month in ("2026-11", "2026-12", "2027-01"):
        plane.clock[0] = parse_instant(f"{month}-20")
        plane.report(amount=int(month[-2:]))
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: 20"))
    plane.clock[0] = parse_instant("2027-03-01")
    assert [it["used"] for it in read(plane, at="2026-12-31T23:59:59Z")] == [12]
    found = read(plane, **{"from": "2026-12-31T00:00:00Z"})
    assert [(it["used"], it["limit"], "resets_at" in it) for it in found] == [(12, 0, False), (1, 100, False)]
    assert [it["used"] for it in read(plane, until="2026-12-01T00:00:00Z")] == [11]
    assert read(plane, at="2026-01-01T00:00:00Z") == []
    client = plane.admin.as_("analyst")
    query: dict[str, str | int] = {"from": "2026-01-01T00:00:00Z", "limit": 2}
    first = client.get(PATH, params=query).json()
    second = client.get(PATH, params=query | {"cursor": first["next"]}).json()
    assert [it["used"] for it in first["items"] + second["items"]] == [11, 12, 1]
    assert second["next"] is None
    assert refused(plane, PATH, at="2026-01-01", until="2026-02-01") == 400
    assert refused(plane, PATH, **{"from": "2026-02-01", "until": "2026-02-01"}) == 400
    assert refused(plane, PATH, cursor="eA") == 400


def test_usage_of_subscriptions_and_users_is_shown_by_scope(plane: Plane) -> None:
    """With their own limits."""
    plane.report(subject={"type": "subscription", "id": "s1", "user": "ada"}, amount=4)
    plane.report(subject={"id": "acme", "user": "bob"}, amount=2)
    users = read(plane, scope="user")
    assert [(it["user"], it["used"], it["limit"]) for it in users] == [("ada", 4, 30), ("bob", 2, 30)]
    (subscription,) = read(plane, scope="subscription")
    assert (subscription["subscription"], subscription["used"], subscription["limit"]) == ("s1", 4, 100)
    assert refused(plane, PATH, scope="everybody") == 400


def test_series_by_days_and_hours(plane: Plane) -> None:
    """Exact, by default of the last month or day, without periods of no usage; corrections count at their instant."""
    for at, amount in (("2027-01-13T05:10:00Z", 3), ("2027-01-13T05:50:00Z", 4), ("2027-01-15T07:59:59Z", 5)):
        plane.report(at=at, amount=amount)
    plane.report(feature="exports", at="2027-01-15T00:00:00Z", amount=0.75)
    client = plane.admin.as_("analyst")
    days = client.get(f"{PATH}/series", params={"feature": "exports,calls"}).json()
    assert (days["by"], days["from"], days["until"]) == ("day", "2026-12-17T00:00:00.000Z", "2027-01-15T08:00:00.001Z")
    exports, calls = days["series"]
    assert (exports["feature"], exports["scale"], exports["total"]) == ("exports", 2, 0.75)
    assert calls["points"] == [
        {"at": "2027-01-13T00:00:00.000Z", "used": 7},
        {"at": "2027-01-15T00:00:00.000Z", "used": 5},
    ]
    query = {"by": "hour", "feature": "calls", "from": "2027-01-13T05:59:00Z", "until": "2027-01-14T00:00:00Z"}
    (hours,) = client.get(f"{PATH}/series", params=query).json()["series"]
    assert hours["points"] == [{"at": "2027-01-13T05:00:00.000Z", "used": 7}]
    (recent,) = client.get(f"{PATH}/series", params={"by": "hour", "feature": "calls"}).json()["series"]
    assert recent["points"] == [{"at": "2027-01-15T07:00:00.000Z", "used": 5}]
    assert len(client.get(f"{PATH}/series").json()["series"]) == 5
    correct = {"feature": "calls", "amount": -4, "at": "2027-01-13T12:00:00Z"}
    headers = {"tiergate-reason": "r"}
    plane.admin.as_("admin").post(f"{PATH}/corrections", json=correct, headers=headers)
    hours = client.get(f"{PATH}/series", params=query | {"until": "2027-01-13T13:00:00Z"}).json()["series"][0]
    assert (hours["total"], hours["points"][1]["used"]) == (3, -4)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"by": "week"}, 400),
        ({"feature": "seats"}, 404),
        ({"from": "2027-01-16T00:00:00Z"}, 400),
        ({"by": "hour", "from": "2020-01-01T00:00:00Z"}, 400),
        ({"until": "soon"}, 400),
    ],
)
def test_what_is_no_series_is_refused(plane: Plane, query: dict[str, str], status: int) -> None:
    """As a mistake of the caller."""
    assert refused(plane, f"{PATH}/series", **query) == status


def use(plane: Plane, *uses: tuple[str, int]) -> None:
    """New customers with the plan gold, and usage of calls of each."""
    admin = plane.admin.as_("admin")
    for customer, amount in uses:
        made(admin.post("/v1/customers", json={"id": customer}))
        body = {"id": f"s-{customer}", "status": "active", "items": [{"item": "gold"}]}
        made(admin.post(f"/v1/customers/{customer}/subscriptions", json=body))
        plane.report(subject=customer, amount=amount)


def test_customers_of_a_feature_by_what_they_use(plane: Plane) -> None:
    """The part of the limit, the amount, and what comes first to its limit, in pages."""
    use(plane, ("a", 10), ("b", 80), ("c", 110), ("d", 40))
    raised = {"feature": "calls", "value": 400, "mode": "add", "reason": "r"}
    made(plane.admin.as_("admin").post("/v1/customers/d/overrides", json=raised))
    plane.report(subject="d", amount=160)  # 200 of 500
    path = "/v1/features/calls/usage"
    most = read(plane, path)
    assert [(it["customer"], it["utilisation"]) for it in most] == [("c", 1.1), ("b", 0.8), ("d", 0.4), ("a", 0.1)]
    assert most[1] == {
        "customer": "b",
        "window": JANUARY,
        "used": 80,
        "limit": 100,
        "remaining": 20,
        "utilisation": 0.8,
        "reaches_limit_at": "2027-01-18T22:00:00.000Z",
    }
    assert "reaches_limit_at" not in most[3]
    assert [it["customer"] for it in read(plane, path, order="amount")] == ["d", "c", "b", "a"]
    assert [it["customer"] for it in read(plane, path, order="closest")] == ["c", "b", "d", "a"]
    client = plane.admin.as_("analyst")
    pages: list[list[str]] = []
    query: dict[str, str | int] = {"order": "amount", "limit": 3}
    while "cursor" not in query or query["cursor"]:
        answer = client.get(path, params=query).json()
        pages.append([it["customer"] for it in answer["items"]])
        query["cursor"] = answer["next"] or ""
    assert pages == [["d", "c", "b"], ["a"]]
    assert refused(plane, path, order="least_used") == 400
    assert refused(plane, "/v1/features/seats/usage") == 404
    assert refused(plane, path, cursor="MTAwMDE") == 400


def test_the_most_volatile_customers_of_a_feature(plane: Plane) -> None:
    """By the coefficient of variation of their daily usage over 28 days, in units of the feature."""
    daily = {"a": [5] * 28, "b": [0] * 20 + [10] * 8, "c": [1, 2] * 14}
    for customer, amounts in daily.items():
        made(plane.admin.as_("admin").post("/v1/customers", json={"id": customer}))
        for day, amount in enumerate(amounts):
            at = NOW // 86_400_000 * 86_400_000 - (28 - day) * 86_400_000
            window = parse_instant("2026-12-01") if at < parse_instant("2027-01-01") else parse_instant("2027-01-01")
            if amount:
                plane.clock[0] = at
                account = customer_account(window, customer=customer)
                plane.ledger.record(Consumption(b"", b"", at, (Debit(account, amount),)))
        plane.clock[0] = NOW
    found = read(plane, "/v1/features/calls/usage", order="volatile")
    assert [it["customer"] for it in found] == ["b", "c", "a"]
    for it in found:
        amounts = daily[it["customer"]]
        assert it["daily_mean"] == pytest.approx(fmean(amounts), abs=1e-6)
        assert it["variation"] == pytest.approx(pstdev(amounts) / fmean(amounts), abs=1e-6)


def test_who_may_not_see_customers_sees_no_usage(plane: Plane) -> None:
    """A key for one customer sees its usage, and no list of customers."""
    for path in (PATH, f"{PATH}/series", "/v1/features/calls/usage"):
        assert plane.admin.as_("publisher").get(path).status_code == 403
    own, other = (plane.admin.as_("analyst", customers=[customer]) for customer in ("acme", "beta"))
    assert (own.get(PATH).status_code, other.get(PATH).status_code) == (200, 403)
    assert own.get("/v1/features/calls/usage").status_code == 403
