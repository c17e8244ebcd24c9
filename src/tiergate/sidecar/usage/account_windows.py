"""The windows of accounts, by the catalog and the subjects of the current generation.

An account of a customer or a user has the windows of its customer, one of a subscription those of the subscription, and
one of everybody those of the feature with the default anchor. The anchor `subscription` is that of the subscription
that gives the feature (the first of several, by start, then id): the anchor of its term, or its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.evaluator import Denial
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.engine.window_anchor import subscription_anchor
from tiergate.errors import OperatorError
from tiergate.model import FOREVER, WindowAnchor
from tiergate.usage.bounds import AccountLimit
from tiergate.usage.windows import DEFAULT_ANCHOR, UsageWindows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.engine import Evaluator
    from tiergate.model import Feature, Instant, Subject
    from tiergate.sidecar.usage.book_records import WindowUse

_MOST_CACHED: Final = 100_000


class AccountWindows:
    """Finds windows. `evaluator`: returns that of the current generation."""

    def __init__(self, evaluator: Callable[[], Evaluator]) -> None:
        self._evaluator = evaluator
        self._of_feature: dict[str, tuple[Feature, UsageWindows]] = {}
        self._plain: dict[str, tuple[Feature, UsageWindows | None]] = {}
        self._anchors: dict[tuple[Subject, str], tuple[int, Evaluator, Instant]] = {}

    def of_feature(self, feature: Feature) -> UsageWindows:
        """Return the windows of a feature that do not depend on a subject."""
        known = self._of_feature.get(feature.id)
        if known is None or known[0] is not feature:
            if feature.metered is None:
                raise ValueError(f"`{feature.id}` is not metered")
            known = self._of_feature[feature.id] = feature, UsageWindows.of(feature.metered, DEFAULT_ANCHOR)
        return known[1]

    def plain(self, feature: Feature) -> UsageWindows | None:
        """Return the windows of a feature, if usage of it is booked on one account, and nothing rolls over.

        `None` for a feature that draws on another, has a cap for everybody, or windows that depend on the subject.
        """
        known = self._plain.get(feature.id)
        if known is None or known[0] is not feature:
            metered = feature.metered
            is_plain = (
                metered is not None
                and feature.draws is None
                and feature.caps.total is None
                and not metered.rollover_max
                and (metered.reset is None or metered.anchor is WindowAnchor.CALENDAR)
            )
            known = self._plain[feature.id] = feature, self.of_feature(feature) if is_plain else None
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


def limit_at(evaluator: Evaluator, subject: Subject, feature: Feature, at: Instant) -> AccountLimit:
    """Return what a subject is entitled to at an instant, by its record now; any number, if that cannot be known."""
    record = evaluator.subjects.record_of(subject)
    if record is None:
        return AccountLimit(0)
    try:
        items = resolve_active_items(record, subject, evaluator.index, at)
        facts = resolve_facts(feature, items, subject, evaluator.bundle, at)
    except (OperatorError, TotalOverflowError, ValueError):
        return AccountLimit(None)
    return AccountLimit(None if facts.unlimited else facts.total, facts.overage_max if facts.soft else 0)


def is_window_over(windows: UsageWindows | None, use: WindowUse, now: Instant, late: int, *, rolls: bool) -> bool:
    """Return whether a window is needed no more: usage in it is not accepted, and none of it rolls over any more."""
    if use.until >= FOREVER or now < use.until + late:
        return False
    if not rolls or windows is None:
        return True
    following = windows.at(use.until) if not windows.opens_with_use else None
    return now >= (use.until + (use.until - use.start) if following is None else following.until)
