"""Decisions in the JSON of the sidecar's own API, cached by the JSON of their checks.

Shared by the adapters for single checks and for batches: a check that one of them decided, the other repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import CheckError, TiergateError
from tiergate.sidecar.recent_keys import RecentKeys
from tiergate.sidecar.response_cache import SLOT, ResponseCache
from tiergate.wire.check_reader import locate
from tiergate.wire.decision import decision_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Check, Instant
    from tiergate.sidecar.check_service import CheckService, ServedDecision
    from tiergate.sidecar.state import StateView


class NativeDecision:
    """A decision as JSON, that may be repeated within `[start, until)` unless its subject's version is outdated.

    `check`: the JSON of the check. `counts`, `basis`: as in `ServedDecision`.
    """

    __slots__ = ("basis", "body", "check", "counts", "start", "until", "version", "weight")

    def __init__(self, check: bytes, served: ServedDecision) -> None:
        self.check = check
        self.body = decision_json(served.decision)
        self.start, self.until = served.start, served.until
        self.version = served.version
        self.counts = served.counts
        self.basis = served.basis
        self.weight = 0

    def weigh(self) -> None:
        """Estimate the bytes of this decision, before it is cached."""
        self.weight = SLOT + len(self.check) + len(self.body) + len(self.basis) + 200 + self.version.claim_weight()


class NativeDecisions:
    """Decides checks and caches the decisions' JSON in at most `cache_bytes`; 0 caches nothing."""

    def __init__(self, service: CheckService, cache_bytes: int) -> None:
        self.cache: ResponseCache[NativeDecision] = ResponseCache(cache_bytes)
        self._asked = RecentKeys()
        self._service = service
        service.state.subscribe(self.cache.clear)
        service.metrics.sizes["answers"] = lambda: (len(self.cache), self.cache.size)

    def recall(self, check: bytes, now: Instant) -> NativeDecision | None:
        """Return the cached decision of the JSON of a check, if it is valid at `now`."""
        cached = self.cache.get(check)
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
        decision = NativeDecision(body, served)
        if served.is_cacheable:
            decision.weigh()
            self.cache.put(body, decision)
        return decision

    def decide_alone(self, view: StateView, check: Check, body: bytes, now: Instant) -> NativeDecision:
        """Decide as `decide`, but cache only what was asked before: most checks are never asked again."""
        if self._asked.add(body):
            return self.decide(view, check, body, now)
        return NativeDecision(body, self._service.decide(view, check, now, once=True))


def locate_error(error: TiergateError, check: bytes, at: str = "") -> TiergateError:
    """Return an error that points to its field in the JSON of a check, which `at` points to in its request."""
    if isinstance(error, CheckError) and error.field and not error.field.startswith("/"):
        return CheckError(locate(error.field, check, at), error.detail, error.suggestion)
    return error
