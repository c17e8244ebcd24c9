"""Single decisions in the form of another protocol: cached responses, shared by the facades.

A facade reads a check from its request, lets the check service decide, and encodes the decision; this module does what
lies between: it repeats, counts and logs. What is logged is the check and the decision in the form of our own API, so
that replay reads every protocol.

INVARIANT (no facade decides): the only source of a response is a `ServedDecision` or a `ServedAccess`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tiergate.engine.recent_keys import RecentKeys
from tiergate.sidecar.native_decisions import NativeDecision
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.wire.check import check_json
from tiergate.wire.decision import decision_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.model import Check, Decision, Instant
    from tiergate.sidecar.access_decisions import ServedAccess
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import StateView

_RECENT = 16_384
"""How many requests are remembered, so that those that are sent again are cached."""


class FacadeResponse:
    """A response's body and the decision that it says; `weight`: approximate bytes."""

    __slots__ = ("body", "decision", "weight")

    def __init__(self, body: bytes, decision: NativeDecision) -> None:
        self.body = body
        self.decision = decision
        self.weight = 0


class FacadeResponses:
    """Responses of one protocol by their requests, in at most `cache_bytes`. `endpoint`: the name in metrics."""

    def __init__(self, service: CheckService, endpoint: str, cache_bytes: int) -> None:
        self.cache: ResponseCache[FacadeResponse] = ResponseCache(cache_bytes)
        self._asked = RecentKeys(_RECENT)
        self._service = service
        self._endpoint = endpoint
        self._counts = service.metrics.facades[endpoint]
        service.state.subscribe(self.cache.clear)
        service.metrics.sizes[endpoint] = lambda: (len(self.cache), self.cache.size)

    def recall(self, request: bytes, now: Instant) -> FacadeResponse | None:
        """Return the response to the same request, if it is valid at `now`."""
        cached = self.cache.get(request)
        if cached is None:
            return None
        decision = cached.decision
        if not decision.start <= now < decision.until or decision.version.is_outdated:
            return None
        decision.counts.check_memo += 1
        return cached

    def decide(
        self, view: StateView, check: Check, now: Instant, request: bytes, encode: Callable[[Decision], bytes]
    ) -> FacadeResponse:
        """Decide a check, encode the decision, and cache the response if that is allowed. Raises as the service."""
        served = self._service.decide(view, check, now)
        counts = self._counts[served.decision.reason]
        counts.check_engine += 1
        asked, said = (check_json(check), decision_json(served.decision)) if served.basis else (b"", b"")
        decision = NativeDecision(
            asked, said, served.start, served.until, served.version, counts, served.basis, endpoint=self._endpoint
        )
        return self._keep(request, FacadeResponse(encode(served.decision), decision), can_cache=served.is_cacheable)

    def take(self, request: bytes, body: bytes, served: ServedAccess) -> FacadeResponse:
        """Take a decision on access that was encoded, and cache the response if that is allowed. It is not logged."""
        counts = self._counts[served.decision.reason]
        counts.check_engine += 1
        decision = NativeDecision(
            b"", b"", served.start, served.until, served.version, counts, b"", endpoint=self._endpoint
        )
        return self._keep(request, FacadeResponse(body, decision), can_cache=served.is_cacheable)

    def _keep(self, request: bytes, response: FacadeResponse, *, can_cache: bool) -> FacadeResponse:
        if can_cache and self._asked.add(request):
            response.decision.weigh()
            response.weight = response.decision.weight + SLOT + len(request) + len(response.body)
            self.cache.put(request, response)
        return response

    def finish(self, response: FacadeResponse, context: RequestContext, now: Instant, begun: int) -> bytes:
        """Count and log a response that is about to be sent; return its decision id. `begun`: of `perf_counter_ns`."""
        service, decision = self._service, response.decision
        decision_id = service.next_id()
        elapsed = time.perf_counter_ns() - begun
        service.metrics.durations[self._endpoint].add(elapsed)
        if decision.basis and service.log is not None:
            service.log.offer((decision_id, now, decision.check, decision.body, context, elapsed, decision.basis))
        return decision_id


def repeatable(response: FacadeResponse) -> NativeDecision | None:
    """Return the decision by which the fast path may repeat a response; `None` if it is not cached."""
    return response.decision if response.weight else None
