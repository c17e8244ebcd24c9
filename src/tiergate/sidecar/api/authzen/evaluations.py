"""Single evaluations: `POST /access/v1/evaluation`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tiergate.errors import TiergateError
from tiergate.sidecar.api.authzen.answers import accessed, decided, refused
from tiergate.sidecar.api.authzen.questions import AccessRequest, Refusal, decide_access, subject_of, translate
from tiergate.sidecar.api.responses import JSON, HttpResponse, reject
from tiergate.sidecar.facade_responses import FacadeResponses, repeatable
from tiergate.wire.authzen_reader import read_question

if TYPE_CHECKING:
    from tiergate.model import Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import StateView
    from tiergate.wire.authzen_reader import Question

ENDPOINT = "authzen"


class EvaluationAdapter:
    """Responds to single evaluations. `cache_bytes` bounds what cached responses take in memory."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self._service = service
        self._responses = FacadeResponses(service, ENDPOINT, cache_bytes)

    def respond_now(self, body: bytes, context: RequestContext) -> HttpResponse | None:
        """Respond; `None`, with nothing done, if the subject must be fetched first."""
        begun = time.perf_counter_ns()
        service = self._service
        now = service.clock()
        response = self._responses.recall(body, now)
        if response is not None:
            decision_id = self._responses.finish(response, context, now, begun)
            return HttpResponse(200, response.body, decision_id, JSON, (), repeatable(response))
        try:
            view = service.view()
            question = read_question(body)
            subject = unfetched(service, view, question)
            return None if subject is not None else self.answer(view, question, body, context, begun)
        except TiergateError as error:
            return reject(service, ENDPOINT, error)

    async def respond(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Respond, and fetch the subject first if that is necessary."""
        begun = time.perf_counter_ns()
        reply = self.respond_now(body, context)
        if reply is not None:
            return reply
        service = self._service
        try:
            question = read_question(body)
            subject = unfetched(service, service.view(), question)
            await service.fetch([] if subject is None else [subject])
            return self.answer(service.view(), question, body, context, begun)
        except TiergateError as error:
            return reject(service, ENDPOINT, error)

    def answer(
        self, view: StateView, question: Question, request: bytes, context: RequestContext, begun: int
    ) -> HttpResponse:
        """Respond to a question that was read. `request`: its bytes. Raises as the check service."""
        service = self._service
        asked = translate(service, view, question)
        if isinstance(asked, Refusal):
            service.count_success(ENDPOINT, begun)
            return HttpResponse(200, refused(asked))
        now = service.clock()
        if isinstance(asked, AccessRequest):
            served = decide_access(service, view, asked, now)
            response = self._responses.take(request, accessed(served), served)
        else:
            response = self._responses.decide(view, asked, now, request, decided)
        decision_id = self._responses.finish(response, context, now, begun)
        return HttpResponse(200, response.body, decision_id, JSON, (), repeatable(response))


def unfetched(service: CheckService, view: StateView, question: Question) -> Subject | None:
    """Return the subject of a question if it must be fetched before anything is decided."""
    if service.subjects is None:
        return None
    subject = subject_of(question.subject)
    return None if isinstance(subject, Refusal) or not service.must_fetch(view, subject) else subject
