"""Reports on the status of features: by people, over time, in the feed, in events and in the audit log."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.status_plane import REPORTS, StatusPlane, status_plane
from tiergate.admin.status_changes import services_report
from tiergate.control.background_jobs import Retention, apply_retention
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.model import Status, parse_instant
from tiergate.store import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def plane(store_url: str) -> Iterator[StatusPlane]:
    """A control plane with two features."""
    with status_plane(store_url) as made:
        yield made


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatusPlane]:
    """One control plane for several tests that leave nothing behind."""
    with status_plane(f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.sqlite'}") as made:
        yield made


def test_a_report_shows_at_once_until_it_is_ended(plane: StatusPlane) -> None:
    """In the status, in the feed, in events, in a snapshot, and in the audit log with its reason."""
    id_ = plane.report("down", note="disk of db-3", public_note="We are looking at it.")
    found = plane.client.get("/v1/features/calls/status").json()
    assert (found["status"], found["since"], found["state"]) == ("down", "2027-01-15T08:00:00.000Z", "active")
    assert found["reports"][0]["reporter"] == "test/operations"
    snapshot = Snapshots(plane.store).create(1)
    assert [it.feature for it in snapshot.manifest.feature_reports] == ["calls"]
    plane.wait("08:20")
    ended = plane.client.post(f"{REPORTS}/{id_}/end", headers={"tiergate-reason": "replaced"})
    assert ended.json()["until"] == "2027-01-15T08:20:00.000Z"
    assert plane.client.post(f"{REPORTS}/{id_}/end").json() == ended.json()
    assert plane.shown() == "operational"
    assert plane.lines() == [[("down", "08:00")], []]
    assert plane.events() == [("08:00", ("operational", "down")), ("08:20", ("down", "operational"))]
    log = plane.admin.as_("admin").get("/v1/audit?kind=status_report").json()["items"]
    entries = [
        (it["action"], it.get("reason", ""), (it.get("before") or {}).get("until"), it["after"].get("until"))
        for it in log
    ]
    assert ("status_report.ended", "replaced", None, "2027-01-15T08:20:00.000Z") in entries
    assert sorted(it[0] for it in entries) == ["status_report.created", "status_report.ended"]


def test_the_worst_open_report_shows_and_statuses_can_be_listed(plane: StatusPlane) -> None:
    """Maintenance does not hide an outage; a filter finds what does not work."""
    plane.report("maintenance")
    plane.report("degraded")
    down = plane.report("down")
    assert plane.shown() == "down"
    plane.client.delete(f"{REPORTS}/{down}")
    assert plane.shown() == "degraded"
    listed = plane.client.get("/v1/status?limit=1").json()
    assert [(it["feature"], it["status"]) for it in listed["items"]] == [("calls", "degraded")]
    rest = plane.client.get("/v1/status", params={"limit": 1, "cursor": listed["next"]}).json()
    assert [(it["feature"], it["status"]) for it in rest["items"]] == [("mail", "operational")]
    found = plane.client.get("/v1/status?status=down,degraded").json()["items"]
    assert [it["feature"] for it in found] == ["calls"]


def test_what_begins_and_ends_by_itself_is_told_once_at_its_instant(plane: StatusPlane) -> None:
    """Sidecars have it beforehand: nothing more goes to the feed."""
    plane.report("maintenance", start="2027-01-15T09:00:00Z", until="2027-01-15T09:30:00Z")
    assert plane.shown() == "operational"
    plane.wait("09:00", telling=False)
    assert plane.shown() == "maintenance"
    plane.wait("10:00")
    plane.wait("10:01")
    assert plane.events() == [("09:00", ("operational", "maintenance")), ("09:30", ("maintenance", "operational"))]
    assert len(plane.lines()) == 1


def test_a_change_tells_first_what_was_due(plane: StatusPlane) -> None:
    """The clock could not any more: the report that was due is gone."""
    id_ = plane.report("degraded", start="2027-01-15T09:00:00Z")
    plane.wait("09:10", telling=False)
    assert plane.client.delete(f"{REPORTS}/{id_}").status_code == 204
    assert plane.events() == [("09:00", ("operational", "degraded")), ("09:10", ("degraded", "operational"))]
    assert plane.lines() == [[("degraded", "09:00")], []]


def test_a_report_is_edited_after_the_fact(plane: StatusPlane) -> None:
    """Its version counts; an end of null opens it again; the past alone changes nothing that is shown."""
    id_ = plane.report("down", start="2027-01-15T07:00:00Z", until="2027-01-15T07:30:00Z")
    path, headers = f"{REPORTS}/{id_}", {"content-type": "application/merge-patch+json"}
    assert plane.events() == []
    edited = plane.client.patch(path, json={"status": "partial", "audience": {"tags": ["eu"]}}, headers=headers)
    assert (edited.json()["audience"], edited.headers["etag"]) == ({"tags": ["eu"]}, '"2"')
    assert plane.client.patch(path, json={"note": "x"}, headers={**headers, "if-match": '"1"'}).status_code == 412
    reopened = plane.client.patch(path, json={"until": None, "audience": None}, headers=headers).json()
    assert "until" not in reopened
    assert "audience" not in reopened
    assert plane.events() == [("08:00", ("operational", "partial"))]
    assert plane.lines() == [[("partial", "07:00")]]


@pytest.mark.parametrize(
    ("members", "pointer", "code"),
    [
        ({"feature": "cals"}, "/feature", "unknown-feature"),
        ({"status": "operational"}, "/status", "wrong-value"),
        ({"until": "2027-01-15T08:00:00Z"}, "/until", "out-of-range"),
        ({"audience": {"tags": ["eu"]}}, "/audience", "not-partial"),
        ({"status": "partial", "audience": {}}, "/audience", "empty"),
        ({"status": "partial", "audience": {"items": ["gold"]}}, "/audience/items/0", "unknown-item"),
        ({"start": "today"}, "/start", "wrong-value"),
        ({"public_note": "a\u202eb"}, "/public_note", "bad-character"),
        ({"note": "x" * 4001}, "/note", "too-long"),
        ({"reporter": "me"}, "", "wrong-value"),
    ],
)
def test_a_report_that_makes_no_sense_is_rejected(
    quick: StatusPlane, members: dict[str, Any], pointer: str, code: str
) -> None:
    """With the place of what is wrong; nothing is reported."""
    answer = quick.client.post(REPORTS, json={"feature": "calls", "status": "down"} | members)
    assert answer.status_code in {400, 422}
    assert [(it["pointer"], it["code"]) for it in answer.json()["errors"]] == [(pointer, code)]
    assert quick.client.get(REPORTS).json()["items"] == []


def test_reports_are_listed_by_what_they_are(plane: StatusPlane) -> None:
    """The latest start first, in pages."""
    ids = [
        plane.report("down", start="2027-01-15T05:00:00Z", until="2027-01-15T05:30:00Z"),
        plane.report("degraded", start="2027-01-15T06:00:00Z"),
        plane.report("maintenance", feature="mail", start="2027-01-16T00:00:00Z"),
    ]

    def listed(query: str) -> list[int]:
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            more = "" if cursor is None else f"&cursor={cursor}"
            answer = plane.client.get(f"{REPORTS}?limit=1&{query}{more}")
            items += answer.json()["items"]
            cursor = answer.json()["next"]
            if cursor is None:
                return [ids.index(it["id"]) for it in items]

    assert listed("") == [2, 1, 0]
    assert listed("open=true") == [1]
    assert listed("open=false") == [2, 0]
    assert listed("feature=calls") == [1, 0]
    assert listed("status=down") == [0]
    assert listed("from=2027-01-15T05:30:00Z&until=2027-01-15T07:00:00Z") == [1]
    assert listed("reporter=nobody") == []
    assert plane.client.get(f"{REPORTS}?from=2027-01-02&until=2027-01-01").status_code == 400
    assert plane.client.get(f"{REPORTS}?cursor=eA").status_code == 400


def test_too_many_open_reports_of_a_feature_are_refused(plane: StatusPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sidecars get all of them; what has ended does not count."""
    monkeypatch.setattr("tiergate.admin.status_changes.MAX_OPEN", 2)
    plane.report()
    plane.report("down", start="2027-01-15T07:00:00Z", until="2027-01-15T07:30:00Z")
    plane.report()
    answer = plane.client.post(REPORTS, json={"feature": "calls", "status": "down"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tiergate:problem:too-many-reports")
    assert len(plane.client.get(REPORTS).json()["items"]) == 3


def test_what_services_say_is_measured(plane: StatusPlane) -> None:
    """People write notes on it, and change nothing else; it goes on while services say the same."""

    def say(status: Status | None) -> None:
        plane.store.change(lambda unit: services_report(unit, "calls", status, unit.now), SYSTEM)

    say(Status.DEGRADED)
    plane.wait("08:01")
    say(Status.DEGRADED)
    (report,) = plane.client.get(REPORTS).json()["items"]
    assert (report["reporter_kind"], report["start"][11:16]) == ("services", "08:00")
    path = f"{REPORTS}/{report['id']}"
    assert plane.client.patch(path, json={"public_note": "We know."}).status_code == 200
    edited, deleted = plane.client.patch(path, json={"status": "down"}), plane.client.delete(path)
    refused = [edited, deleted, plane.client.post(f"{path}/end")]
    assert {(it.status_code, it.json()["type"]) for it in refused} == {(409, "urn:tiergate:problem:measured")}
    plane.wait("08:02")
    say(Status.DOWN)
    assert plane.shown() == "down"
    plane.wait("08:03")
    say(None)
    spans = [(it["status"], it["start"][11:16], it["until"][11:16]) for it in plane.client.get(REPORTS).json()["items"]]
    assert spans == [("down", "08:02", "08:03"), ("degraded", "08:00", "08:02")]
    assert plane.shown() == "operational"


def test_changes_at_once_are_told_as_one_chain(plane: StatusPlane) -> None:
    """Each change of a feature begins where the one before ended, whoever comes first; sidecars have what is open."""
    plane.wait("09:00")

    def work(worker: int) -> None:
        client, chance = plane.admin.as_("operations"), random.Random(worker)
        for _ in range(6):
            body = {"feature": chance.choice(["calls", "mail"]), "status": chance.choice(["degraded", "down"])}
            made = client.post(REPORTS, json=body | {"start": f"2027-01-15T08:0{worker}:00Z"})
            assert made.status_code == 201, made.text
            if chance.random() < 0.7:
                assert client.post(f"{REPORTS}/{made.json()['id']}/end").status_code == 200

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    events = plane.admin.as_("admin").get("/v1/events?type=status.changed&limit=500").json()["items"]
    for feature in ("calls", "mail"):
        chain = [it["data"] for it in events if it["data"]["feature"] == feature]
        shown = ["operational", *(it["after"] for it in chain)]
        assert [it["before"] for it in chain] == shown[:-1]
        assert plane.shown(feature) == shown[-1]
    still_open = plane.client.get(f"{REPORTS}?feature=calls&open=true&limit=500").json()["items"]
    assert sorted(status for status, _ in plane.lines()[-1]) == sorted(it["status"] for it in still_open)


def test_a_key_for_one_customer_sees_no_notes(plane: StatusPlane) -> None:
    """It may look at a feature, and does not learn who reported what of whom."""
    plane.report("partial", note="acme complains", public_note="Some cannot call.", audience={"tags": ["eu"]})
    found = plane.admin.as_("admin", customers=["acme"]).get("/v1/features/calls/status").json()
    assert found["status"] == "partial"
    assert found["reports"][0].keys() == {"id", "feature", "status", "start", "public_note"}


def test_who_reported_can_be_erased(plane: StatusPlane) -> None:
    """In reports and in the audit log."""
    id_ = plane.report()
    erased = plane.admin.as_("admin").post("/v1/authors/erase", json={"author": "test/operations"})
    assert erased.status_code == 200
    found = plane.client.get(f"{REPORTS}/{id_}").json()
    assert {found["reporter"], found["created_by"], found["updated_by"]} == {erased.json()["author"]}
    assert "test/operations" not in plane.admin.as_("admin").get("/v1/audit?kind=status_report").text


def test_ended_reports_are_kept_for_their_retention(plane: StatusPlane) -> None:
    """What is open stays, however old it is."""
    old = plane.report("down", start="2020-01-01T00:00:00Z", until="2020-01-02T00:00:00Z")
    kept = plane.report("degraded", start="2020-01-01T00:00:00Z")
    apply_retention(plane.store, parse_instant("2027-01-15T08:00:00Z"), Retention(status=365))
    assert plane.client.get(f"{REPORTS}/{old}").status_code == 404
    assert plane.client.get(f"{REPORTS}/{kept}").status_code == 200
