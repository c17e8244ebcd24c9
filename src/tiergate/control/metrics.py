"""Metrics and logs of the control plane's requests, and their Prometheus format.

INVARIANT (metrics are documented): docs/how-to/run-the-control-plane.md has every name; a test compares.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from tiergate import __version__
from tiergate.admin.status_reports import REPORTED
from tiergate.http.metrics import process_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tiergate.admin.status_clock import StatusCounts

    Values = Callable[[], Mapping[str, tuple[str, float]]]
    """Returns description and value by name."""

    Families = Callable[[], Iterable[Metric]]
    """Returns metrics with labels."""


_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OTHER: Final = "other"
_READS: Final = frozenset({"GET", "HEAD"})

_log = structlog.get_logger(__name__)


class RequestCounts:
    """Counts of requests. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, str, int], int] = {}
        self.durations: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}
        self.open = 0
        self.received = 0

    def add(self, group: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (group, method, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        buckets = self.durations.setdefault(group, [0] * (len(_BOUNDS) + 1))
        buckets[next((place for place, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))] += 1
        self.seconds[group] = self.seconds.get(group, 0.0) + seconds


class ObservedApp:
    """Counts and logs the requests of an application."""

    def __init__(self, app: ASGIApp, requests: RequestCounts, paths: Iterable[str], logged: str) -> None:
        """Wrap `app`, whose routes have these paths. `logged`: `all`, `changes` or `none`, as the setting."""
        self._app = app
        self._requests = requests
        self._groups = frozenset(_group(path) for path in paths)
        self._logged = logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        status, request_id = 0, ""

        async def observe(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = next((value.decode() for name, value in message["headers"] if name == b"x-request-id"), "")
            await send(message)

        self._requests.open += 1
        self._requests.received += 1
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, observe)
        finally:
            self._requests.open -= 1
            seconds = time.perf_counter() - begun
            group = _group(scope["path"])
            if status:
                method = scope["method"]
                self._requests.add(group if group in self._groups else _OTHER, method, status, seconds)
                if self._logged == "all" or (self._logged == "changes" and not (method in _READS and status < 400)):
                    _log.info(
                        "request",
                        method=method,
                        path=scope["path"],
                        status=status,
                        seconds=round(seconds, 6),
                        request_id=request_id,
                        client=(scope.get("client") or ("",))[0],
                    )


def status_gauges(counts: StatusCounts) -> dict[str, tuple[str, float]]:
    """Return description and value of what is counted of the status of features, by name."""
    gauges: dict[str, tuple[str, float]] = {
        f"status_reports_{status}": (f"Open reports of the status {status}.", counts.reports.get(status, 0))
        for status in REPORTED
    }
    gauges["status_monitors"] = ("Monitors of the status of features.", counts.monitors)
    gauges["status_monitors_silent"] = ("Monitors that were not heard for longer than they should.", counts.silent)
    return gauges


class _Collector(Collector):
    def __init__(self, requests: RequestCounts, gauges: Values, counters: Values, more: Families) -> None:
        self._requests, self._gauges, self._counters, self._more = requests, gauges, counters, more

    def collect(self) -> Iterator[Metric]:
        """Return all metrics from the current counts."""
        answered = CounterMetricFamily(
            "tiergate_cp_requests", "Requests answered.", labels=["group", "method", "status"]
        )
        for (group, method, status), count in sorted(self._requests.answered.items()):
            answered.add_metric([group, method, str(status)], count)
        yield answered
        durations = HistogramMetricFamily(
            "tiergate_cp_request_duration_seconds", "From a request's head to the end of its answer.", labels=["group"]
        )
        for group, counts in sorted(self._requests.durations.items()):
            total, buckets = 0, list[tuple[str, float]]()
            for bound, count in zip((*map(repr, _BOUNDS), "+Inf"), counts, strict=True):
                total += count
                buckets.append((bound, total))
            durations.add_metric([group], buckets, self._requests.seconds[group])
        yield durations
        yield GaugeMetricFamily("tiergate_cp_open_requests", "Requests under way.", value=self._requests.open)
        yield InfoMetricFamily("tiergate_cp_build", "The version that runs.", value={"version": __version__})
        for name, (words, value) in self._gauges().items():
            yield GaugeMetricFamily(f"tiergate_cp_{name}", words, value=value)
        for name, (words, value) in self._counters().items():
            yield CounterMetricFamily(f"tiergate_cp_{name}", words, value=value)
        yield from self._more()


def build_registry(
    requests: RequestCounts, gauges: Values, counters: Values = dict, more: Families = tuple
) -> CollectorRegistry:
    """Return a registry of the metrics of the process, of Python and of the system; `more`: those with labels."""
    return process_registry(_Collector(requests, gauges, counters, more))


def _group(path: str) -> str:
    """Return the first part of a path after the version of the API."""
    parts = path.strip("/").split("/")
    return parts[1] if parts[0] == "v1" and len(parts) > 1 else parts[0]
