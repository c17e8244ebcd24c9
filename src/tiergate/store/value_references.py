"""What subjects hold of the catalog, as far as publishing must know: pins, values of overrides, large quantities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, or_, select

from tiergate.model import Feature, FeatureType, Value
from tiergate.store.tables import OVERRIDES, SUBSCRIPTION_ITEMS, SUBSCRIPTIONS, SUSPENSIONS
from tiergate.store.working_catalog import in_parts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlmodel import Session


_value = msgspec.json.Decoder(Value).decode


@dataclass(frozen=True, slots=True)
class OverrideUse:
    """A value that overrides of one feature give (none: they disable it), one who has it, and how many have."""

    value: Value | None
    holder: str
    count: int


def pinned_versions(session: Session, items: Collection[str]) -> dict[str, frozenset[int]]:
    """The versions of these items to which some subscription is pinned."""
    found: dict[str, set[int]] = {id_: set() for id_ in items}
    columns = SUBSCRIPTION_ITEMS.c
    for part in in_parts(items):
        query = select(columns.item, columns.version).distinct()
        query = query.where(columns.item.in_(part or ()), columns.version.is_not(None))
        for id_, version in session.connection().execute(query):
            found[id_].add(version)
    return {id_: frozenset(pins) for id_, pins in found.items()}


def override_uses(session: Session, feature: Feature) -> list[OverrideUse]:
    """The values that overrides give of a feature; of numbers and switches, one stands for all."""
    columns = OVERRIDES.c
    told = columns.value if feature.type is FeatureType.CUSTOM else func.min(columns.value)
    query = select(told, func.min(columns.holder_type), func.min(columns.holder), func.count())
    query = query.where(columns.feature == feature.id)
    if feature.type is FeatureType.CUSTOM:
        query = query.group_by(columns.value).order_by(func.min(columns.holder))
    return [
        OverrideUse(None if value is None else _value(value), f"an override of the {kind} `{holder}`", count)
        for value, kind, holder, count in session.connection().execute(query)
        if count
    ]


def suspension_uses(session: Session, feature: str) -> int:
    """How many suspensions of single subjects name a feature."""
    query = select(func.count()).select_from(SUSPENSIONS).where(SUSPENSIONS.c.feature == feature)
    return int(session.connection().execute(query).scalar_one())


def held_quantities(session: Session, items: Mapping[str, int], limit: int) -> list[str]:
    """Customers who hold one of these items in more than its quantity given; at most `limit`."""
    if not items:
        return []
    many = or_(
        *(
            (SUBSCRIPTION_ITEMS.c.item == id_) & (SUBSCRIPTION_ITEMS.c.quantity > quantity)
            for id_, quantity in items.items()
        )
    )
    query = (
        select(SUBSCRIPTIONS.c.customer)
        .distinct()
        .join(SUBSCRIPTION_ITEMS, SUBSCRIPTION_ITEMS.c.subscription == SUBSCRIPTIONS.c.id)
        .where(many)
        .limit(limit)
    )
    return list(session.connection().execute(query).scalars())
