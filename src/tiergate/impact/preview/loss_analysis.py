"""Whether a change can reduce any entitlement, without deciding: if not, no subject must be decided.

INVARIANT (takings are never overlooked): if the result is no, no check that was allowed is denied, of any subject that
both sides could store and at any time. The result may be yes although nothing is reduced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog.lint.granted_amounts import Grant, granted_amount, is_at_most
from tiergate.impact.item_availability import may_stop_counting
from tiergate.model import AudienceType, Feature, FeatureStatus
from tiergate.naming import version_ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine import BundleSource
    from tiergate.impact.preview.affected_scope import AffectedScope
    from tiergate.model import IndexedItem, Instant


def can_reduce(baseline: BundleSource, candidate: BundleSource, scope: AffectedScope, now: Instant) -> bool:
    """Return whether replacing `baseline` by `candidate` can reduce an entitlement in the scope `scope`."""
    if not scope.features:
        return False
    if scope.by_cedar or may_stop_counting(baseline.index, candidate.index, now):
        return True
    items = [it for it in baseline.index.items.values() if scope.items is None or it.id in scope.items]
    return any(_reduces(baseline, candidate, items, feature, now) for feature in sorted(scope.features))


def _reduces(
    baseline: BundleSource, candidate: BundleSource, items: Sequence[IndexedItem], id_: str, now: Instant
) -> bool:
    before, after = baseline.index.features.get(id_), candidate.index.features.get(id_)
    if before is None or before.status is FeatureStatus.DRAFT:
        return False  # nothing was allowed
    if after is None or after.status is FeatureStatus.DRAFT or _plain(before) != _plain(after):
        return True
    for item in items:
        new_item = candidate.index.items.get(item.id)
        if (
            new_item is None
            or new_item.kind is not item.kind
            or not set(item.versions) <= set(new_item.versions) | _unreached(item, new_item)
        ):
            return True
        if _rewritten(baseline, candidate, item, new_item, id_):
            return True
        given = [value for value in _given(baseline, item, id_, after, now) if value is not None]
        becomes = list(_given(candidate, new_item, id_, after, now))
        if any(
            new_grant is None or new_grant.adds != entry.adds or not is_at_most(entry, new_grant)
            for entry in given
            for new_grant in becomes
        ):
            return True
    return False


def _rewritten(
    baseline: BundleSource, candidate: BundleSource, before: IndexedItem, after: IndexedItem, id_: str
) -> bool:
    """Return whether a version grants something else under the same number. No store does that."""
    refs = [version_ref(before.kind, before.id, version) for version in sorted({*before.versions} & {*after.versions})]
    return any(baseline.definition(ref).get(id_) != candidate.definition(ref).get(id_) for ref in refs)


def _plain(feature: Feature) -> Feature:
    """Return a feature without the fields that allow and deny nothing."""
    return replace(
        feature,
        name="",
        description="",
        status=FeatureStatus.ACTIVE,
        tags=(),
        unit="",
        numbers=None,
        unlimited_level=True,
        minimum=None,
        metered=None,
        linked=(),
    )


def _unreached(before: IndexedItem, after: IndexedItem) -> set[int]:
    """Return the versions removed because no rollout reaches them: nobody is pinned to these."""
    reached = {rollout.version for rollout in after.rollouts}
    return set(before.versions) - reached


def _given(side: BundleSource, item: IndexedItem, id_: str, feature: Feature, now: Instant) -> Iterator[Grant | None]:
    """Yield what the rollouts of an item can grant of a feature from `now` on; `None`: nothing."""
    begin = 0
    for place, rollout in enumerate(item.rollouts):
        if rollout.start <= now and rollout.audience.type is AudienceType.EVERYBODY:
            begin = place
            break
    else:
        yield None
    for rollout in item.rollouts[begin:]:
        yield granted_amount(side.definition(version_ref(item.kind, item.id, rollout.version)).get(id_), feature)
