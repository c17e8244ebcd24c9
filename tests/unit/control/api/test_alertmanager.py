"""Alertmanager's webhook: as a real one sends it, again and again, late, and out of order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.control.status_plane import NOW, REPORTS, StatusPlane, status_plane
from tiergate.admin.status_clock import tell_statuses

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/v1/status/alertmanager"

# As Alertmanager 0.28 sends it.
DELIVERY: dict[str, Any] = {
    "receiver": "tiergate",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "HighErrorRate",
                "instance": "api-1:9090",
                "severity": "critical",
                "tiergate_feature": "calls",
            },
            "annotations": {"summary": "5 % of calls fail", "tiergate_note": "Some calls fail."},
            "startsAt": "2027-01-15T07:58:01.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
            "fingerprint": "c6eba1ca3b3a6bd1",
        }
    ],
    "groupLabels": {"alertname": "HighErrorRate"},
    "commonLabels": {"alertname": "HighErrorRate", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="HighErrorRate"}',
    "truncatedAlerts": 0,
}


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


def alert(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of an alert
    """The alert of the delivery, with other members; `labels` are added."""
    base: dict[str, Any] = DELIVERY["alerts"][0]
    return base | changes | {"labels": base["labels"] | changes.get("labels", {})}


def deliver(plane: StatusPlane, *alerts: dict[str, Any], query: str = "", **members: object) -> dict[str, Any]:
    """Send alerts; return the answer."""
    answer = plane.client.post(PATH + query, json=DELIVERY | {"alerts": list(alerts)} | members)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def reports(plane: StatusPlane) -> list[tuple[str, str, str]]:
    """The feature, the start and the end of each report, by time of day."""
    items = plane.client.get(REPORTS, params={"limit": 500}).json()["items"]
    return sorted((it["feature"], it["start"][11:19], it.get("until", "")[11:19]) for it in items)


def test_an_alert_opens_a_report_and_ends_it(plane: StatusPlane) -> None:
    """With the notes of its annotations; repetitions do no harm."""
    assert plane.client.post(PATH, json=DELIVERY).json()["opened"] == 1
    again = plane.client.post(PATH, json=DELIVERY).json()
    assert (again["opened"], again["unchanged"]) == (0, 1)
    report = plane.client.get(REPORTS).json()["items"][0]
    assert (report["status"], report["reporter_kind"], report["reporter"]) == ("down", "monitor", "alertmanager")
    assert report["note"] == "HighErrorRate: 5 % of calls fail"
    assert report["public_note"] == "Some calls fail."
    assert report["start"] == "2027-01-15T07:58:01.123Z"
    resolved = alert(status="resolved", endsAt="2027-01-15T07:59:00+00:00")
    assert deliver(plane, resolved, status="resolved")["ended"] == 1
    assert deliver(plane, resolved, status="resolved")["unchanged"] == 1
    assert deliver(plane, alert())["unchanged"] == 1
    assert reports(plane) == [("calls", "07:58:01", "07:59:00")]


def test_what_came_late_or_not_at_all_does_no_harm(plane: StatusPlane) -> None:
    """An end without a beginning is remembered; an older alert does not come back over a newer one."""
    deliver(plane, alert(status="resolved", endsAt="2027-01-15T07:59:00Z"))
    deliver(plane, alert())
    assert reports(plane) == [("calls", "07:58:01", "07:59:00")]
    plane.wait("08:30")
    newer = alert(startsAt="2027-01-15T08:20:00Z")
    deliver(plane, newer)
    assert deliver(plane, alert(startsAt="2027-01-15T08:10:00Z"))["unchanged"] == 1
    newest = alert(startsAt="2027-01-15T08:25:00Z")
    deliver(plane, newest)  # the end of the one before never came
    assert reports(plane)[1:] == [("calls", "08:20:00", "08:25:00"), ("calls", "08:25:00", "")]


def test_each_alert_and_each_source_ends_its_own(plane: StatusPlane) -> None:
    """Two alerts of one feature, one alert of two features, another Alertmanager, and a person."""
    by_hand = plane.report("degraded")
    other = alert(fingerprint="f2", labels={"tiergate_feature": "calls, mail", "severity": "warning"})
    assert deliver(plane, alert(), other)["opened"] == 3
    deliver(plane, alert(), query="?monitor=staging")
    deliver(plane, alert(status="resolved"), other | {"status": "resolved"})
    assert (plane.shown("mail"), plane.shown("calls")) == ("operational", "down")
    deliver(plane, alert(status="resolved"), query="?monitor=staging")
    plane.wait("08:01")
    assert plane.shown("calls") == "degraded"
    assert "until" not in plane.client.get(f"{REPORTS}/{by_hand}").json()


def test_what_a_person_ended_stays_ended(plane: StatusPlane) -> None:
    """Although the alert still fires."""
    deliver(plane, alert())
    id_ = plane.client.get(REPORTS).json()["items"][0]["id"]
    plane.client.post(f"{REPORTS}/{id_}/end")
    deliver(plane, alert())
    assert plane.shown() == "operational"


@pytest.mark.parametrize("start", ["2027-01-15T07:50:00Z", "2027-01-15T07:59:30Z"])
def test_a_report_whose_start_a_person_moved_still_stands_for_its_alert(plane: StatusPlane, start: str) -> None:
    """It is not doubled while the alert fires, and ends with it; one that the person ended is left as it is."""
    deliver(plane, alert())
    id_ = plane.client.get(REPORTS).json()["items"][0]["id"]
    headers = {"content-type": "application/merge-patch+json"}
    assert plane.admin.as_("admin").patch(f"{REPORTS}/{id_}", json={"start": start}, headers=headers).status_code == 200
    assert deliver(plane, alert())["unchanged"] == 1
    plane.wait("08:05")
    deliver(plane, alert(status="resolved", endsAt="2027-01-15T08:04:00Z"))
    assert reports(plane) == [("calls", start[11:19], "08:04:00")]
    plane.admin.as_("admin").patch(f"{REPORTS}/{id_}", json={"until": "2027-01-15T08:03:00Z"}, headers=headers)
    assert deliver(plane, alert())["unchanged"] == 1
    assert reports(plane) == [("calls", start[11:19], "08:03:00")]


def test_a_delivery_cannot_make_rows_without_bound(quick: StatusPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too many is named, and the rest counts."""
    monkeypatch.setattr("tiergate.admin.alertmanager._MAX_SAID", 1)
    found = deliver(quick, *(alert(fingerprint=f"b{number}", status="resolved") for number in range(3)))
    assert (found["ended"], [it["code"] for it in found["rejected"]]) == (1, ["too-many", "too-many"])


