"""Monitors: declared, heard, silent, and reporting; each changes its own reports alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.control.status_plane import REPORTS, StatusPlane, status_plane
from tiergate.admin.status_clock import count_statuses

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/v1/status/monitors/probe"
BODY = {"features": ["calls"], "every": "5 minutes"}


@pytest.fixture
def plane(store_url: str) -> Iterator[StatusPlane]:
    """A control plane with a monitor of `calls`."""
    with status_plane(store_url) as made:
        assert made.client.put(PATH, json=BODY).status_code == 201
        yield made


def state(plane: StatusPlane) -> str:
    """What the monitor is."""
    return str(plane.client.get(PATH).json()["state"])


def test_a_monitor_that_falls_silent_is_told_apart_from_one_that_says_all_is_well(plane: StatusPlane) -> None:
    """Of its features nothing is known, from when it should have been heard until it is heard again."""
    plane.wait("09:00")
    assert (state(plane), plane.shown()) == ("never_heard", "operational")
    assert plane.client.post(f"{PATH}/heartbeat").status_code == 204
    plane.wait("09:04")
    assert (state(plane), plane.shown()) == ("heard", "operational")
    plane.wait("09:07")
    plane.wait("09:08")
    assert (state(plane), plane.shown()) == ("silent", "unknown")
    plane.client.post(f"{PATH}/heartbeat")
    assert (state(plane), plane.shown()) == ("heard", "operational")
    assert plane.events() == [("09:05", ("operational", "unknown")), ("09:08", ("unknown", "operational"))]
    said = {"monitor": "probe", "features": ["calls"], "since": "2027-01-15T09:05:00.000Z"}
    assert plane.events("monitor.silent", "monitor.heard") == [("09:05", said), ("09:08", said)]
    assert plane.lines() == []


def test_silent_monitors_and_open_reports_are_counted(plane: StatusPlane) -> None:
    """For metrics."""
    plane.client.post(f"{PATH}/heartbeat")
    plane.report("degraded")
    plane.report("degraded", feature="mail", start="2027-01-16")
    assert count_statuses(plane.store) == ({"degraded": 1}, 1, 0)
    plane.wait("08:06")
    assert count_statuses(plane.store).silent == 1


def test_silence_that_nobody_told_is_told_when_it_ends(plane: StatusPlane) -> None:
    """The heartbeat comes before the clock."""
    plane.client.post(f"{PATH}/heartbeat")
    plane.wait("09:00", telling=False)
    plane.client.post(f"{PATH}/heartbeat")
    assert plane.events() == [("08:05", ("operational", "unknown")), ("09:00", ("unknown", "operational"))]
    assert [at for at, _ in plane.events("monitor.silent", "monitor.heard")] == ["08:05", "09:00"]


def test_an_outage_shows_although_a_monitor_is_silent(plane: StatusPlane) -> None:
    """Somebody else knows."""
    plane.client.post(f"{PATH}/heartbeat")
    plane.wait("08:10")
    id_ = plane.report("degraded")
    assert plane.shown() == "degraded"
    plane.client.post(f"{REPORTS}/{id_}/end", json={"at": "2027-01-15T08:10:00.001Z"})
    plane.wait("08:11")
    assert plane.shown() == "unknown"


def test_a_monitor_changes_and_ends_its_own_reports_only(plane: StatusPlane) -> None:
    """One for each key of it; the same said again changes nothing."""
    by_hand = plane.report("degraded")
    answers = [
        plane.client.post(f"{PATH}/report", json={"feature": "calls"} | body).json()
        for body in (
            {"status": "down", "key": "eu"},
            {"status": "down", "key": "us"},
            {"status": "down", "key": "eu", "note": "again"},
        )
    ]
    assert answers[0]["report"]["id"] == answers[2]["report"]["id"]
    plane.wait("08:30")
    plane.client.post(f"{PATH}/report", json={"feature": "calls", "status": "operational", "key": "eu"})
    assert plane.shown() == "down"
    worse = plane.client.post(f"{PATH}/report", json={"feature": "calls", "status": "partial", "key": "us"}).json()
    assert plane.shown() == "partial"
    plane.wait("08:40")
    plane.client.post(f"{PATH}/report", json={"feature": "calls", "status": "operational"})
    assert plane.shown() == "degraded"
    found = plane.client.get(f"{REPORTS}?reporter=probe").json()["items"]
    ends = {it["id"]: it["until"][11:16] for it in found}
    assert ends == {
        answers[0]["report"]["id"]: "08:30",
        answers[1]["report"]["id"]: "08:30",
        worse["report"]["id"]: "08:40",
    }
    assert "until" not in plane.client.get(f"{REPORTS}/{by_hand}").json()


@pytest.mark.parametrize("status", ["operational", "degraded", "down"])
def test_what_comes_late_changes_no_report_that_began_after_it(plane: StatusPlane, status: str) -> None:
    """The newer one is the answer, as it was; of the same instant, the last one counts."""
    body = {"feature": "calls", "status": "down", "note": "new", "at": "2027-01-15T07:50:00Z"}
    newer = plane.client.post(f"{PATH}/report", json=body).json()["report"]
    late = {"feature": "calls", "status": status, "note": "old", "at": "2027-01-15T07:49:59Z"}
    assert plane.client.post(f"{PATH}/report", json=late).json()["report"] == newer
    assert plane.client.get(f"{REPORTS}?reporter=probe").json()["items"] == [newer]
    same = body | {"status": "operational"}
    assert "report" not in plane.client.post(f"{PATH}/report", json=same).json()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"feature": "mail", "status": "down"}, "not-watched"),
        ({"feature": "calls", "status": "unknown"}, "wrong-value"),
        ({"feature": "calls", "status": "down", "at": "2027-01-15T09:00:00Z"}, "out-of-range"),
    ],
)
def test_a_monitor_reports_on_what_it_watches(plane: StatusPlane, body: dict[str, str], code: str) -> None:
    """Nothing else, and nothing that is still to come."""
    assert plane.client.post(f"{PATH}/report", json=body).json()["errors"][0]["code"] == code


def test_one_key_alone_may_speak_for_a_monitor(plane: StatusPlane) -> None:
    """If it says so; an admin's key may not either, but change the monitor."""
    answer = plane.client.put(PATH, json=BODY | {"key": "none"})
    assert answer.json()["errors"][0]["code"] == "unknown-key"


