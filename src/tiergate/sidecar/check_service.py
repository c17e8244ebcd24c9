"""From the bytes of a check to a reply: reading, remembering, deciding, counting, logging.

Nothing here knows connections or ASGI: the endpoints and the protocol's quick path both ask here, and so answer
alike.

Rules:

- An answer is remembered under the JSON of its check, as it stood in the body, for as long as its decision holds
  and at most until the instant from which answers say stale. INVARIANT (no answer outlives its generation): the state
  has memos forgotten before anything of a new generation is decided. INVARIANT (no answer outlives its edition): an
  answer holds the edition of its subject, taken before the data was looked at, and whoever gives it looks there first.
- What is volatile, what was answered without anything to decide by, and what is a problem, is not remembered.
- Where subjects are fetched on demand (`SubjectFetcher`), a request fetches those that are not known before anything
  is decided. What is still not known when it is decided is an `unknown_subject` that says stale and is not remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from tiergate import __version__
from tiergate.engine import MeteredUsage, decide_all_features, decision_json
from tiergate.engine.decision_inputs import DecisionBasis, LoggedUsage, apply_staleness, basis_json, mark_stale
from tiergate.errors import (
    CheckError,
    OperatorError,
    RequestError,
    TiergateError,
    UnknownFeatureError,
    UnreadableError,
)
from tiergate.model import Check, Reason, Subject
from tiergate.naming import NearestNames
from tiergate.sidecar.api.batches import Batches
from tiergate.sidecar.api.entitlement_lists import Listings
from tiergate.sidecar.api.explanations import Explanations
from tiergate.sidecar.api.responses import HttpResponse, refused
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.staleness import NONE_CHOSEN, select_features
from tiergate.sidecar.startup_deadline import UnloadedDecisions
from tiergate.wire.check_reader import locate, read_check
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.model import Decision, Instant, SubjectRecord
    from tiergate.sidecar.api.responses import Context
    from tiergate.sidecar.decision_log import DecisionLog
    from tiergate.sidecar.metrics import Metrics, ReasonTally
    from tiergate.sidecar.state import Generation, State, StateView
    from tiergate.sidecar.subject_versions import SubjectVersion

DEFAULT_MEMO_BYTES = 24 * 2**20
"""What remembered answers to checks, and lists of entitlements, may keep in memory by default, together."""

_logger = logging.getLogger(__name__)

_SHARE_OF_CHECKS = 0.75
_SAID_AGAIN_AFTER = 60_000
_MOST_SAID = 1_000
_MOST_SHOWN = 200
_READ_AT_ONCE = 100


class SubjectFetcher(Protocol):
    """Subjects that are held only once they were asked for. It is asked about customers and subscriptions, not users.

    Who lets a subject go, or holds another edition of it, tells `State.subject_changed`.
    """

    def is_known(self, subject: Subject) -> bool:
        """Whether what is held says all about a subject, be it that there is none. Cheap."""
        ...

    async def fetch(self, subject: Subject) -> bool:
        """Have a subject fetched, in bounded time, and say whether it is known now. Raises nothing."""
        ...


class Answer:
    """A decision as its JSON, that may be given again within `[start, until)` unless its edition is outdated.

    `check` is the JSON that asked; `tally` counts it; `logged` says whether the decision log wants it, with `basis`.
    """

    __slots__ = ("basis", "body", "check", "edition", "logged", "start", "tally", "until", "weight")

    def __init__(
        self,
        check: bytes,
        body: bytes,
        holds: tuple[Instant, Instant],
        edition: SubjectVersion,
        tally: ReasonTally,
        basis: bytes | None,
    ) -> None:
        self.check = check
        self.body = body
        self.start, self.until = holds
        self.edition = edition
        self.tally = tally
        self.logged = basis is not None
        self.basis = basis or b""
        self.weight = SLOT + len(check) + len(body) + len(self.basis) + 200 + edition.claim_weight()


class CheckService:
    """Answers from the generation in force. `memo_bytes` bounds what it remembers; 0 remembers nothing.

    `stale_deny`: what is denied once the data is stale, as `staleness` reads it. `startup_allow`: what is allowed where
    checks are answered before anything was loaded, as `startup` reads it. `subjects`: who fetches subjects on
    demand; none where all are held. `batches` answers many checks at once, `listings` all entitlements of a subject,
    `explanations` says why.
    """

    def __init__(
        self,
        state: State,
        metrics: Metrics,
        *,
        log: DecisionLog | None = None,
        memo_bytes: int = DEFAULT_MEMO_BYTES,
        stale_deny: Sequence[str] = (),
        startup_allow: Sequence[str] = (),
        subjects: SubjectFetcher | None = None,
    ) -> None:
        self.state = state
        self.metrics = metrics
        self.log = log
        self.clock = state.clock
        self.subjects = subjects
        self.answers: ResponseCache[Answer] = ResponseCache(int(memo_bytes * _SHARE_OF_CHECKS))
        self.batches = Batches(self)
        self.listings = Listings(self, memo_bytes - self.answers.limit)
        self.explanations = Explanations(self)
        self.startup = UnloadedDecisions(startup_allow)
        self._durations = metrics.durations["check"]
        self._ids = itertools.count(1)
        self._id_prefix = os.urandom(5).hex().encode()
        self._said: dict[str, Instant] = {}
        self._suggestions = NearestNames(())
        self._stale_deny = tuple(stale_deny)
        self._denied_once_stale = NONE_CHOSEN
        self._generation = 0
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
        if current is not None and current.number != self._generation:
            self._generation = current.number
            features = current.engine.evaluator.index.features
            self._suggestions = NearestNames(features)
            self._denied_once_stale = select_features(self._stale_deny, features)
            for word in self._denied_once_stale.unknown:
                _logger.warning("`stale-deny` names `%s`, which no feature of the catalog is or has", word)
            for word in select_features(self.startup.allow, features).unknown:
                _logger.warning("`startup-allow` names `%s`, which no feature of the catalog is", word)

    def next_id(self) -> bytes:
        """A decision id that no other answer of this process has, nor, by its random part, one of another's."""
        return b"%b%010x" % (self._id_prefix, next(self._ids))

    def check(self, body: bytes, context: Context, begun: int = 0) -> HttpResponse:
        """Answer `POST /v1/check`. `begun`: when that began, in nanoseconds; 0 means now."""
        begun = begun or time.perf_counter_ns()
        now = self.clock()
        answer = self.recall(body, now)
        repeated = answer is not None
        if answer is None:
            try:
                answer = self.decide(self.view(), body, now)
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
            self.log.offer((decision_id, now, body, answer.body, context, elapsed, answer.basis))
        return HttpResponse(200, answer.body, decision_id, answer=answer if repeated else None)

    def check_at_once(self, body: bytes, context: Context) -> HttpResponse | None:
        """Answer `POST /v1/check`; none, with nothing done, where its subject must be fetched first."""
        return None if self.absent(body) is not None else self.check(body, context)

    async def check_in_time(self, body: bytes, context: Context) -> HttpResponse:
        """Answer `POST /v1/check`, and have its subject fetched where that is needed."""
        begun = time.perf_counter_ns()
        await self.fetch([body])
        return self.check(body, context, begun)

    def absent(self, check: bytes) -> Subject | None:
        """The subject that must be fetched before the JSON of a check can be answered, if it must and can be read."""
        if self.subjects is None or self.state.current is None or self.recall(check, self.clock()) is not None:
            return None
        try:
            subject = _holder(read_check(check).subject)
        except TiergateError:
            return None
        return None if self.subjects.is_known(subject) else subject

    async def fetch(self, checks: Sequence[bytes]) -> None:
        """Have the subjects fetched, together, that must be before some checks can be answered."""
        if self.subjects is None:
            return
        found: set[Subject] = set()
        for place, check in enumerate(checks, 1):
            subject = self.absent(check)
            if subject is not None:
                found.add(subject)
            if place % _READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*(self.subjects.fetch(subject) for subject in found))

    async def ensure_subject(self, subject: Subject) -> None:
        """Have a subject fetched where it is not known."""
        if self.subjects is not None and self.state.current is not None and not self.holds(subject):
            await self.subjects.fetch(_holder(subject))

    def view(self) -> StateView:
        """What a request is decided by; without a generation where there is none and nobody waits for it any more.

        Raises:
            RequestError: there is no generation yet.
        """
        if self.state.current is None and not self.state.unloaded:
            raise RequestError(503, "not ready", "nothing has been loaded yet to decide by")
        return self.state.view

    def recall(self, check: bytes, now: Instant) -> Answer | None:
        """The remembered answer to the JSON of a check, if it holds at `now`."""
        answer = self.answers.get(check)
        if answer is None or not answer.start <= now < answer.until or answer.edition.is_outdated:
            return None
        return answer

    def decide(self, view: StateView, body: bytes, now: Instant, at: str = "") -> Answer:
        """Decide the JSON of a check, to which `at` points in its request, and remember the answer.

        Without a generation nothing is decided, and nothing remembered: the answer is what `startup` says.

        Raises:
            RequestError: it is no JSON.
            CheckError, UnknownFeatureError: it is no check of this catalog.
        """
        check = read_check(body, at)
        generation, stale_at, epoch = view
        if generation is None:
            return self._unloaded(check, body, now)
        self.expect_feature(generation, check)
        edition = self.state.subject_versions.of(check.subject)
        held = self.holds(check.subject)
        engine = generation.engine
        decision = engine.decide(check, now) if held else self.not_fetched(generation, check, now)
        denied = check.feature in self._denied_once_stale.features
        start, until = decision.start, min(decision.until, stale_at)
        if now >= stale_at:
            start, until = max(start, stale_at), decision.until
        decision = apply_staleness(decision, now, stale_at, stale_deny=denied)
        for error in decision.errors:
            self._say(f"a check of `{check.feature}` was denied, because it cannot be evaluated: {error}", now)
        answer = Answer(
            body,
            decision_json(decision),
            (start, until),
            edition,
            self.metrics.reasons[decision.reason],
            self._basis(view, check, decision, now, held=held),
        )
        if not decision.volatile and epoch == self.state.epoch:
            self.answers.put(body, answer)
        return answer

    def _unloaded(self, check: Check, body: bytes, now: Instant) -> Answer:
        """The answer to a check where there is nothing to decide by."""
        given = self.startup.answer(check)
        basis = None
        if self.log is not None and self.log.rules.want(given):
            basis = basis_json(DecisionBasis(version=__version__, loaded=False))
        edition, tally = self.state.subject_versions.of(check.subject), self.metrics.reasons[Reason(given.reason)]
        return Answer(body, encode(given), (now, now), edition, tally, basis)

    def expect_feature(self, generation: Generation, check: Check) -> None:
        """See that a check is about a feature of the catalog.

        Raises:
            UnknownFeatureError: it is not; says which was probably meant.
        """
        if check.feature not in generation.engine.evaluator.index.features:
            raise UnknownFeatureError(check.feature[:_MOST_SHOWN], self._suggestions.find(check.feature))

    def not_fetched(self, generation: Generation, check: Check, now: Instant) -> Decision:
        """Decide a check about a subject of which nothing is known, though it may exist."""
        return msgspec.structs.replace(generation.engine.evaluator.deny_unknown(check, now), stale=True, volatile=True)

    def entitlements(self, generation: Generation, subject: Subject, now: Instant) -> Iterator[Decision]:
        """Decide, one by one, the least check of every feature, fresh or stale."""
        if self.holds(subject):
            return decide_all_features(generation.engine, subject, now)
        features = generation.engine.evaluator.index.features
        return (self.not_fetched(generation, Check(subject, feature), now) for feature in features)

    def holds(self, subject: Subject) -> bool:
        """Whether the data that is held says all about a subject."""
        return self.subjects is None or self.subjects.is_known(_holder(subject))

    def mark_stale(self, decision: Decision) -> Decision:
        """A decision as it is given once the data is stale."""
        return mark_stale(decision, denied=decision.feature in self._denied_once_stale.features)

    def located(self, error: TiergateError, check: bytes, at: str = "") -> TiergateError:
        """Point to the field of the request that an error of the engine names."""
        if isinstance(error, CheckError) and error.field and not error.field.startswith("/"):
            return CheckError(locate(error.field, check, at), error.detail, error.suggestion)
        return error

    def refuse(self, endpoint: str, error: TiergateError) -> HttpResponse:
        """Answer with a problem, counted."""
        self.tell(error)
        return refused(error, self.metrics, endpoint)

    def tell(self, error: TiergateError) -> None:
        """Log what only an operator can mend, each thing once a minute."""
        if isinstance(error, UnreadableError):
            self._say(f"a check cannot be decided: {error}", self.clock())

    def _basis(self, view: StateView, check: Check, decision: Decision, now: Instant, *, held: bool) -> bytes | None:
        """The basis of a decision as the log has it; none where the log does not want the decision."""
        generation, stale_at, _ = view
        if generation is None or self.log is None or not self.log.rules.want(decision):
            return None
        rules, followed = self.log.rules, self.state.feed_position
        index = generation.engine.evaluator.index.features
        record: SubjectRecord | msgspec.UnsetType | None = msgspec.UNSET
        if rules.wants_records:
            with contextlib.suppress(OperatorError, msgspec.MsgspecError):  # its decision says so, among the errors
                record = generation.engine.evaluator.record_of(check.subject)
        basis = DecisionBasis(
            store="" if followed is None else followed.store,
            position=None if followed is None else followed.position,
            version=__version__,
            stale_at=DecisionBasis.stale_text(stale_at),
            stale_deny=now >= stale_at and check.feature in self._denied_once_stale.features,
            fetched=held,
            usage=None
            if decision.usage is None
            else LoggedUsage.of(MeteredUsage(*decision.usage), index[check.feature]),
            errors=() if rules.masks else decision.errors,
            record=record,
        )
        return basis_json(basis)

    def _say(self, text: str, now: Instant) -> None:
        """Log what went wrong in deciding, each thing once a minute."""
        if self._said.get(text, now) <= now:
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            self._said[text] = now + _SAID_AGAIN_AFTER
            _logger.error("%s", text)


def _holder(subject: Subject) -> Subject:
    """The customer or subscription that a user is in; any other subject itself."""
    return subject if subject.user is None else Subject(subject.id, subject.type)
