"""The check service: the layer over the engine that every API of the sidecar calls.

It adds to the engine what only a running sidecar has: the current generation of data, stale data, subjects that are
not fetched yet, a start without data, metrics and the decision log. It knows neither bytes nor HTTP: adapters read
checks, call `decide`, and write decisions; they may repeat a response of their own as long as its decision is valid.

Rules:

- A decision is valid within `[start, until)`, and at most until the instant from which data is stale.
  INVARIANT (no answer outlives its generation): adapters clear their caches when the state notifies them, before
  anything of a new generation is decided. INVARIANT (no answer outlives its edition): the version of the subject, or
  of its usage where that is metered, is read before its data, and the code that repeats a response checks that it is
  not outdated.
- Volatile decisions, decisions without data, and problems are never cached.
- With subjects on demand (`SubjectFetcher`), an adapter fetches a missing subject before it decides. A subject that is
  still missing then is an `unknown_subject` that is marked stale and not cached.

Methods that decide raise `UnknownFeatureError`, with the nearest name, and `CheckError` as the engine does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from tiergate import __version__
from tiergate.engine import Evaluation, decide_all_features, find_all_features
from tiergate.engine.decision_inputs import (
    DecisionBasis,
    LoggedStatus,
    LoggedUsage,
    apply_staleness,
    basis_json,
    mark_stale,
)
from tiergate.engine.explanation.what_if import without_subject_cache
from tiergate.engine.subject_cache import without_user
from tiergate.errors import OperatorError, RequestError, TiergateError, UnknownFeatureError, UnreadableError
from tiergate.model import Check
from tiergate.model.features import ACTIONS
from tiergate.naming import NearestNames
from tiergate.sidecar.access_decisions import AccessDecisions
from tiergate.sidecar.staleness import NONE_CHOSEN, select_features
from tiergate.sidecar.startup_deadline import UnloadedDecisions
from tiergate.sidecar.subject_versions import ANY_FEATURE, NO_VERSION
from tiergate.wire.check import check_json
from tiergate.wire.decision import decision_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tiergate.engine.shapes.kept_decision import KeptDecision
    from tiergate.model import Decision, Instant, Subject, SubjectRecord
    from tiergate.sidecar.decision_log import DecisionLog
    from tiergate.sidecar.metrics import DecisionCounts, Metrics
    from tiergate.sidecar.request_context import RequestContext
    from tiergate.sidecar.state import Generation, State, StateView
    from tiergate.sidecar.subject_versions import SubjectVersion

_logger = logging.getLogger(__name__)

_LOG_AGAIN_AFTER_MS = 60_000
_MAX_LOGGED_ERRORS = 1_000
_MAX_FEATURE_SHOWN = 200


def decision_ids(prefix: bytes) -> Iterator[bytes]:
    """Yield decision ids: a prefix and ten hexadecimal digits that count from 1."""
    last_digits = [b"%02x" % number for number in range(256)]
    for block in itertools.count():
        first_digits = b"%b%08x" % (prefix, block)
        for digits in last_digits if block else last_digits[1:]:
            yield first_digits + digits


class SubjectFetcher(Protocol):
    """Customers and subscriptions (never users) that are loaded when they are first needed.

    An implementation that drops a subject, or loads another version of it, calls `State.subject_changed`.
    """

    def is_known(self, subject: Subject) -> bool:
        """Return whether the loaded data is complete for a subject, which may not exist. Cheap."""
        ...

    async def fetch(self, subject: Subject) -> bool:
        """Fetch a subject, in bounded time, and return whether it is known now. Never raises."""
        ...


class ServedDecision(NamedTuple):
    """A decision to respond with. A response made of it may be repeated within `[start, until)`, if `is_cacheable`.

    `version`: of the subject or of its usage; once it is outdated, nothing is repeated. `counts`: where to count it.
    `basis`: what the decision log needs, empty if the log does not want the decision.
    """

    decision: Decision
    start: Instant
    until: Instant
    version: SubjectVersion
    counts: DecisionCounts
    basis: bytes
    is_cacheable: bool


class CheckService:
    """Decides checks by the current generation.

    `stale_deny`: what is denied once the data is stale (see `staleness`). `startup_allow`: what is allowed without any
    data (see `startup_deadline`). `subjects`: fetches subjects on demand; none if all are loaded.
    """

    def __init__(
        self,
        state: State,
        metrics: Metrics,
        *,
        log: DecisionLog | None = None,
        stale_deny: Sequence[str] = (),
        startup_allow: Sequence[str] = (),
        subjects: SubjectFetcher | None = None,
    ) -> None:
        self.state = state
        self.metrics = metrics
        self.log = log
        self.clock = state.clock
        self.subjects = subjects
        self.unloaded = UnloadedDecisions(startup_allow)
        self.access = AccessDecisions(self)
        self.next_id: Callable[[], bytes] = decision_ids(os.urandom(5).hex().encode()).__next__
        """Returns a decision id that is unique in this process and, by its random part, among processes."""
        self._logged_errors: dict[str, Instant] = {}
        self._nearest_names = NearestNames(())
        self._stale_deny = tuple(stale_deny)
        self._denied_once_stale = NONE_CHOSEN
        self._generation = 0
        self._follow_generation()
        state.subscribe(self._follow_generation)
        if log is not None:
            metrics.log_records = lambda: (log.written, log.dropped)

    def _follow_generation(self) -> None:
        current = self.state.current
        if current is None or current.number == self._generation:
            return
        self._generation = current.number
        features = current.engine.evaluator.index.features
        self._nearest_names = NearestNames(features)
        self._denied_once_stale = select_features(self._stale_deny, features)
        for name in self._denied_once_stale.unknown:
            _logger.warning("`stale-deny` names `%s`, which matches no feature or tag of the catalog", name)
        for name in select_features(self.unloaded.allow, features).unknown:
            _logger.warning("`startup-allow` names `%s`, which matches no feature of the catalog", name)

    # ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def view(self) -> StateView:
        """Return the view of one request; raises `RequestError` if no data is loaded, and checks wait for it."""
        if self.state.current is None and not self.state.unloaded:
            raise RequestError(503, "not ready", "no data is loaded yet")
        return self.state.view

    def decide(self, view: StateView, check: Check, now: Instant, *, once: bool = False) -> ServedDecision:
        """Decide a check; `once`: the response is not repeated, so it needs no version."""
        generation, stale_at, epoch = view
        version = NO_VERSION if once else self.state.subject_versions.of(check.subject)
        if generation is None:
            decision = self.unloaded.decide(check, now)
            basis = self._basis(decision, DecisionBasis(version=__version__, loaded=False))
            counts = self.metrics.reasons[decision.reason]
            return ServedDecision(decision, now, now, version, counts, basis, is_cacheable=False)
        self.expect_feature(generation, check)
        if not once:
            version = self._usage_version(generation, check, version)
        is_known = self.is_known(check.subject)
        decision = generation.engine.decide(check, now) if is_known else self._deny_unfetched(generation, check, now)
        start, until = decision.start, min(decision.until, stale_at)
        if now >= stale_at:
            start, until = max(start, stale_at), decision.until
        is_denied = check.feature in self._denied_once_stale.features
        decision = apply_staleness(decision, now, stale_at, stale_deny=is_denied)
        for error in decision.errors:
            self._log_once(f"cannot evaluate a check of `{check.feature}`; denying it: {error}", now)
        return ServedDecision(
            decision,
            start,
            until,
            version,
            self.metrics.reasons[decision.reason],
            self._generation_basis(view, generation, check, decision, now, is_known=is_known),
            is_cacheable=not once and not decision.volatile and epoch == self.state.epoch,
        )

    def kept_finder(self, view: StateView) -> Callable[[Check, Instant], KeptDecision | None] | None:
        """Return what finds a check's decision by a kept answer; `None` where none may be used, or one is logged.

        Not to be used from `view.stale_at` on, until which its decisions are valid at most. It raises as the engine.
        """
        if view.generation is None or self.log is not None:
            return None
        find = view.generation.engine.find_kept
        if self.subjects is None:
            return find
        return lambda check, now: find(check, now) if self.is_known(check.subject) else None

    def decide_all_features(self, view: StateView, subject: Subject, now: Instant) -> Iterator[KeptDecision | Decision]:
        """Decide, one by one, the least check of every feature; `mark_stale` is left to the caller.

        No decision is a kept one once the data is stale.
        """
        generation = view.generation
        if generation is None:
            return self.unloaded.decide_all(subject, now)
        if self.is_known(subject):
            decide_all = find_all_features if now < view.stale_at else decide_all_features
            return decide_all(generation.engine, subject, now)
        features = generation.engine.evaluator.index.features
        return (self._deny_unfetched(generation, Check(subject, feature), now) for feature in features)

    def evaluate(self, generation: Generation, stale_at: Instant, check: Check, at: Instant | None) -> Evaluation:
        """Decide a check without any cached decision, as of `at` or of now, in the state of the data now."""
        clock = self.clock()
        now = clock if at is None else at
        evaluator = generation.engine.evaluator
        if at is not None:
            evaluator = without_subject_cache(evaluator)
        self.expect_feature(generation, check)
        if self.is_known(check.subject):
            evaluation = evaluator.evaluate(check, now)
        else:
            action = ACTIONS[evaluator.index.features[check.feature].type]
            decision = self._deny_unfetched(generation, check, now)
            evaluation = Evaluation(check, now, decision, None, None, action, "", None, None)
        decision = evaluation.decision
        if clock >= stale_at:
            decision = self.mark_stale(decision)
        elif now < stale_at:
            decision = apply_staleness(decision, now, stale_at, stale_deny=False)
        return replace(evaluation, decision=decision)

    def mark_stale(self, decision: Decision) -> Decision:
        """Return a decision as it is once the data is stale."""
        return mark_stale(decision, denied=decision.feature in self._denied_once_stale.features)

    def expect_feature(self, generation: Generation, check: Check) -> None:
        """Raise `UnknownFeatureError`, with the nearest name, if the catalog does not have the feature."""
        if check.feature not in generation.engine.evaluator.index.features:
            raise self.unknown_feature(check)

    def unknown_feature(self, check: Check) -> UnknownFeatureError:
        """Return the error for a feature that the catalog does not have, with the nearest name."""
        return UnknownFeatureError(check.feature[:_MAX_FEATURE_SHOWN], self._nearest_names.find(check.feature))

    def _usage_version(self, generation: Generation, check: Check, version: SubjectVersion) -> SubjectVersion:
        """Return the version that answers to a check rest on: of usage, if its feature is metered here."""
        evaluator = generation.engine.evaluator
        feature = evaluator.index.features[check.feature]
        if not evaluator.is_metered(feature):
            return version
        capped = (feature.id,) if feature.caps.total is not None else ()
        return self.state.subject_versions.of_usage(check.subject, feature.id, everybody=capped)

    def version_of(self, view: StateView, check: Check) -> SubjectVersion:
        """Return the version that answers to a check rest on: of its subject, or of usage."""
        generation, version = view.generation, self.state.subject_versions.of(check.subject)
        if generation is None or check.feature not in generation.engine.evaluator.index.features:
            return version
        return self._usage_version(generation, check, version)

    def version_of_all(self, view: StateView, subject: Subject) -> SubjectVersion:
        """Return the version that answers about all features of a subject rest on together."""
        generation, versions = view.generation, self.state.subject_versions
        if generation is None or not generation.engine.evaluator.has_meter:
            return versions.of(subject)
        return versions.of_usage(subject, ANY_FEATURE, everybody=self.state.usage_dependence().capped)

    def _deny_unfetched(self, generation: Generation, check: Check, now: Instant) -> Decision:
        """Deny a check about a subject that is not loaded, though it may exist."""
        return replace(generation.engine.evaluator.deny_unknown(check, now), stale=True, volatile=True)

    # ── subjects on demand ───────────────────────────────────────────────────────────────────────────────────────────

    def is_known(self, subject: Subject) -> bool:
        """Return whether the loaded data is complete for a subject."""
        return self.subjects is None or self.subjects.is_known(without_user(subject))

    def must_fetch(self, view: StateView, subject: Subject) -> bool:
        """Return whether a subject must be fetched before a check about it is decided."""
        return view.generation is not None and not self.is_known(subject)

    async def fetch(self, subjects: Iterable[Subject]) -> None:
        """Fetch subjects together, each once."""
        if self.subjects is not None:
            missing = {without_user(subject) for subject in subjects}
            await asyncio.gather(*(self.subjects.fetch(subject) for subject in missing))

    # ── counting and logging ─────────────────────────────────────────────────────────────────────────────────────────

    def count_success(self, endpoint: str, begun: int) -> int:
        """Count a request that succeeds, and return its nanoseconds since `begun`."""
        elapsed = time.perf_counter_ns() - begun
        self.metrics.durations[endpoint].add(elapsed)
        self.metrics.count_request(endpoint, 200)
        return elapsed

    def log_decision(
        self,
        served: ServedDecision,
        check: Check,
        decision_id: bytes,
        context: RequestContext,
        now: Instant,
        elapsed: int,
    ) -> None:
        """Log the decision on a check that was part of another request, unless the log does not want it."""
        if served.basis and self.log is not None:
            body = decision_json(served.decision)
            self.log.offer((decision_id, now, check_json(check), body, context, elapsed, served.basis))

    def log_failure(self, error: TiergateError) -> None:
        """Log an error that only an operator can fix, each once a minute."""
        if isinstance(error, UnreadableError):
            self._log_once(f"cannot decide a check: {error}", self.clock())

    def log_access_failure(self, action: str, now: Instant) -> None:
        """Log that an own action could not be evaluated, each once a minute: not why, which may say what callers sent.

        `action`: one that the rules declare, so that callers cannot fill the log.
        """
        self._log_once(f"cannot evaluate the rules on the action `{action}`; denying it", now)

    def _generation_basis(
        self, view: StateView, generation: Generation, check: Check, decision: Decision, now: Instant, *, is_known: bool
    ) -> bytes:
        if self.log is None or not self.log.rules.want(decision):
            return b""
        rules, position = self.log.rules, self.state.feed_position
        evaluator = generation.engine.evaluator
        record: SubjectRecord | msgspec.UnsetType | None = msgspec.UNSET
        if rules.wants_records:
            with contextlib.suppress(OperatorError, msgspec.MsgspecError):  # the errors of the decision name it
                record = evaluator.subjects.record_of(check.subject)
        usage = decision.usage
        feature = evaluator.index.features[check.feature]
        basis = DecisionBasis(
            store="" if position is None else position.store,
            position=None if position is None else position.position,
            version=__version__,
            stale_at=DecisionBasis.stale_text(view.stale_at),
            stale_deny=now >= view.stale_at and check.feature in self._denied_once_stale.features,
            fetched=is_known,
            usage=None if usage is None else LoggedUsage.of(usage, feature, evaluator.index.features),
            status=None if decision.status is None else LoggedStatus.of(decision.status),
            errors=() if rules.masks else decision.errors,
            record=record,
        )
        return basis_json(basis)

    def _basis(self, decision: Decision, basis: DecisionBasis) -> bytes:
        return basis_json(basis) if self.log is not None and self.log.rules.want(decision) else b""

    def _log_once(self, text: str, now: Instant) -> None:
        if self._logged_errors.get(text, now) <= now:
            if len(self._logged_errors) >= _MAX_LOGGED_ERRORS:
                self._logged_errors.clear()
            self._logged_errors[text] = now + _LOG_AGAIN_AFTER_MS
            _logger.error("%s", text)
