"""The endpoints for operators, on a port of their own: `/livez`, `/startupz`, `/readyz`, `/status` and `/metrics`.

They reveal nothing about customers, so they need no token. But web pages must not read them: a foreign `Origin` is
rejected, and so is an unknown name in `Host`. Kubelets and scrapers use an address as `Host`, which is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from tiergate import __version__
from tiergate.errors import RequestError, TiergateError
from tiergate.http.metrics import CONTENT_TYPE, metrics_text
from tiergate.model import Instant, Problem, format_instant
from tiergate.sidecar.api.request_limits import Access, RequestLimits
from tiergate.sidecar.api.responses import ProblemHandler
from tiergate.sidecar.metrics import registry
from tiergate.sidecar.state import SYNC

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tiergate.sidecar.metrics import LeaseReport, Metrics, OutcomesReport, UsageReport
    from tiergate.sidecar.replica.disk_health import DiskReport
    from tiergate.sidecar.state import State


def probes(
    state: State,
    metrics: Metrics,
    access: Access | None = None,
    workers: Callable[[], list[dict[str, object]]] = list,
) -> ASGIApp:
    """Build the application of the probe port. `access`: which hosts it accepts; `workers` describes them, if any."""
    access = access if access is not None else Access(addresses=True)
    endpoints = _Endpoints(state, metrics, registry(metrics, state), workers)
    handler = ProblemHandler(metrics)
    app = Starlette(
        routes=[
            Route("/livez", endpoints.live),
            Route("/startupz", endpoints.started),
            Route("/readyz", endpoints.ready),
            Route("/status", endpoints.status),
            Route("/metrics", endpoints.metrics),
        ],
        exception_handlers={HTTPException: handler, TiergateError: handler, Exception: handler},
    )
    app.router.redirect_slashes = False
    return RequestLimits(app, access, metrics, max_body=0)


class _Endpoints:
    def __init__(
        self,
        state: State,
        metrics: Metrics,
        metrics_registry: CollectorRegistry,
        workers: Callable[[], list[dict[str, object]]],
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._registry = metrics_registry
        self._workers = workers

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Respond while the event loop runs."""
        return _json({"status": "live"})

    async def started(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Respond 200 if checks are served, with or without data, else 503."""
        self._expect_started()
        return _json({"status": "started"})

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Respond 200 if checks are served, and not all of them are denied for want of data; else 503."""
        self._expect_started()
        if not self._state.ready:
            raise RequestError(
                503, "not ready", "the startup deadline passed, and no data is loaded: checks are denied"
            )
        return _json({"status": "ready"})

    def _expect_started(self) -> None:
        if self._state.draining:
            raise RequestError(503, "not ready", "the sidecar is shutting down")
        if not self._state.started:
            has_data = self._state.current is not None or self._state.unloaded
            detail = "a worker is starting" if has_data else "no data is loaded yet"
            raise RequestError(503, "not ready", detail)

    async def status(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Report the data that decisions use, its sources, and its age."""
        metrics = self._metrics
        members = status_members(self._state, metrics.data(), self._workers(), metrics.usage(), metrics.outcomes())
        return _json(_without_none(members))

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Return all metrics, for Prometheus."""
        response = Response(metrics_text(self._registry))
        response.headers["content-type"] = CONTENT_TYPE
        return response


def status_members(
    state: State,
    data: DiskReport | None,
    workers: list[dict[str, object]] | None = None,
    usage: UsageReport | None = None,
    outcomes: OutcomesReport | None = None,
) -> dict[str, object]:
    """Return the members of `/status`; the response leaves out those that are `None`."""
    report, current = state.report(), state.current
    return {
        "version": __version__,
        "ready": state.ready,
        "draining": state.draining,
        "mode": report.mode,
        "publication": None if current is None else current.publication,
        "revision": None if current is None else current.revision,
        "generation": None if current is None else current.number,
        "generation_at": None if current is None else _instant(current.loaded_at),
        "stale": state.stale,
        "unloaded": state.unloaded,
        "stale_at": _instant(state.stale_at),
        "position": report.position,
        "latest": report.latest,
        "lag": report.lag,
        "last_sync_at": _instant(report.last_sync_at),
        "sync_errors": report.sync_errors if report.mode == SYNC else None,
        "clock_skew_seconds": report.clock_skew,
        "max_staleness": report.max_staleness,
        "control_plane": report.control_plane,
        "sources": [
            {"kind": source.kind, "location": source.location, "changed_at": _instant(source.changed_at)}
            for source in report.sources
        ],
        "load": {
            "loading": report.loading,
            "loads": report.loads,
            "failures": report.failures,
            "abandoned": report.abandoned,
            "behind_seconds": report.behind,
            "loaded_at": _instant(report.loaded_at),
            "failed_at": _instant(report.failed_at),
            "seconds": report.load_seconds,
            "error": report.error,
            "problems": [_problem(problem) for problem in report.problems],
        },
        "data": None if data is None else _data(data),
        "usage": None if usage is None else _usage(usage),
        "outcomes": None if outcomes is None else _outcomes(outcomes),
        "workers": workers or None,
        "quarantined": report.quarantined,
        "customers": report.customers,
        "subscriptions": report.subscriptions,
    }


def _data(data: DiskReport) -> dict[str, object]:
    return {
        "folder": str(data.folder),
        "bytes": data.used,
        "limit_bytes": data.limit,
        "free_bytes": data.free,
        "writable": data.writable,
        "stand_in": None if data.stand_in is None else str(data.stand_in),
    }


def _usage(report: UsageReport) -> dict[str, object]:
    leasing = report.leasing
    return {
        "journal_bytes": report.journal_bytes,
        "limit_bytes": report.budget_bytes,
        "pending": report.pending,
        "error": report.error,
        "accounts": report.accounts,
        "reservations": report.reservations,
        "keys": report.keys,
        "leasing": None if leasing is None else _leasing(leasing),
    }


def _outcomes(report: OutcomesReport) -> dict[str, object]:
    last, oldest = report.last_delivery, report.oldest
    return {
        "journal_bytes": report.journal_bytes,
        "limit_bytes": report.budget_bytes,
        "error": report.error,
        "sums": report.sums,
        "undelivered": report.undelivered if report.delivers else None,
        "oldest_undelivered_at": None if oldest is None or not report.delivers else _instant(int(oldest * 1000)),
        "last_delivery_at": None if last is None else _instant(int(last * 1000)),
        "delivery_error": report.delivery_error,
    }


def _leasing(leasing: LeaseReport) -> dict[str, object]:
    at = leasing.last_exchange
    return {
        "leases": leasing.leases,
        "unreported": leasing.unreported,
        "offline": leasing.offline,
        "last_exchange_at": None if at is None else _instant(int(at * 1000)),
        "error": leasing.error,
    }


def _without_none(value: object) -> object:
    """Leave out the members of objects that are `None`."""
    if isinstance(value, dict):
        return {name: _without_none(member) for name, member in value.items() if member is not None}
    return [_without_none(entry) for entry in value] if isinstance(value, list) else value


def _instant(instant: Instant | None) -> str | None:
    """Return an instant as RFC 3339; none for one beyond the calendar."""
    try:
        return None if instant is None else format_instant(instant)
    except OverflowError:
        return None


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _problem(problem: Problem) -> dict[str, object]:
    """Convert a problem to JSON with the suggestion in its message."""
    members = msgspec.structs.asdict(problem) | {"message": problem.sentence}
    del members["suggestion"]
    return members
