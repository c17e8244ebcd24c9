"""Consumptions and reservations: a check and a debit in one step, over the check service and the meter.

It knows neither bytes of requests nor HTTP. Rules:

- One decision path: the check service decides, with the usage of the meter; nothing runs between that and the debit.
- A consumption about a subscription needs the limit of its customer too: both accounts are debited.
- A denial counts nothing, and its key is free. What is allowed is counted once for its key, and answered when it is on
  disk; a repeated request gets the first answer. A key that was used for other content is an error.
- Keys that are made here are not kept: nobody can have repeated them before the answer.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.engine.normalized_check import normalize_check
from tiergate.errors import CheckError, RequestError, TiergateError
from tiergate.model import Check, Reason, Subject, SubjectType, format_instant, from_units
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.usage.answers import AnswerWriter, as_replay, member, with_members
from tiergate.sidecar.usage.book_records import KeyUse, Reservation
from tiergate.sidecar.usage.meter import MeterAbsence
from tiergate.usage.idempotency import digest_of_use, key_of
from tiergate.wire.usage import MADE_KEY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiergate.engine.shapes.kept_decision import KeptDecision
    from tiergate.errors import JournalError
    from tiergate.model import Feature, Instant
    from tiergate.sidecar.check_service import CheckService, ServedDecision
    from tiergate.sidecar.state import Generation, StateView
    from tiergate.sidecar.usage.answers import Member
    from tiergate.sidecar.usage.meter import Done, Draft, Meter

_LIMITS: Final = frozenset({Reason.LIMIT_REACHED, Reason.CAP_REACHED})
_CUSTOMER: Final = SubjectType.CUSTOMER
_CONSUMED, _RESERVED, _RESERVATION, _EXPIRES_AT, _KEY = map(
    member, ("consumed", "reserved", "reservation", "expires_at", "key")
)
_logger = logging.getLogger(__name__)


class UsageCounts:
    """How many requests were counted, denied, repeated, and failed because they could not be written.

    `counted_late`, `too_late`: records of windows that had ended, counted and refused.
    """

    def __init__(self) -> None:
        self.consumed = self.reserved = self.recorded = self.denied = self.replayed = self.failed = 0
        self.counted_late = self.too_late = 0

    def outcomes(self) -> dict[str, int]:
        """Return the requests by their outcome."""
        names = ("consumed", "reserved", "recorded", "denied", "replayed", "failed")
        return {name: getattr(self, name) for name in names}

    def late(self) -> dict[str, int]:
        """Return the records of windows that had ended, by what became of them."""
        return {"counted": self.counted_late, "refused": self.too_late}


class Counted(NamedTuple):
    """The answer to a request. `served`: the decision, for the log; none if no log wants it, or it is a replay."""

    body: bytes
    reason: Reason
    served: ServedDecision | None = None


Outcome = Deferred[Counted | RequestError]
"""An answer, or why nothing was counted: 503 if it could not be written."""


class _Decided(NamedTuple):
    """A decision: from a kept answer, valid until `until`, or `served`. `amount`: in units of the feature."""

    allowed: bool
    reason: Reason
    amount: int
    kept: KeptDecision | None = None
    until: Instant = 0
    served: ServedDecision | None = None


class UsageService:
    """Consumes and reserves. `meter`: what counts, or why nothing does."""

    def __init__(self, checks: CheckService, meter: Meter | MeterAbsence) -> None:
        self.checks = checks
        self._meter = meter
        self.counts = UsageCounts()
        self._waiting: set[asyncio.Task[None]] = set()
        self._writer = AnswerWriter()
        self._finder: tuple[StateView, Callable[[Check, Instant], KeptDecision | None] | None] | None = None
        self._made = itertools.count(1)
        self._made_prefix = f"{MADE_KEY_PREFIX}{os.urandom(6).hex()}"
        if not isinstance(meter, MeterAbsence):
            checks.metrics.usage = lambda: meter.report(self.counts)

    @property
    def meter(self) -> Meter:
        """What counts; raises `RequestError` if nothing can be counted here."""
        meter = self._meter
        if isinstance(meter, MeterAbsence):
            raise meter.error()
        return meter

    # ── consuming ────────────────────────────────────────────────────────────────────────────────────────────────────

    def consume(
        self, view: StateView, check: Check, key: str | None, now: Instant, *, is_prepared: bool = False
    ) -> Counted | Outcome:
        """Consume the amount of a check, if it is allowed. `is_prepared`: the meter has what that needs.

        Raises:
            RequestError: 501 or 503, nothing can be counted here; 409, the key was used for other content.
            UnknownFeatureError, CheckError: as a check; or the feature is not metered.
        """
        generation, feature = self.counted_feature(view, check)
        use: KeyUse | None = None
        if key is not None:
            use = self._key_use(generation, check, key, now, b"consume")
            if (replay := self.replay(use, now)) is not None:
                return replay
        decided = self._decide(view, generation, check, now)
        if not is_prepared and (waiting := self._prepare(check, feature, decided, now)) is not None:
            return self._after(waiting, partial(self._consume_prepared, check, key))
        counted = decided.amount if decided.allowed else 0
        members = (
            (_CONSUMED, from_units(counted, feature.scale) if feature.scale else counted),
            (_KEY, self.make_key() if key is None else key),
        )
        answer = self._answer(generation, feature, decided, members)
        if not counted:
            self.counts.denied += 1
            return answer
        meter = self.meter
        outcome: Outcome = Deferred()
        draft = meter.draft(check.subject, feature, counted, now)
        kept_use = None if use is None else use.with_answer(answer.body)
        meter.count(draft, now, kept_use, self._done(outcome, answer))
        self.counts.consumed += 1
        return outcome

    def _consume_prepared(self, check: Check, key: str | None, view: StateView, now: Instant) -> Counted | Outcome:
        return self.consume(view, check, key, now, is_prepared=True)

    def reserve(self, view: StateView, check: Check, key: str | None, seconds: int, now: Instant) -> Counted | Outcome:
        """Set the amount of a check aside for so many seconds, if it is allowed. Raises as `consume`."""
        return self._reserve(view, check, key, seconds, now)

    def _reserve(
        self, view: StateView, check: Check, key: str | None, seconds: int, now: Instant, *, is_prepared: bool = False
    ) -> Counted | Outcome:
        generation, feature = self.counted_feature(view, check)
        use: KeyUse | None = None
        if key is not None:
            use = self._key_use(generation, check, key, now, b"reserve", seconds)
            if (replay := self.replay(use, now)) is not None:
                return replay
        decided = self._decide(view, generation, check, now)
        if not is_prepared and (waiting := self._prepare(check, feature, decided, now)) is not None:
            return self._after(
                waiting, lambda view, now: self._reserve(view, check, key, seconds, now, is_prepared=True)
            )
        name = key if key is not None else self.make_key()
        if not decided.allowed:
            self.counts.denied += 1
            return self._answer(generation, feature, decided, ((_RESERVED, 0), (_KEY, name)))
        id_, expires = os.urandom(12).hex(), now + seconds * 1000
        members = (
            (_RESERVED, from_units(decided.amount, feature.scale)),
            (_RESERVATION, id_),
            (_EXPIRES_AT, format_instant(expires)),
            (_KEY, name),
        )
        answer = self._answer(generation, feature, decided, members)
        draft = self.meter.draft(check.subject, feature, decided.amount, now)
        reservation = _reservation(id_, feature, decided.amount, expires, draft)
        outcome: Outcome = Deferred()
        kept_use = None if use is None else use.with_answer(answer.body)
        self.meter.reserve(draft, reservation, now, kept_use, self._done(outcome, answer))
        self.counts.reserved += 1
        return outcome

    # ── waiting for what the meter must get ──────────────────────────────────────────────────────────────────────────

    def _prepare(self, check: Check, feature: Feature, decided: _Decided, now: Instant) -> Awaitable[None] | None:
        """Get what the meter needs, unless Cedar denies for another reason than a limit, which may be outdated."""
        if not decided.amount or not (decided.allowed or decided.reason in _LIMITS):
            return None
        return self.meter.prepare(check.subject, feature, decided.amount, now)

    def _after(self, waiting: Awaitable[None], perform: Callable[[StateView, Instant], Counted | Outcome]) -> Outcome:
        """Perform when the meter has what is needed, in the same turn of the loop."""
        outcome: Outcome = Deferred()

        async def run() -> None:
            try:
                await waiting
                result = perform(self.checks.view(), self.checks.clock())
            except RequestError as error:
                outcome.resolve(error)
            except TiergateError as error:  # the data changed meanwhile
                outcome.resolve(RequestError(503, "usage not counted now", f"the data changed meanwhile: {error}"))
            except Exception as error:
                _logger.exception("unexpected error while waiting for leases; this is a bug in Tiergate")
                outcome.resolve(RequestError(500, "internal error", f"{type(error).__name__}"))
            else:
                if isinstance(result, Counted):
                    outcome.resolve(result)
                else:
                    result.then(outcome.resolve)

        task = asyncio.get_running_loop().create_task(run())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return outcome

    # ── parts that other requests about usage share ──────────────────────────────────────────────────────────────────

    def counted_feature(self, view: StateView, check: Check, field: str = "feature") -> tuple[Generation, Feature]:
        """Return the generation, and the feature of a check, if its usage is counted here. Raises as `consume`."""
        _ = self.meter
        generation = view.generation
        if generation is None:
            raise RequestError(503, "not ready", "no data is loaded yet: usage cannot be counted")
        feature = generation.engine.evaluator.index.features.get(check.feature)
        if feature is None:
            raise self.checks.unknown_feature(check)
        if feature.metered is None and feature.draws is None:
            raise CheckError(field, f"`{feature.id}` is not metered: its usage is not counted")
        return generation, feature

    def replay(self, use: KeyUse, now: Instant) -> Outcome | None:
        """Return the first answer for a key, when it is on disk; `None` if the key is new.

        Raises:
            RequestError: 409, the key was used for other content.
        """
        known = self.meter.find_key(use.key, now)
        if known is None:
            return None
        if known.digest != use.digest:
            detail = "this idempotency key was used for another request"
            raise RequestError(409, "idempotency key reused", detail, field="/key")
        outcome: Outcome = Deferred()
        self.meter.sync(self._done(outcome, Counted(as_replay(known.answer), Reason.GRANTED)))
        self.counts.replayed += 1
        return outcome

    def write_error(self, error: JournalError) -> RequestError:
        """Return why nothing was counted, and count that."""
        self.counts.failed += 1
        if error.full:
            detail = "the disk, or the budget `usage-disk`, is full: nothing was counted"
            return RequestError(503, "usage storage full", detail)
        return RequestError(503, "usage not written", f"the usage journal cannot be written: {error.detail}")

    def make_key(self) -> str:
        """Return a key for a request that has none: unique in this process and, by its random part, among all."""
        return f"{self._made_prefix}{next(self._made):x}"

    def _done(self, outcome: Outcome, answer: Counted) -> Done:
        def done(error: JournalError | None) -> None:
            outcome.resolve(answer if error is None else self.write_error(error))

        return done

    @staticmethod
    def _key_use(generation: Generation, check: Check, key: str, now: Instant, *content: bytes | int) -> KeyUse:
        """Return the use of a request's key, without an answer."""
        return KeyUse(key_of("", key), digest_check(generation, check, *content), b"", now)

    # ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _decide(self, view: StateView, generation: Generation, check: Check, now: Instant) -> _Decided:
        """Decide, and where a subscription is asked about, by the limit of its customer too."""
        decided = self._decide_one(view, generation, check, now)
        subject = check.subject
        if not decided.allowed or subject.type is _CUSTOMER:
            return decided
        record = generation.engine.evaluator.subjects.record_of(subject)
        if record is None:
            return decided
        customer = Subject(record.customer.id, user=subject.user)
        whole = self.checks.decide(view, Check(customer, check.feature, check.amount), now, once=True).decision
        if whole.allowed or whole.reason not in _LIMITS:
            return decided
        served = self.checks.decide(view, check, now, once=True)
        decision = replace(served.decision, allowed=False, reason=whole.reason, policies=whole.policies)
        counts = self.checks.metrics.reasons[whole.reason]
        return _Decided(
            False, whole.reason, decided.amount, served=served._replace(decision=decision, basis=b"", counts=counts)
        )

    def _decide_one(self, view: StateView, generation: Generation, check: Check, now: Instant) -> _Decided:
        if self._finder is None or self._finder[0] is not view:
            self._finder = view, self.checks.kept_finder(view)
        find = self._finder[1]
        kept = None if find is None or now >= view.stale_at else find(check, now)
        if kept is not None:
            answer = kept.answer
            return _Decided(answer.allowed, answer.reason, kept.amount, kept, min(kept.until, view.stale_at))
        served = self.checks.decide(view, check, now, once=True)
        decision = served.decision
        amount = normalize_check(check, generation.engine.evaluator.index.features)[1].amount
        return _Decided(decision.allowed, decision.reason, amount, served=served)

    def _answer(
        self, generation: Generation, feature: Feature, decided: _Decided, members: tuple[Member, ...]
    ) -> Counted:
        counted = decided.amount if decided.allowed else 0
        if decided.kept is not None:
            body = self._writer.kept(generation, decided.kept, decided.until, counted)
        elif decided.served is not None:
            body = self._writer.decided(decided.served.decision, feature, counted)
        else:
            raise RuntimeError("there is no decision")
        return Counted(with_members(body, *members), decided.reason, decided.served)


def digest_check(generation: Generation, check: Check, *content: object) -> bytes:
    """Return the digest of what a request counts: equal for spellings of the same content."""
    amount = normalize_check(check, generation.engine.evaluator.index.features)[1].amount
    return digest_of_use(check.subject, check.feature, amount, *content)


def _reservation(id_: str, feature: Feature, amount: int, expires: Instant, draft: Draft) -> Reservation:
    entries = tuple(replace(entry, reserved=entry.used) for entry in draft.entries)
    draws = feature.draws
    source, cost = ("", 0) if draws is None else (draws.source, draws.cost)
    return Reservation(id_, feature.id, amount, expires, entries, source, cost, feature.scale)
