"""What sync says of itself: to `/status` and the metrics, and to the log."""

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
_MOST_SKEW = 30_000
"""Milliseconds by which clocks may differ before it is said."""

_log = structlog.get_logger(__name__)


class SyncReport:
    """The newest report, kept up to date by whoever follows."""

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
        """Everything is fetched anew."""
        self.status = replace(self.status, loading=True)

    def hold(self, kept: ReplicaState, latest: int | None, quarantined: int = 0) -> None:
        """This much is in force now, with so many in quarantine; the feed was seen to reach to `latest`."""
        position = kept.cursor.position
        self.status = replace(
            self.status,
            position=str(position),
            latest=latest,
            lag=None if latest is None else max(0, latest - position),
            customers=kept.customers,
            subscriptions=kept.subscriptions,
            quarantined=quarantined,
        )

    def compare_clocks(self, issued_at: Instant, asked_at: Instant, now: Instant) -> None:
        """See whether `issued_at`, by the store's clock, is between asking and hearing, by this machine's.

        A store keeps what it signed for up to a second.
        """
        skew = max(0, issued_at - now) + min(0, issued_at + _SIGNED_BEFORE - asked_at)
        differ = abs(skew) > _MOST_SKEW
        if differ and not self._clocks_differ:
            _log.error(
                "this machine's clock and the store's differ",
                seconds=round(skew / 1000, 1),
                meaning="the store's is ahead" if skew > 0 else "this machine's is ahead",
                remedy="set the clock that is wrong: dates and the age of data are decided by this machine's",
            )
        elif self._clocks_differ and not differ:
            _log.info("this machine's clock and the store's agree again")
        self._clocks_differ = differ
        self.status = replace(self.status, clock_skew=round(skew / 1000, 3))

    def set_aside(self, records: Iterable[UnreadableRecord]) -> None:
        """These records cannot be read: the newest of their customers."""
        for place, record in enumerate(records):
            if place == _LOGGED_RECORDS:
                _log.warning("more records cannot be read: their customers are in quarantine")
                return
            _log.warning(
                "a record cannot be read: its customer is in quarantine",
                customer=record.customer,
                error=record.detail,
                in_force="the earlier record; where there is none, its checks are evaluation_error",
            )

    def install(self, kept: ReplicaState, now: Instant, seconds: float | None = None) -> None:
        """A publication is in force; `seconds`: how long it took to fetch everything, where that was done."""
        status = replace(self.status, loading=False, loaded_at=now, loads=self.status.loads + 1)
        self.status = status if seconds is None else replace(status, load_seconds=round(seconds, 3))
        _log.info(
            "in force",
            publication=kept.cursor.publication,
            revision=kept.cursor.revision,
            position=kept.cursor.position,
            customers=kept.customers,
            subscriptions=kept.subscriptions,
        )

    def succeed(self, now: Instant) -> None:
        """The store was heard and believed."""
        if self.status.error is not None:
            _log.info("the store is followed again")
        self.status = replace(self.status, loading=False, last_sync_at=now, error=None)

    def fail(self, error: Exception, now: Instant, *, serving: bool, again_in: float) -> None:
        """It was not."""
        said = str(error)
        if said != self.status.error:  # the same over and over is logged once
            log = _log.error if isinstance(error, TrustError) else _log.warning
            in_force = "the last good state" if serving else "nothing: no check can be decided until this is mended"
            log("the store is not followed", error=said, in_force=in_force, again_in=round(again_in, 1))
        status = replace(self.status, loading=False, error=said, failed_at=now)
        self.status = replace(status, failures=status.failures + 1, sync_errors=status.sync_errors + 1)
