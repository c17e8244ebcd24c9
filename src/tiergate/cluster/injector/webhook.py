"""The webhook and its probes as applications: admission reviews in, answers out; and what is counted of them.

The API server is the one that asks, and says who it is to nobody: whoever reaches the port can ask, and learns what any
pod's author could read in a pod. What is no review is answered with a status of 400, so that the API server does what
the webhook's `failurePolicy` says.

INVARIANT (metrics are documented): every name here stands in docs/reference/injector.md; a test compares.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from tiergate import __version__
from tiergate.cluster.injector.mutation import ReviewError, review
from tiergate.wire.problem import MEDIA_TYPE, problem, problem_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from tiergate.cluster.injector.mutation import Injection

PATH: Final = "/inject"
"""Where reviews are sent."""

_MOST_BYTES: Final = 8 * 1024**2
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

_log = structlog.get_logger(__name__)


class Counts:
    """What this process tells Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        Info("tiergate_injector_build", "The version that runs.", registry=self.registry).info({"version": __version__})
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
            "When the certificate that is served with ends.",
            registry=self.registry,
        )
        self.certificate_failing = Gauge(
            "tiergate_injector_certificate_failing",
            "1 where the certificate cannot be read, renewed, or told to the webhook.",
            registry=self.registry,
        )
        self.words_failing = Gauge(
            "tiergate_injector_sidecar_file_failing",
            "1 where what the operator says of sidecars cannot be read.",
            registry=self.registry,
        )


def webhook(injection: Callable[[], Injection], counts: Counts) -> ASGIApp:
    """Build the webhook's application. `injection`: what the operator says at present."""

    async def inject(request: Request) -> Response:
        begun = time.perf_counter()
        try:
            outcome = review(await _body(request), injection())
        except ReviewError as error:
            counts.reviews.labels("malformed").inc()
            _log.warning("was sent what is no review of a pod", error=str(error))
            return _problem(400, "malformed-review", "malformed review", f"the body {error}")
        counts.seconds.observe(time.perf_counter() - begun)
        counts.reviews.labels(outcome.result).inc()
        told = {"namespace": outcome.namespace, "pod": outcome.pod}
        if outcome.result == "refused":
            _log.warning("refused a pod", **told, detail=outcome.detail)
        elif outcome.result == "injected":
            _log.info("injected a pod", **told)
        return Response(outcome.body, media_type=_JSON)

    app = Starlette(routes=[Route(PATH, inject, methods=["POST"])])
    app.router.redirect_slashes = False
    return app


def probes(is_ready: Callable[[], bool], counts: Counts) -> ASGIApp:
    """Build the application of the probe port."""

    async def live(_: Request) -> Response:
        return Response(b'{"status":"live"}', media_type=_JSON)

    async def ready(_: Request) -> Response:
        if is_ready():
            return Response(b'{"status":"ready"}', media_type=_JSON)
        return _problem(503, "not-ready", "not ready", "there is no certificate yet, or a shutdown has begun")

    async def metrics(_: Request) -> Response:
        response = Response(generate_latest(counts.registry))
        response.headers["content-type"] = _TEXT
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
        if len(read) > _MOST_BYTES:
            raise ReviewError(f"has more than {_MOST_BYTES} bytes")
    return bytes(read)


def _problem(status: int, slug: str, title: str, detail: str) -> Response:
    return Response(problem_json(problem(title, status, detail, slug=slug)), status, media_type=MEDIA_TYPE)
