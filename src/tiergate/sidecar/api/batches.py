"""Many checks in one request: `POST /v1/checks`.

All results of a batch are decided by one view of the state (one generation, fresh or stale), one version of each
subject, and at one instant. A batch that is decided within a time slice is answered at once; another is decided in time
slices, and starts again if the view or one of its subjects changes in between.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tiergate.errors import TiergateError
from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.sidecar.native_decisions import locate_error
from tiergate.sidecar.time_slicing import run_in_slices_for_view
from tiergate.wire.check_reader import read_check, split_checks
from tiergate.wire.problem import problem_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tiergate.model import Check, Instant, Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.native_decisions import NativeDecision, NativeDecisions
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import StateView
    from tiergate.wire.problem import ProblemDocument

_AT_ONCE_NS = 1_500_000
"""How long a batch may take to be answered at once, in nanoseconds: about a hundred checks with kept answers."""

_MAX_TRIES = 3
"""How often a batch is decided in time slices before it is decided without any pause."""

_READ_PER_SLICE = 100


class BatchAdapter:
    """Responds to batches of checks."""

    def __init__(self, service: CheckService, decisions: NativeDecisions) -> None:
        self._service = service
        self._decisions = decisions

    def respond_now(self, body: bytes, context: RequestContext) -> HttpResponse | None:
        """Respond if that takes little time; else `None`, with nothing counted or logged."""
        try:
            batch = _Batch(self._service, self._decisions, split_checks(body))
            batch.begin(self._service.view())
        except TiergateError as error:
            return reject(self._service, "checks", error)
        if any(batch.unfetched_subjects()):
            return None
        for _ in batch.decide(alone=True):
            if time.perf_counter_ns() - batch.begun > _AT_ONCE_NS:
                return None
        return batch.response(context)

    async def respond(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Respond, in time slices, and fetch subjects first if that is necessary."""
        service = self._service
        try:
            batch = _Batch(service, self._decisions, split_checks(body))
            if service.subjects is not None:
                await self._fetch(batch)
            for _ in range(_MAX_TRIES):
                view = service.view()
                batch.begin(view)
                if await run_in_slices_for_view(batch.decide(), service.state, view) and batch.is_consistent:
                    return batch.response(context)
            batch.begin(service.view())
            return batch.finish(context)
        except TiergateError as error:
            return reject(service, "checks", error)

    async def _fetch(self, batch: _Batch) -> None:
        batch.begin(self._service.view())
        missing: set[Subject] = set()
        for place, subject in enumerate(batch.unfetched_subjects(), 1):
            if subject is not None:
                missing.add(subject)
            if place % _READ_PER_SLICE == 0:
                await asyncio.sleep(0)
        await self._service.fetch(missing)


class _Batch:
    """One batch in progress: each result is the JSON of a decision or of a problem. A check is read at most once."""

    def __init__(self, service: CheckService, decisions: NativeDecisions, checks: Sequence[bytes]) -> None:
        self._service = service
        self._native = decisions
        self._checks = checks
        self._read: dict[int, Check | TiergateError] = {}
        self.begun = time.perf_counter_ns()

    def begin(self, view: StateView) -> None:
        """Start, or start again, with what is cached."""
        self._view = view
        self._now = self._service.clock()
        self._cached = self._native.recall_many(self._checks, self._now)
        self._results: list[bytes] = []
        self._decisions: list[NativeDecision | None] = []
        self._decided: dict[bytes, NativeDecision] = {}
        self._problems: list[tuple[TiergateError, ProblemDocument]] = []

    def unfetched_subjects(self) -> Iterator[Subject | None]:
        """Yield, for each check that is not cached, its subject if it must be fetched first."""
        if self._service.subjects is None:
            return
        for place, cached in enumerate(self._cached):
            if cached is None:
                check = self._read_check(place)
                if not isinstance(check, TiergateError) and self._service.must_fetch(self._view, check.subject):
                    yield check.subject
                else:
                    yield None

    @property
    def is_consistent(self) -> bool:
        """Whether no subject has changed since its first result."""
        return not any(decision is not None and decision.version.is_outdated for decision in self._decisions)

    def decide(self, *, alone: bool = False) -> Iterator[None]:
        """Add the results in order, pausing after each that had to be decided. Equal checks are decided once.

        `alone`: nothing else happens until the end, so that subjects need no version.
        """
        decide = self._native.decide_alone if alone else self._native.decide
        add_result, add_decision = self._results.append, self._decisions.append
        for place, cached in enumerate(self._cached):
            decision = cached if cached is not None else self._decided.get(self._checks[place])
            if decision is not None:
                add_result(decision.body)
                add_decision(decision)
            else:
                self._decide_one(place, decide)
                yield

    def finish(self, context: RequestContext) -> HttpResponse:
        """Decide all without any pause, and respond."""
        for _ in self.decide():
            pass
        return self.response(context)

    def _read_check(self, place: int) -> Check | TiergateError:
        check = self._read.get(place)
        if check is None:
            try:
                check = read_check(self._checks[place], f"/checks/{place}")
            except TiergateError as error:
                check = error
            self._read[place] = check
        return check

    def _decide_one(self, place: int, decide: Callable[[StateView, Check, bytes, Instant], NativeDecision]) -> None:
        body = self._checks[place]
        check = self._read_check(place)
        try:
            if isinstance(check, TiergateError):
                raise check
            decision = decide(self._view, check, body, self._now)
        except TiergateError as error:
            at = f"/checks/{place}"
            problem = problem_document(locate_error(error, body, at), at)
            self._problems.append((error, problem))
            self._results.append(problem_json(problem))
            self._decisions.append(None)
        else:
            self._decided[body] = decision
            self._results.append(decision.body)
            self._decisions.append(decision)

    def _count(self) -> None:
        """Count each result, and log the failures. A check that was decided for this batch counts as such once."""
        for decision in self._decisions:
            if decision is not None:
                decision.counts.checks_memo += 1
        for decision in self._decided.values():
            decision.counts.checks_memo -= 1
            decision.counts.checks_engine += 1
        service = self._service
        for error, problem in self._problems:
            service.log_failure(error)
            service.metrics.count_problem(problem.slug)
            service.metrics.caller_errors.note("checks", problem.status, problem.slug, problem.detail)

    def response(self, context: RequestContext) -> HttpResponse:
        """Put the results together. The decision id of the n-th result, from 0, is the response's with `.n`."""
        self._count()
        service = self._service
        decision_id = service.next_id()
        body = b'{"results":[%b]}' % b",".join(self._results)
        elapsed = service.count_success("checks", self.begun)
        log = service.log
        if log is not None:
            share = elapsed // max(1, len(self._results))
            for place, decision in enumerate(self._decisions):
                if decision is not None and decision.basis:
                    identity = b"%b.%d" % (decision_id, place)
                    log.offer((identity, self._now, decision.check, decision.body, context, share, decision.basis))
        return HttpResponse(200, body, decision_id)