def test_what_is_wrong_with_one_alert_does_not_lose_the_others(plane: StatusPlane) -> None:
    """It is named, with its place, feature and code."""
    found = deliver(
        plane,
        alert(fingerprint="a", labels={"tiergate_feature": "cals,calls"}),
        alert(fingerprint="b", labels={"tiergate_status": "broken"}),
        alert(fingerprint="c", startsAt="yesterday"),
        alert(fingerprint="d", labels={"tiergate_feature": "mail"}),
        alert(fingerprint="", labels={"tiergate_feature": "mail"}),
        truncatedAlerts=3,
    )
    assert (found["opened"], found["truncated"]) == (2, 3)
    assert [(it["pointer"], it["code"], it.get("feature")) for it in found["rejected"]] == [
        ("/alerts/0", "unknown-feature", "cals"),
        ("/alerts/1", "wrong-value", None),
        ("/alerts/2", "wrong-value", None),
        ("/alerts/4", "out-of-range", None),
    ]


def test_more_alerts_than_a_feature_may_have_reports_lose_no_other(
    plane: StatusPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first open reports, the others are named, and those of other features count."""
    monkeypatch.setattr("tiergate.admin.alertmanager.MAX_OPEN", 2)
    monkeypatch.setattr("tiergate.admin.status_changes.MAX_OPEN", 2)
    alerts = [alert(fingerprint=f"f{number}") for number in range(3)]
    found = deliver(plane, *alerts, alert(fingerprint="m", labels={"tiergate_feature": "mail"}))
    assert (found["opened"], [it["code"] for it in found["rejected"]]) == (3, ["too-many-reports"])
    found = deliver(plane, *(it | {"status": "resolved"} for it in alerts))
    assert (found["ended"], found["rejected"]) == (3, [])


@pytest.mark.parametrize(
    ("labels", "status"),
    [
        ({"severity": "page"}, "down"),
        ({"severity": "Warning"}, "degraded"),
        ({"severity": "something"}, "degraded"),
        ({"severity": "info"}, "operational"),
        ({"tiergate_status": "partial"}, "partial"),
        ({"tiergate_status": "maintenance", "severity": "info"}, "maintenance"),
        ({"tiergate_feature": " , "}, "operational"),
    ],
)
def test_labels_say_what_an_alert_means(quick: StatusPlane, labels: dict[str, str], status: str) -> None:
    """The status itself, else the severity; what is no report is ignored."""
    found = deliver(quick, alert(labels=labels))
    assert quick.shown() == status
    deliver(quick, alert(labels=labels, status="resolved", endsAt="2027-01-15T07:59:00Z"))
    for report in quick.client.get(REPORTS).json()["items"]:
        quick.client.delete(f"{REPORTS}/{report['id']}")
    assert found["ignored"] == (status == "operational")


def test_deliveries_are_heartbeats_of_a_declared_monitor(plane: StatusPlane) -> None:
    """Such as those of a watchdog, which names no feature."""
    plane.client.put("/v1/status/monitors/alertmanager", json={"features": ["calls"], "every": "5 minutes"})
    watchdog = {"status": "firing", "labels": {"alertname": "Watchdog"}, "startsAt": NOW, "fingerprint": "w"}
    assert deliver(plane, watchdog)["ignored"] == 1
    plane.wait("08:06")
    assert plane.shown() == "unknown"
    deliver(plane, watchdog)
    assert plane.shown() == "operational"


def test_another_version_or_name_is_refused(plane: StatusPlane) -> None:
    """As a whole, so that nobody thinks that it works."""
    assert plane.client.post(PATH, json=DELIVERY | {"version": "5"}).status_code == 422
    assert plane.client.post(f"{PATH}?monitor=a/b", json=DELIVERY).status_code == 400


def test_any_order_of_deliveries_ends_in_the_same_reports(sqlite_url: str) -> None:
    """One alert that fires and is resolved four times: each comes twice, in any order, and the last at last."""
    chance = random.Random(7)
    with status_plane(sqlite_url) as plane:
        plane.wait("20:00")
        for number in range(4):
            name = f"f{number}"
            starts = sorted(chance.sample(range(600), 8))
            said = []
            for begin, end in zip(starts[::2], starts[1::2], strict=True):
                its = {"fingerprint": name, "startsAt": _at(begin)}
                said += [alert(**its), alert(**its, status="resolved", endsAt=_at(end))]
            shuffled = [*said, *said]
            chance.shuffle(shuffled)
            for first in range(0, 16, 3):
                deliver(plane, *shuffled[first : first + 3])
            deliver(plane, said[-1])
            found = plane.client.get(f"{REPORTS}?limit=500").json()["items"]
            assert all("until" in it for it in found)
            spans = sorted((it["start"], it["until"]) for it in found if it["note"].startswith("High"))
            assert (_at(starts[-2]), _at(starts[-1])) in spans
        tell_statuses(plane.store)
        assert plane.shown() == "operational"


def _at(minute: int) -> str:
    return f"2027-01-15T{8 + minute // 60:02}:{minute % 60:02}:00.000Z"


def test_an_alert_may_name_what_its_monitor_does_not_watch(plane: StatusPlane) -> None:
    """A rejection would be seen by nobody; what it watches is unknown when it is silent."""
    assert plane.client.put("/v1/status/monitors/alertmanager", json={"features": ["mail"]}).status_code == 201
    answer = deliver(plane, alert())
    assert (answer["opened"], answer["rejected"]) == (1, [])
