"""The sidecar's metrics, and their Prometheus exposition.

Counts are plain integers, because a repeated check takes two or three microseconds; the collector converts them when
Prometheus scrapes. Buckets are bounded by powers of two nanoseconds: a duration's bucket is its bit length.

INVARIANT (metrics are documented): every name is in docs/reference/metrics.md; a test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from tiergate import __version__
from tiergate.engine.shapes.rechecks import Rechecks
from tiergate.http.metrics import process_registry
from tiergate.model import FOREVER, Reason
from tiergate.process.open_files import DescriptorShortage
from tiergate.sidecar.caller_errors import CallerErrorLog
from tiergate.sidecar.state import SYNC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from tiergate.sidecar.replica.disk_health import DiskReport
    from tiergate.sidecar.state import State

_LOWEST, _HIGHEST = 10, 31
"""The first and last bucket that are shown: 2^10 ns, about a microsecond, and 2^31 ns, about two seconds."""

FACADES = ("ofrep", "authzen")
"""The protocols of others, whose single decisions are counted apart; each is the name of an endpoint, too."""
_ENDPOINTS = (
    *("check", "checks", "entitlements", "explain", "consume", "reserve", "reservations", "usage", "outcomes"),
    *("ofrep", "ofrep_bulk", "authzen", "authzen_batch", "authzen_search"),
)
_DECIDING = ("check", "checks", "usage")
_SOURCES = ("engine", "memo", "repeat")


class DecisionCounts:
    """Decisions of one reason, by endpoint and source.

    `engine`: decided; `memo`: the same check was cached; `repeat`: the same request was cached. `usage`: consumptions
    and reservations.
    """

    __slots__ = ("check_engine", "check_memo", "check_repeat", "checks_engine", "checks_memo", "usage_engine")

    def __init__(self) -> None:
        self.usage_engine = 0
        self.check_engine = self.check_memo = self.check_repeat = 0
        self.checks_engine = self.checks_memo = 0


class Durations:
    """Durations of an endpoint: `counts[n]` are those from 2^(n-1) up to 2^n nanoseconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * 64
        self.total = 0

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        self.counts[nanoseconds.bit_length()] += 1
        self.total += nanoseconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative buckets for Prometheus."""
        buckets: list[tuple[str, float]] = []
        cumulated = sum(self.counts[:_LOWEST])
        for power in range(_LOWEST, _HIGHEST + 1):
            cumulated += self.counts[power]
            buckets.append((repr(2**power / 1e9), cumulated))
        buckets.append(("+Inf", sum(self.counts)))
        return buckets


class WorkerCounts(NamedTuple):
    """How many workers there should be, how many can decide, and how often one was started for one that ended."""

    configured: int
    ready: int
    restarts: int


class LeaseReport(NamedTuple):
    """What a sidecar that counts by leases reports about the ledger. `unreported`: consumptions that are not booked.

    `last_exchange`: the last reply of the ledger. `error`: why the last request has none. `offline`: whether the ledger
    is out of reach. `disagreements`: leases that the ledger settled with other figures; 0, unless something is wrong.
    `durations`: of requests with a reply. `refused`: consumptions for which no units could be leased, by the reason.
    """

    leases: int
    unreported: int
    exchanges: int
    failures: int
    disagreements: int
    offline: bool
    last_exchange: float | None
    error: str | None
    durations: Durations
    refused: dict[str, int]


class UsageReport(NamedTuple):
    """What a sidecar that counts usage reports to `/status` and the metrics.

    `outcomes`: requests by outcome. `journal_bytes`: of all its files, at most `budget_bytes`. `pending`: changes that
    are not on disk yet. `error`: why the newest could not be written. `syncs`: durations of writing and syncing groups.
    `keys_forgotten`: idempotency keys that were forgotten before their time, because there were too many. `late`: usage
    after the fact of windows that had ended, by what became of it.
    """

    outcomes: dict[str, int]
    journal_bytes: int
    budget_bytes: int
    pending: int
    error: str | None
    accounts: int
    reservations: int
    keys: int
    keys_forgotten: int
    syncs: Durations
    late: dict[str, int]
    leasing: LeaseReport | None = None


class OutcomesReport(NamedTuple):
    """What a sidecar that counts outcomes reports to `/status` and the metrics.

    `outcomes`: how many were counted, and how not. `sums`: by feature and minute, that are kept. `syncs`: durations of
    writing and syncing groups. `delivers`: whether there is a control plane; `undelivered`: sums that it does not have,
    the first of the minute `oldest`, `age` seconds ago. `dropped`: requests that were given up; `refused`: that it
    refused for good. `last_delivery`: when it confirmed a batch last; `delivery_error`: why it did not.
    """

    outcomes: dict[str, int]
    journal_bytes: int
    budget_bytes: int
    error: str | None
    sums: int
    ids: int
    ids_forgotten: int
    syncs: Durations
    delivers: bool
    undelivered: int
    oldest: float | None
    age: float
    dropped: int
    refused: int
    batches: int
    failures: int
    last_delivery: float | None
    delivery_error: str | None


class Metrics:
    """Every count of one process, or the sum over several. Only the event loop's thread changes them."""

    def __init__(self) -> None:
        self.reasons: Mapping[Reason, DecisionCounts] = {reason: DecisionCounts() for reason in Reason}
        self.facades: Mapping[str, Mapping[Reason, DecisionCounts]] = {
            facade: {reason: DecisionCounts() for reason in Reason} for facade in FACADES
        }
        """The single decisions of each protocol, counted as those of `check`."""
        self.durations = {endpoint: Durations() for endpoint in _ENDPOINTS}
        self.requests: dict[tuple[str, int], int] = {}
        self.problems: dict[str, int] = {}
        self.caller_errors = CallerErrorLog()
        self.connections = 0
        self.descriptors = DescriptorShortage()
        self.sizes: dict[str, Callable[[], tuple[int, int]]] = {}
        self.rechecks = Rechecks(0)
        self.data: Callable[[], DiskReport | None] = lambda: None
        self.log_records: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.workers: Callable[[], WorkerCounts | None] = lambda: None
        self.usage: Callable[[], UsageReport | None] = lambda: None
        self.outcomes: Callable[[], OutcomesReport | None] = lambda: None

    def count_request(self, endpoint: str, status: int) -> None:
        """Count a request; single checks that succeed are counted by their reason only."""
        key = (endpoint, status)
        self.requests[key] = self.requests.get(key, 0) + 1

    def count_problem(self, slug: str) -> None:
        """Count a problem by its type."""
        self.problems[slug] = self.problems.get(slug, 0) + 1

    def repeats(self) -> int:
        """Return the number of repeats."""
        return sum(tally.check_repeat for tally in self.reasons.values())

    def single_decisions(self) -> dict[str, int]:
        """Return the number of single checks with a decision, repeats included, by endpoint."""
        return {
            endpoint: sum(it.check_engine + it.check_memo + it.check_repeat for it in reasons.values())
            for endpoint, reasons in (("check", self.reasons), *self.facades.items())
        }


