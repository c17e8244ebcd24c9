"""Which features were ever published, and as which type: the id of a feature keeps its type for ever.

Past publications can be published again, and past versions come back for a pin. If an id meant another type by then,
what they give would have no meaning, and nothing could be published any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from tiergate.model import FeatureType
from tiergate.store.batches import in_batches
from tiergate.store.tables import PUBLISHED_FEATURES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlmodel import Session

    from tiergate.model import Feature
    from tiergate.store.transactions import WriteUnit


def published_types(session: Session, features: Collection[str]) -> dict[str, FeatureType]:
    """The types of those of some features that were ever published, by id."""
    found: dict[str, FeatureType] = {}
    for part in in_batches(features):
        query = select(PUBLISHED_FEATURES.c.id, PUBLISHED_FEATURES.c.type).where(PUBLISHED_FEATURES.c.id.in_(part))
        found.update({id_: FeatureType(type_) for id_, type_ in session.connection().execute(query)})
    return found


def record_published_types(unit: WriteUnit, features: Iterable[Feature]) -> None:
    """Keep the types of features that are published; of one that was published before, the type stays."""
    types = {feature.id: feature.type.value for feature in features}
    known = published_types(unit.session, types)
    rows = [{"id": id_, "type": type_} for id_, type_ in sorted(types.items()) if id_ not in known]
    if rows:
        unit.session.connection().execute(insert(PUBLISHED_FEATURES), rows)
