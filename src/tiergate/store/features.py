"""The features of the working catalog: rows to the model and back, searched by page, and who uses them.

Whether an edit is allowed is for the caller to have asked (`catalog.edits`), under the lock of the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update

from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import Feature, FeatureStatus, FeatureType
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import nearest
from tiergate.store import tombstones
from tiergate.store.subjects import Stamp
from tiergate.store.tables import FEATURE_TAGS, FEATURES, ONLY_ROW, STORE
from tiergate.text_normalization import search_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row, Select, Table

    from tiergate.store.transactions import ReadUnit, WriteUnit

AT_ONCE: Final = 500
"""How many rows are looked at together where most may not be wanted."""

_feature = msgspec.json.Decoder(Feature).decode


class StoredFeature(NamedTuple):
    """A feature as it is stored."""

    feature: Feature
    stamp: Stamp


class FeatureFilter(NamedTuple):
    """Which features are wanted: all that hold to everything that is said. `text` is looked for in whatever case."""

    tag: str | None = None
    text: str | None = None
    type: FeatureType | None = None
    status: FeatureStatus | None = None


def lock_catalog(unit: WriteUnit) -> None:
    """Keep others from editing or publishing the working catalog until this transaction ends.

    INVARIANT (one editor): every change of features, items and drafts takes this lock before it reads what it rests
    on, and so does whoever publishes them; so what one edit was checked against cannot change under it.
    """
    unit.session.connection().execute(select(STORE.c.key).where(STORE.c.key == ONLY_ROW).with_for_update())


def read_features(unit: ReadUnit) -> dict[str, Feature]:
    """All features by id, sorted."""
    rows = unit.session.connection().execute(select(FEATURES.c.document))
    found = [_feature(row.document) for row in rows]
    return {feature.id: feature for feature in sorted(found, key=lambda feature: feature.id)}


def find_feature(unit: ReadUnit, id_: str) -> StoredFeature:
    """One feature.

    Raises:
        NotFoundError: there is none, with the id that was probably meant.
    """
    stored = stored_feature(unit, id_)
    if stored is None:
        known = unit.session.connection().execute(select(FEATURES.c.id)).scalars()
        raise NotFoundError("feature", id_, nearest(id_, known))
    return stored


def stored_feature(unit: ReadUnit, id_: str) -> StoredFeature | None:
    """One feature, if there is one."""
    row = unit.session.connection().execute(select(FEATURES).where(FEATURES.c.id == id_)).one_or_none()
    return None if row is None else _stored(row)


def list_features(unit: ReadUnit, wanted: FeatureFilter, after: str | None, limit: int) -> list[StoredFeature]:
    """Up to `limit` features in the order of their ids, those after an id."""
    query = select(FEATURES)
    if wanted.tag is not None:
        query = query.join(FEATURE_TAGS, FEATURE_TAGS.c.feature == FEATURES.c.id).where(
            FEATURE_TAGS.c.tag == wanted.tag
        )
    if wanted.type is not None:
        query = query.where(FEATURES.c.type == wanted.type.value)
    if wanted.status is not None:
        query = query.where(FEATURES.c.status == wanted.status.value)
    found: list[StoredFeature] = []
    for row in paged(unit, query, FEATURES, after, limit if wanted.text is None else AT_ONCE):
        stored = _stored(row)
        feature = stored.feature
        if says(wanted.text, feature.id, feature.name, feature.description):
            found.append(stored)
            if len(found) == limit:
                break
    return found


def paged(
    unit: ReadUnit, query: Select[tuple[object, ...]], table: Table, after: str | None, size: int
) -> Iterator[Row[tuple[object, ...]]]:
    """The rows of a query on a table in the order of its ids, those after an id; read by parts of a size."""
    connection = unit.session.connection()
    while True:
        part = query if after is None else query.where(table.c.id > after)
        rows = connection.execute(part.order_by(table.c.id).limit(size)).all()
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1].id


def says(text: str | None, *texts: str) -> bool:
    """Say whether one of some texts has `text` in it, as searches compare (`search_key`); no text is in all."""
    if text is None:
        return True
    key = search_key(text)
    return any(key in search_key(one) for one in texts)


def add_feature(unit: WriteUnit, feature: Feature) -> StoredFeature:
    """Add a feature.

    Raises:
        ConflictError: there is one of this id.
    """
    connection = unit.session.connection()
    query = select(FEATURES.c.id).where(FEATURES.c.id == feature.id)
    if connection.execute(query).one_or_none() is not None:
        raise ConflictError("already-exists", f"there is a feature `{feature.id}` already")
    first = tombstones.first_etags(connection, tombstones.FEATURE, [feature.id])[feature.id]
    stamp = Stamp(first, unit.now, unit.now)
    row = {"id": feature.id, "created_at": unit.now, **_columns(unit, feature, stamp.etag)}
    connection.execute(insert(FEATURES), [row])
    _add_tags(unit, feature)
    return StoredFeature(feature, stamp)


def replace_feature(unit: WriteUnit, before: StoredFeature, feature: Feature) -> StoredFeature:
    """Make a feature, as it was read in this transaction, another of the same id. An equal one is left alone."""
    if feature == before.feature:
        return before
    connection = unit.session.connection()
    etag = before.stamp.etag + 1
    query = update(FEATURES).where(FEATURES.c.id == feature.id)
    connection.execute(query.values(**_columns(unit, feature, etag)))
    if feature.tags != before.feature.tags:
        connection.execute(delete(FEATURE_TAGS).where(FEATURE_TAGS.c.feature == feature.id))
        _add_tags(unit, feature)
    return StoredFeature(feature, Stamp(etag, before.stamp.created_at, unit.now))


def remove_feature(unit: WriteUnit, id_: str) -> None:
    """Remove a feature."""
    connection = unit.session.connection()
    tombstones.bury_rows(connection, tombstones.FEATURE, FEATURES, [id_])
    connection.execute(delete(FEATURE_TAGS).where(FEATURE_TAGS.c.feature == id_))
    connection.execute(delete(FEATURES).where(FEATURES.c.id == id_))


def _columns(unit: WriteUnit, feature: Feature, etag: int) -> dict[str, object]:
    return {
        "etag": etag,
        "type": feature.type.value,
        "status": feature.status.value,
        "name": feature.name,
        "document": canonical_json(feature).decode(),
        "updated_at": unit.now,
    }


def _add_tags(unit: WriteUnit, feature: Feature) -> None:
    if feature.tags:
        rows = [{"tag": tag, "feature": feature.id} for tag in feature.tags]
        unit.session.connection().execute(insert(FEATURE_TAGS), rows)


def _stored(row: Row[tuple[object, ...]]) -> StoredFeature:
    return StoredFeature(_feature(row.document), Stamp(row.etag, row.created_at, row.updated_at))
