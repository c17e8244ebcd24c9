"""Thresholds of usage: what fires, when, and how often; those of single customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import made
from tests.unit.control.usage_plane import DECEMBER, JANUARY, NOW, Plane, problem, usage_plane
from tiergate.admin.usage_bounds import PublishedBounds
from tiergate.admin.usage_limits import follow_publication
from tiergate.store.usage_ledger import UsageLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: quantity, metered: {reset: month, limit: soft, thresholds: [80%, 100%, 150%, 90]}}
  - {id: exports, type: quantity, scale: 2, metered: {reset: day, thresholds: [0.5, 50%]}}
  - {id: credits, type: quantity, metered: {reset: never, thresholds: [75%]}}
  - {id: jobs, type: quantity, metered: {reset: month, thresholds: [50%]}, draws: {from: credits, cost: 3}}
  - {id: quiet, type: quantity, metered: {reset: month}}
  - {id: seats, type: quantity}
items:
  - {id: gold, kind: plan, entitlements: {calls: 100, exports: 10, credits: 40, jobs: 100, quiet: 10, seats: 3}}
  - {id: free, kind: plan, entitlements: {calls: 10, quiet: 1}}
  - {id: plenty, kind: plan, entitlements: {calls: unlimited}}
"""


@pytest.fixture
def plane(store_url: str) -> Iterator[Plane]:
    """A control plane with the customer `acme`, who has `gold`."""
    with usage_plane(store_url, CATALOG) as made_plane:
        yield made_plane


@pytest.fixture
def client(plane: Plane) -> httpx.Client:
    """An admin's client."""
    return plane.admin.as_("admin")


def use(plane: Plane, amount: float, **record: object) -> None:
    """Report usage of calls of acme, unless it says otherwise."""
    answer = plane.report(amount=amount, **record)
    assert answer.status_code == 200, answer.text


def fired(plane: Plane, feature: str = "calls") -> list[Any]:
    """The thresholds of a feature that fired, in their order."""
    return [it["threshold"] for it in plane.events("usage.threshold_reached") if it["feature"] == feature]


def correct(client: httpx.Client, amount: float, feature: str = "calls") -> None:
    """Take usage back."""
    body = {"feature": feature, "amount": -amount}
    headers = {"tiergate-reason": "counted twice"}
    made(client.post("/v1/customers/acme/usage/corrections", json=body, headers=headers), 200)


def override(client: httpx.Client, value: float | str, feature: str = "calls") -> str:
    """Give acme another limit, and return the path of the override."""
    body = {"feature": feature, "value": value, "reason": "a test"}
    answer = accepted(client, "POST", "/v1/customers/acme/overrides", json=body)
    assert answer.status_code == 201, answer.text
    return f"/v1/customers/acme/overrides/{answer.json()['id']}"


