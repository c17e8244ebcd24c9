"""Reporting on sync: for `/status`, the metrics and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from tiergate.errors import TrustError
from tiergate.sidecar.state import SourceReport, StatusReport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.feed.unreadable_records import UnreadableRecord
    from tiergate.model import Instant
    from tiergate.sidecar.replica.schema import ReplicaState

_LOGGED_RECORDS = 20
_SIGNED_BEFORE = 1_000
_MAX_SKEW = 30_000
"""Milliseconds by which clocks may differ without a log line."""

_log = structlog.get_logger(__name__)


class SyncReport:
    """The report of sync, kept up to date by the follower."""

    def __init__(self, control_plane: str, object_store: str | None = None, *, max_staleness: float) -> None:
        self._clocks_differ = False
        sources = [("control-plane", control_plane), ("object-store", object_store)]
        self.status = StatusReport(
            mode="sync",
            sources=tuple(SourceReport(kind=kind, location=url) for kind, url in sources if url is not None),
            loading=True,
            max_staleness=max_staleness,
            control_plane=control_plane,
        )

    def begin(self) -> None:
        """Note that everything is being fetched."""
        self.status = replace(self.status, loading=True)

    def set_active(self, state: ReplicaState, latest: int | None, quarantined: int = 0) -> None:
        """Set the active state, and the number of quarantined customers. `latest`: the last known position."""
        position = state.cursor.position
        self.status = replace(
            self.status,
            position=str(position),
            latest=latest,
            lag=None if latest is None else max(0, latest - position),
            customers=state.customers,
            subscriptions=state.subscriptions,
            quarantined=quarantined,
        )

    def compare_clocks(self, issued_at: Instant, requested_at: Instant, now: Instant) -> None:
        """Compare the store's clock at `issued_at` with this machine's from the request to the response.

        A store reuses a signature for up to a second.
        """
        skew = max(0, issued_at - now) + min(0, issued_at + _SIGNED_BEFORE - requested_at)
        differ = abs(skew) > _MAX_SKEW
        if differ and not self._clocks_differ:
            _log.error(
                "clock differs from the store's clock",
                seconds=round(skew / 1000, 1),
                meaning="the store's clock is ahead" if skew > 0 else "this machine's clock is ahead",
                remedy="set the wrong clock: this machine's clock decides about dates and the age of data",
            )
        elif self._clocks_differ and not differ:
            _log.info("clock agrees with the store's clock again")
        self._clocks_differ = differ
        self.status = replace(self.status, clock_skew=round(skew / 1000, 3))

    def quarantine(self, records: Iterable[UnreadableRecord]) -> None:
        """Log the newest records of customers that cannot be read."""
        for place, record in enumerate(records):
            if place == _LOGGED_RECORDS:
                _log.warning("cannot read more records; their customers are in quarantine")
                return
            _log.warning(
                "cannot read a record; its customer is in quarantine",
                customer=record.customer,
                error=record.detail,
                in_force="the earlier record; without one, checks of the customer are evaluation_error",
            )

    def install(self, state: ReplicaState, now: Instant, seconds: float | None = None) -> None:
        """Note a new active publication. `seconds`: how long fetching everything took, if that was done."""
        status = replace(self.status, loading=False, loaded_at=now, loads=self.status.loads + 1)
        self.status = status if seconds is None else replace(status, load_seconds=round(seconds, 3))
        _log.info(
            "publication active",
            publication=state.cursor.publication,
            revision=state.cursor.revision,
            position=state.cursor.position,
            customers=state.customers,
            subscriptions=state.subscriptions,
        )

    def succeed(self, now: Instant) -> None:
        """Note a verified response of the store."""
        if self.status.error is not None:
            _log.info("following the store again")
        self.status = replace(self.status, loading=False, last_sync_at=now, error=None)

    def fail(self, error: Exception, now: Instant, *, serving: bool, again_in: float) -> None:
        """Note a failure. The same failure is logged once, however often it repeats."""
        detail = str(error)
        if detail != self.status.error:
            log = _log.error if isinstance(error, TrustError) else _log.warning
            in_force = "the last good state" if serving else "nothing: checks cannot be decided until this is fixed"
            log("cannot follow the store", error=detail, in_force=in_force, again_in=round(again_in, 1))
        status = replace(self.status, loading=False, error=detail, failed_at=now)
        self.status = replace(status, failures=status.failures + 1, sync_errors=status.sync_errors + 1)
