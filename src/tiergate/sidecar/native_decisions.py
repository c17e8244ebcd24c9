"""Decisions in the JSON of the sidecar's own API, cached by the JSON of their checks.

Shared by the adapters for single checks and for batches: a check that one of them decided, the other repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.engine.recent_keys import RecentKeys
from tiergate.engine.shapes.kept_decision import DecisionWriter
from tiergate.errors import CheckError, TiergateError, UnknownFeatureError
from tiergate.model import Instant
from tiergate.sidecar.metrics import DecisionCounts
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.sidecar.subject_versions import NO_VERSION, SubjectVersion
from tiergate.wire.check_reader import locate
from tiergate.wire.decision import decision_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.model import Check
    from tiergate.sidecar.check_service import CheckService, ServedDecision
    from tiergate.sidecar.state import Generation, StateView


_RECENT = 65_536
"""How many checks are remembered, so that those that are asked again are cached. Takes half a megabyte."""


class NativeDecision(msgspec.Struct, gc=False):
    """A decision as JSON, that may be repeated within `[start, until)` unless its subject's version is outdated.

    `check`: the JSON of the check. `version`, `counts`, `basis`: as in `ServedDecision`. `weight`: bytes, once cached.
    `endpoint`: whose durations repeats are counted in.
    """

    check: bytes
    body: bytes
    start: Instant
    until: Instant
    version: SubjectVersion
    counts: DecisionCounts
    basis: bytes
    weight: int = 0
    endpoint: str = "check"

    @classmethod
    def of(cls, check: bytes, served: ServedDecision) -> NativeDecision:
        """Encode a decision."""
        body = decision_json(served.decision)
        return cls(check, body, served.start, served.until, served.version, served.counts, served.basis)

    def weigh(self) -> None:
        """Estimate the bytes of this decision, before it is cached."""
        self.weight = SLOT + len(self.check) + len(self.body) + len(self.basis) + 200 + self.version.claim_weight()


class KeptDecisionWriter:
    """Writes kept decisions of the current generation."""

    def __init__(self) -> None:
        self._writer: tuple[Generation, DecisionWriter] | None = None

    def of(self, view: StateView) -> DecisionWriter:
        """Return the writer of a view, which must have data."""
        generation = view.generation
        if generation is None:
            raise RuntimeError("there are no kept decisions without data")
        if self._writer is None or self._writer[0] is not generation:
            self._writer = generation, DecisionWriter(generation.publication, generation.revision)
        return self._writer[1]


class NativeDecisions:
    """Decides checks and caches the decisions' JSON in at most `cache_bytes`; 0 caches nothing."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self.cache: ResponseCache[NativeDecision] = ResponseCache(cache_bytes)
        self._asked = RecentKeys(_RECENT)
        self._writers = KeptDecisionWriter()
        self._deciders: dict[bool, tuple[StateView, Callable[[Check, bytes, Instant], NativeDecision]]] = {}
        self._service = service
        service.state.subscribe(self._forget)
        service.metrics.sizes["answers"] = lambda: (len(self.cache), self.cache.size)

    def recall(self, check: bytes, now: Instant) -> NativeDecision | None:
        """Return the cached decision of the JSON of a check, if it is valid at `now`."""
        cached = self.cache.young.get(check)
        if cached is None:
            cached = self.cache.revive(check)
        if cached is None or not cached.start <= now < cached.until or cached.version.is_outdated:
            return None
        return cached

    def recall_many(self, checks: Sequence[bytes], now: Instant) -> list[NativeDecision | None]:
        """Return as `recall` for each of many."""
        return [
            cached
            if cached is not None and cached.start <= now < cached.until and not cached.version.is_outdated
            else None
            for cached in self.cache.get_many(checks)
        ]

    def decide(self, view: StateView, check: Check, body: bytes, now: Instant) -> NativeDecision:
        """Decide a check that was read from `body`, and cache the decision if that is allowed."""
        served = self._service.decide(view, check, now)
        decision = NativeDecision.of(body, served)
        if served.is_cacheable:
            decision.weigh()
            self.cache.put(body, decision)
        return decision

    def decider(self, view: StateView, *, at_once: bool = True) -> Callable[[Check, bytes, Instant], NativeDecision]:
        """Return what decides as `decide` by a view, but caches only what was asked before: most checks are asked once.

        `at_once`: nothing else happens before the response is made, so that no version is needed.
        """
        kept = self._deciders.get(at_once)
        if kept is None or kept[0] is not view:
            kept = self._deciders[at_once] = view, self._make_decider(view, at_once=at_once)
        return kept[1]

    def _make_decider(self, view: StateView, *, at_once: bool) -> Callable[[Check, bytes, Instant], NativeDecision]:
        service, is_asked_again, reasons = self._service, self._asked.add, self._service.metrics.reasons
        find, version_of = service.kept_finder(view), service.version_of
        write = None if find is None else self._writers.of(view).write
        stale_at = view.stale_at

        def decide(check: Check, body: bytes, now: Instant) -> NativeDecision:
            if is_asked_again(body):
                return self.decide(view, check, body, now)
            if find is not None and write is not None and now < stale_at:
                version = NO_VERSION if at_once else version_of(view, check)
                try:
                    kept = find(check, now)
                except UnknownFeatureError:  # the service knows the nearest name
                    kept = None
                if kept is not None:
                    text = write(kept, min(kept.until, stale_at))
                    return NativeDecision(body, text, now, now, version, reasons[kept.answer.reason], b"")
            return NativeDecision.of(body, service.decide(view, check, now, once=at_once))

        return decide

    def _forget(self) -> None:
        self.cache.clear()
        self._deciders.clear()


def locate_error(error: TiergateError, check: bytes, at: str = "") -> TiergateError:
    """Return an error that points to its field in the JSON of a check, which `at` points to in its request."""
    if isinstance(error, CheckError) and error.field and not error.field.startswith("/"):
        return CheckError(locate(error.field, check, at), error.detail, error.suggestion)
    return error
