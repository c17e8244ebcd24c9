"""The applications of the webhook and its probes, and their metrics.

The API server does not authenticate itself: anybody who reaches the port can send a review, and learns what the author
of a pod can read in the pod. A malformed review gets status 400, so that the API server applies the `failurePolicy`.

INVARIANT (metrics are documented): docs/reference/injector.md has every name; a test compares.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import (
    Counter,
    Gauge,
    Histogram,
    Info,
)
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tiergate import __version__
from tiergate.cluster.injector.mutation import ReviewError, review_pod
from tiergate.http.metrics import CONTENT_TYPE, metrics_text, process_registry
from tiergate.wire.problem import MEDIA_TYPE, problem, problem_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tiergate.cluster.injector.mutation import InjectionConfig

PATH: Final = "/inject"
"""Path for reviews."""

_MAX_BYTES: Final = 8 * 1024**2
_JSON: Final = "application/json"

_log = structlog.get_logger(__name__)


class InjectorMetrics:
    """The metrics of this process."""

    def __init__(self) -> None:
        self.registry = process_registry()
        Info("tiergate_injector_build", "Version of this process.", registry=self.registry).info(
            {"version": __version__}
        )
        self.reviews = Counter("tiergate_injector_reviews", "Reviews answered.", ["result"], registry=self.registry)
        for result in ("injected", "unchanged", "refused", "malformed"):
            self.reviews.labels(result)
        self.seconds = Histogram(
            "tiergate_injector_review_duration_seconds",
            "How long a review took.",
            buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
            registry=self.registry,
        )
        self.certificate_end = Gauge(
            "tiergate_injector_certificate_end_timestamp_seconds",
            "When the serving certificate expires.",
            registry=self.registry,
        )
        self.certificate_failing = Gauge(
            "tiergate_injector_certificate_failing",
            "1 if the certificate cannot be read, renewed or registered.",
            registry=self.registry,
        )
        self.config_failing = Gauge(
            "tiergate_injector_sidecar_file_failing",
            "1 if the configuration of sidecars cannot be read.",
            registry=self.registry,
        )


def webhook_app(injection: Callable[[], InjectionConfig], counts: InjectorMetrics) -> ASGIApp:
    """Return the application of the webhook. `injection` returns the current configuration."""

    async def inject(request: Request) -> Response:
        begun = time.perf_counter()
        try:
            outcome = review_pod(await _body(request), injection())
        except ReviewError as error:
            counts.reviews.labels("malformed").inc()
            _log.warning("malformed admission review rejected", error=str(error))
            return _problem(400, "malformed-review", "malformed review", f"the body {error}")
        counts.seconds.observe(time.perf_counter() - begun)
        counts.reviews.labels(outcome.result).inc()
        fields = {"namespace": outcome.namespace, "pod": outcome.pod}
        if outcome.result == "refused":
            _log.warning("pod rejected", **fields, detail=outcome.detail)
        elif outcome.result == "injected":
            _log.info("sidecar injected", **fields)
        return Response(outcome.body, media_type=_JSON)

    app = Starlette(routes=[Route(PATH, inject, methods=["POST"])])
    app.router.redirect_slashes = False
    return app


def probe_app(is_ready: Callable[[], bool], counts: InjectorMetrics) -> ASGIApp:
    """Return the application of the probe port."""

    async def live(_: Request) -> Response:
        return Response(b'{"status":"live"}', media_type=_JSON)

    async def ready(_: Request) -> Response:
        if is_ready():
            return Response(b'{"status":"ready"}', media_type=_JSON)
        return _problem(503, "not-ready", "not ready", "no certificate yet, or shutting down")

    async def metrics(_: Request) -> Response:
        response = Response(metrics_text(counts.registry))
        response.headers["content-type"] = CONTENT_TYPE
        return response

    app = Starlette(routes=[Route("/livez", live), Route("/readyz", ready), Route("/metrics", metrics)])
    app.router.redirect_slashes = False
    return app


async def _body(request: Request) -> bytes:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != _JSON:
        raise ReviewError(f"must be `{_JSON}`")
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > _MAX_BYTES:
            raise ReviewError(f"has more than {_MAX_BYTES} bytes")
    return bytes(read)


def _problem(status: int, slug: str, title: str, detail: str) -> Response:
    return Response(problem_json(problem(title, status, detail, slug=slug)), status, media_type=MEDIA_TYPE)
