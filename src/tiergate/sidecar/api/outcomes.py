"""Outcomes: `POST /v1/outcomes`, one or many, and `GET /v1/outcomes`, what was counted of a feature by minute."""

from __future__ import annotations

import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from tiergate.errors import CheckError, RequestError, TiergateError, UnknownFeatureError
from tiergate.model import format_instant
from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.wire.json import encode
from tiergate.wire.outcome_reader import read_outcomes, read_outcomes_query, with_id
from tiergate.wire.outcomes import MAX_OUTCOMES, OutcomeMinute, OutcomeMinutes, RecordedOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.sidecar.deferred import Deferred
    from tiergate.sidecar.outcomes.outcome_service import OutcomeService, Result
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.status.outcome_minutes import MinuteSum
    from tiergate.wire.outcome_reader import Outcome

_COUNTED: Final = encode(RecordedOutcome(replayed=False))
_REPLAYED: Final = encode(RecordedOutcome(replayed=True))
_ONE_COUNTED: Final = HttpResponse(200, _COUNTED)
_ONE_REPLAYED: Final = HttpResponse(200, _REPLAYED)
_HOUR_MS: Final = 3_600_000
_POINTERS: Final = tuple(f"/outcomes/{place}" for place in range(MAX_OUTCOMES))


class OutcomeAdapter:
    """Responds to requests about outcomes."""

    def __init__(self, service: OutcomeService) -> None:
        self.service = service
        self._checks = service.checks
        self._clock = service.checks.clock

    def report_now(self, body: bytes, context: RequestContext) -> HttpResponse | Deferred[HttpResponse]:
        """Count outcomes. One is answered alone; several are answered in their order."""
        begun = time.perf_counter_ns()
        try:
            outcomes, is_list = read_outcomes(body)
            if context.idempotency_key is not None:
                outcomes = _with_id(outcomes, context.idempotency_key, is_list=is_list)
            if not is_list and isinstance(outcomes[0], CheckError):
                raise outcomes[0]
            results, written = self.service.count(outcomes, self._clock())
        except TiergateError as error:
            return reject(self._checks, "outcomes", error)
        return written.map(partial(self._respond, results, is_list, begun))

    async def report(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Count outcomes, as `report_now`."""
        reply = self.report_now(body, context)
        return reply if isinstance(reply, HttpResponse) else await reply.wait()

    async def read(self, query: bytes) -> HttpResponse:
        """Return what was counted of a feature, by minute; by default in the last hour."""
        begun = time.perf_counter_ns()
        try:
            feature, start = read_outcomes_query(query)
            minutes = await self.service.read(feature, self._clock() - _HOUR_MS if start is None else start)
        except TiergateError as error:
            return reject(self._checks, "outcomes", error)
        document = OutcomeMinutes(feature=feature, minutes=tuple(map(_minute, minutes)))
        self._checks.count_success("outcomes", begun)
        return HttpResponse(200, encode(document))

    def _respond(self, results: list[Result], is_list: bool, begun: int, failure: RequestError | None) -> HttpResponse:  # noqa: FBT001 - bound above
        if failure is not None:
            return reject(self._checks, "outcomes", failure)
        if not is_list:
            (result,) = results
            if not isinstance(result, bool):
                return reject(self._checks, "outcomes", result)
            self._checks.count_success("outcomes", begun)
            return _ONE_REPLAYED if result else _ONE_COUNTED
        self._checks.count_success("outcomes", begun)
        if not any(results):
            return HttpResponse(200, _all_counted(len(results)))
        texts = [self._text(result, place) for place, result in enumerate(results)]
        return HttpResponse(200, b'{"results":[%b]}' % b",".join(texts))

    def _text(self, result: Result, place: int) -> bytes:
        """Return the JSON of one result of several; counts a problem, and logs it."""
        if isinstance(result, bool):
            return _REPLAYED if result else _COUNTED
        metrics = self._checks.metrics
        problem = problem_document(_placed(result, _POINTERS[place]))
        metrics.count_problem(problem.slug)
        metrics.caller_errors.note("outcomes", problem.status, problem.slug, problem.detail)
        return encode(problem)


@lru_cache(maxsize=64)
def _all_counted(count: int) -> bytes:
    return b'{"results":[%b]}' % b",".join([_COUNTED] * count)


def _with_id(
    outcomes: Sequence[Outcome | CheckError], header: bytes, *, is_list: bool
) -> Sequence[Outcome | CheckError]:
    """Return the one outcome of a request with the id of its header."""
    (outcome,) = outcomes if not is_list else (None,)
    if outcome is None:
        raise CheckError("Idempotency-Key", "is for one outcome; each of several has an id of its own")
    return outcomes if isinstance(outcome, CheckError) else [with_id(outcome, header)]


def _placed(error: TiergateError, pointer: str) -> TiergateError:
    """Return an error that points to its field in the request."""
    match error:
        case UnknownFeatureError():
            detail = f"no feature `{error.feature}` in the catalog"
            return RequestError(404, "unknown feature", detail, error.suggestion, field=f"{pointer}/feature")
        case CheckError() if not error.field.startswith(pointer):
            return CheckError(pointer + error.field, error.detail, error.suggestion)
        case RequestError() if error.field is not None:
            error.field = pointer + error.field
    return error


def _minute(one: MinuteSum) -> OutcomeMinute:
    minute = OutcomeMinute(minute=format_instant(one.minute), requests=one.requests, failed=one.failed)
    if not one.slow:
        return minute
    return OutcomeMinute(
        minute=minute.minute,
        requests=one.requests,
        failed=one.failed,
        slow={str(latency): count for latency, count in one.slow},
    )
