"""The items of the working catalog and their drafts, read, listed and edited one at a time; their published versions.

The caller checks whether an edit is allowed (`catalog.edits`, `catalog.references`), under the catalog's lock
(`features.lock_catalog`) in the same transaction. Publications write versions and rollouts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import delete, exists, func, insert, select, update

from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import Definition, Instant, Item, ItemKind, ItemStatus, Rollout, Value
from tiergate.model.canonical_json import canonical_json
from tiergate.naming import nearest
from tiergate.store import tombstones
from tiergate.store.features import FILTER_BATCH, iterate_rows, matches_text
from tiergate.store.subjects import Stamp
from tiergate.store.tables import ITEM_TAGS, ITEMS, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Row

    from tiergate.store.units import ReadUnit, WriteUnit


_NUMBER: Final = re.compile("[1-9][0-9]{0,8}")

_item = msgspec.json.Decoder(Item).decode
_rollouts = msgspec.json.Decoder(tuple[Rollout, ...]).decode
_entitlements = msgspec.json.Decoder(dict[str, Value]).decode


class StoredItem(NamedTuple):
    """An item with its row's stamp.

    `item` has the active rollouts and no versions; `draft` has the entitlements of its next version, if it has a draft;
    `newest` is the highest version ever published, 0 for none.
    """

    item: Item
    draft: dict[str, Value] | None
    newest: int
    stamp: Stamp


class StoredVersion(NamedTuple):
    """A published version of an item, with its publication and the instant."""

    definition: Definition
    publication: int
    published_at: Instant


class ItemFilter(NamedTuple):
    """Conditions on items, all of which must hold; empty and none are no conditions.

    `tags`: all of them; `kinds`, `statuses`: one of these. `text` is searched in the id, name, description, tags and
    metadata. `has_draft`: with a draft, or without; the caller of `list_items` defines which drafts count. `ids`: only
    these.
    """

    tags: tuple[str, ...] = ()
    text: str = ""
    kinds: tuple[ItemKind, ...] = ()
    private_to: str | None = None
    has_draft: bool | None = None
    statuses: tuple[ItemStatus, ...] = ()
    ids: frozenset[str] | None = None


def read_items(unit: ReadUnit) -> dict[str, StoredItem]:
    """Read all items by id, sorted."""
    rows = unit.session.connection().execute(select(ITEMS))
    items = sorted((_stored(row) for row in rows), key=lambda stored: stored.item.id)
    return {stored.item.id: stored for stored in items}


def find_item(unit: ReadUnit, id_: str) -> StoredItem:
    """Read one item.

    Raises:
        NotFoundError: if there is none; with the most similar id.
    """
    stored = stored_item(unit, id_)
    if stored is None:
        public = select(ITEMS.c.id).where(ITEMS.c.private_to.is_(None))
        raise NotFoundError("item", id_, nearest(id_, unit.session.connection().execute(public).scalars()))
    return stored


def stored_item(unit: ReadUnit, id_: str) -> StoredItem | None:
    """Read one item, if it exists."""
    row = unit.session.connection().execute(select(ITEMS).where(ITEMS.c.id == id_)).one_or_none()
    return None if row is None else _stored(row)


def owner_of(unit: ReadUnit, id_: str) -> str | None:
    """Return the customer that an item is private to; none if it is public or does not exist."""
    query = select(ITEMS.c.private_to).where(ITEMS.c.id == id_)
    owner: str | None = unit.session.connection().execute(query).scalar_one_or_none()
    return owner


def item_statuses(unit: ReadUnit, ids: Collection[str]) -> dict[str, ItemStatus]:
    """Return the edited statuses of those of these items that exist, by id."""
    query = select(ITEMS.c.id, ITEMS.c.status).where(ITEMS.c.id.in_(sorted(ids)))
    return {row.id: ItemStatus(row.status) for row in unit.side_session.connection().execute(query)}


def list_items(
    unit: ReadUnit,
    wanted: ItemFilter,
    after: str | None,
    limit: int,
    is_draft: Callable[[StoredItem], bool] = lambda stored: stored.draft is not None,
) -> list[StoredItem]:
    """Read up to `limit` items by id, those after an id; `is_draft`: whether an item's draft counts."""
    query = select(ITEMS)
    for tag in wanted.tags:
        query = query.where(exists().where(ITEM_TAGS.c.item == ITEMS.c.id, ITEM_TAGS.c.tag == tag))
    if wanted.kinds:
        query = query.where(ITEMS.c.kind.in_([kind.value for kind in wanted.kinds]))
    if wanted.statuses:
        query = query.where(ITEMS.c.status.in_([status.value for status in wanted.statuses]))
    if wanted.private_to is not None:
        query = query.where(ITEMS.c.private_to == wanted.private_to)
    if wanted.has_draft:
        query = query.where(ITEMS.c.draft.is_not(None))
    items: list[StoredItem] = []
    is_exact = not wanted.text and wanted.has_draft is None and wanted.ids is None
    for row in iterate_rows(unit, query, ITEMS, after, limit if is_exact else FILTER_BATCH):
        stored = _stored(row)
        item = stored.item
        if wanted.has_draft is not None and is_draft(stored) is not wanted.has_draft:
            continue
        if wanted.ids is not None and item.id not in wanted.ids:
            continue
        if matches_text(wanted.text, item.id, item.name, item.description, *item.tags, *item.metadata.values()):
            items.append(stored)
            if len(items) == limit:
                break
    return items


