"""Which entitlements of a customer differ before and after a change, or an instant, for the bodies of events.

An entitlement is what the customer as a whole has of a feature: a number or `"unlimited"`, a level, `true` or `false`.
What is suspended, disabled, or not held is 0, `false`, or no level (`null`). No policy is evaluated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.admin.entitlements_by_shape import nothing, shape_of
from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import TotalOverflowError, resolve_facts
from tiergate.impact.preview.subject_effects import value_from_facts
from tiergate.model import Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tiergate.admin.entitlements_by_shape import Entitlement, EntitlementsByShape, Shape
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import Customer, Instant, SubjectRecord, Subscription


def changes_between(
    before: SubjectRecord | None, after: SubjectRecord | None, at: Instant, kept: EntitlementsByShape
) -> list[dict[str, object]]:
    """Return the features whose entitlement a change of a record changes at an instant, with both."""
    source = kept.source
    old, new = _shape(before, at, source), _shape(after, at, source)
    if old is not None and new is not None:
        return kept.changes(old, new, at)
    return entitlement_changes(((before, at), (after, at)), concerned_features(before, after, source), source)


def _shape(record: SubjectRecord | None, at: Instant, source: CatalogDefinitions) -> Shape | None:
    if record is None:
        return ()
    return shape_of(resolve_active_items(record, Subject(record.customer.id), source.index, at))


def entitlement_changes(
    sides: tuple[tuple[SubjectRecord | None, Instant], tuple[SubjectRecord | None, Instant]],
    features: Collection[str],
    source: CatalogDefinitions,
) -> list[dict[str, object]]:
    """Return the features, of some, whose entitlement differs between two records, each at an instant, with both."""
    before, after = (_values(record, at, features, source) for record, at in sides)
    return [
        {"feature": id_, "before": before[id_], "after": after[id_]}
        for id_ in sorted(before)
        if before[id_] != after[id_]
    ]


def concerned_features(
    before: SubjectRecord | None, after: SubjectRecord | None, source: CatalogDefinitions
) -> frozenset[str]:
    """Return the features whose entitlement a change of a record may change."""
    old, new = (None if record is None else record.customer for record in (before, after))
    found = _of_exceptions(old, new)
    was, becomes = (_subscriptions(record) for record in (before, after))
    is_retagged = (old.tags if old else ()) != (new.tags if new else ())  # rollouts go by tags
    for id_ in was.keys() | becomes.keys():
        one, other = was.get(id_), becomes.get(id_)
        if one == other and not is_retagged:
            continue
        found |= _of_exceptions(one, other)
        for subscription in (one, other):
            if subscription is not None:
                found |= features_of_items((held.item for held in subscription.items), source)
                found |= {it.feature for it in subscription.overrides}
                found |= {it.feature for it in subscription.suspensions}
    return frozenset(found & source.index.features.keys())


def features_of_items(items: Iterable[str], source: CatalogDefinitions) -> frozenset[str]:
    """Return the features that some version of some items gives."""
    return frozenset(feature for item in items for feature in source.features_of(item))


def _of_exceptions(old: Customer | Subscription | None, new: Customer | Subscription | None) -> set[str]:
    sides = [holder for holder in (old, new) if holder is not None]
    overrides = [set(holder.overrides) for holder in sides]
    suspensions = [set(holder.suspensions) for holder in sides]
    if len(sides) == 2:
        overrides, suspensions = [overrides[0] ^ overrides[1]], [suspensions[0] ^ suspensions[1]]
    found = {it.feature for changed in overrides for it in changed}
    return found | {it.feature for changed in suspensions for it in changed}


def _subscriptions(record: SubjectRecord | None) -> dict[str, Subscription]:
    return {} if record is None else {it.id: it for it in record.subscriptions}


def _values(
    record: SubjectRecord | None, at: Instant, features: Collection[str], source: CatalogDefinitions
) -> dict[str, Entitlement]:
    known = {id_: source.index.features[id_] for id_ in features if id_ in source.index.features}
    if record is None:
        return {id_: nothing(feature) for id_, feature in known.items()}
    subject = Subject(record.customer.id)
    items = resolve_active_items(record, subject, source.index, at)
    values: dict[str, Entitlement] = {}
    for id_, feature in known.items():
        try:
            facts = resolve_facts(feature, items, subject, source, at)
        except TotalOverflowError:
            values[id_] = None
            continue
        counts = facts.active and not facts.suspended and not facts.disabled
        values[id_] = value_from_facts(facts) if counts else nothing(feature)
    return values
