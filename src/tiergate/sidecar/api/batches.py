"""Many checks in one request: `POST /v1/checks`.

All results of a batch are decided by one view of the state (one generation, fresh or stale), one version of each
subject, and at one instant. A batch that is decided within a time slice is answered at once; another is decided in time
slices, and starts again if the view or one of its subjects changes in between.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Self

from tiergate.errors import TiergateError
from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.api.responses import HttpResponse, reject
from tiergate.sidecar.native_decisions import locate_error
from tiergate.sidecar.time_slicing import decide_consistently
from tiergate.wire.check import MAX_CHECKS
from tiergate.wire.check_reader import read_check, split_checks
from tiergate.wire.problem import problem_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.model import Check, Subject
    from tiergate.sidecar.check_service import CheckService
    from tiergate.sidecar.native_decisions import NativeDecision, NativeDecisions
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import StateView
    from tiergate.wire.problem import ProblemDocument

_AT_ONCE_NS = 2_500_000
"""How long a batch may take to be answered at once, in nanoseconds of processor time.

Well over a hundred checks with kept answers.
"""

_FIRST_GUESS_NS = 15_000
_WEIGHT = 1 / 8
_DOUBT = 15 / 16
_MOST_MORE = 2

_PER_LOOK = 4
"""After how many checks of a batch that is answered at once the time is looked at."""

_READ_PER_SLICE = 100
_POINTERS: Final = tuple(f"/checks/{place}" for place in range(MAX_CHECKS))


class CostEstimate:
    """How long a check takes that is not cached, as the batches so far took; in nanoseconds of processor time.

    An estimate by which a batch is not even begun is lowered a little, so that another will be tried.
    """

    def __init__(self) -> None:
        self._each = float(_FIRST_GUESS_NS)

    def fits(self, checks: int) -> bool:
        """Return whether so many checks can be decided at once."""
        if checks * self._each <= _AT_ONCE_NS:
            return True
        self._each *= _DOUBT
        return False

    def learn(self, checks: int, elapsed: int) -> None:
        """Take into account how long some checks took."""
        if checks:
            self._each += _WEIGHT * (elapsed / checks - self._each)

    def exceeded(self, checks: int, elapsed: int) -> None:
        """Take into account that some checks took too long; one batch may have met with something rare."""
        self._each = min(max(self._each, elapsed / max(checks, 1)), _MOST_MORE * self._each)


class BatchAdapter:
    """Responds to batches of checks."""

    def __init__(self, service: CheckService, decisions: NativeDecisions) -> None:
        self._service = service
        self._decisions = decisions
        self._estimate = CostEstimate()

    def respond_now(self, body: bytes, context: RequestContext) -> HttpResponse | None:
        """Respond if that takes little time; else `None`, with nothing counted or logged."""
        try:
            batch = _Batch(self._service, self._decisions, split_checks(body))
            batch.begin(self._service.view())
        except TiergateError as error:
            return reject(self._service, "checks", error)
        if not self._estimate.fits(batch.uncached) or any(batch.unfetched_subjects()):
            return None
        begun = time.thread_time_ns()
        for done in batch.decide(at_once=True):
            if time.perf_counter_ns() - batch.begun > _AT_ONCE_NS:
                elapsed = time.thread_time_ns() - begun
                if elapsed > _AT_ONCE_NS:  # else the machine did something else meanwhile
                    self._estimate.exceeded(done, elapsed)
                    return None
        self._estimate.learn(batch.uncached, time.thread_time_ns() - begun)
        return batch.response(context)

    async def respond(self, body: bytes, context: RequestContext) -> HttpResponse:
        """Respond, in time slices, and fetch subjects first if that is necessary."""
        service = self._service
        try:
            batch = _Batch(service, self._decisions, split_checks(body))
            if service.subjects is not None:
                await self._fetch(batch)
            await decide_consistently(service, batch.begin)
            return batch.response(context)
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

    def begin(self, view: StateView) -> Self:
        """Start, or start again, with what is cached; return itself."""
        self._view = view
        self._now = self._service.clock()
        self._cached = self._native.recall_many(self._checks, self._now)
        self.uncached = self._cached.count(None)
        self._results: list[bytes] = []
        self._decisions: list[NativeDecision | None] = []
        self._decided: dict[bytes, NativeDecision] = {}
        self._repeated: list[NativeDecision] = []
        self._problems: list[tuple[TiergateError, ProblemDocument]] = []
        return self

    def unfetched_subjects(self) -> Iterator[Subject | None]:
        """Yield, for each check that is not cached, its subject if it must be fetched first."""
        if self._service.subjects is None:
            return
        for place, cached in enumerate(self._cached):
            if cached is None:
                try:
                    subject = self._read_check(place).subject
                except TiergateError:  # it becomes a result
                    yield None
                    continue
                yield subject if self._service.must_fetch(self._view, subject) else None

    @property
    def is_consistent(self) -> bool:
        """Whether no subject has changed since its first result."""
        return not any(decision is not None and decision.version.is_outdated for decision in self._decisions)

    def decide(self, *, at_once: bool = False) -> Iterator[int]:
        """Add the results in order, pausing where others may have their turn. Equal checks are decided once.

        `at_once`: nothing else happens until the end, so that subjects need no version. Yields how many were decided.
        """
        decide, now = self._native.decider(self._view, at_once=at_once), self._now
        checks, is_read_once = self._checks, self._service.subjects is None
        add_result, add_decision, add_repeated = self._results.append, self._decisions.append, self._repeated.append
        decided = self._decided
        for place, (body, cached) in enumerate(zip(checks, self._cached, strict=True)):
            decision = cached if cached is not None else decided.get(body)
            if decision is not None:
                add_repeated(decision)
                add_result(decision.body)
                add_decision(decision)
                continue
            try:
                check = read_check(body, _POINTERS[place]) if is_read_once else self._read_check(place)
                decision = decide(check, body, now)
            except TiergateError as error:
                self._add_problem(place, error)
            else:
                decided[body] = decision
                add_result(decision.body)
                add_decision(decision)
            if not at_once or place % _PER_LOOK == 0:
                yield len(decided)

    def _read_check(self, place: int) -> Check:
        """Read a check; raises the same `TiergateError` each time if that is impossible."""
        check = self._read.get(place)
        if check is None:
            try:
                check = read_check(self._checks[place], _POINTERS[place])
            except TiergateError as error:
                check = error
            self._read[place] = check
        if isinstance(check, TiergateError):
            raise check
        return check

    def _add_problem(self, place: int, error: TiergateError) -> None:
        at = _POINTERS[place]
        problem = problem_document(locate_error(error, self._checks[place], at), at)
        self._problems.append((error, problem))
        self._results.append(problem_json(problem))
        self._decisions.append(None)

    def _count(self) -> None:
        """Count each result, and log the failures. A check that was decided for this batch counts as such once."""
        for decision in self._repeated:
            decision.counts.checks_memo += 1
        for decision in self._decided.values():
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
