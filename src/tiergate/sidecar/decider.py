"""From the bytes of a check to a reply: reading, remembering, deciding, counting, logging.

Nothing here knows connections or ASGI: the endpoints and the protocol's quick path both ask here, and so answer
alike.

Rules:

- An answer is remembered under the JSON of its check, as it stood in the body, for as long as its decision holds
  and at most until the instant from which answers say stale. INVARIANT (no answer outlives its generation): the state
  has memos forgotten before anything of a new generation is decided. INVARIANT (no answer outlives its edition): an
  answer holds the edition of its subject, taken before the data was looked at, and whoever gives it looks there first.
- What is volatile, and what is a problem, is not remembered.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
from typing import TYPE_CHECKING

import msgspec

from tiergate.engine import decision_json
from tiergate.errors import CheckError, RequestError, TiergateError, UnknownFeatureError
from tiergate.sidecar.batches import Batches
from tiergate.sidecar.listings import Listings
from tiergate.sidecar.memo import SLOT, Memo
from tiergate.sidecar.replies import Reply, problem_reply
from tiergate.sidecar.requests import locate, read_check
from tiergate.sidecar.suggestions import Suggestions

if TYPE_CHECKING:
    from tiergate.model import Decision, Instant
    from tiergate.sidecar.decisionlog import DecisionLog
    from tiergate.sidecar.editions import Edition
    from tiergate.sidecar.metrics import Metrics, ReasonTally
    from tiergate.sidecar.replies import Context
    from tiergate.sidecar.state import Generation, State

__all__ = ["DEFAULT_MEMO_BYTES", "Answer", "Decider"]

DEFAULT_MEMO_BYTES = 24 * 2**20
"""What remembered answers to checks, and lists of entitlements, may keep in memory by default, together."""

_logger = logging.getLogger(__name__)

_SHARE_OF_CHECKS = 0.75
_SAID_AGAIN_AFTER = 60_000
_MOST_SAID = 1_000
_MOST_SHOWN = 200


class Answer:
    """A decision as its JSON, that may be given again within `[start, until)` unless its edition is outdated.

    `check` is the JSON that asked; `tally` counts it; `logged` says whether the decision log wants it.
    """

    __slots__ = ("body", "check", "edition", "logged", "start", "tally", "until", "weight")

    def __init__(
        self,
        check: bytes,
        body: bytes,
        holds: tuple[Instant, Instant],
        edition: Edition,
        tally: ReasonTally,
        *,
        logged: bool,
    ) -> None:
        self.check = check
        self.body = body
        self.start, self.until = holds
        self.edition = edition
        self.tally = tally
        self.logged = logged
        self.weight = SLOT + len(check) + len(body) + 200 + edition.charge()


class Decider:
    """Answers from the generation in force. `memo_bytes` bounds what it remembers; 0 remembers nothing.

    `batches` answers many checks at once, `listings` all entitlements of a subject.
    """

    def __init__(
        self,
        state: State,
        metrics: Metrics,
        *,
        log: DecisionLog | None = None,
        memo_bytes: int = DEFAULT_MEMO_BYTES,
    ) -> None:
        self.state = state
        self.metrics = metrics
        self.log = log
        self.clock = state.clock
        self.answers: Memo[Answer] = Memo(int(memo_bytes * _SHARE_OF_CHECKS))
        self.batches = Batches(self)
        self.listings = Listings(self, memo_bytes - self.answers.limit)
        self._durations = metrics.durations["check"]
        self._ids = itertools.count(1)
        self._id_prefix = os.urandom(5).hex().encode()
        self._said: dict[str, Instant] = {}
        self._suggestions = Suggestions(())
        self.forget()
        state.subscribe(self.forget)
        metrics.sizes["answers"] = lambda: (len(self.answers), self.answers.size)
        metrics.sizes["entitlements"] = lambda: (len(self.listings.memo), self.listings.memo.size)
        if log is not None:
            metrics.log_records = lambda: (log.written, log.dropped)

    def forget(self) -> None:
        """Forget every remembered answer."""
        self.answers.clear()
        self.listings.memo.clear()
        current = self.state.current
        self._suggestions = Suggestions(current.engine.index.features if current is not None else ())

    def next_id(self) -> bytes:
        """A decision id that no other answer of this process has, nor, by its random part, one of another's."""
        return b"%b%010x" % (self._id_prefix, next(self._ids))

    def check(self, body: bytes, context: Context) -> Reply:
        """Answer `POST /v1/check`."""
        begun = time.perf_counter_ns()
        now = self.clock()
        answer = self.recall(body, now)
        repeated = answer is not None
        if answer is None:
            try:
                answer = self.decide(self.generation(), body, now)
            except TiergateError as error:
                return self.refuse("check", self.located(error, body))
            answer.tally.check_engine += 1
        else:
            answer.tally.check_memo += 1
        decision_id = self.next_id()
        elapsed = time.perf_counter_ns() - begun
        self._durations.add(elapsed)
        self.metrics.count_request("check", 200)
        if answer.logged and self.log is not None:
            self.log.offer((decision_id, now, body, answer.body, context, elapsed))
        return Reply(200, answer.body, decision_id, answer=answer if repeated else None)

    def generation(self) -> Generation:
        """The generation to decide by.

        Raises:
            RequestError: there is none yet.
        """
        generation = self.state.current
        if generation is None:
            raise RequestError(503, "not ready", "nothing has been loaded yet to decide by")
        return generation

    def recall(self, check: bytes, now: Instant) -> Answer | None:
        """The remembered answer to the JSON of a check, if it holds at `now`."""
        answer = self.answers.get(check)
        if answer is None or not answer.start <= now < answer.until or answer.edition.outdated:
            return None
        return answer

    def decide(self, generation: Generation, body: bytes, now: Instant, at: str = "") -> Answer:
        """Decide the JSON of a check, to which `at` points in its request, and remember the answer.

        Raises:
            RequestError: it is no JSON.
            CheckError, UnknownFeatureError: it is no check of this catalog.
        """
        check = read_check(body, at)
        if check.feature not in generation.engine.index.features:
            raise UnknownFeatureError(check.feature[:_MOST_SHOWN], self._suggestions.near(check.feature))
        edition = self.state.editions.of(check.subject)
        decision = generation.engine.decide(check, now)
        stale_at = self.state.stale_at
        start, until = decision.start, decision.until
        stale = now >= stale_at
        if stale:
            start = max(start, stale_at)
        elif stale_at < until:
            until = stale_at
            decision = msgspec.structs.replace(decision, until=until)
        if decision.errors:
            self._say(decision, now)
        answer = Answer(
            body,
            decision_json(decision, stale=stale),
            (start, until),
            edition,
            self.metrics.reasons[decision.reason],
            logged=self.log is not None and self.log.rules.want(decision),
        )
        if not decision.volatile and generation is self.state.current:
            self.answers.put(body, answer)
        return answer

    def located(self, error: TiergateError, check: bytes, at: str = "") -> TiergateError:
        """Point to the field of the request that an error of the engine names."""
        if isinstance(error, CheckError) and error.field and not error.field.startswith("/"):
            return CheckError(locate(error.field, check, at), error.detail)
        return error

    def refuse(self, endpoint: str, error: TiergateError) -> Reply:
        """Answer with a problem, counted."""
        reply = problem_reply(error)
        self.metrics.count_request(endpoint, reply.status)
        self.metrics.count_problem(reply.slug or "")
        return reply

    def _say(self, decision: Decision, now: Instant) -> None:
        """Log what went wrong in deciding, each error once a minute."""
        for error in decision.errors:
            text = f"{decision.feature}: {error}"
            if self._said.get(text, now) <= now:
                if len(self._said) >= _MOST_SAID:
                    self._said.clear()
                self._said[text] = now + _SAID_AGAIN_AFTER
                _logger.error("a check of `%s` was denied, because it cannot be evaluated: %s", decision.feature, error)
