"""Why a check is decided as it is: `POST /v1/explain`.

The decision is the one that the same check has at the same instant: the same engine makes it from the same generation,
and it is stale, or denied for that, when a check would be. The clock decides whether data is stale, even for another
instant. Nothing is cached, and no cache of checks is touched.

An explanation takes milliseconds, not microseconds, so its steps give way to other requests. All steps use the data of
the first one.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tiergate.engine import explain_evaluation, reasoning_json, reasoning_sentences
from tiergate.engine.explanation.trace import ReasoningBuilder
from tiergate.errors import OperatorError, TiergateError
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.sidecar.native_decisions import locate_error
from tiergate.sidecar.time_slicing import run_in_slices
from tiergate.wire.check_reader import read_check_at

if TYPE_CHECKING:
    from tiergate.model import Check, Instant
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import Generation

_MAX_TRIES = 3


class ExplanationAdapter:
    """Explains checks, as data and as sentences."""

    def __init__(self, service: CheckService) -> None:
        self._service = service

    async def respond(self, body: bytes, context: RequestContext) -> HttpResponse:  # noqa: ARG002 - as other adapters
        """Respond with an explanation."""
        begun = time.perf_counter_ns()
        service = self._service
        try:
            check, at = read_check_at(body)
            if service.must_fetch(service.state.view, check.subject):
                await service.fetch([check.subject])
            content = await self._explain(check, at)
        except TiergateError as error:
            return reject(service, "explain", locate_error(error, body))
        service.count_success("explain", begun)
        return HttpResponse(200, content)

    async def _explain(self, check: Check, at: Instant | None) -> bytes:
        """Explain by one generation; by the next one if this one was removed while it was read."""
        service = self._service
        for attempt in range(_MAX_TRIES):
            view = service.view()
            generation = view.generation
            if generation is None:
                return service.unloaded.explain(check, service.clock() if at is None else at)
            try:
                return await self._explain_by(generation, view.stale_at, check, at)
            except OperatorError:
                if generation is service.state.current or attempt == _MAX_TRIES - 1:
                    raise
        raise AssertionError  # the last attempt has returned or raised

    async def _explain_by(self, generation: Generation, stale_at: Instant, check: Check, at: Instant | None) -> bytes:
        evaluation = self._service.evaluate(generation, stale_at, check, at)
        evaluator = generation.engine.evaluator
        await asyncio.sleep(0)
        explanation = explain_evaluation(evaluator, evaluation)
        await asyncio.sleep(0)
        feature = evaluator.index.features[check.feature]
        builder = ReasoningBuilder(explanation, feature, evaluation.record, check.subject)
        await run_in_slices(builder.work())
        reasoning = builder.reasoning()
        await asyncio.sleep(0)
        return reasoning_json(reasoning, reasoning_sentences(reasoning))