def accepted(client: httpx.Client, method: str, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401 - as httpx
    """Send a change, and accept what the customer loses by it."""
    answer = client.request(method, path, **body)
    if answer.status_code == 409 and "accept_loss" in answer.json():
        return client.request(method, path, params={"accept_loss": answer.json()["accept_loss"]}, **body)
    return answer


def test_usage_that_reaches_a_level_fires_it(plane: Plane) -> None:
    """With what was used, the limit that the customer has, and the window."""
    use(plane, 79)
    assert fired(plane) == []
    use(plane, 1)
    assert plane.events("usage.threshold_reached") == [
        {
            "customer": "acme",
            "feature": "calls",
            "threshold": "80%",
            "used": 80,
            "limit": 100,
            "window": {"from": "2027-01-01T00:00:00.000Z", "until": "2027-02-01T00:00:00.000Z"},
        }
    ]


def test_one_consumption_may_fire_several(plane: Plane) -> None:
    """Percentages come first, then amounts."""
    use(plane, 200)
    assert fired(plane) == ["80%", "100%", "150%", 90]


def test_amounts_have_the_decimal_digits_of_the_feature(plane: Plane) -> None:
    """And a window of a day has its own."""
    use(plane, 0.5, feature="exports")
    assert fired(plane, "exports") == [0.5]
    use(plane, 4.5, feature="exports")
    assert fired(plane, "exports") == [0.5, "50%"]


def test_a_feature_that_is_drawn_on_fires_too(plane: Plane) -> None:
    """Ten jobs cost thirty credits, which are three quarters of forty."""
    use(plane, 10, feature="jobs")
    assert fired(plane, "credits") == ["75%"]
    assert fired(plane, "jobs") == []


def test_without_thresholds_nothing_fires(plane: Plane) -> None:
    """Not at the limit either."""
    use(plane, 20, feature="quiet")
    assert plane.events("usage.threshold_reached") == []


def test_each_window_fires_anew(plane: Plane) -> None:
    """The same level, once in each."""
    use(plane, 85)
    plane.clock[0] = NOW + 20 * 86_400_000  # in February
    use(plane, 85)
    assert [it["window"]["from"][:7] for it in plane.events("usage.threshold_reached")] == ["2027-01", "2027-02"]


def test_late_usage_fires_in_the_window_in_which_it_was(plane: Plane) -> None:
    """A window that ended yesterday, with its own limit."""
    plane.clock[0] = JANUARY + 86_400_000
    made(
        plane.admin.as_("admin").patch(
            "/v1/subscriptions/s1",
            json={"start": "2026-12-01T00:00:00Z"},
            headers={"content-type": "application/merge-patch+json"},
        ),
        200,
    )
    use(plane, 80, at="2026-12-31T20:00:00Z")
    use(plane, 1)
    (event,) = plane.events("usage.threshold_reached")
    assert (event["threshold"], event["used"]) == ("80%", 80)
    assert event["window"]["from"] == "2026-12-01T00:00:00.000Z"
    assert DECEMBER < JANUARY


# ── A threshold that fires twice or never when the limit moves ───────────────────────────────────────────────────────


def test_a_threshold_that_fires_twice_when_the_limit_moves(plane: Plane, client: httpx.Client) -> None:
    """A raised limit, and usage that passes the level again: not a second time in the same window."""
    use(plane, 80)
    assert fired(plane) == ["80%"]
    path = override(client, 200)
    use(plane, 9)
    assert fired(plane) == ["80%"]
    use(plane, 80)  # 169 of 200: 80 % again; and 90
    assert fired(plane) == ["80%", 90]
    assert accepted(client, "DELETE", path).status_code == 204  # 169 of 100 again
    assert fired(plane) == ["80%", 90, "100%", "150%"]
    override(client, 500)
    use(plane, 300)
    assert fired(plane) == ["80%", 90, "100%", "150%"]


def test_a_threshold_that_never_fires_when_the_limit_moves(plane: Plane, client: httpx.Client) -> None:
    """A limit that falls below what is used fires at once, without any further usage."""
    use(plane, 60)
    assert fired(plane) == []
    override(client, 70)
    (event,) = plane.events("usage.threshold_reached")
    assert (event["threshold"], event["used"], event["limit"]) == ("80%", 60, 70)
    override(client, 10)
    assert fired(plane) == ["80%", "100%", "150%"]


def test_a_limit_that_falls_and_rises_in_one_moment_has_fired(plane: Plane, client: httpx.Client) -> None:
    """Each change counts, not only the last one."""
    use(plane, 60)
    assert client.delete(override(client, 50)).status_code == 204
    assert fired(plane) == ["80%", "100%"]


def test_a_change_of_plan_fires(plane: Plane, client: httpx.Client) -> None:
    """Down to `free`, whose limit is below what was used; and up again fires nothing."""
    use(plane, 20)
    merge = {"content-type": "application/merge-patch+json"}
    for plan in ("free", "plenty", "free"):
        body = {"items": [{"item": plan}]}
        made(accepted(client, "PATCH", "/v1/subscriptions/s1", json=body, headers=merge), 200)
    assert fired(plane) == ["80%", "100%", "150%"]


def test_an_end_of_the_entitlement_fires(plane: Plane, client: httpx.Client) -> None:
    """What is used of nothing is above every percentage."""
    use(plane, 5)
    made(client.post("/v1/subscriptions/s1/end", json={}), 200)
    assert fired(plane) == ["80%", "100%", "150%"]


def test_of_an_unlimited_feature_only_amounts_fire(plane: Plane, client: httpx.Client) -> None:
    """Percentages of nothing in particular do not."""
    override(client, "unlimited")
    use(plane, 1000)
    assert fired(plane) == [90]


def test_a_correction_and_the_same_usage_again_fire_once(plane: Plane, client: httpx.Client) -> None:
    """Also down to zero."""
    use(plane, 85)
    correct(client, 85)
    use(plane, 85)
    assert fired(plane) == ["80%"]


def test_a_grant_moves_the_limit(plane: Plane, client: httpx.Client) -> None:
    """A top-up raises what percentages are of; ending what is left of it fires what usage is above then."""
    body = {"feature": "calls", "amount": 100, "reason": "top-up", "id": "more"}
    made(client.post("/v1/customers/acme/grants", json=body))
    use(plane, 89)
    assert fired(plane) == []
    made(client.delete("/v1/customers/acme/grants/more"), 200)
    assert fired(plane) == ["80%"]


def test_a_publication_fires_what_it_moves(plane: Plane) -> None:
    """Everybody's thresholds are checked after it, once; and again after a control plane that ended in between."""
    use(plane, 60)
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: 70"))
    assert follow_publication(plane.store, plane.ledger) == 1
    assert follow_publication(plane.store, plane.ledger) == 0
    assert fired(plane) == ["80%"]
    put_in_force(plane.store, CATALOG.replace("calls: 100", "calls: 70").replace("seats: 3", "seats: 4"))
    follow_publication(plane.store, plane.ledger)
    put_in_force(plane.store, CATALOG.replace("[80%, 100%", "[50%, 80%, 100%").replace("calls: 100", "calls: 70"))
    follow_publication(plane.store, plane.ledger)
    assert fired(plane) == ["80%", "50%"]


def test_a_restart_fires_nothing_again(plane: Plane, store_url: str) -> None:
    """What has fired is in the store."""
    use(plane, 85)
    again = UsageLedger(plane.store, PublishedBounds())
    try:
        plane.ledger.close()
        plane.ledger = again
        follow_publication(plane.store, again)
    finally:
        again.close()
    assert store_url
    assert fired(plane) == ["80%"]


# ── Of one customer ──────────────────────────────────────────────────────────────────────────────────────────────────

PATH = "/v1/customers/acme/thresholds/calls"


def test_a_customer_may_have_thresholds_of_its_own(plane: Plane, client: httpx.Client) -> None:
    """They stand in place of the feature's; one that is passed fires at once, one that fired does not again."""
    use(plane, 85)
    answer = client.put(PATH, json={"thresholds": ["50%", "80%", 86.0]})
    assert (answer.status_code, answer.json()) == (
        200,
        {"feature": "calls", "thresholds": ["50%", "80%", 86], "own": True, "fired": ["50%", "80%"]},
    )
    assert fired(plane) == ["80%", "50%"]
    use(plane, 20)
    assert fired(plane) == ["80%", "50%", 86]
    assert client.delete(PATH).status_code == 204
    assert fired(plane) == ["80%", "50%", 86, "100%", 90]
    assert problem(client.delete(PATH))[0] == 404


def test_a_customer_may_have_none(plane: Plane, client: httpx.Client) -> None:
    """An empty list silences the feature's."""
    made(client.put(PATH, json={"thresholds": []}), 200)
    use(plane, 500)
    assert fired(plane) == []
    assert client.get(PATH).json() == {"feature": "calls", "thresholds": [], "own": True, "fired": []}


def test_a_feature_without_thresholds_may_have_some_for_a_customer(plane: Plane, client: httpx.Client) -> None:
    """Only for this one."""
    made(client.post("/v1/customers", json={"id": "other"}))
    made(client.put("/v1/customers/acme/thresholds/quiet", json={"thresholds": [3]}), 200)
    use(plane, 3, feature="quiet")
    use(plane, 3, feature="quiet", subject="other")
    assert fired(plane, "quiet") == [3]
    assert plane.events("usage.threshold_reached", "other") == []


def test_all_thresholds_of_a_customer_are_listed(plane: Plane, client: httpx.Client) -> None:
    """Its own and the features', with what has fired."""
    use(plane, 0.5, feature="exports")
    made(client.put("/v1/customers/acme/thresholds/quiet", json={"thresholds": ["10%"]}), 200)
    items = client.get("/v1/customers/acme/thresholds").json()["items"]
    assert [(it["feature"], it["own"], it["fired"]) for it in items] == [
        ("calls", False, []),
        ("credits", False, []),
        ("exports", False, [0.5]),
        ("jobs", False, []),
        ("quiet", True, []),
    ]


@pytest.mark.parametrize(
    ("levels", "pointer"),
    [
        (["0%"], "/thresholds/0"),
        (["1001%"], "/thresholds/0"),
        (["80"], "/thresholds/0"),
        ([5, 0], "/thresholds/1"),
        ([0.5], "/thresholds/0"),
        ([-1], "/thresholds/0"),
        ([True], "/thresholds/0"),
        ([None], "/thresholds/0"),
        (["80%", "80%"], "/thresholds/1"),
        ([5, 5.0], "/thresholds/1"),
        (list(range(1, 12)), "/thresholds"),
        ("80%", "/thresholds"),
    ],
)
def test_levels_that_cannot_be_are_refused(client: httpx.Client, levels: object, pointer: str) -> None:
    """Each is named."""
    answer = client.put(PATH, json={"thresholds": levels})
    assert answer.status_code == 422
    assert [entry["pointer"] for entry in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("path", ["customers/nobody/thresholds/calls", "customers/acme/thresholds/seats"])
def test_a_threshold_needs_a_customer_and_a_metered_feature(client: httpx.Client, path: str) -> None:
    """Otherwise there is none."""
    assert client.put(f"/v1/{path}", json={"thresholds": [1]}).status_code == 404
    assert client.get(f"/v1/{path}").status_code == 404


def test_changes_are_audited(client: httpx.Client) -> None:
    """As before and after; what changes nothing is not."""
    for _ in range(2):
        made(client.put(PATH, json={"thresholds": [7]}), 200)
    made(client.put(PATH, json={"thresholds": [8]}), 200)
    client.delete(PATH)
    entries = client.get("/v1/audit?kind=thresholds").json()["items"]
    assert [(it["action"], it.get("before"), it.get("after"), it["customer"]) for it in entries] == [
        ("thresholds.removed", {"thresholds": [8]}, None, "acme"),
        ("thresholds.set", {"thresholds": [7]}, {"thresholds": [8]}, "acme"),
        ("thresholds.set", None, {"thresholds": [7]}, "acme"),
    ]


def test_who_may_set_them(plane: Plane) -> None:
    """Whoever may edit the customer; whoever may view it, sees them."""
    viewer = plane.admin.as_("admin", actions=("view",))
    assert viewer.put(PATH, json={"thresholds": [7]}).status_code == 403
    assert viewer.delete(PATH).status_code == 403
    assert viewer.get(PATH).status_code == 200


def test_a_deleted_customer_leaves_none(plane: Plane, client: httpx.Client) -> None:
    """Somebody of the same id begins with the feature's."""
    made(client.post("/v1/customers", json={"id": "gone"}))
    made(client.put("/v1/customers/gone/thresholds/calls", json={"thresholds": [7]}), 200)
    assert client.delete("/v1/customers/gone").status_code == 204
    made(client.post("/v1/customers", json={"id": "gone"}))
    assert client.get("/v1/customers/gone/thresholds/calls").json()["own"] is False
    assert plane.events("usage.threshold_reached", "gone") == []
