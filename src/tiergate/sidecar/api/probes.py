"""What those ask who run the sidecar: `/livez`, `/readyz`, `/status` and `/metrics`, on a port of their own.

Answers nothing about any customer, so it needs no token; but a web page must not read it either: a foreign `Origin`
is refused, and a name in `Host` must be known. An address in its place is what kubelets and scrapers use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

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
    from prometheus_client import CollectorRegistry
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tiergate.sidecar.metrics import Metrics
    from tiergate.sidecar.replica.disk_health import DiskReport
    from tiergate.sidecar.state import State

T = TypeVar("T")

_UNSET = msgspec.UNSET


class _Source(msgspec.Struct, frozen=True):
    kind: str
    location: str
    changed_at: str | msgspec.UnsetType


class _LastLoad(msgspec.Struct, frozen=True):
    loading: bool
    loads: int
    failures: int
    abandoned: int
    behind_seconds: float | msgspec.UnsetType
    loaded_at: str | msgspec.UnsetType
    failed_at: str | msgspec.UnsetType
    seconds: float | msgspec.UnsetType
    error: str | msgspec.UnsetType
    problems: list[dict[str, object]]


class _Data(msgspec.Struct, frozen=True):
    folder: str
    bytes: int
    free_bytes: int
    writable: bool
    stand_in: str | msgspec.UnsetType


class _Status(msgspec.Struct, frozen=True):
    version: str
    ready: bool
    draining: bool
    mode: str
    publication: int | msgspec.UnsetType
    revision: str | msgspec.UnsetType
    generation: int | msgspec.UnsetType
    generation_at: str | msgspec.UnsetType
    stale: bool
    unloaded: bool
    stale_at: str | msgspec.UnsetType
    position: str | msgspec.UnsetType
    latest: int | msgspec.UnsetType
    lag: int | msgspec.UnsetType
    last_sync_at: str | msgspec.UnsetType
    sync_errors: int | msgspec.UnsetType
    clock_skew_seconds: float | msgspec.UnsetType
    max_staleness: float | msgspec.UnsetType
    control_plane: str | msgspec.UnsetType
    sources: tuple[_Source, ...]
    load: _LastLoad
    data: _Data | msgspec.UnsetType
    quarantined: int
    customers: int | msgspec.UnsetType
    subscriptions: int | msgspec.UnsetType


def probes(state: State, metrics: Metrics, access: Access | None = None) -> ASGIApp:
    """Build the application of the probe port. `access`: whose names `Host` may have; addresses are let in anyway."""
    access = access if access is not None else Access(addresses=True)
    endpoints = _Endpoints(state, metrics, registry(metrics, state))
    handler = ProblemHandler(metrics)
    app = Starlette(
        routes=[
            Route("/livez", endpoints.live),
            Route("/readyz", endpoints.ready),
            Route("/status", endpoints.status),
            Route("/metrics", endpoints.metrics),
        ],
        exception_handlers={HTTPException: handler, TiergateError: handler, Exception: handler},
    )
    app.router.redirect_slashes = False
    return RequestLimits(app, access, metrics, max_body=0)


class _Endpoints:
    def __init__(self, state: State, metrics: Metrics, source: CollectorRegistry) -> None:
        self._state = state
        self._metrics = metrics
        self._registry = source

    async def live(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """The process runs and its event loop turns."""
        return _json({"status": "live"})

    async def ready(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """Checks are answered."""
        if self._state.draining:
            raise RequestError(503, "not ready", "the sidecar is shutting down")
        if not self._state.ready:
            raise RequestError(503, "not ready", "no data is loaded yet")
        return _json({"status": "ready"})

    async def status(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """What it decides by, where that comes from, and how old it is."""
        return _json(_status(self._state, self._metrics.data()))

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - Starlette
        """All counts, for Prometheus."""
        response = Response(metrics_text(self._registry))
        response.headers["content-type"] = CONTENT_TYPE
        return response


def _status(state: State, data: DiskReport | None) -> _Status:
    report = state.report()
    current = state.current
    return _Status(
        version=__version__,
        ready=state.ready,
        draining=state.draining,
        mode=report.mode,
        publication=_UNSET if current is None else current.publication,
        revision=_UNSET if current is None else current.revision,
        generation=_UNSET if current is None else current.number,
        generation_at=_UNSET if current is None else _instant(current.loaded_at),
        stale=state.stale,
        unloaded=state.unloaded,
        stale_at=_instant(state.stale_at),
        position=_known(report.position),
        latest=_known(report.latest),
        lag=_known(report.lag),
        last_sync_at=_instant(report.last_sync_at),
        sync_errors=report.sync_errors if report.mode == SYNC else _UNSET,
        clock_skew_seconds=_known(report.clock_skew),
        max_staleness=_known(report.max_staleness),
        control_plane=_known(report.control_plane),
        sources=tuple(_Source(source.kind, source.location, _instant(source.changed_at)) for source in report.sources),
        load=_LastLoad(
            loading=report.loading,
            loads=report.loads,
            failures=report.failures,
            abandoned=report.abandoned,
            behind_seconds=_known(report.behind),
            loaded_at=_instant(report.loaded_at),
            failed_at=_instant(report.failed_at),
            seconds=_known(report.load_seconds),
            error=_known(report.error),
            problems=[_problem(problem) for problem in report.problems],
        ),
        data=_UNSET
        if data is None
        else _Data(
            str(data.folder),
            data.used,
            data.free,
            data.writable,
            _UNSET if data.stand_in is None else str(data.stand_in),
        ),
        quarantined=report.quarantined,
        customers=_known(report.customers),
        subscriptions=_known(report.subscriptions),
    )


def _known(value: T | None) -> T | msgspec.UnsetType:
    return _UNSET if value is None else value


def _instant(instant: Instant | None) -> str | msgspec.UnsetType:
    """An instant in words; nothing for none, and for one beyond the calendar."""
    try:
        return _UNSET if instant is None else format_instant(instant)
    except OverflowError:
        return _UNSET


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _problem(problem: Problem) -> dict[str, object]:
    """Convert a problem to JSON with the suggestion in its message."""
    members = msgspec.structs.asdict(problem) | {"message": problem.sentence}
    del members["suggestion"]
    return members
