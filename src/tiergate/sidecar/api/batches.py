"""Many checks in one request: `POST /v1/checks`.

All results of a batch rest on one view of the state (one generation, fresh or stale), one edition of each subject and
one instant. A batch whose checks are mostly remembered is answered at once; another is decided in turns, and begun
again where another view, or a change of one of its subjects, comes in between.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tiergate.errors import TiergateError
from tiergate.sidecar.api.problems import problem_document
from tiergate.sidecar.api.responses import HttpResponse
from tiergate.sidecar.time_slicing import run_in_slices_for_view
from tiergate.wire.check_reader import split_checks
from tiergate.wire.problem import problem_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.sidecar.api.responses import Context
    from tiergate.sidecar.check_service import Answer, CheckService
    from tiergate.sidecar.state import StateView

_AT_ONCE = 8
"""How many checks may be decided without giving way to others."""

_TRIES = 3
"""How often a batch is begun in turns before it is decided without any pause."""


class Batches:
    """Answers batches of checks by asking a decider for each check."""

    def __init__(self, decider: CheckService) -> None:
        self._decider = decider

    def at_once(self, body: bytes, context: Context) -> HttpResponse | None:
        """Answer a batch that needs little deciding; none, with nothing done, where it needs more."""
        try:
            checks = split_checks(body)
            view = self._decider.view()
        except TiergateError as error:
            return self._decider.refuse("checks", error)
        batch = _Batch(self._decider, view, checks, time.perf_counter_ns())
        if batch.missing > _AT_ONCE or batch.must_wait():
            return None
        return _finish(batch, context)

    async def in_turns(self, body: bytes, context: Context) -> HttpResponse:
        """Answer any batch."""
        begun = time.perf_counter_ns()
        try:
            checks = split_checks(body)
            await self._decider.fetch(checks)
            for _ in range(_TRIES):
                view = self._decider.view()
                batch = _Batch(self._decider, view, checks, begun)
                if await run_in_slices_for_view(batch.work(), self._decider.state, view) and batch.consistent:
                    return batch.reply(context)
            return _finish(_Batch(self._decider, self._decider.view(), checks, begun), context)
        except TiergateError as error:
            return self._decider.refuse("checks", error)


def _finish(batch: _Batch, context: Context) -> HttpResponse:
    for _ in batch.work():
        pass
    return batch.reply(context)


class _Batch:
    """One batch on its way: each result is the JSON of a decision or of a problem.

    It begins with what is remembered; `missing` is how many checks that leaves. `begun`: when the request came, in
    nanoseconds.
    """

    def __init__(self, decider: CheckService, view: StateView, checks: Sequence[bytes], begun: int) -> None:
        self._decider = decider
        self._view = view
        self._checks = checks
        self._begun = begun
        self._now = now = decider.clock()
        self._remembered = [
            answer
            if answer is not None and answer.start <= now < answer.until and not answer.edition.is_outdated
            else None
            for answer in map(decider.answers.young.get, checks)
        ]
        self.missing = self._remembered.count(None)
        self._results: list[bytes] = []
        self._answers: list[Answer | None] = []

    def must_wait(self) -> bool:
        """Whether a subject must be fetched before all can be answered."""
        decider = self._decider
        if decider.subjects is None:
            return False
        pairs = zip(self._checks, self._remembered, strict=True)
        return any(answer is None and decider.absent(check) is not None for check, answer in pairs)

    @property
    def consistent(self) -> bool:
        """Whether no subject has changed since its first result."""
        return not any(answer is not None and answer.edition.is_outdated for answer in self._answers)

    def work(self) -> Iterator[None]:
        """Answer the checks in order, pausing after each that had to be decided."""
        add_result, add_answer = self._results.append, self._answers.append
        for check, answer in zip(self._checks, self._remembered, strict=True):
            if answer is not None:
                answer.tally.checks_memo += 1
                add_result(answer.body)
                add_answer(answer)
            else:
                self._add_decided(check)
                yield

    def _add_decided(self, check: bytes) -> None:
        decider = self._decider
        at = f"/checks/{len(self._results)}"
        try:
            answer = decider.recall(check, self._now)
            if answer is not None:
                answer.tally.checks_memo += 1
            else:
                answer = decider.decide(self._view, check, self._now, at)
                answer.tally.checks_engine += 1
        except TiergateError as error:
            decider.tell(error)
            problem = problem_document(decider.located(error, check, at), at)
            decider.metrics.count_problem(problem.slug)
            decider.metrics.mistakes.note("checks", problem.status, problem.slug, problem.detail)
            self._results.append(problem_json(problem))
            self._answers.append(None)
        else:
            self._results.append(answer.body)
            self._answers.append(answer)

    def reply(self, context: Context) -> HttpResponse:
        """Put the results together. The decision id of the n-th result, from 0, is the reply's with `.n`."""
        decider = self._decider
        decision_id = decider.next_id()
        body = b'{"results":[%b]}' % b",".join(self._results)
        elapsed = time.perf_counter_ns() - self._begun
        decider.metrics.durations["checks"].add(elapsed)
        decider.metrics.count_request("checks", 200)
        log = decider.log
        if log is not None:
            share = elapsed // max(1, len(self._results))
            for place, answer in enumerate(self._answers):
                if answer is not None and answer.logged:
                    identity = b"%b.%d" % (decision_id, place)
                    log.offer((identity, self._now, answer.check, answer.body, context, share, answer.basis))
        return HttpResponse(200, body, decision_id)
