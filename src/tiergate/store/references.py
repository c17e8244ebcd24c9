"""Who uses a feature or an item of the working catalog: what must not be pulled away from under anybody.

Counts everybody and names a few. A version is in use while it is reachable: by a rollout as it is edited or as it is in
force, or by the pin of a subscription.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import func, select

from tiergate.model import Feature, FeatureType, Rollout, Value
from tiergate.naming import item_ref, version_ref
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
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

    from tiergate.store.transactions import ReadUnit

_NAMED: Final = 3

_value = msgspec.json.Decoder(Value).decode
_feature = msgspec.json.Decoder(Feature).decode
_entitlements = msgspec.json.Decoder(dict[str, Value]).decode
_rollouts = msgspec.json.Decoder(tuple[Rollout, ...]).decode


@dataclass(frozen=True, slots=True)
class FeatureUse:
    """A value of a feature that is in use, `None` where the feature is only named.

    `holders` are a few who hold it, in words, `count` is how many there are; `is_bound`: an item gives it, not an
    override.
    """

    value: Value | None
    holders: tuple[str, ...]
    count: int
    is_bound: bool


def feature_uses(unit: ReadUnit, feature: Feature) -> list[FeatureUse]:
    """Who gives a feature, or suspends it for a subject: each value that is given, with some of its holders.

    Of the values of overrides for a number or a switch, one stands for all.
    """
    given: dict[Value, list[str]] = {}
    for value, holder in (*_of_versions(unit, feature.id), *_of_drafts(unit, feature.id)):
        given.setdefault(value, []).append(holder)
    found = [
        FeatureUse(value, tuple(holders[:_NAMED]), len(holders), is_bound=True) for value, holders in given.items()
    ]
    return [*found, *_of_overrides(unit, feature), *_of_suspensions(unit, feature.id)]


def _of_versions(unit: ReadUnit, id_: str) -> Iterator[tuple[Value, str]]:
    connection = unit.session.connection()
    query = (
        select(ITEMS.c.kind, ITEMS.c.rollouts, VERSIONS.c.item, VERSIONS.c.version, VERSIONS.c.entitlements)
        .join(ITEMS, ITEMS.c.id == VERSIONS.c.item)
        .where(VERSIONS.c.entitlements.contains(f'"{id_}"', autoescape=True))
        .order_by(VERSIONS.c.item, VERSIONS.c.version)
    )
    for row in connection.execute(query).all():
        value = _entitlements(row.entitlements).get(id_)
        if value is not None and _is_reachable(unit, row.item, row.version, row.rollouts):
            yield value, f"`{version_ref(row.kind, row.item, row.version)}`"


def _is_reachable(unit: ReadUnit, item: str, version: int, rollouts: str) -> bool:
    if any(rollout.version == version for rollout in _rollouts(rollouts)):
        return True
    published = unit.published.catalog.items.get(item)
    if published is not None and any(one.version == version for one in published.versions):
        return True
    query = (
        select(SUBSCRIPTION_ITEMS.c.place)
        .where(SUBSCRIPTION_ITEMS.c.item == item, SUBSCRIPTION_ITEMS.c.version == version)
        .limit(1)
    )
    return unit.session.connection().execute(query).first() is not None


def _of_drafts(unit: ReadUnit, id_: str) -> Iterator[tuple[Value, str]]:
    query = (
        select(ITEMS.c.kind, ITEMS.c.id, ITEMS.c.draft)
        .where(ITEMS.c.draft.contains(f'"{id_}"', autoescape=True))
        .order_by(ITEMS.c.id)
    )
    for row in unit.session.connection().execute(query):
        value = _entitlements(row.draft).get(id_)
        if value is not None:
            yield value, f"the draft of `{item_ref(row.kind, row.id)}`"


def _of_overrides(unit: ReadUnit, feature: Feature) -> Iterator[FeatureUse]:
    connection = unit.session.connection()
    value = OVERRIDES.c.value
    its = OVERRIDES.c.feature == feature.id
    if feature.type is FeatureType.CUSTOM:
        groups = connection.execute(select(value, func.count()).where(its).group_by(value).order_by(value)).all()
        for text, count in groups:
            same = value.is_(None) if text is None else value == text
            yield FeatureUse(
                None if text is None else _value(text), _overriders(unit, its & same), count, is_bound=False
            )
        return
    for same in (value.is_not(None), value.is_(None)):
        count, text = connection.execute(select(func.count(), func.min(value)).where(its, same)).one()
        if count:
            yield FeatureUse(
                None if text is None else _value(text), _overriders(unit, its & same), count, is_bound=False
            )


def _overriders(unit: ReadUnit, condition: ColumnElement[bool]) -> tuple[str, ...]:
    query = (
        select(OVERRIDES.c.holder_type, OVERRIDES.c.holder, OVERRIDES.c.id)
        .where(condition)
        .order_by(OVERRIDES.c.holder_type, OVERRIDES.c.holder, OVERRIDES.c.id)
        .limit(_NAMED)
    )
    rows = unit.session.connection().execute(query)
    return tuple(f"the override `{row.id}` of the {row.holder_type} `{row.holder}`" for row in rows)


def _of_suspensions(unit: ReadUnit, id_: str) -> Iterator[FeatureUse]:
    connection = unit.session.connection()
    its = SUSPENSIONS.c.feature == id_
    count = connection.execute(select(func.count()).where(its)).scalar_one()
    if count:
        columns = (SUSPENSIONS.c.holder_type, SUSPENSIONS.c.holder)
        rows = connection.execute(select(*columns).where(its).order_by(*columns).limit(_NAMED))
        named = tuple(f"a suspension of the {row.holder_type} `{row.holder}`" for row in rows)
        yield FeatureUse(None, named, count, is_bound=False)


def links_to(unit: ReadUnit, id_: str) -> list[str]:
    """The features that name this one in `linked`."""
    query = select(FEATURES.c.document).where(FEATURES.c.document.contains(f'"{id_}"', autoescape=True))
    features = [_feature(row.document) for row in unit.session.connection().execute(query)]
    return sorted(feature.id for feature in features if id_ in feature.linked)


def item_uses(unit: ReadUnit, id_: str) -> list[str]:
    """Some who hold an item, in words; with how many more there are, where there are."""
    connection = unit.session.connection()
    held = select(SUBSCRIPTION_ITEMS.c.subscription).where(SUBSCRIPTION_ITEMS.c.item == id_).distinct()
    named = connection.execute(held.order_by(SUBSCRIPTION_ITEMS.c.subscription).limit(_NAMED)).scalars().all()
    count = connection.execute(
        select(func.count(func.distinct(SUBSCRIPTION_ITEMS.c.subscription))).where(SUBSCRIPTION_ITEMS.c.item == id_)
    )
    more = count.scalar_one() - len(named)
    return [f"the subscription `{one}`" for one in named] + ([f"{more:,} more subscriptions"] if more > 0 else [])


def held_by_others(unit: ReadUnit, item: str, customer: str) -> str | None:
    """A subscription of another customer that holds an item."""
    query = (
        select(SUBSCRIPTION_ITEMS.c.subscription)
        .join(SUBSCRIPTIONS, SUBSCRIPTIONS.c.id == SUBSCRIPTION_ITEMS.c.subscription)
        .where(SUBSCRIPTION_ITEMS.c.item == item, SUBSCRIPTIONS.c.customer != customer)
        .order_by(SUBSCRIPTION_ITEMS.c.subscription)
        .limit(1)
    )
    found: str | None = unit.session.connection().execute(query).scalar_one_or_none()
    return found
