from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, ENDPOINTS, NOW, made, served
from tiergate.control.api import erasure, replays
from tiergate.control.background_jobs import Retention, apply_retention
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.engine import Evaluator, decision_json
from tiergate.model import Reporter, ReporterKind, Status, StatusReport, SubjectRecord, format_instant
from tiergate.publish.bundle_cache import BundleCache
from tiergate.store import SYSTEM
from tiergate.store.status_reports import add_report
from tiergate.wire.check_reader import read_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

CHECK = {"subject": "acme", "feature": "movies", "used": 55}


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer and its subscription to `gold`."""
    with served(sqlite_url, [*ENDPOINTS, *replays.endpoints(), *erasure.endpoints()]) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme", "attributes": {"region": "eu"}}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        yield found


def head(store: Store) -> int:
    """How far the feed goes."""
    return store.read(lambda unit: unit.head().position)


def replay(client: httpx.Client, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A replay that works."""
    return made(client.post("/v1/replay", json={"check": CHECK, **body}), 200)


def test_a_decision_is_made_again_by_its_position_and_publication(api: tuple[Admin, Store, Ticking]) -> None:
    """As it was before what came after, though all happened in one instant."""
    admin, store, _ = api
    client = admin.as_("analyst")
    before = head(store)
    put_in_force(store, CATALOG.replace("movies: 50", "movies: 60"))
    made(admin.as_("admin").post("/v1/subscriptions/s1/items", json={"item": "extra-movies"}))

    found = [
        replay(client, at=format_instant(NOW), publication=publication, basis={"position": position})
        for publication, position in ((1, before), (2, before + 1), (2, head(store)))
    ]
    assert [it["decision"]["entitlement"]["value"] for it in found] == [50, 60, 70]
    assert [it["decision"]["reason"] for it in found] == ["limit_reached", "granted", "granted"]
    assert [it["decision"]["publication"] for it in found] == [1, 2, 2]
    assert [it["position"] for it in found] == [before, before, head(store)]
    assert found[0]["revision"] != found[1]["revision"] == found[2]["revision"]
    assert "50" in " ".join(found[0]["sentences"])
    assert found[0]["reasoning"]["asked"]["feature"] == "movies"


def test_the_bytes_are_the_ones_of_a_sidecar(api: tuple[Admin, Store, Ticking]) -> None:
    """Its numbers and the order of its members included."""
    admin, store, _ = api
    text = b'{"subject": {"id": "s1", "type": "subscription"}, "feature": "storage", "amount": 0.5, "used": 1.250}'
    body = b'{"check":%b,"at":"%b","publication":1}' % (text, format_instant(NOW).encode())
    answer = admin.as_("admin").post("/v1/replay", content=body, headers={"content-type": "application/json"})

    class Found:
        """What the feed says of the customer."""

        def find(self, _: object) -> SubjectRecord | None:
            """Its record."""
            return store.read(lambda unit: unit.record("acme", public=True))

    assert answer.status_code == 200, answer.text
    bundle = BundleCache().open(store, answer.json()["revision"])
    expected = decision_json(Evaluator(bundle, Found(), publication=1).decide(read_check(text), NOW))
    assert answer.content.startswith(b'{"decision":' + expected + b",")


def test_an_instant_stands_for_a_position_and_a_publication(api: tuple[Admin, Store, Ticking]) -> None:
    """What the store said then; now, without one."""
    admin, store, clock = api
    client = admin.as_("analyst")
    clock.now = NOW + 1000
    put_in_force(store, CATALOG.replace("movies: 50", "movies: 60"))
    clock.now = NOW + 2000
    made(admin.as_("admin").post("/v1/subscriptions/s1/items", json={"item": "extra-movies"}))
    clock.now = NOW + 3000

    moments = [replay(client, at=format_instant(NOW + later)) for later in (999, 1000, 2000)]
    assert [it["decision"]["entitlement"]["value"] for it in (*moments, replay(client))] == [50, 60, 70, 70]
    assert replay(client)["at"] == format_instant(NOW + 3000)
    assert replay(client, basis={"position": 3})["decision"]["publication"] == 1