def test_a_monitor_is_changed_in_the_version_that_was_seen(plane: StatusPlane) -> None:
    """Heartbeats are no changes; another interval tells anew what is silent."""
    plane.client.post(f"{PATH}/heartbeat")
    assert plane.client.get(PATH).headers["etag"] == '"1"'
    plane.wait("08:10")
    changed = plane.client.put(PATH, json=BODY | {"every": "1 hour"}, headers={"if-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (state(plane), plane.shown()) == ("heard", "operational")
    assert plane.client.put(PATH, json=BODY, headers={"if-match": '"1"'}).status_code == 412
    assert plane.client.put(PATH, json=BODY, headers={"if-none-match": "*"}).status_code == 412
    assert plane.client.put(PATH, json=BODY | {"features": []}).json()["errors"][0]["code"] == "empty"
    assert plane.client.put(PATH, json=BODY | {"every": "often"}).json()["errors"][0]["code"] == "wrong-value"


def test_what_a_deleted_monitor_said_ends(plane: StatusPlane) -> None:
    """Its reports and its silence; both stay as what was."""
    plane.client.post(f"{PATH}/report", json={"feature": "calls", "status": "down"})
    plane.wait("09:00")
    assert plane.client.delete(PATH).status_code == 204
    assert plane.shown() == "operational"
    assert plane.client.get(f"{REPORTS}?reporter=probe").json()["items"][0]["until"][11:16] == "09:00"
    assert plane.client.post(f"{PATH}/heartbeat").status_code == 404
    assert plane.client.get("/v1/status/monitors").json()["items"] == []


def test_the_same_audience_in_another_order_is_the_same_report(plane: StatusPlane) -> None:
    """It goes on."""
    found = [
        plane.client.post(
            f"{PATH}/report", json={"feature": "calls", "status": "partial", "audience": {"tags": tags}}
        ).json()["report"]
        for tags in (["eu", "us"], ["us", "eu", "us"])
    ]
    assert found[0]["id"] == found[1]["id"]
    assert found[1]["audience"] == {"tags": ["eu", "us"]}


def test_a_feature_is_deleted_when_nothing_tells_its_status_any_more(plane: StatusPlane) -> None:
    """Neither a monitor that may fall silent, nor a report that is open or begins later; those that ended stay."""
    admin = plane.admin.as_("admin")
    id_ = plane.report("degraded")
    later = plane.report("down", start="2027-01-16")
    assert admin.post("/v1/features/calls/archive").is_success
    seen = []
    for end in (
        partial(plane.client.put, PATH, json=BODY | {"features": ["mail"]}),
        partial(plane.client.post, f"{REPORTS}/{id_}/end"),
        partial(plane.client.delete, f"{REPORTS}/{later}"),
    ):
        refusal = admin.delete("/v1/features/calls").json()
        seen.append(
            (
                refusal["type"].rpartition("/")[2].rpartition(":")[2],
                [it in refusal["detail"] for it in ("`probe`", id_, later)],
            )
        )
        assert end().is_success
        plane.wait("08:01")
    assert seen == [
        ("feature-mapped", [True, True, True]),
        ("feature-mapped", [False, True, True]),
        ("feature-mapped", [False, False, True]),
    ]
    assert admin.delete("/v1/features/calls").status_code == 204
    assert admin.post("/v1/features", json={"id": "calls", "type": "switch"}).status_code == 201
    assert plane.shown() == "operational"
