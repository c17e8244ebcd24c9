from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stores import put_in_force
from tests.unit.control.subjects import CATALOG, ENDPOINTS, NOW, made, served, taken
from tiergate.control.api import entitlements
from tiergate.model import Reporter, ReporterKind, Status, StatusReport, format_instant
from tiergate.store import SYSTEM
from tiergate.store.status_reports import add_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tests.unit.control.subjects import Ticking
    from tiergate.store import Store

PATHS = ["/v1/customers/acme", "/v1/subscriptions/s1"]


@pytest.fixture
def api(sqlite_url: str) -> Iterator[tuple[Admin, Store, Ticking]]:
    """An API on SQLite, with a customer and its subscription to `gold`."""
    with served(sqlite_url, [*ENDPOINTS, *entitlements.endpoints()]) as found:
        client = found[0].as_("admin")
        made(client.post("/v1/customers", json={"id": "acme"}))
        body = {"id": "s1", "status": "active", "items": [{"item": "gold"}]}
        made(client.post("/v1/customers/acme/subscriptions", json=body))
        yield found


def movies(client: httpx.Client, path: str, **query: str | int) -> object:
    """The entitlement to movies."""
    found = client.get(f"{path}/entitlements", params=query)
    assert found.status_code == 200, found.text
    entries = {entry["feature"]: entry for entry in found.json()["entitlements"]}
    assert list(entries) == ["analytics", "api-limit", "legacy", "movies", "storage", "support"]
    return entries["movies"]["entitlement"]["value"]


@pytest.mark.parametrize("path", PATHS)
def test_what_was_so_at_a_moment_is_told_afterwards(api: tuple[Admin, Store, Ticking], path: str) -> None:
    """The subject as it was then, under what was published then, or under any other revision."""
    admin, store, clock = api
    client = admin.as_("analyst")
    clock.now = NOW + 1000
    put_in_force(store, CATALOG.replace("movies: 50", "movies: 60"))
    clock.now = NOW + 2000
    made(admin.as_("admin").post("/v1/subscriptions/s1/items", json={"item": "extra-movies"}))
    clock.now = NOW + 3000
    told = [movies(client, path, at=format_instant(NOW + moment)) for moment in (0, 999, 1000, 2000, 3000, 10_000)]
    assert told == [50, 50, 60, 70, 70, 70]
    assert movies(client, path) == 70
    assert movies(client, path, publication=1) == 60
    revision = client.get(f"{path}/entitlements", params={"at": format_instant(NOW)}).json()["revision"]
    assert movies(client, path, revision=revision) == 60
    assert movies(client, path, revision=revision, at=format_instant(NOW)) == 50


@pytest.mark.parametrize("path", PATHS)
def test_a_clock_that_is_set_back_hides_nothing(api: tuple[Admin, Store, Ticking], path: str) -> None:
    """What is so now is what was written last; at an instant, what was written by then."""
    admin, store, clock = api
    client = admin.as_("admin")
    clock.now = NOW - 7_200_000
    assert movies(client, path) == 50
    assert client.get(f"{path}/entitlements", params={"at": format_instant(clock.now)}).status_code == 404
    put_in_force(store, CATALOG.replace("movies: 50", "movies: 60"))
    made(client.post("/v1/subscriptions/s1/items", json={"item": "extra-movies"}))
    assert movies(client, path) == 70


def test_an_override_to_come_is_told_ahead(api: tuple[Admin, Store, Ticking]) -> None:
    """Whatever begins or ends does so at its instant, asked for before or after."""
    admin = api[0].as_("admin")
    body = {"feature": "movies", "value": 7, "reason": "a promise", "from": format_instant(NOW + 500)}
    made(taken(admin, "POST", "/v1/customers/acme/overrides", json=body))
    assert movies(admin, PATHS[0], at=format_instant(NOW + 499)) == 50
    assert movies(admin, PATHS[0], at=format_instant(NOW + 500)) == 7


def test_what_is_gone_is_told_as_of_before(api: tuple[Admin, Store, Ticking]) -> None:
    """A deletion takes nothing from the past."""
    admin, _, clock = api
    client = admin.as_("admin")
    clock.now += 1000
    assert client.delete("/v1/subscriptions/s1").status_code == 204
    assert client.delete("/v1/customers/acme").status_code == 204
    for path in PATHS:
        assert client.get(f"{path}/entitlements").status_code == 404
        assert movies(client, path, at=format_instant(NOW)) == 50


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"at": "yesterday"}, 400),
        ({"at": "2020-01-01"}, 404),
        ({"publication": 9}, 404),
        ({"revision": "sha256:0"}, 404),
        ({"revision": "sha256:0", "publication": 1}, 400),
    ],
)
def test_what_cannot_be_told_is_said_to_be_unknown(
    api: tuple[Admin, Store, Ticking], query: dict[str, str | int], status: int
) -> None:
    """A moment before the subject, a publication or revision that never was."""
    assert api[0].as_("admin").get("/v1/customers/acme/entitlements", params=query).status_code == status


def test_nobody_is_told_of_others(api: tuple[Admin, Store, Ticking]) -> None:
    """A narrowed key learns nothing of another customer, not even by what it had once."""
    client = api[0].as_("admin")
    assert client.delete("/v1/subscriptions/s1").status_code == 204
    narrow = api[0].as_("admin", customers=["beta"])
    for path in PATHS:
        assert narrow.get(f"{path}/entitlements", params={"at": format_instant(NOW)}).status_code == 403


def test_the_status_of_features_is_the_one_of_the_instant(api: tuple[Admin, Store, Ticking]) -> None:
    """Of who is concerned; also where it was reported afterwards."""
    admin, store, clock = api
    clock.now = NOW + 1000
    reporter = Reporter(ReporterKind.PERSON, "ops")
    report = StatusReport(
        id="rep_1", feature="movies", status=Status.DEGRADED, start=NOW + 100, until=NOW + 300, reporter=reporter
    )
    store.change(lambda unit: add_report(unit, report), SYSTEM)

    def shown(moment: int) -> tuple[object, ...]:
        found = admin.as_("analyst").get(f"{PATHS[0]}/entitlements", params={"at": format_instant(NOW + moment)})
        entry = next(entry for entry in found.json()["entitlements"] if entry["feature"] == "movies")
        return entry.get("status"), entry.get("since"), entry.get("valid_until")

    assert shown(50) == (None, None, format_instant(NOW + 100))
    assert shown(299) == ("degraded", format_instant(NOW + 100), format_instant(NOW + 300))
    assert shown(300) == (None, None, None)
