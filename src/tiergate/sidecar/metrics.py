"""What the sidecar counts, and how Prometheus reads it.

Counting is done with plain integers, because a repeated check is answered in two or three microseconds; the
collector below turns them into Prometheus's exposition when somebody asks. Durations fall into buckets whose bounds
are powers of two nanoseconds: the bucket of a duration is its bit length.

INVARIANT (metrics are documented): every name here stands in docs/reference/metrics.md, and a test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from tiergate import __version__
from tiergate.model import FOREVER, Reason
from tiergate.process.open_files import DescriptorShortage
from tiergate.sidecar.caller_errors import CallerErrorLog
from tiergate.sidecar.state import SYNC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric

    from tiergate.sidecar.replica.disk_health import DiskReport
    from tiergate.sidecar.state import State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The exposition format that `exposition` writes."""

_LOWEST, _HIGHEST = 10, 31
"""The first and last bucket that are shown: 2^10 ns, about a microsecond, and 2^31 ns, about two seconds."""

_SOURCES = ("engine", "memo", "repeat")


class DecisionCounts:
    """Decisions of one reason, by the endpoint that gave them and where they came from.

    `engine`: decided; `memo`: the same check had been decided; `repeat`: the very same request had been answered.
    """

    __slots__ = ("check_engine", "check_memo", "check_repeat", "checks_engine", "checks_memo")

    def __init__(self) -> None:
        self.check_engine = self.check_memo = self.check_repeat = 0
        self.checks_engine = self.checks_memo = 0


class Durations:
    """How long an endpoint took: `counts[n]` were shorter than 2^n nanoseconds and not than half of that."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * 64
        self.total = 0

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        self.counts[nanoseconds.bit_length()] += 1
        self.total += nanoseconds

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulated buckets, as Prometheus wants them."""
        found: list[tuple[str, float]] = []
        cumulated = sum(self.counts[:_LOWEST])
        for power in range(_LOWEST, _HIGHEST + 1):
            cumulated += self.counts[power]
            found.append((repr(2**power / 1e9), cumulated))
        found.append(("+Inf", sum(self.counts)))
        return found