def test_a_basis_makes_it_the_decision_that_was_given(api: tuple[Admin, Store, Ticking]) -> None:
    """Stale, denied for it, not to be had, or made of another record."""
    client = api[0].as_("admin")
    record = [["acme", [], {}], [["s1", "acme", "active", [["silver"]]]]]
    stale = {"stale_at": format_instant(NOW)}
    at = format_instant(NOW)
    bases: list[dict[str, Any]] = [
        {},
        stale,
        stale | {"stale_deny": True},
        {"fetched": False},
        {"record": record},
        {"record": None},
    ]
    found = [replay(client, at=at, basis=basis, check=CHECK | {"used": 5})["decision"] for basis in bases]

    assert [it["reason"] for it in found] == [
        "granted",
        "granted",
        "stale_data",
        "unknown_subject",
        "granted",
        "unknown_subject",
    ]
    assert [it["stale"] for it in found] == [False, True, True, True, False, False]
    assert found[4]["entitlement"]["value"] == 20


def test_who_was_unknown_is_unknown_again(api: tuple[Admin, Store, Ticking]) -> None:
    """Before it was there, and where it never was."""
    client = api[0].as_("admin")
    reasons = [
        replay(client, basis={"position": position}, publication=1, check=CHECK | {"subject": subject})["decision"][
            "reason"
        ]
        for position, subject in ((1, "acme"), (3, "never"), (3, {"type": "subscription", "id": "s9"}))
    ]
    assert reasons == ["unknown_subject"] * 3


def test_a_subscription_is_found_where_it_was(api: tuple[Admin, Store, Ticking]) -> None:
    """With the customer who had it then, though another one has it now."""
    admin, store, _ = api
    client = admin.as_("admin")
    before = head(store)
    assert client.delete("/v1/subscriptions/s1").status_code == 204
    made(client.post("/v1/customers", json={"id": "other"}))
    body = {"id": "s1", "status": "active", "items": [{"item": "silver"}]}
    made(client.post("/v1/customers/other/subscriptions", json=body))
    check = CHECK | {"subject": {"type": "subscription", "id": "s1"}}

    values = [
        replay(client, check=check, publication=1, basis={"position": position})["decision"]["entitlement"]["value"]
        for position in (before, head(store))
    ]
    assert values == [50, 20]
    narrow = {"check": check, "publication": 1, "basis": {"position": before}}
    assert admin.as_("admin", customers=["other"]).post("/v1/replay", json=narrow).status_code == 403
    narrow["basis"] = {"position": head(store)}
    assert admin.as_("admin", customers=["other"]).post("/v1/replay", json=narrow).status_code == 200


def test_a_record_of_ones_own_is_only_for_who_may_see_everything(api: tuple[Admin, Store, Ticking]) -> None:
    """It would show what another customer's private plan gives."""
    body = {"check": CHECK, "basis": {"record": [["acme"], [["s1", "acme", "active", [["acme-only"]]]]]}}
    statuses = [
        client.post("/v1/replay", json=body).status_code
        for client in (api[0].as_("analyst"), api[0].as_("admin", customers=["acme"]))
    ]
    assert statuses == [200, 403]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"basis": {"store": "another"}}, 409, "another"),
        ({"publication": 1, "revision": "sha256:0"}, 409, "sha256:0"),
        ({"basis": {"position": 99}}, 409, "beyond-the-feed"),
        ({"publication": 7}, 404, "publication"),
        ({"at": "2020-01-01"}, 404, "publication"),
        ({"at": "noon"}, 422, "/at"),
        ({"basis": {"position": "x"}}, 422, "/basis"),
        ({"basis": {"position": -1}}, 422, "/basis/position"),
        ({"basis": {"loaded": False}}, 422, "/basis/loaded"),
        ({"basis": {"stale_at": "soon"}}, 422, "/basis"),
        ({"basis": {"record": [["acme", [], {}, [["o", "movies", "replace", ["l", "x"]]]]]}}, 422, "/basis/record"),
        ({"basis": {"record": [["a\nb"], []]}}, 422, "/basis/record"),
        ({"publication": 0}, 422, "/publication"),
        ({"check": {"subject": "acme"}}, 422, "/check/feature"),
        ({"check": CHECK | {"amount": 0}}, 422, "/check/amount"),
        ({"check": CHECK | {"feature": "movie"}}, 404, "`movies`"),
        ({"chek": {}}, 422, "chek"),
    ],
)
def test_what_cannot_be_made_again_says_why(
    api: tuple[Admin, Store, Ticking], body: dict[str, Any], status: int, words: str
) -> None:
    """With the field that is wrong, or what contradicts what."""
    answer = api[0].as_("admin").post("/v1/replay", json={"check": CHECK, **body})
    assert answer.status_code == status, answer.text
    assert words in answer.text