def add_item(unit: WriteUnit, item: Item, draft: dict[str, Value] | None) -> StoredItem:
    """Add an item, with or without a draft. Version numbers of a deleted item are not used again.

    Raises:
        ConflictError: if there is an item with this id.
    """
    connection = unit.session.connection()
    if connection.execute(select(ITEMS.c.id).where(ITEMS.c.id == item.id)).one_or_none() is not None:
        raise ConflictError("already-exists", f"the item `{item.id}` already exists")
    query = select(func.coalesce(func.max(VERSIONS.c.version), 0)).where(VERSIONS.c.item == item.id)
    newest: int = connection.execute(query).scalar_one()
    first = tombstones.first_etags(connection, tombstones.ITEM, [item.id])[item.id]
    stored = StoredItem(replace(item, versions=(), rollouts=()), draft, newest, Stamp(first, unit.now, unit.now))
    row = {"id": item.id, "rollouts": "[]", "newest": newest, "etag": first, "created_at": unit.now}
    row |= item_columns(item, draft, unit.now)
    connection.execute(insert(ITEMS), [row])
    _add_tags(unit, item)
    return stored


def replace_item(unit: WriteUnit, before: StoredItem, item: Item, draft: dict[str, Value] | None) -> StoredItem:
    """Replace an item that was read in this transaction, and its draft. Equal ones are not written.

    Rollouts and versions stay.
    """
    item = replace(item, versions=(), rollouts=before.item.rollouts)
    if (item, draft) == (before.item, before.draft):
        return before
    connection = unit.session.connection()
    stamp = Stamp(before.stamp.etag + 1, before.stamp.created_at, unit.now)
    stored = StoredItem(item, draft, before.newest, stamp)
    connection.execute(
        update(ITEMS).where(ITEMS.c.id == item.id).values(etag=stamp.etag, **item_columns(item, draft, unit.now))
    )
    if item.tags != before.item.tags:
        connection.execute(delete(ITEM_TAGS).where(ITEM_TAGS.c.item == item.id))
        _add_tags(unit, item)
    return stored


def find_version(unit: ReadUnit, item: str, version: str) -> StoredVersion:
    """Read one published version, by its number as text.

    Raises:
        NotFoundError: if the item has no such version.
    """
    row = None
    if _NUMBER.fullmatch(version):
        query = select(VERSIONS).where(VERSIONS.c.item == item, VERSIONS.c.version == int(version))
        row = unit.session.connection().execute(query).one_or_none()
    if row is None:
        raise NotFoundError("version", f"{item}@{version}")
    return _version(row)


def list_versions(unit: ReadUnit, item: str, below: int | None, limit: int) -> list[StoredVersion]:
    """Read up to `limit` published versions of an item, the newest first, those below a number."""
    query = select(VERSIONS).where(VERSIONS.c.item == item)
    if below is not None:
        query = query.where(VERSIONS.c.version < below)
    rows = unit.session.connection().execute(query.order_by(VERSIONS.c.version.desc()).limit(limit))
    return [_version(row) for row in rows]


def item_columns(item: Item, draft: dict[str, Value] | None, now: Instant) -> dict[str, object]:
    """Return the columns of an item's row that follow from the item and its draft."""
    return {
        "kind": item.kind.value,
        "name": item.name,
        "document": canonical_json(replace(item, versions=(), rollouts=())).decode(),
        "draft": None if draft is None else canonical_json(draft).decode(),
        "private_to": item.private_to or None,
        "status": item.status.value,
        "updated_at": now,
    }


def _add_tags(unit: WriteUnit, item: Item) -> None:
    if item.tags:
        rows = [{"tag": tag, "item": item.id} for tag in item.tags]
        unit.session.connection().execute(insert(ITEM_TAGS), rows)


def _stored(row: Row[tuple[object, ...]]) -> StoredItem:
    return StoredItem(
        replace(_item(row.document), rollouts=_rollouts(row.rollouts)),
        None if row.draft is None else _entitlements(row.draft),
        row.newest,
        Stamp(row.etag, row.created_at, row.updated_at),
    )


def _version(row: Row[tuple[object, ...]]) -> StoredVersion:
    return StoredVersion(Definition(row.version, _entitlements(row.entitlements)), row.publication, row.published_at)
