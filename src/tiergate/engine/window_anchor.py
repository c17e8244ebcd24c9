"""The anchor of the windows of usage that follow a subscription (design, section 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import BEGINNING
from tiergate.usage.windows import DEFAULT_ANCHOR

if TYPE_CHECKING:
    from tiergate.engine.active_items import ActiveItems
    from tiergate.engine.sources import BundleSource
    from tiergate.model import Feature, Instant, SubjectRecord


def subscription_anchor(feature: Feature, active: ActiveItems, record: SubjectRecord, bundle: BundleSource) -> Instant:
    """Return the anchor of the subscription that gives a feature: that of its term, else its start.

    Of several subscriptions, the first by start, then id, counts. `DEFAULT_ANCHOR` if no subscription gives it, or the
    one that does has neither. Raises `BundleError`.
    """
    giving = {
        subscription.id
        for subscription in active.subscriptions
        if any(feature.id in bundle.definition(version.ref) for version in subscription.versions)
        or any(override.feature == feature.id for override in subscription.overrides)
    }
    found = [subscription for subscription in record.subscriptions if subscription.id in giving]
    if not found:
        return DEFAULT_ANCHOR
    first = min(found, key=lambda it: (BEGINNING if it.start is None else it.start, it.id))
    if first.term is not None:
        return first.term.anchor
    return DEFAULT_ANCHOR if first.start is None else first.start
