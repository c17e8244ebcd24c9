"""Single checks: `POST /v1/check`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tiergate.errors import TiergateError
from tiergate.sidecar.api.responses import JSON, HttpResponse, reject
from tiergate.sidecar.native_decisions import locate_error
from tiergate.wire.check_reader import read_check

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.native_decisions import NativeDecision, NativeDecisions
    from tiergate.sidecar.request_context import RequestContext


class CheckAdapter:
    """Responds to single checks. A body is looked up once, and read once if it is not cached."""

    def __init__(self, service: CheckService, decisions: NativeDecisions) -> None:
        self._service = service
        self._decisions = decisions
        self._clock = service.clock
        self._log = service.log
        self._durations = service.metrics.durations["check"]

    def respond_now(self, body: bytes, context: RequestContext) -> HttpResponse | None:
        """Respond; `None`, with nothing done, if the subject must be fetched first."""
        begun = time.perf_counter_ns()
        now = self._clock()
        decision = self._decisions.recall(body, now)
        if decision is not None:
            decision.counts.check_memo += 1
            return self._response(decision, context, now, begun, decision)
        service = self._service
        try:
            view = service.view()
            check = read_check(body)
            if service.subjects is not None and service.must_fetch(view, check.subject):
                return None
            decision = self._decisions.decider(view)(check, body, now)
        except TiergateError as error:
            return reject(service, "check", locate_error(error, body))
        decision.counts.check_engine += 1
        return self._response(decision, context, now, begun, None)

    async def respond(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Respond, and fetch the subject first if that is necessary."""
        begun = time.perf_counter_ns()
        response = self.respond_now(body, context)
        if response is not None:
            return response
        service = self._service
        check = read_check(body)
        await service.fetch([check.subject])
        now = self._clock()
        try:
            decision = self._decisions.decider(service.view())(check, body, now)
        except TiergateError as error:
            return reject(service, "check", locate_error(error, body))
        decision.counts.check_engine += 1
        return self._response(decision, context, now, begun, None)

    def _response(
        self,
        decision: NativeDecision,
        context: RequestContext,
        now: Instant,
        begun: int,
        repeatable: NativeDecision | None,
    ) -> HttpResponse:
        decision_id = self._service.next_id()
        elapsed = time.perf_counter_ns() - begun
        durations = self._durations
        durations.counts[elapsed.bit_length()] += 1  # as `add`, without the call
        durations.total += elapsed
        if decision.basis and self._log is not None:
            self._log.offer((decision_id, now, decision.check, decision.body, context, elapsed, decision.basis))
        return HttpResponse(200, decision.body, decision_id, JSON, (), repeatable)
