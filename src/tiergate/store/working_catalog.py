"""The working catalog, whole or in parts, for publishing: many rows at a time, to the model and back.

One feature or item at a time is edited by `features` and `items`. Whoever writes here holds the catalog's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select, update

from tiergate.model import Feature, Item, Rollout, Value
from tiergate.model.canonical_json import canonical_json
from tiergate.store import tombstones
from tiergate.store.tables import FEATURE_TAGS, FEATURES, ITEM_TAGS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlmodel import Session

    from tiergate.store.transactions import WriteUnit

_AT_ONCE: Final = 500


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
    """Read the working catalog, or the features and items named."""
    connection = session.connection()
    found_features: dict[str, WorkingFeature] = {}
    columns = FEATURES.c
    feature_query = select(columns.id, columns.document, columns.etag)
    for part in in_parts(features):
        narrowed = feature_query if part is None else feature_query.where(columns.id.in_(part))
        for id_, document, etag in connection.execute(narrowed):
            found_features[id_] = WorkingFeature(_feature(document), etag)
    found_items: dict[str, WorkingItem] = {}
    of_items = ITEMS.c
    item_query = select(
        of_items.id, of_items.document, of_items.rollouts, of_items.draft, of_items.newest, of_items.etag
    )
    for part in in_parts(items):
        narrowed = item_query if part is None else item_query.where(of_items.id.in_(part))
        for row in connection.execute(narrowed):
            draft = None if row.draft is None else _entitlements(row.draft)
            found_items[row.id] = WorkingItem(_item(row.document), _rollouts(row.rollouts), draft, row.newest, row.etag)
    return WorkingState(found_features, found_items)


def in_parts(ids: Collection[str] | None) -> Iterator[Sequence[str] | None]:
    """Ids in lists that are short enough for one statement; `None`, which is all there are, as it is."""
    if ids is None:
        yield None
        return
    listed = sorted(ids)
    for begin in range(0, len(listed), _AT_ONCE):
        yield listed[begin : begin + _AT_ONCE]


def working_etags(
    session: Session, features: Collection[str], items: Collection[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """The entity tags of these features and items; of those that are there."""
    found: list[dict[str, int]] = []
    for table, ids in ((FEATURES, features), (ITEMS, items)):
        tags: dict[str, int] = {}
        for part in in_parts(ids):
            query = select(table.c.id, table.c.etag).where(table.c.id.in_(part or ()))
            tags.update({row.id: row.etag for row in session.connection().execute(query)})
        found.append(tags)
    return found[0], found[1]


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
    """Take features out of the working catalog."""
    for part in in_parts(features):
        tombstones.bury_rows(session.connection(), tombstones.FEATURE, FEATURES, part or ())
    for table, column in ((FEATURE_TAGS, FEATURE_TAGS.c.feature), (FEATURES, FEATURES.c.id)):
        for part in in_parts(features):
            session.connection().execute(delete(table).where(column.in_(part or ())))


def delete_items(session: Session, items: Collection[str]) -> None:
    """Take items out of the working catalog. Their versions stay: they were published."""
    for part in in_parts(items):
        tombstones.bury_rows(session.connection(), tombstones.ITEM, ITEMS, part or ())
    for table, column in ((ITEM_TAGS, ITEM_TAGS.c.item), (ITEMS, ITEMS.c.id)):
        for part in in_parts(items):
            session.connection().execute(delete(table).where(column.in_(part or ())))
