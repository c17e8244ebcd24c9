"""The ids of the working catalog, for what names a feature or an item in passing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from tiergate.store.tables import FEATURES, ITEMS

if TYPE_CHECKING:
    from tiergate.store.units import ReadUnit


def feature_ids(unit: ReadUnit) -> frozenset[str]:
    """Return the ids of all features."""
    return frozenset(unit.session.connection().execute(select(FEATURES.c.id)).scalars())


def item_ids(unit: ReadUnit) -> frozenset[str]:
    """Return the ids of all items."""
    return frozenset(unit.session.connection().execute(select(ITEMS.c.id)).scalars())