def test_metered_usage_is_what_the_basis_says(api: tuple[Admin, Store, Ticking]) -> None:
    """Where the feature is metered."""
    admin, store, _ = api
    put_in_force(store, CATALOG.replace("unit: movies/month", "unit: movies/month, metered: {reset: month}"))
    client = admin.as_("admin")
    check = {"subject": "acme", "feature": "movies"}
    found = [
        replay(client, check=check, publication=2, basis={"usage": {"used": used}})["decision"] for used in (49, 50)
    ]
    assert [(it["allowed"], it["entitlement"]["used"]) for it in found] == [(True, 49), (False, 50)]
    answer = client.post("/v1/replay", json={"check": check, "publication": 2, "basis": {"usage": {"used": 0.5}}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/basis/usage")


def test_an_erased_record_is_said_to_be_so(api: tuple[Admin, Store, Ticking]) -> None:
    """What is left of it decides."""
    admin, store, _ = api
    client = admin.as_("admin")
    position = head(store)
    assert client.post("/v1/customers/acme/erase", json={}).status_code == 200
    found = replay(client, publication=1, basis={"position": position})
    assert found["redacted"] is True
    assert found["decision"]["reason"] == "limit_reached"


def test_revisions_outlive_history_and_history_is_never_guessed(api: tuple[Admin, Store, Ticking]) -> None:
    """A revision is kept for good; what a customer had, for as long as is set."""
    admin, store, clock = api
    client = admin.as_("admin")
    day = 24 * 60 * 60 * 1000
    put_in_force(store, CATALOG.replace("movies: 50", "movies: 60"))
    clock.now += 100 * day
    made(client.post("/v1/subscriptions/s1/items", json={"item": "extra-movies"}))
    clock.now += 100 * day
    Snapshots(store).create(head(store))  # so that the feed need not go back further
    apply_retention(store, clock.now, Retention(30, 50))

    found = replay(client, publication=1, basis={"position": head(store)})
    assert found["decision"]["entitlement"]["value"] == 60
    answer = client.post("/v1/replay", json={"check": CHECK, "publication": 1, "basis": {"position": 3}})
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:tiergate:problem:not-kept")


def test_the_status_is_that_of_the_log_or_else_of_the_reports(api: tuple[Admin, Store, Ticking]) -> None:
    """A decision that was logged without one was made while nothing was reported."""
    admin, store, _ = api
    reporter = Reporter(ReporterKind.PERSON, "ops")
    report = StatusReport(id="rep_1", feature="movies", status=Status.DOWN, start=NOW - 9, reporter=reporter)
    store.change(lambda unit: add_report(unit, report), SYSTEM)
    client = admin.as_("analyst")
    logged = {"version": "0.1", "status": {"status": "degraded", "since": format_instant(NOW - 5)}}
    found = [replay(client, at=format_instant(NOW), basis=basis) for basis in ({}, {"version": "0.1"}, logged)]
    assert [it["decision"].get("status") for it in found] == ["down", None, "degraded"]
    assert found[2]["decision"]["since"] == format_instant(NOW - 5)
    assert found[0]["reasoning"]["context"]["status"] == "down"
