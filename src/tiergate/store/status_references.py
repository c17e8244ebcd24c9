"""References from reports and monitors to features: a feature is not deleted while its status is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from tiergate.store.status_reports import reports_after
from tiergate.store.tables import STATUS_MONITORS

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.store.units import ReadUnit

_decode_features = msgspec.json.Decoder(tuple[str, ...]).decode


def describe_status_references(unit: ReadUnit, features: Collection[str]) -> dict[str, list[str]]:
    """Describe the reports on some features that are open or begin later, and their monitors, by feature."""
    found: dict[str, list[str]] = {}
    if not features:
        return found
    columns = STATUS_MONITORS.c
    query = select(columns.name, columns.features).order_by(columns.name)
    for name, content in unit.session.connection().execute(query):
        for id_ in set(_decode_features(content)).intersection(features):
            found.setdefault(id_, []).append(f"the status monitor `{name}`")
    for stored in reports_after(unit, unit.now, sorted(features)):
        found.setdefault(stored.report.feature, []).append(
            f"the status report `{stored.report.id}`, which has not ended"
        )
    return found
