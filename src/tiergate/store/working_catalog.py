"""The working catalog, whole or in parts, for publishing: many rows at a time, to the model and back.

One feature or item at a time is edited by `features` and `items`. Whoever writes here holds the catalog's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update

from tiergate.model import Feature, Item, Rollout, Value
from tiergate.model.canonical_json import canonical_json
from tiergate.store import tombstones
from tiergate.store.batches import in_batches
from tiergate.store.tables import FEATURE_TAGS, FEATURES, ITEM_TAGS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy import Column, Connection, Row, Select, Table
    from sqlmodel import Session

    from tiergate.store.transactions import WriteUnit


_feature = msgspec.json.Decoder(Feature).decode
_item = msgspec.json.Decoder(Item).decode
_rollouts = msgspec.json.Decoder(tuple[Rollout, ...]).decode
_entitlements = msgspec.json.Decoder(dict[str, Value]).decode


class WorkingFeature(NamedTuple):
    """A feature as it is edited, and its entity tag."""

    feature: Feature
    etag: int


class WorkingItem(NamedTuple):
    """An item as it is edited: `item` has neither versions nor rollouts; `newest` is its highest version so far."""

    item: Item
    rollouts: tuple[Rollout, ...]
    draft: dict[str, Value] | None
    newest: int
    etag: int


@dataclass(frozen=True, slots=True)
class WorkingState:
    """The working catalog."""

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
    """Make the working features these, new or known."""
    known = _etags(unit.session, FEATURES)
    connection = unit.session.connection()
    new, tags = [], []
    for feature in features:
        values: dict[str, object] = {
            "type": feature.type.value,
            "status": feature.status.value,
            "name": feature.name,
            "document": canonical_json(feature).decode(),
            "updated_at": unit.now,
        }
        if feature.id in known:
            changed = update(FEATURES).where(FEATURES.c.id == feature.id)
            connection.execute(changed.values(etag=FEATURES.c.etag + 1, **values))
            connection.execute(delete(FEATURE_TAGS).where(FEATURE_TAGS.c.feature == feature.id))
        else:
            new.append({"id": feature.id, "etag": 1, "created_at": unit.now, **values})
        tags += [{"tag": tag, "feature": feature.id} for tag in feature.tags]
    if new:
        _begin(connection, tombstones.FEATURE, new)
        connection.execute(insert(FEATURES), new)
    if tags:
        connection.execute(insert(FEATURE_TAGS), tags)


def write_items(unit: WriteUnit, items: Iterable[WorkingItem]) -> None:
    """Make the working items these, new or known, with all that is said of them; their own `etag` is not looked at."""
    known = _etags(unit.session, ITEMS)
    connection = unit.session.connection()
    new, tags = [], []
    for working in items:
        item = working.item
        values: dict[str, object] = {
            "kind": item.kind.value,
            "name": item.name,
            "document": canonical_json(msgspec.structs.replace(item, versions=(), rollouts=())).decode(),
            "rollouts": canonical_json(working.rollouts).decode(),
            "draft": None if working.draft is None else canonical_json(working.draft).decode(),
            "newest": working.newest,
            "private_to": item.private_to or None,
            "status": item.status.value,
            "updated_at": unit.now,
        }
        if item.id in known:
            connection.execute(update(ITEMS).where(ITEMS.c.id == item.id).values(etag=ITEMS.c.etag + 1, **values))
            connection.execute(delete(ITEM_TAGS).where(ITEM_TAGS.c.item == item.id))
        else:
            new.append({"id": item.id, "etag": 1, "created_at": unit.now, **values})
        tags += [{"tag": tag, "item": item.id} for tag in item.tags]
    if new:
        _begin(connection, tombstones.ITEM, new)
        connection.execute(insert(ITEMS), new)
    if tags:
        connection.execute(insert(ITEM_TAGS), tags)


def _etags(session: Session, table: Table) -> set[str]:
    return set(session.connection().execute(select(table.c.id)).scalars())


def _begin(connection: Connection, kind: str, rows: list[dict[str, object]]) -> None:
    """Have the entity tags of new rows go on where those of deleted ones ended."""
    first = tombstones.first_etags(connection, kind, [str(row["id"]) for row in rows])
    for row in rows:
        row["etag"] = first[str(row["id"])]


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