class _StateCollector(Collector):
    """Turns counts and state into Prometheus's families."""

    def __init__(self, metrics: Metrics, state: State) -> None:
        self._metrics = metrics
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield from self._responses()
        yield from self._resources()
        yield from self._data()
        yield from self._sync()
        yield from _usage(self._metrics.usage())
        yield from _reported(self._metrics.outcomes())

    def _responses(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _decisions(metrics)
        requests = CounterMetricFamily("tiergate_requests", "Requests with a response.", labels=["endpoint", "status"])
        counts = dict(metrics.requests)
        for endpoint, single in metrics.single_decisions().items():
            if single:
                counts[endpoint, 200] = counts.get((endpoint, 200), 0) + single
        for (endpoint, status), count in sorted(counts.items()):
            requests.add_metric([endpoint, str(status)], count)
        yield requests
        problems = CounterMetricFamily("tiergate_problems", "Problems, by type.", labels=["type"])
        for slug, count in sorted(metrics.problems.items()):
            problems.add_metric([slug], count)
        yield problems
        durations = HistogramMetricFamily(
            "tiergate_request_duration_seconds",
            "From the complete request to the response handed to the system.",
            labels=["endpoint"],
        )
        for endpoint, duration in metrics.durations.items():
            durations.add_metric([endpoint], duration.buckets(), duration.total / 1e9)
        yield durations

    def _resources(self) -> Iterator[Metric]:
        metrics = self._metrics
        data = metrics.data()
        yield from _gauges(
            ("tiergate_connections", "Open connections of the API.", metrics.connections),
            ("tiergate_data_bytes", "The size of the data folder.", data and data.used),
            ("tiergate_data_limit_bytes", "The most bytes that the data folder may take.", data and data.limit),
            ("tiergate_data_free_bytes", "The free space of its disk.", data and data.free),
            ("tiergate_data_writable", "1 if the data folder is writable.", data and data.writable),
        )
        yield CounterMetricFamily(
            "tiergate_open_files_exhausted",
            "How often new connections were reset because no descriptor was left.",
            value=metrics.descriptors.count,
        )
        workers = metrics.workers()
        if workers is not None:
            yield from _gauges(
                ("tiergate_workers", "Processes that should answer checks.", workers.configured),
                ("tiergate_workers_ready", "Those that can decide.", workers.ready),
            )
            yield CounterMetricFamily(
                "tiergate_worker_restarts", "How often a worker was started for one that ended.", value=workers.restarts
            )
        entries = GaugeMetricFamily("tiergate_memo_entries", "Cached responses.", labels=["memo"])
        size = GaugeMetricFamily("tiergate_memo_bytes", "The approximate memory of cached responses.", labels=["memo"])
        for memo, sizes in metrics.sizes.items():
            count, weight = sizes()
            entries.add_metric([memo], count)
            size.add_metric([memo], weight)
        yield entries
        yield size
        yield CounterMetricFamily(
            "tiergate_kept_answers_rechecked",
            "Kept answers that Cedar was asked again for.",
            value=metrics.rechecks.checked,
        )
        yield CounterMetricFamily(
            "tiergate_kept_answers_different",
            "Kept answers that differed from Cedar's: always a defect.",
            value=metrics.rechecks.differences,
        )
        written, dropped = metrics.log_records()
        yield _outcomes(
            "tiergate_decision_log_records", "Records of the decision log.", written=written, dropped=dropped
        )

    def _data(self) -> Iterator[Metric]:
        state = self._state
        report, current = state.report(), state.current
        yield InfoMetricFamily("tiergate_build", "The version that runs.", value={"version": __version__})
        if current is not None:
            yield InfoMetricFamily("tiergate_bundle", "The active bundle.", value={"revision": current.revision})
            yield from _gauges(
                ("tiergate_publication", "The active publication.", current.publication),
                ("tiergate_generation", "The number of generations of data since the start.", current.number),
                (
                    "tiergate_generation_timestamp_seconds",
                    "When the active generation was built.",
                    current.loaded_at / 1000,
                ),
            )
        yield from _gauges(
            ("tiergate_ready", "1 if checks are served.", state.ready),
            ("tiergate_stale", "1 if decisions are stale.", state.stale),
            ("tiergate_unloaded", "1 if the startup deadline has passed and no data is loaded.", state.unloaded),
            ("tiergate_load_behind_seconds", "How long the files have differed from the active data.", report.behind),
            (
                "tiergate_load_last_success_timestamp_seconds",
                "When the last successful load ended.",
                report.loaded_at and report.loaded_at / 1000,
            ),
            (
                "tiergate_load_failing",
                "1 if the newest load failed and older data is active.",
                report.error is not None,
            ),
            ("tiergate_load_duration_seconds", "The duration of the last successful load.", report.load_seconds),
            (
                "tiergate_quarantined_subjects",
                "Subjects with unusable records, decided by earlier ones or none.",
                report.quarantined,
            ),
        )
        yield _outcomes(
            "tiergate_loads",
            "Loads of data, by outcome.",
            success=report.loads,
            failure=report.failures,
            abandoned=report.abandoned,
        )
        subjects = GaugeMetricFamily("tiergate_subjects", "Subjects that are loaded.", labels=["type"])
        for kind, count in (("customer", report.customers), ("subscription", report.subscriptions)):
            if count is not None:
                subjects.add_metric([kind], count)
        yield subjects

    def _sync(self) -> Iterator[Metric]:
        report, stale_at = self._state.report(), self._state.stale_at
        if report.mode != SYNC:
            return
        yield CounterMetricFamily(
            "tiergate_sync_errors",
            "Requests to the store that failed or whose response was not verified.",
            value=report.sync_errors,
        )
        yield from _gauges(
            ("tiergate_sync_lag_entries", "Entries of the feed that are not active yet.", report.lag),
            (
                "tiergate_sync_last_success_timestamp_seconds",
                "When a response of the store was last verified.",
                report.last_sync_at and report.last_sync_at / 1000,
            ),
            (
                "tiergate_sync_clock_skew_seconds",
                "The seconds that the store's clock is ahead of this machine's; negative if it is behind.",
                report.clock_skew,
            ),
            (
                "tiergate_stale_timestamp_seconds",
                "When decisions become stale, unless a response of the store is verified before.",
                stale_at / 1000 if stale_at < FOREVER else None,
            ),
        )


def _decisions(metrics: Metrics) -> Metric:
    decisions = CounterMetricFamily("tiergate_decisions", "Decisions served.", labels=["endpoint", "reason", "source"])
    counted = [(endpoint, endpoint, metrics.reasons) for endpoint in _DECIDING]
    counted += [*((it, "check", reasons) for it, reasons in metrics.facades.items())]
    counted += [("authzen_batch", "checks", metrics.facades["authzen"])]
    for endpoint, slot, reasons in counted:
        for reason, tally in reasons.items():
            for source in _SOURCES:
                count = getattr(tally, f"{slot}_{source}", 0)
                # From 0 on, so that `increase` sees the first of each reason, which is always the engine's.
                if count or source == "engine":
                    decisions.add_metric([endpoint, reason.value, source], count)
    return decisions


def _usage(report: UsageReport | None) -> Iterator[Metric]:
    if report is None:
        return
    yield _outcomes("tiergate_usage_requests", "Requests that count usage, by outcome.", **report.outcomes)
    yield _outcomes("tiergate_usage_late", "Usage after the fact of windows that had ended.", **report.late)
    yield from _gauges(
        ("tiergate_usage_journal_bytes", "The size of the usage journal.", report.journal_bytes),
        ("tiergate_usage_journal_limit_bytes", "The most bytes of the usage journal.", report.budget_bytes),
        ("tiergate_usage_journal_failing", "1 if the newest usage cannot be written.", report.error is not None),
        ("tiergate_usage_pending", "Changes of usage that are not on disk yet.", report.pending),
        ("tiergate_usage_accounts", "Accounts that usage is booked on.", report.accounts),
        ("tiergate_usage_reservations", "Open reservations.", report.reservations),
        ("tiergate_usage_keys", "Idempotency keys that are kept.", report.keys),
    )
    yield CounterMetricFamily(
        "tiergate_usage_keys_forgotten",
        "Idempotency keys that were forgotten before their time, because there were too many.",
        value=report.keys_forgotten,
    )
    syncs = HistogramMetricFamily(
        "tiergate_usage_sync_duration_seconds", "The duration of writing and syncing a group of changes of usage."
    )
    syncs.add_metric([], report.syncs.buckets(), report.syncs.total / 1e9)
    yield syncs
    leasing = report.leasing
    if leasing is None:
        return
    yield from _gauges(
        ("tiergate_usage_leases", "Leases that are held here.", leasing.leases),
        ("tiergate_usage_unreported", "Consumptions that the ledger has not booked yet.", leasing.unreported),
        ("tiergate_usage_offline", "1 if the ledger is out of reach.", leasing.offline),
        ("tiergate_usage_exchange_timestamp_seconds", "When the ledger replied last.", leasing.last_exchange),
    )
    answered = leasing.exchanges
    yield _outcomes(
        "tiergate_usage_exchanges", "Requests to the ledger, by outcome.", ok=answered, failed=leasing.failures
    )
    refused = CounterMetricFamily(
        "tiergate_usage_refused", "Consumptions for which no units could be leased.", labels=["reason"]
    )
    for reason, count in leasing.refused.items():
        refused.add_metric([reason], count)
    yield refused
    durations = HistogramMetricFamily(
        "tiergate_usage_exchange_duration_seconds", "From a request to the ledger to its reply."
    )
    durations.add_metric([], leasing.durations.buckets(), leasing.durations.total / 1e9)
    yield durations
    yield CounterMetricFamily(
        "tiergate_usage_disagreements",
        "Leases that the ledger settled with other figures: 0, unless something is wrong.",
        value=leasing.disagreements,
    )


def _reported(report: OutcomesReport | None) -> Iterator[Metric]:
    if report is None:
        return
    yield _outcomes("tiergate_outcomes", "Outcomes of services, by what became of them.", **report.outcomes)
    yield from _gauges(
        ("tiergate_outcomes_journal_bytes", "The size of the outcomes journal.", report.journal_bytes),
        ("tiergate_outcomes_journal_limit_bytes", "The most bytes of the outcomes journal.", report.budget_bytes),
        ("tiergate_outcomes_journal_failing", "1 if the newest outcomes cannot be written.", report.error is not None),
        ("tiergate_outcomes_sums", "Sums of outcomes by feature and minute that are kept.", report.sums),
        ("tiergate_outcomes_ids", "Ids of outcomes that are kept.", report.ids),
    )
    yield CounterMetricFamily(
        "tiergate_outcomes_ids_forgotten", "Ids of outcomes that were forgotten early.", value=report.ids_forgotten
    )
    syncs = HistogramMetricFamily(
        "tiergate_outcomes_sync_duration_seconds", "The duration of writing and syncing a group of outcomes."
    )
    syncs.add_metric([], report.syncs.buckets(), report.syncs.total / 1e9)
    yield syncs
    yield CounterMetricFamily(
        "tiergate_outcomes_dropped", "Outcomes that were given up, because they were too old.", value=report.dropped
    )
    if not report.delivers:
        return
    yield from _gauges(
        ("tiergate_outcomes_undelivered", "Sums that the control plane does not have yet.", report.undelivered),
        ("tiergate_outcomes_undelivered_age_seconds", "For how long the oldest of these has waited.", report.age),
        (
            "tiergate_outcomes_delivery_timestamp_seconds",
            "When the control plane confirmed a batch last.",
            report.last_delivery,
        ),
    )
    yield CounterMetricFamily("tiergate_outcomes_refused", "Outcomes of refused batches.", value=report.refused)
    yield _outcomes(
        "tiergate_outcomes_batches", "Batches that were sent, by outcome.", ok=report.batches, failed=report.failures
    )


def _gauges(*gauges: tuple[str, str, float | None]) -> Iterator[Metric]:
    """Yield gauges by name, help and value, without those that have no value."""
    for name, documentation, value in gauges:
        if value is not None:
            yield GaugeMetricFamily(name, documentation, value=value)


def _outcomes(name: str, documentation: str, **counts: int) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["outcome"])
    for outcome, count in counts.items():
        family.add_metric([outcome], count)
    return family


def registry(metrics: Metrics, state: State) -> CollectorRegistry:
    """Return a registry of the metrics of this process, of Python and of the system."""
    return process_registry(_StateCollector(metrics, state))