class Metrics:
    """Every count of one process. Whoever counts adds to the attributes; only the event loop's thread does."""

    def __init__(self) -> None:
        self.reasons: Mapping[Reason, DecisionCounts] = {reason: DecisionCounts() for reason in Reason}
        self.durations = {endpoint: Durations() for endpoint in ("check", "checks", "entitlements", "explain")}
        self.requests: dict[tuple[str, int], int] = {}
        self.problems: dict[str, int] = {}
        self.caller_errors = CallerErrorLog()
        self.connections = 0
        self.descriptors = DescriptorShortage()
        self.sizes: dict[str, Callable[[], tuple[int, int]]] = {}
        self.data: Callable[[], DiskReport | None] = lambda: None
        self.log_records: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def count_request(self, endpoint: str, status: int) -> None:
        """Count an answered request; those that are answered as repeats are counted by their reason alone."""
        key = (endpoint, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def count_problem(self, slug: str) -> None:
        """Count a problem by its type."""
        self.problems[slug] = self.problems.get(slug, 0) + 1

    def repeats(self) -> int:
        """How many requests were answered as repeats."""
        return sum(tally.check_repeat for tally in self.reasons.values())


class _StateCollector(Collector):
    """Turns counts and state into Prometheus's families."""

    def __init__(self, metrics: Metrics, state: State) -> None:
        self._metrics = metrics
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """All families, each time from the present counts."""
        yield from self._answers()
        yield from self._resources()
        yield from self._data()
        yield from self._sync()

    def _answers(self) -> Iterator[Metric]:
        metrics = self._metrics
        decisions = CounterMetricFamily(
            "tiergate_decisions", "Decisions given.", labels=["endpoint", "reason", "source"]
        )
        for reason, tally in metrics.reasons.items():
            for endpoint in ("check", "checks"):
                for source in _SOURCES:
                    count = getattr(tally, f"{endpoint}_{source}", 0)
                    # From 0 on, so that `increase` sees the first of each reason, which is always the engine's.
                    if count or source == "engine":
                        decisions.add_metric([endpoint, reason.value, source], count)
        yield decisions
        requests = CounterMetricFamily("tiergate_requests", "Requests answered.", labels=["endpoint", "status"])
        counts = dict(metrics.requests)
        repeats = metrics.repeats()
        if repeats:
            counts["check", 200] = counts.get(("check", 200), 0) + repeats
        for (endpoint, status), count in sorted(counts.items()):
            requests.add_metric([endpoint, str(status)], count)
        yield requests
        problems = CounterMetricFamily("tiergate_problems", "Problems answered, by their type.", labels=["type"])
        for slug, count in sorted(metrics.problems.items()):
            problems.add_metric([slug], count)
        yield problems
        durations = HistogramMetricFamily(
            "tiergate_request_duration_seconds",
            "From a whole request in memory to its answer handed to the system.",
            labels=["endpoint"],
        )
        for endpoint, duration in metrics.durations.items():
            durations.add_metric([endpoint], duration.buckets(), duration.total / 1e9)
        yield durations

    def _resources(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield GaugeMetricFamily("tiergate_connections", "Open connections of the API.", value=metrics.connections)
        yield CounterMetricFamily(
            "tiergate_open_files_exhausted",
            "How often no descriptor was left, so that new connections were reset.",
            value=metrics.descriptors.count,
        )
        entries = GaugeMetricFamily("tiergate_memo_entries", "Remembered answers.", labels=["memo"])
        size = GaugeMetricFamily("tiergate_memo_bytes", "Memory of remembered answers, about.", labels=["memo"])
        for memo, sizes in metrics.sizes.items():
            count, weight = sizes()
            entries.add_metric([memo], count)
            size.add_metric([memo], weight)
        yield entries
        yield size
        data = metrics.data()
        if data is not None:
            yield GaugeMetricFamily("tiergate_data_bytes", "What the data folder holds on disk.", value=data.used)
            yield GaugeMetricFamily("tiergate_data_free_bytes", "What its disk has left.", value=data.free)
            yield GaugeMetricFamily(
                "tiergate_data_writable", "1 where the data folder can be written.", value=int(data.writable)
            )
        written, dropped = metrics.log_records()
        records = CounterMetricFamily(
            "tiergate_decision_log_records", "Records of the decision log.", labels=["outcome"]
        )
        records.add_metric(["written"], written)
        records.add_metric(["dropped"], dropped)
        yield records

    def _data(self) -> Iterator[Metric]:
        state = self._state
        report = state.report()
        current = state.current
        yield InfoMetricFamily("tiergate_build", "The version that runs.", value={"version": __version__})
        yield GaugeMetricFamily("tiergate_ready", "1 where checks are answered.", value=int(state.ready))
        yield GaugeMetricFamily("tiergate_stale", "1 where answers say stale.", value=int(state.stale))
        yield GaugeMetricFamily(
            "tiergate_unloaded",
            "1 where the startup deadline has passed and there is still nothing to decide by.",
            value=int(state.unloaded),
        )
        if current is not None:
            yield InfoMetricFamily("tiergate_bundle", "The bundle in force.", value={"revision": current.revision})
            yield GaugeMetricFamily("tiergate_publication", "The publication in force.", value=current.publication)
            yield GaugeMetricFamily(
                "tiergate_generation", "How many states of data this process has seen.", value=current.number
            )
            yield GaugeMetricFamily(
                "tiergate_generation_timestamp_seconds",
                "When the state in force was made.",
                value=current.loaded_at / 1000,
            )
        loads = CounterMetricFamily("tiergate_loads", "Loads of data, by how they ended.", labels=["outcome"])
        loads.add_metric(["success"], report.loads)
        loads.add_metric(["failure"], report.failures)
        loads.add_metric(["abandoned"], report.abandoned)
        yield loads
        if report.behind is not None:
            yield GaugeMetricFamily(
                "tiergate_load_behind_seconds",
                "How long the files have said something else than what is in force.",
                value=report.behind,
            )
        if report.loaded_at is not None:
            yield GaugeMetricFamily(
                "tiergate_load_last_success_timestamp_seconds",
                "When the last good load ended.",
                value=report.loaded_at / 1000,
            )
        yield GaugeMetricFamily(
            "tiergate_load_failing",
            "1 where the newest load failed and older data is in force.",
            value=int(report.error is not None),
        )
        if report.load_seconds is not None:
            yield GaugeMetricFamily(
                "tiergate_load_duration_seconds", "How long the last good load took.", value=report.load_seconds
            )
        yield GaugeMetricFamily(
            "tiergate_quarantined_subjects",
            "Subjects whose records cannot be used, so that earlier ones are, or none.",
            value=report.quarantined,
        )
        subjects = GaugeMetricFamily("tiergate_subjects", "Subjects held.", labels=["type"])
        for kind, count in (("customer", report.customers), ("subscription", report.subscriptions)):
            if count is not None:
                subjects.add_metric([kind], count)
        yield subjects

    def _sync(self) -> Iterator[Metric]:
        report = self._state.report()
        if report.mode != SYNC:
            return
        yield CounterMetricFamily(
            "tiergate_sync_errors", "How often the store was not heard, or not believed.", value=report.sync_errors
        )
        if report.lag is not None:
            yield GaugeMetricFamily(
                "tiergate_sync_lag_entries", "Entries of the feed that are not in force yet.", value=report.lag
            )
        if report.last_sync_at is not None:
            yield GaugeMetricFamily(
                "tiergate_sync_last_success_timestamp_seconds",
                "When the store was last heard and believed.",
                value=report.last_sync_at / 1000,
            )
        if report.clock_skew is not None:
            yield GaugeMetricFamily(
                "tiergate_sync_clock_skew_seconds",
                "By how much the store's clock is ahead of this machine's; below 0 where it is behind.",
                value=report.clock_skew,
            )
        if self._state.stale_at < FOREVER:
            yield GaugeMetricFamily(
                "tiergate_stale_timestamp_seconds",
                "From when on answers say stale, unless the store is heard before.",
                value=self._state.stale_at / 1000,
            )


def registry(metrics: Metrics, state: State) -> CollectorRegistry:
    """A registry of everything that this process tells: its own counts, and Python's and the system's."""
    found = CollectorRegistry(auto_describe=False)
    found.register(_StateCollector(metrics, state))
    ProcessCollector(registry=found)
    PlatformCollector(registry=found)
    GCCollector(registry=found)
    return found


def exposition(source: CollectorRegistry) -> bytes:
    """Write what a registry holds in Prometheus's text format."""
    return generate_latest(source)
