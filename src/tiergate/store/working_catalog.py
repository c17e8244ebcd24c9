"""The working catalog, whole or in parts, for publications: many rows at a time.

`features` and `items` edit one at a time. A caller that writes here holds the catalog's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import delete, insert, select, update

from tiergate.model import Feature, Item, Rollout, Value
from tiergate.model.canonical_json import canonical_json
from tiergate.store import tombstones
from tiergate.store.batches import in_batches
from tiergate.store.features import feature_columns
from tiergate.store.items import item_columns
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.tables import FEATURE_TAGS, FEATURES, ITEM_TAGS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Column, Row, Select, Table
    from sqlmodel import Session

    from tiergate.store.units import WriteUnit


_feature = msgspec.json.Decoder(Feature).decode
_item = msgspec.json.Decoder(Item).decode
_rollouts = msgspec.json.Decoder(tuple[Rollout, ...]).decode
_entitlements = msgspec.json.Decoder(dict[str, Value]).decode


_FEATURE_STAMPS, _ITEM_STAMPS = (Query(select(it.c.id, it.c.etag, it.c.updated_at)) for it in (FEATURES, ITEMS))

T = TypeVar("T")
_Read = dict[str, tuple[tuple[object, ...], T]]
"""What was read, by id, with entity tag and last change."""


class WorkingFeature(NamedTuple):
    """An edited feature, and its entity tag."""

    feature: Feature
    etag: int


class WorkingItem(NamedTuple):
    """An edited item: `item` has neither versions nor rollouts; `newest` is its highest version so far."""

    item: Item
    rollouts: tuple[Rollout, ...]
    draft: dict[str, Value] | None
    newest: int
    etag: int


@dataclass(frozen=True, slots=True)
class WorkingState:
    """The working catalog, or a part of it."""

    features: Mapping[str, WorkingFeature]
    items: Mapping[str, WorkingItem]


def read_working(
    session: Session, features: Collection[str] | None = None, items: Collection[str] | None = None
) -> WorkingState:
    """Read the working catalog, or only the features and items named."""
    columns = (FEATURES.c.id, FEATURES.c.document, FEATURES.c.etag)
    read_features = {
        row.id: WorkingFeature(_feature(row.document), row.etag)
        for row in _select_rows(session, select(*columns), FEATURES, features)
    }
    names = ("id", "document", "rollouts", "draft", "newest", "etag")
    read_items = {}
    for row in _select_rows(session, select(*(ITEMS.c[name] for name in names)), ITEMS, items):
        draft = None if row.draft is None else _entitlements(row.draft)
        read_items[row.id] = WorkingItem(_item(row.document), _rollouts(row.rollouts), draft, row.newest, row.etag)
    return WorkingState(read_features, read_items)


class RecentWorkingState:
    """The working catalog as it was last read here, so that only rows that changed since are read again.

    A row is the same if its entity tag is, which is given once, and its last change; the latter differs if the database
    was restored to an earlier state. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._features: _Read[WorkingFeature] = {}
        self._items: _Read[WorkingItem] = {}

    def read(self, session: Session) -> WorkingState:
        """Return the whole working catalog, as a transaction sees it that has written none of it."""
        known_features, known_items = self._features, self._items  # another thread may replace them meanwhile
        features, items = fetch_together(session.connection(), [(_FEATURE_STAMPS, {}), (_ITEM_STAMPS, {})])
        changed = read_working(session, _differing(known_features, features), _differing(known_items, items))
        self._features = read_features = _renewed(known_features, features, changed.features)
        self._items = read_items = _renewed(known_items, items, changed.items)
        return WorkingState(
            {id_: feature for id_, (_, feature) in read_features.items()},
            {id_: item for id_, (_, item) in read_items.items()},
        )


def _differing(known: _Read[T], rows: Sequence[Any]) -> list[str]:
    return [id_ for id_, *stamp in rows if id_ not in known or known[id_][0] != tuple(stamp)]


def _renewed(known: _Read[T], rows: Sequence[Any], read: Mapping[str, T]) -> _Read[T]:
    return {id_: (tuple(stamp), read[id_]) if id_ in read else known[id_] for id_, *stamp in rows}


def _select_rows(session: Session, query: Select[Any], table: Table, ids: Collection[str] | None) -> Iterator[Row[Any]]:
    """Yield the rows of these ids, or all rows if `ids` is none."""
    connection = session.connection()
    if ids is None:
        yield from connection.execute(query)
        return
    for part in in_batches(ids):
        yield from connection.execute(query.where(table.c.id.in_(part)))


def working_etags(
    session: Session, features: Collection[str], items: Collection[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the entity tags of those of these features and items that exist, by id."""
    of_features, of_items = (
        {row.id: row.etag for row in _select_rows(session, select(table.c.id, table.c.etag), table, ids)}
        for table, ids in ((FEATURES, features), (ITEMS, items))
    )
    return of_features, of_items


def write_features(unit: WriteUnit, features: Iterable[Feature]) -> None:
    """Write features, new or known."""
    rows = {feature.id: (feature_columns(feature, unit.now), feature.tags) for feature in features}
    _write_rows(unit, tombstones.FEATURE, FEATURES, FEATURE_TAGS.c.feature, rows)


def write_items(unit: WriteUnit, items: Iterable[WorkingItem]) -> None:
    """Write items, new or known, with rollouts, draft and newest version; their field `etag` is ignored."""
    rows = {}
    for working in items:
        columns = item_columns(working.item, working.draft, unit.now)
        columns |= {"rollouts": canonical_json(working.rollouts).decode(), "newest": working.newest}
        rows[working.item.id] = (columns, working.item.tags)
    _write_rows(unit, tombstones.ITEM, ITEMS, ITEM_TAGS.c.item, rows)


def _write_rows(
    unit: WriteUnit,
    kind: str,
    table: Table,
    tagged: Column[str],
    rows: Mapping[str, tuple[dict[str, object], Collection[str]]],
) -> None:
    connection = unit.session.connection()
    known = set(connection.execute(select(table.c.id)).scalars())
    first_etags = tombstones.first_etags(connection, kind, [id_ for id_ in rows if id_ not in known])
    new: list[dict[str, object]] = []
    for id_, (columns, _) in rows.items():
        if id_ in known:
            connection.execute(update(table).where(table.c.id == id_).values(etag=table.c.etag + 1, **columns))
            connection.execute(delete(tagged.table).where(tagged == id_))
        else:
            new.append({"id": id_, "etag": first_etags[id_], "created_at": unit.now, **columns})
    if new:
        connection.execute(insert(table), new)
    tags = [{"tag": tag, tagged.name: id_} for id_, (_, names) in rows.items() for tag in names]
    if tags:
        connection.execute(insert(tagged.table), tags)


def delete_features(session: Session, features: Collection[str]) -> None:
    """Delete features from the working catalog."""
    _delete_rows(session, tombstones.FEATURE, FEATURES, FEATURE_TAGS.c.feature, features)


def delete_items(session: Session, items: Collection[str]) -> None:
    """Delete items from the working catalog. Their published versions stay."""
    _delete_rows(session, tombstones.ITEM, ITEMS, ITEM_TAGS.c.item, items)


def _delete_rows(session: Session, kind: str, table: Table, tagged: Column[str], ids: Collection[str]) -> None:
    connection = session.connection()
    for part in in_batches(ids):
        tombstones.bury_rows(connection, kind, table, part)
        connection.execute(delete(tagged.table).where(tagged.in_(part)))
        connection.execute(delete(table).where(table.c.id.in_(part)))
