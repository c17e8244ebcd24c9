"""What figures of service levels are made of: reports, silences and judgements of outcomes, of many features at once.

Reports of services are left out: outcomes are judged to the minute, and a report is what was shown at the time.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import bindparam, select

from tiergate.model import Interval, ReporterKind, Status, StatusAudience
from tiergate.status.courses import COLUMN_OF
from tiergate.store.id_lists import is_among
from tiergate.store.outcome_judgements import HOUR_MS, bad_spans
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import OUTCOME_JUDGEMENTS, STATUS_REPORTS, STATUS_SILENCES

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from tiergate.status.courses import Piece

_R, _S, _J = STATUS_REPORTS.c, STATUS_SILENCES.c, OUTCOME_JUDGEMENTS.c
# `start + 0`, so that SQLite takes the index on `until`: most reports of a long past have ended. It has all columns of
# `_WHOLE`; only reports of `partial` may have an audience.
_COUNTED: Final = (
    (_R.until > bindparam("after"))
    & (_R.start + 0 < bindparam("before"))
    & (_R.reporter_kind != ReporterKind.SERVICES.value)
)
_WHOLE: Final = select(_R.feature, _R.start, _R.until, _R.status).where(_COUNTED, _R.status != Status.PARTIAL.value)
_PARTIAL: Final = select(_R.feature, _R.start, _R.until, _R.audience).where(_COUNTED, _R.status == Status.PARTIAL.value)
_SILENCES: Final = select(_S.feature, _S.start, _S.until).where(
    _S.until > bindparam("after"), _S.start < bindparam("before")
)
_JUDGEMENTS: Final = select(_J.feature, _J.item, _J.bad).where(
    _J.hour > bindparam("after"), _J.hour < bindparam("before")
)
_OF_ALL: Final = (Query(_WHOLE), Query(_PARTIAL), Query(_SILENCES), Query(_JUDGEMENTS))
_OF_SOME: Final = tuple(
    Query(query.where(is_among(columns.feature)))
    for query, columns in ((_WHOLE, _R), (_PARTIAL, _R), (_SILENCES, _S), (_JUDGEMENTS, _J))
)
_PARTIAL_COLUMN: Final = COLUMN_OF[Status.PARTIAL.value]

_decode_audience: Final = msgspec.json.Decoder(StatusAudience).decode


class StatusHistory:
    """What is known of features over an interval."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.reports: defaultdict[str, list[Piece]] = defaultdict(list)
        """Feature id → reports that concern everybody, or nobody in particular."""
        self.partial: defaultdict[str, list[tuple[Piece, StatusAudience]]] = defaultdict(list)
        """Feature id → reports with an audience."""
        self.silences: defaultdict[str, list[Interval]] = defaultdict(list)
        self.judged: defaultdict[tuple[str, str], list[Piece]] = defaultdict(list)
        """Feature and item, empty for what everybody is promised → what outcomes say by that promise."""


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
    parameters = (bounds, bounds, bounds, hours)
    whole, partial, silences, judgements = fetch_together(connection, list(zip(queries, parameters, strict=True)))
    history, column_of = StatusHistory(), COLUMN_OF
    reports = history.reports
    for feature, start, until, status in whole:
        if status in column_of:
            reports[feature].append((start, until, column_of[status]))
    for feature, start, until, audience in partial:
        piece = (start, until, _PARTIAL_COLUMN)
        if audience is None:
            reports[feature].append(piece)
        else:
            history.partial[feature].append((piece, _decode_audience(audience)))
    for feature, start, until in silences:
        history.silences[feature].append(Interval(start, until))
    for feature, item, bad in judgements:
        history.judged[feature, item] += [(start, until, column_of[status]) for start, until, status in bad_spans(bad)]
    return history
