"""Outcomes where there is no sidecar: what stands in for one takes the reports of a service, and sends nothing.

A misspelt feature is an error at once: a client would only count it among those that are lost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.client.check_arguments import expect_offset
from tiergate.client.outcomes import OutcomeMeasure, OutcomeMinute
from tiergate.errors import SidecarUnreachableError

if TYPE_CHECKING:
    from tiergate.client.outcomes import MeasuredOutcome

_LISTED: Final = timedelta(hours=1)


class ReportedOutcome(NamedTuple):
    """How a request to a feature went, as it was reported. `at`: when, with an offset."""

    feature: str
    ok: bool
    duration_ms: float | None
    at: datetime
    id: str | None


class LocalOutcomes(ABC):
    """Takes outcomes as `Sidecar` does, and forgets them."""

    def outcome(
        self,
        feature: str,
        *,
        ok: bool,
        duration_ms: float | None = None,
        at: datetime | None = None,
        id: str | None = None,
        wait: bool = False,
    ) -> bool | None:
        """Take an outcome as `Sidecar.outcome`; with `wait`, return whether its id was there before.

        Raises:
            UnknownFeatureError: there is no such feature; also without `wait`.
            SidecarUnreachableError, CheckError: only with `wait`.
        """
        self._expect(feature)
        if at is not None and at.tzinfo is None:
            if wait:
                expect_offset(at)
            at = None
        duration = None if duration_ms is None else max(0.0, round(duration_ms, 3))
        moment = datetime.now(UTC) if at is None else at
        replayed = self._take(ReportedOutcome(feature, ok, duration, moment, id), wait=wait)
        return replayed if wait else None

    def measure(self, feature: str, *, expected: tuple[type[Exception], ...] = ()) -> OutcomeMeasure:
        """Report how a block or a decorated function goes, as `Sidecar.measure`.

        Raises:
            UnknownFeatureError: there is no such feature.
        """
        self._expect(feature)

        def report(outcome: MeasuredOutcome, duration_ms: float) -> None:
            self.outcome(feature, ok=outcome.ok, duration_ms=duration_ms)

        return OutcomeMeasure(report, expected)

    @property
    def outcomes_lost(self) -> int:
        """How many outcomes were dropped."""
        return 0

    def flush_outcomes(self) -> None:  # noqa: B027 - nothing to do is what is to do
        """Do nothing: nothing waits."""

    def outcomes(self, feature: str, since: datetime | None = None) -> list[OutcomeMinute]:
        """Return what was reported of a feature by minute, as `Sidecar.outcomes`: nothing.

        Raises:
            UnknownFeatureError: there is no such feature.
        """
        del since
        self._expect(feature)
        return []

    def _take(self, outcome: ReportedOutcome, *, wait: bool) -> bool:  # noqa: ARG002 - for what remembers them
        """Take an outcome; return whether its id was there before."""
        return False

    @abstractmethod
    def _expect(self, feature: str) -> object:
        """Raise `UnknownFeatureError` if there is no such feature."""


class RememberedOutcomes(LocalOutcomes):
    """Takes outcomes, and remembers them. `reported`: those so far, for assertions; with an id, once.

    `is_down`: while it is true, outcomes are lost.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.reported: list[ReportedOutcome] = []
        self.is_down = False
        self._ids: set[tuple[str, str]] = set()
        self._lost = 0

    @property
    def outcomes_lost(self) -> int:
        """How many outcomes were dropped, because it was down."""
        return self._lost

    def outcomes(self, feature: str, since: datetime | None = None) -> list[OutcomeMinute]:
        """Return what was reported of a feature by minute, as `Sidecar.outcomes`; it has no bounds of latency."""
        self._expect_up()
        self._expect(feature)
        if since is not None:
            expect_offset(since)
        begin = datetime.now(UTC) - _LISTED if since is None else since
        counts: dict[datetime, list[bool]] = {}
        for one in self.reported:
            if one.feature == feature and _minute(one.at) >= begin:
                counts.setdefault(_minute(one.at), []).append(one.ok)
        return [
            OutcomeMinute(minute=f"{minute:%Y-%m-%dT%H:%M:%S.000Z}", requests=len(all_ok), failed=all_ok.count(False))
            for minute, all_ok in sorted(counts.items())
        ]

    def _take(self, outcome: ReportedOutcome, *, wait: bool) -> bool:
        try:
            self._expect_up()
        except SidecarUnreachableError:
            if wait:
                raise
            self._lost += 1
            return False
        if outcome.id is not None:
            if (outcome.feature, outcome.id) in self._ids:
                return True
            self._ids.add((outcome.feature, outcome.id))
        self.reported.append(outcome)
        return False

    @abstractmethod
    def _expect_up(self) -> None:
        """Raise `SidecarUnreachableError` while it is down."""


def _minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)
