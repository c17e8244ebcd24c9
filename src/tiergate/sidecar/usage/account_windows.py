"""The windows of accounts, by the catalog and the subjects of the current generation.

An account of a customer or a user has the windows of its customer, one of a subscription those of the subscription, and
one of everybody those of the feature with the default anchor. The anchor `subscription` is that of the subscription
that gives the feature (the first of several, by start, then id): the anchor of its term, or its start.

What rolls over into a window is what was left of the allowance at the end of the window before: by the facts as of its
last instant, and the usage in the book.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.evaluator import Denial
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.engine.window_anchor import subscription_anchor
from tiergate.errors import OperatorError
from tiergate.model import BEGINNING, FOREVER, Interval, SpendOrder, WindowAnchor
from tiergate.sidecar.usage.book import intervals
from tiergate.usage.windows import DEFAULT_ANCHOR, UsageWindows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.engine import Evaluator
    from tiergate.model import Feature, Instant, Subject, SubjectRecord
    from tiergate.sidecar.usage.book_records import WindowUse

_MOST_CACHED: Final = 100_000


class AccountWindows:
    """Finds windows. `evaluator`: returns that of the current generation."""

    def __init__(self, evaluator: Callable[[], Evaluator]) -> None:
        self._evaluator = evaluator
        self._of_feature: dict[str, tuple[Feature, UsageWindows]] = {}
        self._anchors: dict[tuple[Subject, str], tuple[int, Evaluator, Instant]] = {}
        self._rollovers: dict[tuple[Subject, str, Instant], tuple[int, int]] = {}

    def of_feature(self, feature: Feature) -> UsageWindows:
        """Return the windows of a feature that do not depend on a subject."""
        known = self._of_feature.get(feature.id)
        if known is None or known[0] is not feature:
            if feature.metered is None:
                raise ValueError(f"`{feature.id}` is not metered")
            known = self._of_feature[feature.id] = feature, UsageWindows.of(feature.metered, DEFAULT_ANCHOR)
        return known[1]

    def of_subject(self, subject: Subject, feature: Feature, now: Instant) -> UsageWindows:
        """Return the windows of a customer or a subscription."""
        metered = feature.metered
        if metered is None or metered.reset is None or metered.anchor is not WindowAnchor.SUBSCRIPTION:
            return self.of_feature(feature)
        return UsageWindows.of(metered, self._anchor(subject, feature, now))

    def _anchor(self, subject: Subject, feature: Feature, now: Instant) -> Instant:
        evaluator = self._evaluator()
        active = evaluator.find_subject(subject, now)
        if isinstance(active, Denial):
            return DEFAULT_ANCHOR
        key = (subject, feature.id)
        known = self._anchors.get(key)
        if known is not None and known[0] == active.serial and known[1] is evaluator:
            return known[2]
        if len(self._anchors) >= _MOST_CACHED:
            self._anchors.clear()
        anchor = subscription_anchor(feature, active.items, active.record, evaluator.bundle)
        self._anchors[key] = active.serial, evaluator, anchor
        return anchor

    def rolled_over(
        self, subject: Subject, feature: Feature, known: tuple[WindowUse, ...], window: Interval, now: Instant
    ) -> int:
        """Return the units that rolled over into a window; `known`: the windows of the account in the book."""
        metered = feature.metered
        if metered is None or not metered.rollover_max or window.start <= BEGINNING:
            return 0
        for use in reversed(known):
            if use.start == window.start:
                return use.granted
        evaluator = self._evaluator()
        active = evaluator.find_subject(subject, now)
        if isinstance(active, Denial):
            return 0
        key = (subject, feature.id, window.start)
        cached = self._rollovers.get(key)
        before = max((use for use in known if use.start < window.start), default=None, key=lambda use: use.start)
        stamp = hash((active.serial, id(evaluator), before))
        if cached is not None and cached[0] == stamp:
            return cached[1]
        if len(self._rollovers) >= _MOST_CACHED:
            self._rollovers.clear()
        windows = self.of_subject(subject, feature, now)
        last = windows.window_of(window.start - 1, intervals(known))
        used = granted = 0
        if before is not None and before.start == last.start:
            used, granted = before.used, before.granted
        if metered.spend is SpendOrder.GRANTS_FIRST:
            used = max(0, used - granted)
        allowance = allowance_at(evaluator, active.record, subject, feature, window.start - 1)
        units = 0 if allowance is None else min(metered.rollover_max, max(0, allowance - used))
        self._rollovers[key] = stamp, units
        return units


def allowance_at(
    evaluator: Evaluator, record: SubjectRecord, subject: Subject, feature: Feature, at: Instant
) -> int | None:
    """Return the allowance of a subject at an instant, by its record now; `None`: unlimited, or it cannot be known."""
    try:
        items = resolve_active_items(record, subject, evaluator.index, at)
        facts = resolve_facts(feature, items, subject, evaluator.bundle, at)
    except (OperatorError, TotalOverflowError, ValueError):
        return None
    return None if facts.unlimited else facts.total


def is_window_over(windows: UsageWindows | None, use: WindowUse, now: Instant, late: int, *, rolls: bool) -> bool:
    """Return whether a window is needed no more: usage in it is not accepted, and none of it rolls over any more."""
    if use.until >= FOREVER or now < use.until + late:
        return False
    if not rolls or windows is None:
        return True
    following = windows.at(use.until) if not windows.opens_with_use else None
    return now >= (use.until + (use.until - use.start) if following is None else following.until)
