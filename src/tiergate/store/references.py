"""References from items, overrides, suspensions and subscriptions to the features and items of the catalog.

Edits and publications must not remove what is in use. The functions count all references and name a few of them. A
version is in use while a rollout, edited or active, or the pin of a subscription can reach it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import func, or_, select

from tiergate.model import Feature, FeatureType, Rollout, Value
from tiergate.naming import item_ref, version_ref
from tiergate.store.batches import in_batches
from tiergate.store.tables import (
    FEATURES,
    ITEMS,
    OVERRIDES,
    SUBSCRIPTION_ITEMS,
    SUBSCRIPTIONS,
    SUSPENSIONS,
    VERSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import ColumnElement
    from sqlmodel import Session

    from tiergate.store.units import ReadUnit

_MAX_NAMED: Final = 3

_value = msgspec.json.Decoder(Value).decode
_feature = msgspec.json.Decoder(Feature).decode
_entitlements = msgspec.json.Decoder(dict[str, Value]).decode
_rollouts = msgspec.json.Decoder(tuple[Rollout, ...]).decode


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """A value of a feature that is in use; `None` if the feature is only named, without a value.

    `holders` describes a few users in English, `count` is the number of all; `is_bound`: an item gives the value.
    """

    value: Value | None
    holders: tuple[str, ...]
    count: int
    is_bound: bool


def read_feature_references(unit: ReadUnit, feature: Feature) -> list[FeatureReference]:
    """Return every value of a feature that items or overrides give, and the suspensions for single subjects."""
    holders: dict[Value, list[str]] = {}
    for value, holder in (*_version_values(unit, feature.id), *_draft_values(unit, feature.id)):
        holders.setdefault(value, []).append(holder)
    references = [
        FeatureReference(value, tuple(names[:_MAX_NAMED]), len(names), is_bound=True)
        for value, names in holders.items()
    ]
    references += override_references(unit.session, feature)
    count = count_suspensions(unit.session, feature.id)
    if count:
        columns = (SUSPENSIONS.c.holder_type, SUSPENSIONS.c.holder)
        query = select(*columns).where(SUSPENSIONS.c.feature == feature.id).order_by(*columns).limit(_MAX_NAMED)
        rows = unit.session.connection().execute(query)
        named = tuple(f"a suspension of the {row.holder_type} `{row.holder}`" for row in rows)
        references.append(FeatureReference(None, named, count, is_bound=False))
    return references


def override_references(session: Session, feature: Feature) -> list[FeatureReference]:
    """Return the values of overrides of a feature; for numbers and switches, one value stands for all."""
    value, is_custom = OVERRIDES.c.value, feature.type is FeatureType.CUSTOM
    query = select(func.min(value), func.count()).where(OVERRIDES.c.feature == feature.id)
    groups = session.connection().execute(query.group_by(value if is_custom else value.is_(None))).all()
    references = []
    for text, count in sorted(groups, key=lambda group: (group[0] is None, group[0])):
        same = value.is_(None) if text is None else value == text if is_custom else value.is_not(None)
        named = _named_overrides(session, (OVERRIDES.c.feature == feature.id) & same)
        references.append(FeatureReference(None if text is None else _value(text), named, count, is_bound=False))
    return references


def count_suspensions(session: Session, feature: str) -> int:
    """Count the suspensions of a feature for single subjects."""
    query = select(func.count()).select_from(SUSPENSIONS).where(SUSPENSIONS.c.feature == feature)
    return int(session.connection().execute(query).scalar_one())


def features_linking_to(unit: ReadUnit, id_: str) -> list[str]:
    """Return the features that name this one in `linked`."""
    query = select(FEATURES.c.document).where(FEATURES.c.document.contains(f'"{id_}"', autoescape=True))
    features = [_feature(row.document) for row in unit.session.connection().execute(query)]
    return sorted(feature.id for feature in features if id_ in feature.linked)


def _version_values(unit: ReadUnit, id_: str) -> Iterator[tuple[Value, str]]:
    query = (
        select(ITEMS.c.kind, ITEMS.c.rollouts, VERSIONS.c.item, VERSIONS.c.version, VERSIONS.c.entitlements)
        .join(ITEMS, ITEMS.c.id == VERSIONS.c.item)
        .where(VERSIONS.c.entitlements.contains(f'"{id_}"', autoescape=True))
        .order_by(VERSIONS.c.item, VERSIONS.c.version)
    )
    for row in unit.session.connection().execute(query).all():
        value = _entitlements(row.entitlements).get(id_)
        if value is not None and _is_reachable(unit, row.item, row.version, row.rollouts):
            yield value, f"`{version_ref(row.kind, row.item, row.version)}`"


def _is_reachable(unit: ReadUnit, id_: str, version: int, rollouts: str) -> bool:
    if any(rollout.version == version for rollout in _rollouts(rollouts)):
        return True
    item = unit.published.catalog.items.get(id_)
    if item is not None and any(definition.version == version for definition in item.versions):
        return True
    pinned = (SUBSCRIPTION_ITEMS.c.item == id_) & (SUBSCRIPTION_ITEMS.c.version == version)
    query = select(SUBSCRIPTION_ITEMS.c.place).where(pinned).limit(1)
    return unit.session.connection().execute(query).first() is not None


def _draft_values(unit: ReadUnit, id_: str) -> Iterator[tuple[Value, str]]:
    query = select(ITEMS.c.kind, ITEMS.c.id, ITEMS.c.draft).order_by(ITEMS.c.id)
    query = query.where(ITEMS.c.draft.contains(f'"{id_}"', autoescape=True))
    for row in unit.session.connection().execute(query):
        value = _entitlements(row.draft).get(id_)
        if value is not None:
            yield value, f"the draft of `{item_ref(row.kind, row.id)}`"


def _named_overrides(session: Session, condition: ColumnElement[bool]) -> tuple[str, ...]:
    columns = (OVERRIDES.c.holder_type, OVERRIDES.c.holder, OVERRIDES.c.id)
    rows = session.connection().execute(select(*columns).where(condition).order_by(*columns).limit(_MAX_NAMED))
    return tuple(f"the override `{row.id}` of the {row.holder_type} `{row.holder}`" for row in rows)


def describe_item_references(unit: ReadUnit, id_: str) -> list[str]:
    """Describe a few subscriptions that have an item, and how many more there are."""
    subscription, condition = SUBSCRIPTION_ITEMS.c.subscription, SUBSCRIPTION_ITEMS.c.item == id_
    connection = unit.session.connection()
    query = select(subscription).where(condition).distinct().order_by(subscription).limit(_MAX_NAMED)
    ids = connection.execute(query).scalars().all()
    count = connection.execute(select(func.count(func.distinct(subscription))).where(condition)).scalar_one()
    more = [f"{count - len(ids):,} more subscriptions"] if count > len(ids) else []
    return [f"the subscription `{subscription_id}`" for subscription_id in ids] + more


def other_subscription_with_item(unit: ReadUnit, item: str, customer: str) -> str | None:
    """Return a subscription with an item that belongs to another customer."""
    query = (
        select(SUBSCRIPTION_ITEMS.c.subscription)
        .join(SUBSCRIPTIONS, SUBSCRIPTIONS.c.id == SUBSCRIPTION_ITEMS.c.subscription)
        .where(SUBSCRIPTION_ITEMS.c.item == item, SUBSCRIPTIONS.c.customer != customer)
        .order_by(SUBSCRIPTION_ITEMS.c.subscription)
        .limit(1)
    )
    subscription: str | None = unit.session.connection().execute(query).scalar_one_or_none()
    return subscription


def pinned_versions(session: Session, items: Collection[str]) -> dict[str, frozenset[int]]:
    """Return the versions of these items to which some subscription is pinned."""
    pins: dict[str, set[int]] = {id_: set() for id_ in items}
    columns = SUBSCRIPTION_ITEMS.c
    query = select(columns.item, columns.version).distinct().where(columns.version.is_not(None))
    for part in in_batches(items):
        for id_, version in session.connection().execute(query.where(columns.item.in_(part))):
            pins[id_].add(version)
    return {id_: frozenset(versions) for id_, versions in pins.items()}


def customers_above_quantity(session: Session, quantities: Mapping[str, int], limit: int) -> list[str]:
    """Return up to `limit` customers who have an item in a larger quantity than the one given for it."""
    if not quantities:
        return []
    columns = SUBSCRIPTION_ITEMS.c
    is_above = or_(*((columns.item == id_) & (columns.quantity > most) for id_, most in quantities.items()))
    query = (
        select(SUBSCRIPTIONS.c.customer).distinct().join(SUBSCRIPTION_ITEMS, columns.subscription == SUBSCRIPTIONS.c.id)
    )
    return list(session.connection().execute(query.where(is_above).limit(limit)).scalars())
