"""One flag: `POST /ofrep/v1/evaluate/flags/{key}`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from tiergate.errors import TiergateError
from tiergate.model import Check
from tiergate.sidecar.api.ofrep.failures import reject
from tiergate.sidecar.api.ofrep.translation import decided_feature, evaluate, split_key
from tiergate.sidecar.api.responses import JSON, HttpResponse
from tiergate.sidecar.facade_responses import FacadeResponses, repeatable
from tiergate.wire.ofrep_reader import read_context

if TYPE_CHECKING:
    from tiergate.model import Decision, Feature
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.facade_responses import FacadeResponse
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import StateView
    from tiergate.wire.ofrep_reader import Context

ENDPOINT = "ofrep"


class FlagAdapter:
    """Responds to requests for one flag. `cache_bytes` bounds what cached responses take in memory."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self._service = service
        self._responses = FacadeResponses(service, ENDPOINT, cache_bytes)

    def respond_now(self, key: str, body: bytes, context: RequestContext) -> HttpResponse | None:
        """Respond; `None`, with nothing done, if the subject must be fetched first."""
        begun = time.perf_counter_ns()
        service = self._service
        now = service.clock()
        request = _request(key, body)
        response = self._responses.recall(request, now)
        if response is None:
            try:
                view = service.view()
                asked = read_context(body)
                if service.must_fetch(view, asked.subject):
                    return None
                response = self._decide(view, key, asked, request)
            except TiergateError as error:
                return reject(service, ENDPOINT, error, key)
        decision_id = self._responses.finish(response, context, now, begun)
        return HttpResponse(200, response.body, decision_id, JSON, (), repeatable(response))

    async def respond(self, key: str, body: bytes, context: RequestContext) -> HttpResponse:
        """Respond, and fetch the subject first if that is necessary."""
        begun = time.perf_counter_ns()
        reply = self.respond_now(key, body, context)
        if reply is not None:
            return reply
        service = self._service
        asked = read_context(body)
        await service.fetch([asked.subject])
        now = service.clock()
        try:
            response = self._decide(service.view(), key, asked, _request(key, body))
        except TiergateError as error:
            return reject(service, ENDPOINT, error, key)
        return HttpResponse(200, response.body, self._responses.finish(response, context, now, begun))

    def _decide(self, view: StateView, key: str, asked: Context, request: bytes) -> FacadeResponse:
        service = self._service
        name, is_decision = split_key(key)
        generation = view.generation
        feature: Feature | None = None
        if generation is not None:
            service.expect_feature(generation, Check(asked.subject, name))
            feature = generation.engine.evaluator.index.features[name]
        check = asked.check(name, None if feature is None else feature.type, decision=is_decision)
        encode = partial(_evaluation, key, feature, is_decision=is_decision)
        return self._responses.decide(view, check, service.clock(), request, encode)


def _evaluation(key: str, feature: Feature | None, decision: Decision, *, is_decision: bool) -> bytes:
    return evaluate(key, decided_feature(decision, feature), decision.revision, is_decision=is_decision)


def _request(key: str, body: bytes) -> bytes:
    """Return what identifies a request among all for one flag."""
    return b"%b\n%b" % (key.encode("utf-8", "surrogatepass"), body)
