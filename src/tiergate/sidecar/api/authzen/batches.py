"""Several evaluations: `POST /access/v1/evaluations`.

All are decided by one view of the state, in time slices; they start again if the view changes in between. An evaluation
that is wrong in itself is `false`, with the error in its place, and counts as a denial.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tiergate.errors import CheckError, TiergateError, UnknownFeatureError
from tiergate.sidecar.api.authzen.answers import accessed, decided, failed, refused
from tiergate.sidecar.api.authzen.evaluations import EvaluationAdapter, unfetched
from tiergate.sidecar.api.authzen.questions import AccessRequest, Refusal, decide_access, translate
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.sidecar.time_slicing import decide_consistently
from tiergate.wire.authzen_reader import (
    DENY_ON_FIRST_DENY,
    EXECUTE_ALL,
    Batch,
    Question,
    read_evaluations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Check
    from tiergate.sidecar.access_decisions import ServedAccess
    from tiergate.sidecar.check_service import CheckService, ServedDecision
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import StateView

ENDPOINT = "authzen_batch"


class EvaluationsAdapter:
    """Responds to several evaluations."""

    def __init__(self, service: CheckService, single: EvaluationAdapter) -> None:
        self._service = service
        self._single = single

    async def respond(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Respond, and fetch subjects first if that is necessary. Without evaluations, as to a single one."""
        begun = time.perf_counter_ns()
        service = self._service
        try:
            service.view()
            read = read_evaluations(body)
            if not isinstance(read, Batch):
                return await self._single.respond(body, context)
            await self._fetch(read)
            made = await decide_consistently(service, lambda view: _Evaluations(service, view, read))
            return made.response(context, begun)
        except TiergateError as error:
            return reject(service, ENDPOINT, error)

    async def _fetch(self, batch: Batch) -> None:
        service = self._service
        if service.subjects is None:
            return
        view = service.view()
        asked = (unfetched(service, view, it) for it in batch.questions if isinstance(it, Question))
        await service.fetch({subject for subject in asked if subject is not None})


class _Evaluations:
    """Evaluations in progress."""

    def __init__(self, service: CheckService, view: StateView, batch: Batch) -> None:
        self._service = service
        self._view = view
        self._batch = batch
        self._now = service.clock()
        self._results: list[bytes] = []
        self._decided: list[tuple[int, Check, ServedDecision]] = []
        self._accessed: list[ServedAccess] = []
        self._errors: list[TiergateError] = []

    @property
    def is_consistent(self) -> bool:
        """Whether no subject has changed since its first decision."""
        versions = [served.version for _, _, served in self._decided] + [it.version for it in self._accessed]
        return not any(version.is_outdated for version in versions)

    def decide(self) -> Iterator[None]:
        """Add the results in order until the semantic stops, pausing after each."""
        semantic = self._batch.semantic
        for place, question in enumerate(self._batch.questions):
            allowed = self._add(place, question)
            if semantic != EXECUTE_ALL and allowed == (semantic != DENY_ON_FIRST_DENY):
                return
            yield

    def _add(self, place: int, question: Question | CheckError) -> bool:
        """Add the result of one evaluation, and return its decision."""
        service = self._service
        try:
            if isinstance(question, CheckError):
                raise question
            asked = translate(service, self._view, question)
            if isinstance(asked, Refusal):
                self._results.append(refused(asked))
                return False
            if isinstance(asked, AccessRequest):
                access = decide_access(service, self._view, asked, self._now)
                self._accessed.append(access)
                self._results.append(accessed(access))
                return access.decision.allowed
            served = service.decide(self._view, asked, self._now)
        except (CheckError, UnknownFeatureError) as error:
            self._errors.append(error)
            self._results.append(failed(error))
            return False
        self._decided.append((place, asked, served))
        self._results.append(decided(served.decision))
        return served.decision.allowed

    def response(self, context: RequestContext, begun: int) -> HttpResponse:
        """Put the results together. The decision id of the n-th result, from 0, is the response's with `.n`."""
        service = self._service
        metrics = service.metrics
        decision_id = service.next_id()
        elapsed = service.count_success(ENDPOINT, begun)
        for error in self._errors:
            metrics.count_problem("invalid-request" if isinstance(error, CheckError) else "unknown-feature")
            metrics.caller_errors.note(ENDPOINT, 400, "invalid-request", str(error))
        share = elapsed // len(self._results)
        counts = metrics.facades["authzen"]
        for access in self._accessed:
            counts[access.decision.reason].checks_engine += 1
        for place, check, served in self._decided:
            counts[served.decision.reason].checks_engine += 1
            service.log_decision(served, check, b"%b.%d" % (decision_id, place), context, self._now, share)
        return HttpResponse(200, b'{"evaluations":[%b]}' % b",".join(self._results), decision_id)
