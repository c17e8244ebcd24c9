"""What figures of service levels are made of: reports, silences and judgements of outcomes, of many features at once.

Reports of services are left out: outcomes are judged to the minute, and a report is what was shown at the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import bindparam, select

from tiergate.model import Interval, ReporterKind, Status, StatusAudience
from tiergate.status.courses import Span
from tiergate.status.promises import PromiseKey
from tiergate.store.id_lists import is_among
from tiergate.store.outcome_judgements import HOUR_MS, read_bad_spans
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import OUTCOME_JUDGEMENTS, STATUS_REPORTS, STATUS_SILENCES

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

_R, _S, _J = STATUS_REPORTS.c, STATUS_SILENCES.c, OUTCOME_JUDGEMENTS.c
# `start + 0`, so that SQLite takes the index on `until`: most reports of a long past have ended.
_REPORTS: Final = select(_R.feature, _R.status, _R.start, _R.until, _R.audience).where(
    _R.until > bindparam("after"), _R.start + 0 < bindparam("before"), _R.reporter_kind != ReporterKind.SERVICES.value
)
_SILENCES: Final = select(_S.feature, _S.start, _S.until).where(
    _S.until > bindparam("after"), _S.start < bindparam("before")
)
_JUDGEMENTS: Final = select(_J.feature, _J.item, _J.bad).where(
    _J.hour > bindparam("after"), _J.hour < bindparam("before")
)
_OF_ALL: Final = (Query(_REPORTS), Query(_SILENCES), Query(_JUDGEMENTS))
_OF_SOME: Final = tuple(
    Query(query.where(is_among(columns.feature)))
    for query, columns in ((_REPORTS, _R), (_SILENCES, _S), (_JUDGEMENTS, _J))
)
_STATUSES: Final = {status.value: status for status in Status}

_decode_audience: Final = msgspec.json.Decoder(StatusAudience).decode


class StatusHistory:
    """What is known of features over an interval."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.reports: dict[str, list[Span]] = {}
        """Feature id → reports that concern everybody, or nobody in particular."""
        self.partial: dict[str, list[tuple[Span, StatusAudience]]] = {}
        """Feature id → reports with an audience."""
        self.silences: dict[str, list[Interval]] = {}
        self.judged: dict[PromiseKey, list[Span]] = {}


def read_status_history(
    connection: Connection, within: Interval, features: Collection[str] | None = None
) -> StatusHistory:
    """Read what is known of features, some or all, over an interval."""
    bounds: dict[str, object] = {"after": within.start, "before": within.until}
    hours: dict[str, object] = {"after": within.start - HOUR_MS, "before": within.until}
    queries: tuple[Query, ...] = _OF_ALL
    if features is not None:
        queries = _OF_SOME
        bounds["ids"] = hours["ids"] = list(features)
    reports, silences, judgements = fetch_together(connection, list(zip(queries, (bounds, bounds, hours), strict=True)))
    history = StatusHistory()
    for feature, status, start, until, audience in reports:
        span = Span(start, until, _STATUSES[status])
        if audience is None:
            history.reports.setdefault(feature, []).append(span)
        else:
            history.partial.setdefault(feature, []).append((span, _decode_audience(audience)))
    for feature, start, until in silences:
        history.silences.setdefault(feature, []).append(Interval(start, until))
    for feature, item, bad in judgements:
        spans = history.judged.setdefault(PromiseKey(feature, item), [])
        spans += [Span(*span) for span in read_bad_spans(bad)]
    return history
