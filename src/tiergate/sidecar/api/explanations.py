"""Why a check is decided as it is: `POST /v1/explain`.

The decision is the one that the same check has at the same instant: it is made by the same engine from the same
generation, and is stale or denied for that where a check would be. Whether data is stale is asked of the clock,
whatever instant the request is about. Nothing is remembered, and nothing that checks remember is touched.

An explanation takes milliseconds, not microseconds, so its steps give way to whatever else waits. All of them rest on
what the first one took.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.engine import Evaluation, explain_evaluation, reasoning_json, reasoning_sentences
from tiergate.engine.decision_inputs import apply_staleness
from tiergate.engine.explanation.trace import ReasoningBuilder
from tiergate.engine.explanation.what_if import without_subject_cache
from tiergate.errors import OperatorError, TiergateError
from tiergate.model.features import ACTIONS
from tiergate.sidecar.api.responses import HttpResponse
from tiergate.sidecar.time_slicing import run_in_slices
from tiergate.wire.check_reader import read_check_at

if TYPE_CHECKING:
    from tiergate.model import Check, Decision, Instant
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.state import Generation

_TRIES = 3


class Explanations:
    """Explains checks by asking a decider for what it decides by."""

    def __init__(self, decider: CheckService) -> None:
        self._decider = decider

    async def reply(self, body: bytes) -> HttpResponse:
        """Answer with the reasoning as data and as sentences."""
        begun = time.perf_counter_ns()
        decider = self._decider
        try:
            check, at = read_check_at(body)
            await decider.ensure_subject(check.subject)
            content = await self._explain(check, at)
        except TiergateError as error:
            return decider.refuse("explain", decider.located(error, body))
        decider.metrics.durations["explain"].add(time.perf_counter_ns() - begun)
        decider.metrics.count_request("explain", 200)
        return HttpResponse(200, content)

    async def _explain(self, check: Check, at: Instant | None) -> bytes:
        """Explain by one generation; by the next where this one was put away while it was read."""
        for attempt in range(_TRIES):
            view = self._decider.view()
            generation = view.generation
            if generation is None:
                return self._decider.startup.explain(check, self._decider.clock() if at is None else at)
            try:
                return await self._explain_by(generation, view.stale_at, check, at)
            except OperatorError:
                if generation is self._decider.state.current or attempt == _TRIES - 1:
                    raise
        raise AssertionError  # the last attempt has returned or raised

    async def _explain_by(self, generation: Generation, stale_at: Instant, check: Check, at: Instant | None) -> bytes:
        evaluation = self._evaluate(generation, stale_at, check, at)
        feature = generation.engine.evaluator.index.features[check.feature]
        await asyncio.sleep(0)
        explanation = explain_evaluation(generation.engine.evaluator, evaluation)
        await asyncio.sleep(0)
        derivation = ReasoningBuilder(explanation, feature, evaluation.record, check.subject)
        await run_in_slices(derivation.work())
        reasoning = derivation.reasoning()
        await asyncio.sleep(0)
        return reasoning_json(reasoning, reasoning_sentences(reasoning))

    def _evaluate(self, generation: Generation, stale_at: Instant, check: Check, at: Instant | None) -> Evaluation:
        """Decide afresh, in one step.

        Raises:
            CheckError, UnknownFeatureError: it is no check of this catalog.
        """
        decider, clock = self._decider, self._decider.clock()
        now = clock if at is None else at
        evaluator = generation.engine.evaluator
        if at is not None:
            evaluator = without_subject_cache(evaluator)
        decider.expect_feature(generation, check)
        if decider.holds(check.subject):
            evaluation = evaluator.evaluate(check, now)
        else:
            action = ACTIONS[evaluator.index.features[check.feature].type]
            decision = decider.not_fetched(generation, check, now)
            evaluation = Evaluation(check, now, decision, None, None, action, "", None, None)
        return replace(evaluation, decision=self._given(evaluation.decision, stale_at, now, clock))

    def _given(self, decision: Decision, stale_at: Instant, now: Instant, clock: Instant) -> Decision:
        """The decision as it is given at `now`, by data as fresh as it is at `clock`."""
        if clock >= stale_at:
            return self._decider.mark_stale(decision)
        return apply_staleness(decision, now, stale_at, stale_deny=False) if now < stale_at else decision
