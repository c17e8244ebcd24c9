"""Random reports on the status of a world's features, as documents and as sidecars know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import FeatureReports, ReportedStatus, Status, StatusAudience

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from tests.properties.documents import Document

TAGS = ("eu", "us", "pilot", "vip")
STATUSES = ("maintenance", "degraded", "partial", "down")


def random_reports(random: Random, catalog: Document, marks: Sequence[int]) -> dict[str, list[Document]]:
    """Reports on some features, mostly around instants that matter; some are over, some begin later."""
    found: dict[str, list[Document]] = {}
    items = [item["id"] for item in catalog["items"]]
    for feature in catalog["features"]:
        for _ in range(random.choice([0, 1, 1, 2, 4])):
            start = random.choice(marks) + random.choice([-86_400_000, -1, 0, 1, 86_400_000])
            report: Document = {"status": random.choice(STATUSES), "start": start}
            if random.random() < 0.6:
                report["until"] = max(start, random.choice(marks)) + random.choice([0, 1, 3_600_000])
            if report["status"] == "partial" and random.random() < 0.7:
                report["audience"] = {
                    "tags": random.sample(TAGS, random.randrange(3)),
                    "items": random.sample(items, random.randrange(min(3, len(items) + 1))),
                }
            found.setdefault(feature["id"], []).append(report)
    return found


def as_known(reports: Mapping[str, Iterable[Document]]) -> list[FeatureReports]:
    """The same as a replica has them."""
    return [FeatureReports(feature, tuple(map(_as_known, listed))) for feature, listed in reports.items()]


def _as_known(report: Document) -> ReportedStatus:
    audience = report.get("audience")
    known = None if audience is None else StatusAudience(tuple(audience["tags"]), tuple(audience["items"]))
    rest = {key: report[key] for key in ("start", "until") if key in report}
    return ReportedStatus(status=Status(report["status"]), audience=known, **rest)
