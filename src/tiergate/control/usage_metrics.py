"""Counts of the ledger: exchanges with sidecars and how long they took, leases, and usage that was reported here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from tiergate.model import parse_instant
from tiergate.usage.protocol import Granted, Settled
from tiergate.wire.usage import TOO_LATE, RecordedUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from tiergate.admin.usage import Result
    from tiergate.model import Instant
    from tiergate.store.usage_leases import LeaseCounts
    from tiergate.usage.protocol import Reply

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bounds of durations, in seconds."""

_EXCHANGES: Final = ("ok", "fault", "failed")
_LEASES: Final = ("granted", "settled", "disagreed")
_RECORDS: Final = ("counted", "counted_late", "replayed", "too_late", "refused")


class UsageMetrics:
    """What one process has counted. `leases`: those in the store, when they were last looked at."""

    def __init__(self) -> None:
        self.leases: LeaseCounts | None = None
        self._exchanges: Counter[str] = Counter()
        self._leases: Counter[str] = Counter()
        self._records: Counter[str] = Counter()
        self._durations = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def exchanged(self, reply: Reply | None, seconds: float) -> None:
        """Count a request of a sidecar; `reply` none: it failed."""
        self._exchanges["failed" if reply is None else "ok" if reply.fault is None else "fault"] += 1
        self._durations[next((place for place, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1
        self._seconds += seconds
        for result in () if reply is None else reply.results:
            if isinstance(result, Granted):
                self._leases["granted"] += len(result.leases)
            elif isinstance(result, Settled):
                self._leases["settled" if result.agreed else "disagreed"] += 1

    def recorded(self, results: Iterable[Result], now: Instant) -> None:
        """Count usage after the fact, by what became of each record."""
        for result in results:
            self._records[_outcome(result, now)] += 1

    def collect(self) -> Iterator[Metric]:
        """Return all metrics from the current counts."""
        for kind, words, names, counts in (
            ("exchanges", "Requests of sidecars to the ledger, by outcome.", _EXCHANGES, self._exchanges),
            ("leases", "Leases, by what happened to them.", _LEASES, self._leases),
            ("records", "Usage after the fact that was reported here, by outcome.", _RECORDS, self._records),
        ):
            label = "event" if kind == "leases" else "outcome"
            family = CounterMetricFamily(f"tiergate_cp_usage_{kind}", words, labels=[label])
            for value in names:
                family.add_metric([value], counts[value])
            yield family
        durations = HistogramMetricFamily(
            "tiergate_cp_usage_exchange_duration_seconds", "From a request of a sidecar to the reply of the ledger."
        )
        total, buckets = 0, list[tuple[str, float]]()
        for bound, count in zip((*map(repr, BOUNDS), "+Inf"), self._durations, strict=True):
            total += count
            buckets.append((bound, total))
        durations.add_metric([], buckets, self._seconds)
        yield durations
        if self.leases is not None:
            for state, meaning, count in (
                ("open", "Leases that are not settled.", self.leases.open),
                (
                    "expired",
                    "Those that have expired: their sidecars are cut off or lost.",
                    self.leases.expired,
                ),
            ):
                yield GaugeMetricFamily(f"tiergate_cp_usage_leases_{state}", meaning, value=count)


def _outcome(result: Result, now: Instant) -> str:
    if not isinstance(result, RecordedUsage):
        return "too_late" if getattr(result, "title", "") == TOO_LATE else "refused"
    if result.replayed:
        return "replayed"
    until = result.window.until
    return "counted_late" if isinstance(until, str) and parse_instant(until) <= now else "counted"
