"""The features of the working catalog: read, listed and edited one at a time.

The caller checks whether an edit is allowed (`catalog.edits`), in the same transaction and with its lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, exists, insert, select, update

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

    from tiergate.model import Instant
    from tiergate.store.units import ReadUnit, WriteUnit

FILTER_BATCH: Final = 500
"""The number of rows per query when they are filtered in Python."""

_feature = msgspec.json.Decoder(Feature).decode


class StoredFeature(NamedTuple):
    """A feature with its row's stamp."""

    feature: Feature
    stamp: Stamp


class FeatureFilter(NamedTuple):
    """Conditions on features, all of which must hold; empty and none are no conditions.

    `tags`: all of them; `types`, `statuses`: one of these. `text` is searched in the id, name, description and tags.
    """

    tags: tuple[str, ...] = ()
    text: str = ""
    types: tuple[FeatureType, ...] = ()
    statuses: tuple[FeatureStatus, ...] = ()
    suspended: bool | None = None
    now: Instant = 0


def lock_catalog(unit: WriteUnit) -> None:
    """Prevent other transactions from editing or publishing the working catalog until this one ends.

    INVARIANT (one editor): every change of features, items and drafts, and every publication of them, takes this lock
    before it reads the catalog. So the state against which an edit was checked cannot change before it commits.
    """
    unit.session.connection().execute(select(STORE.c.key).where(STORE.c.key == ONLY_ROW).with_for_update())


def read_features(unit: ReadUnit) -> dict[str, Feature]:
    """Read all features by id, sorted."""
    rows = unit.session.connection().execute(select(FEATURES.c.document))
    features = sorted((_feature(row.document) for row in rows), key=lambda feature: feature.id)
    return {feature.id: feature for feature in features}


def find_feature(unit: ReadUnit, id_: str) -> StoredFeature:
    """Read one feature.

    Raises:
        NotFoundError: if there is none; with the most similar id.
    """
    stored = stored_feature(unit, id_)
    if stored is None:
        known = unit.session.connection().execute(select(FEATURES.c.id)).scalars()
        raise NotFoundError("feature", id_, nearest(id_, known))
    return stored


def stored_feature(unit: ReadUnit, id_: str) -> StoredFeature | None:
    """Read one feature, if it exists."""
    row = unit.session.connection().execute(select(FEATURES).where(FEATURES.c.id == id_)).one_or_none()
    return None if row is None else _stored(row)


def list_features(unit: ReadUnit, wanted: FeatureFilter, after: str | None, limit: int) -> list[StoredFeature]:
    """Read up to `limit` features by id, those after an id."""
    query = select(FEATURES)
    for tag in wanted.tags:
        query = query.where(exists().where(FEATURE_TAGS.c.feature == FEATURES.c.id, FEATURE_TAGS.c.tag == tag))
    if wanted.types:
        query = query.where(FEATURES.c.type.in_([type_.value for type_ in wanted.types]))
    if wanted.statuses:
        query = query.where(FEATURES.c.status.in_([status.value for status in wanted.statuses]))
    features: list[StoredFeature] = []
    is_exact = not wanted.text and wanted.suspended is None
    for row in iterate_rows(unit, query, FEATURES, after, limit if is_exact else FILTER_BATCH):
        stored = _stored(row)
        feature = stored.feature
        if wanted.suspended is not None and is_suspended(feature, wanted.now) is not wanted.suspended:
            continue
        if matches_text(wanted.text, feature.id, feature.name, feature.description, *feature.tags):
            features.append(stored)
            if len(features) == limit:
                break
    return features


def iterate_rows(
    unit: ReadUnit, query: Select[tuple[object, ...]], table: Table, after: str | None, size: int
) -> Iterator[Row[tuple[object, ...]]]:
    """Yield the rows of a query on a table by id, those after an id, in batches of `size`."""
    connection = unit.session.connection()
    while True:
        part = query if after is None else query.where(table.c.id > after)
        rows = connection.execute(part.order_by(table.c.id).limit(size)).all()
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1].id


def is_suspended(feature: Feature, now: Instant) -> bool:
    """Return whether a feature is suspended for all customers at an instant."""
    return any(suspension.start <= now < suspension.until for suspension in feature.suspensions)


def matches_text(text: str, *texts: str) -> bool:
    """Return whether one of the texts contains `text`, compared by `search_key`; true if `text` is empty."""
    if not text:
        return True
    key = search_key(text)
    return any(key in search_key(candidate) for candidate in texts)


def add_feature(unit: WriteUnit, feature: Feature) -> StoredFeature:
    """Add a feature.

    Raises:
        ConflictError: if there is a feature with this id.
    """
    connection = unit.session.connection()
    query = select(FEATURES.c.id).where(FEATURES.c.id == feature.id)
    if connection.execute(query).one_or_none() is not None:
        raise ConflictError("already-exists", f"the feature `{feature.id}` already exists")
    first = tombstones.first_etags(connection, tombstones.FEATURE, [feature.id])[feature.id]
    stamp = Stamp(first, unit.now, unit.now)
    row = {"id": feature.id, "etag": first, "created_at": unit.now, **feature_columns(feature, unit.now)}
    connection.execute(insert(FEATURES), [row])
    _add_tags(unit, feature)
    return StoredFeature(feature, stamp)


def replace_feature(unit: WriteUnit, before: StoredFeature, feature: Feature) -> StoredFeature:
    """Replace a feature that was read in this transaction. An equal one is not written."""
    if feature == before.feature:
        return before
    connection = unit.session.connection()
    etag = before.stamp.etag + 1
    query = update(FEATURES).where(FEATURES.c.id == feature.id)
    connection.execute(query.values(etag=etag, **feature_columns(feature, unit.now)))
    if feature.tags != before.feature.tags:
        connection.execute(delete(FEATURE_TAGS).where(FEATURE_TAGS.c.feature == feature.id))
        _add_tags(unit, feature)
    return StoredFeature(feature, Stamp(etag, before.stamp.created_at, unit.now))


def feature_columns(feature: Feature, now: Instant) -> dict[str, object]:
    """Return the columns of a feature's row that follow from the feature."""
    return {
        "type": feature.type.value,
        "status": feature.status.value,
        "name": feature.name,
        "document": canonical_json(feature).decode(),
        "updated_at": now,
    }


def _add_tags(unit: WriteUnit, feature: Feature) -> None:
    if feature.tags:
        rows = [{"tag": tag, "feature": feature.id} for tag in feature.tags]
        unit.session.connection().execute(insert(FEATURE_TAGS), rows)


def _stored(row: Row[tuple[object, ...]]) -> StoredFeature:
    return StoredFeature(_feature(row.document), Stamp(row.etag, row.created_at, row.updated_at))
