"""Usage: `POST /v1/consume`, `/v1/reserve`, `/v1/reservations/{id}/commit` and `/release`, `POST` and `GET /v1/usage`.

They decide nothing: they read bodies, call the usage service, and write its answers, which may come later.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tiergate.errors import CheckError, RequestError, TiergateError
from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.api.responses import JSON, HttpResponse, reject
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.native_decisions import locate_error
from tiergate.sidecar.time_slicing import run_in_slices
from tiergate.sidecar.usage import reservation_ends, usage_lists, usage_reports
from tiergate.sidecar.usage.usage_service import Counted
from tiergate.wire.json import encode
from tiergate.wire.usage import DEFAULT_EXPIRY, RecordedUsage
from tiergate.wire.usage_reader import (
    UsageRecord,
    choose_key,
    read_commit,
    read_consume,
    read_key_header,
    read_records,
    read_release,
    read_reserve,
    read_usage_query,
)

if TYPE_CHECKING:
    from tiergate.model import Check, Instant
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.usage.reservation_ends import Ending
    from tiergate.sidecar.usage.usage_service import UsageService

_MOST_KEPT = 10_000
"""How many bodies of consumptions are kept as they were read."""

_MOST_KEPT_BODY = 200
"""The longest kept body, in bytes."""

Reply = HttpResponse | Deferred[HttpResponse]


class _Request(NamedTuple):
    """A request that is being answered: its endpoint, when it began, its instant, and its check as the log has it."""

    endpoint: str
    begun: int
    now: Instant
    check: Check
    context: RequestContext


class UsageAdapter:
    """Responds to requests about usage."""

    def __init__(self, service: UsageService) -> None:
        self.service = service
        self._checks: CheckService = service.checks
        self._clock = service.checks.clock
        self._metrics = service.checks.metrics
        self._read: dict[bytes, tuple[Check, None]] = {}

    # ── consume and reserve ──────────────────────────────────────────────────────────────────────────────────────────

    def consume_now(self, body: bytes, context: RequestContext) -> Reply | None:
        """Consume; `None`, with nothing done, if the subject must be fetched first."""
        return self._perform("consume", body, context)

    async def consume(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Consume, and fetch the subject first if that is necessary."""
        return await self._perform_whole("consume", body, context)

    def reserve_now(self, body: bytes, context: RequestContext) -> Reply | None:
        """Reserve; `None`, with nothing done, if the subject must be fetched first."""
        return self._perform("reserve", body, context)

    async def reserve(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Reserve, and fetch the subject first if that is necessary."""
        return await self._perform_whole("reserve", body, context)

    async def _perform_whole(self, endpoint: str, body: bytes, context: RequestContext) -> HttpResponse:
        reply = self._perform(endpoint, body, context)
        if reply is None:
            check = read_consume(body)[0] if endpoint == "consume" else read_reserve(body)[0]
            await self._checks.fetch([check.subject])
            reply = self._perform(endpoint, body, context, is_fetched=True)
        if reply is None:
            raise RuntimeError("a subject was fetched, and must be fetched again")
        return await reply.wait() if isinstance(reply, Deferred) else reply

    def _perform(
        self, endpoint: str, body: bytes, context: RequestContext, *, is_fetched: bool = False
    ) -> Reply | None:
        begun = time.perf_counter_ns()
        now = self._clock()
        checks = self._checks
        try:
            seconds: int | None = None
            if endpoint == "consume":
                check, key = self._read.get(body) or self._read_consume(body)
            else:
                check, key, seconds = read_reserve(body)
            if context.idempotency_key is not None:
                key = choose_key(read_key_header([context.idempotency_key]), key)
            view = checks.view()
            if not is_fetched and checks.must_fetch(view, check.subject):
                return None
            if endpoint == "consume":
                outcome = self.service.consume(view, check, key, now)
            else:
                expiry = DEFAULT_EXPIRY if seconds is None else seconds
                outcome = self.service.reserve(view, check, key, expiry, now)
        except TiergateError as error:
            return reject(checks, endpoint, locate_error(error, body))
        request = _Request(endpoint, begun, now, check, context)
        if isinstance(outcome, Counted):
            return self._counted(request, outcome)
        return outcome.map(partial(self._counted, request))

    def _read_consume(self, body: bytes) -> tuple[Check, str | None]:
        """Read the body of a consumption. One without a key comes again, and is kept."""
        check, key = read_consume(body)
        if key is None and len(body) <= _MOST_KEPT_BODY:
            if len(self._read) >= _MOST_KEPT:
                self._read.clear()
            self._read[body] = check, None
        return check, key

    def _counted(self, request: _Request, counted: Counted | RequestError) -> HttpResponse:
        endpoint = request.endpoint
        if isinstance(counted, RequestError):
            return reject(self._checks, endpoint, counted)
        decision_id = self._checks.next_id()
        elapsed = self._checks.count_success(endpoint, request.begun)
        self._metrics.reasons[counted.reason].usage_engine += 1
        if counted.served is not None:
            log = self._checks.log_decision
            log(counted.served, request.check, decision_id, request.context, request.now, elapsed)
        return HttpResponse(200, counted.body, decision_id, JSON)

    # ── reservations ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def commit(self, id_: str, body: bytes) -> HttpResponse:
        """Commit a reservation."""
        begun = time.perf_counter_ns()
        try:
            ending = reservation_ends.commit(self.service, id_, read_commit(body), self._clock())
        except TiergateError as error:
            return reject(self._checks, "reservations", error)
        return await self._ended(ending, begun)

    async def release(self, id_: str, body: bytes) -> HttpResponse:
        """Release a reservation."""
        begun = time.perf_counter_ns()
        try:
            read_release(body)
            ending = reservation_ends.release(self.service, id_, self._clock())
        except TiergateError as error:
            return reject(self._checks, "reservations", error)
        return await self._ended(ending, begun)

    async def _ended(self, ending: Ending, begun: int) -> HttpResponse:
        document = await ending.wait()
        if isinstance(document, RequestError):
            return reject(self._checks, "reservations", document)
        self._checks.count_success("reservations", begun)
        return HttpResponse(200, encode(document))

    # ── usage after the fact, and reading ────────────────────────────────────────────────────────────────────────────

    async def report(self, body: bytes, media_type: str, context: RequestContext) -> HttpResponse:
        """Count usage after the fact. One record is answered alone; several are answered in their order."""
        begun = time.perf_counter_ns()
        checks = self._checks
        try:
            records, is_list = read_records(body, media_type)
            if context.idempotency_key is not None:
                records = _with_key(records, context.idempotency_key, is_list=is_list)
            view = checks.view()
            subjects = [record.check.subject for record in records if isinstance(record, UsageRecord)]
            if any(checks.must_fetch(view, subject) for subject in subjects):
                await checks.fetch(subjects)
                view = checks.view()
            outcome = await usage_reports.report(self.service, view, records, self._clock()).wait()
        except TiergateError as error:
            return reject(checks, "usage", error)
        if isinstance(outcome, RequestError):
            return reject(checks, "usage", outcome)
        if not is_list:
            (result,) = outcome
            if not isinstance(result, RecordedUsage):
                return reject(checks, "usage", result)
            checks.count_success("usage", begun)
            return HttpResponse(200, encode(result))
        results = [it if isinstance(it, RecordedUsage) else problem_document(it) for it in outcome]
        checks.count_success("usage", begun)
        return HttpResponse(200, encode({"results": results}))

    async def read(self, query: bytes) -> HttpResponse:
        """Return the usage of a subject: of one feature, or of all metered ones."""
        begun = time.perf_counter_ns()
        checks = self._checks
        try:
            subject, feature = read_usage_query(query)
            view = checks.view()
            if checks.must_fetch(view, subject):
                await checks.fetch([subject])
                view = checks.view()
            usage = usage_lists.empty_list(subject)
            await run_in_slices(usage_lists.list_usage(self.service, view, subject, feature, self._clock(), usage))
        except TiergateError as error:
            return reject(checks, "usage", error)
        checks.count_success("usage", begun)
        return HttpResponse(200, encode(usage))


def _with_key(
    records: list[UsageRecord | CheckError], header: bytes, *, is_list: bool
) -> list[UsageRecord | CheckError]:
    """Return the one record of a request with the key of its header."""
    key = read_key_header([header])
    (record,) = records if not is_list else (None,)
    if not isinstance(record, UsageRecord) or record.source:
        raise CheckError("Idempotency-Key", "is for one record; events, and each of several records, have own keys")
    return [record._replace(key=choose_key(key, record.key))]
