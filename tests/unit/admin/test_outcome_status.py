"""Reports of services follow the outcomes that sidecars deliver, in real stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.stores import put_in_force
from tiergate.admin.outcome_status import SETTLED_MS, judge_services
from tiergate.admin.status_changes import services_report
from tiergate.errors import ConflictError
from tiergate.model import FOREVER, ReporterKind, Status
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS
from tiergate.store import SYSTEM, Store
from tiergate.store.outcomes import add_batch
from tiergate.store.status_reports import open_reports_of, reports_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Instant
    from tiergate.store import WriteUnit

START = 1_800_000_000_000
CATALOG = """\
apiVersion: tiergate/v1
features:
  - {id: calls, type: switch, service_level: {availability: 99.9}}
  - {id: movies, type: switch}
items: []
"""


class Services:
    """Services that report, and a control plane whose clock stands until it is moved."""

    def __init__(self, store_url: str) -> None:
        self.now = START
        self.store = Store.open(store_url, clock=lambda: self.now)
        self.batches = 0
        put_in_force(self.store, CATALOG)

    def minute(self, failed: int | None, feature: str = "calls") -> int:
        """Let a minute pass, in which so many of 100 requests fail; return how many features change their status."""
        if failed is not None:
            self.batches += 1
            sums = [MinuteSum(feature, self.now, 100, failed)]
            self.store.change(lambda unit: add_batch(unit, "source", self.batches, sums), SYSTEM)
        self.now += MINUTE_MS + SETTLED_MS
        changed = judge_services(self.store)
        self.now -= SETTLED_MS
        return changed

    def reports(self) -> list[tuple[str, int, int | None]]:
        """Status, and the minutes from which until which it is reported."""
        found = self.store.read(lambda unit: reports_between(unit, START, FOREVER)).get("calls", [])
        assert all(it.reporter.kind is ReporterKind.SERVICES for it in found)
        return [
            (it.status.value, _minutes(it.start), None if it.until == FOREVER else _minutes(it.until)) for it in found
        ]


def _minutes(instant: Instant) -> int:
    return (instant - START) // MINUTE_MS


@pytest.fixture
def services(store_url: str) -> Iterator[Services]:
    """Both databases."""
    made = Services(store_url)
    yield made
    made.store.close()


def test_a_report_begins_gets_worse_and_ends_with_the_outcomes(services: Services) -> None:
    """By whole minutes, from the first bad one to the last."""
    assert [services.minute(failed) for failed in (0, 10, 0, 10)] == [0, 0, 0, 0]
    assert services.minute(10) == 1
    assert services.reports() == [("degraded", 3, None)]
    assert [services.minute(failed) for failed in (90, 90, 90)] == [0, 1, 0]
    assert services.reports() == [("degraded", 3, 5), ("down", 5, None)]
    assert [services.minute(failed) for failed in (0, 0, 0, 0)] == [0, 0, 1, 0]
    assert services.reports() == [("degraded", 3, 5), ("down", 5, 8)]


def test_what_is_not_promised_is_not_judged(services: Services) -> None:
    """And a report ends when its promise does, or its feature."""
    assert [services.minute(90, "movies") for _ in range(3)] == [0, 0, 0]
    assert [services.minute(90) for _ in range(2)] == [0, 1]
    put_in_force(services.store, CATALOG.replace(", service_level: {availability: 99.9}", ""))
    assert services.minute(90) == 1
    assert services.reports()[0][2] is not None


def test_a_minute_is_judged_when_sidecars_had_time_to_deliver(services: Services) -> None:
    """Not before: half of its outcomes could be missing."""
    services.minute(90)
    services.minute(90)
    services.now += MINUTE_MS
    assert judge_services(services.store) == 0
    assert len(services.reports()) == 1


def test_a_feature_with_too_many_reports_holds_up_no_other(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left as it is."""
    catalog = CATALOG.replace("id: movies, type: switch", "id: movies, type: switch, service_level: {availability: 99}")
    put_in_force(services.store, catalog)

    def report(unit: WriteUnit, feature: str, *of: Any) -> None:  # noqa: ANN401 - as what it stands for
        if feature == "calls":
            raise ConflictError("too-many-reports", "enough")
        services_report(unit, feature, *of)

    monkeypatch.setattr("tiergate.admin.outcome_status.services_report", report)
    sums = [MinuteSum(it, START + at * MINUTE_MS, 100, 100) for it in ("calls", "movies") for at in range(2)]
    services.store.change(lambda unit: add_batch(unit, "source", 1, sums), SYSTEM)
    services.now = START + 2 * MINUTE_MS + SETTLED_MS
    assert judge_services(services.store) == 1
    assert list(services.store.read(lambda unit: reports_between(unit, START, FOREVER))) == ["movies"]


def test_a_report_on_one_feature_leaves_those_on_others(services: Services) -> None:
    """They are not even read."""
    for feature in ("calls", "movies"):
        services.store.change(lambda unit: services_report(unit, feature, Status.DOWN, START), SYSTEM)  # noqa: B023 - at once
    services.store.change(lambda unit: services_report(unit, "movies", Status.OPERATIONAL, START + MINUTE_MS), SYSTEM)
    assert services.reports() == [("down", 0, None)]
    name = "outcomes"
    open_ = services.store.read(lambda unit: open_reports_of(unit, ReporterKind.SERVICES, name, "movies"))
    assert open_ == []
