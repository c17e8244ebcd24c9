"""What publishing reads and writes: the working catalog, versions, publications, bundles, and what subjects hold of it.

Rows to the model and back, and nothing else: what may be published is the `publish` package's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, or_, select, update

from tiergate.errors import NotFoundError
from tiergate.model import Definition, Feature, FeatureType, Item, Rollout, Rules, Value
from tiergate.model.canonical import canonical_json
from tiergate.store.tables import (
    BlobRow,
    BundleRow,
    FeatureRow,
    FeatureTagRow,
    HeldItemRow,
    ItemRow,
    ItemTagRow,
    OverrideRow,
    PublicationRow,
    SubscriptionRow,
    SuspensionRow,
    VersionRow,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Table
    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.unit import ReadUnit, WriteUnit

__all__ = [
    "OverrideUse",
    "PublicationRecord",
    "PublishedItem",
    "WorkingFeature",
    "WorkingItem",
    "WorkingState",
    "bundle_manifest",
    "delete_features",
    "delete_items",
    "first_given",
    "has_bundle",
    "held_quantities",
    "override_uses",
    "pinned_versions",
    "publication",
    "publications",
    "published_policies",
    "put_blobs",
    "put_bundle",
    "read_working",
    "suspension_uses",
    "update_published_items",
    "versions",
    "working_etags",
    "write_features",
    "write_items",
    "write_versions",
]

_AT_ONCE: Final = 500

_FEATURES: Table = FeatureRow.__table__  # type: ignore[attr-defined]
_FEATURE_TAGS: Table = FeatureTagRow.__table__  # type: ignore[attr-defined]
_ITEMS: Table = ItemRow.__table__  # type: ignore[attr-defined]
_ITEM_TAGS: Table = ItemTagRow.__table__  # type: ignore[attr-defined]
_VERSIONS: Table = VersionRow.__table__  # type: ignore[attr-defined]
_BLOBS: Table = BlobRow.__table__  # type: ignore[attr-defined]
_BUNDLES: Table = BundleRow.__table__  # type: ignore[attr-defined]
_PUBLICATIONS: Table = PublicationRow.__table__  # type: ignore[attr-defined]
_HELD: Table = HeldItemRow.__table__  # type: ignore[attr-defined]
_SUBSCRIPTIONS: Table = SubscriptionRow.__table__  # type: ignore[attr-defined]
_OVERRIDES: Table = OverrideRow.__table__  # type: ignore[attr-defined]
_SUSPENSIONS: Table = SuspensionRow.__table__  # type: ignore[attr-defined]

_feature = msgspec.json.Decoder(Feature).decode
_item = msgspec.json.Decoder(Item).decode
_rollouts = msgspec.json.Decoder(tuple[Rollout, ...]).decode
_entitlements = msgspec.json.Decoder(dict[str, Value]).decode
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder(Value).decode


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
class PublishedItem:
    """What publishing makes of a working item; `is_done`: its draft is what was published."""

    rollouts: tuple[Rollout, ...]
    newest: int
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class WorkingState:
    """The working catalog."""

    features: Mapping[str, WorkingFeature]
    items: Mapping[str, WorkingItem]


@dataclass(frozen=True, slots=True)
class OverrideUse:
    """A value that overrides of one feature give (none: they disable it), one who has it, and how many have."""

    value: Value | None
    holder: str
    count: int


class PublicationRecord(NamedTuple):
    """A publication as the store keeps it. `catalog`, `rules` and `roles` are hashes of blobs."""

    sequence: int
    revision: str
    position: int
    issued_at: Instant
    catalog: str
    rules: str
    roles: str
    rolled_back_to: int | None
    author: str
    note: str


# ── The working catalog ──────────────────────────────────────────────────────────────────────────────────────────────


def read_working(
    session: Session, features: Collection[str] | None = None, items: Collection[str] | None = None
) -> WorkingState:
    """Read the working catalog, or the features and items named."""
    connection = session.connection()
    found_features: dict[str, WorkingFeature] = {}
    columns = _FEATURES.c
    feature_query = select(columns.id, columns.document, columns.etag)
    for part in _parts(features):
        narrowed = feature_query if part is None else feature_query.where(columns.id.in_(part))
        for id_, document, etag in connection.execute(narrowed):
            found_features[id_] = WorkingFeature(_feature(document), etag)
    found_items: dict[str, WorkingItem] = {}
    of_items = _ITEMS.c
    item_query = select(
        of_items.id, of_items.document, of_items.rollouts, of_items.draft, of_items.newest, of_items.etag
    )
    for part in _parts(items):
        narrowed = item_query if part is None else item_query.where(of_items.id.in_(part))
        for row in connection.execute(narrowed):
            draft = None if row.draft is None else _entitlements(row.draft)
            found_items[row.id] = WorkingItem(_item(row.document), _rollouts(row.rollouts), draft, row.newest, row.etag)
    return WorkingState(found_features, found_items)


def _parts(ids: Collection[str] | None) -> Iterator[Sequence[str] | None]:
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
    for table, ids in ((_FEATURES, features), (_ITEMS, items)):
        tags: dict[str, int] = {}
        for part in _parts(ids):
            query = select(table.c.id, table.c.etag).where(table.c.id.in_(part or ()))
            tags.update({row.id: row.etag for row in session.connection().execute(query)})
        found.append(tags)
    return found[0], found[1]


def write_features(unit: WriteUnit, features: Iterable[Feature]) -> None:
    """Make the working features these, new or known."""
    known = _etags(unit.session, _FEATURES)
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
            changed = update(_FEATURES).where(_FEATURES.c.id == feature.id)
            connection.execute(changed.values(etag=_FEATURES.c.etag + 1, **values))
            connection.execute(delete(_FEATURE_TAGS).where(_FEATURE_TAGS.c.feature == feature.id))
        else:
            new.append({"id": feature.id, "etag": 1, "created_at": unit.now, **values})
        tags += [{"tag": tag, "feature": feature.id} for tag in feature.tags]
    if new:
        connection.execute(insert(FeatureRow), new)
    if tags:
        connection.execute(insert(FeatureTagRow), tags)


def write_items(unit: WriteUnit, items: Iterable[WorkingItem]) -> None:
    """Make the working items these, new or known, with all that is said of them; their own `etag` is not looked at."""
    known = _etags(unit.session, _ITEMS)
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
            "updated_at": unit.now,
        }
        if item.id in known:
            connection.execute(update(_ITEMS).where(_ITEMS.c.id == item.id).values(etag=_ITEMS.c.etag + 1, **values))
            connection.execute(delete(_ITEM_TAGS).where(_ITEM_TAGS.c.item == item.id))
        else:
            new.append({"id": item.id, "etag": 1, "created_at": unit.now, **values})
        tags += [{"tag": tag, "item": item.id} for tag in item.tags]
    if new:
        connection.execute(insert(ItemRow), new)
    if tags:
        connection.execute(insert(ItemTagRow), tags)


def _etags(session: Session, table: Table) -> set[str]:
    return set(session.connection().execute(select(table.c.id)).scalars())


def delete_features(session: Session, features: Collection[str]) -> None:
    """Take features out of the working catalog."""
    for table, column in ((_FEATURE_TAGS, _FEATURE_TAGS.c.feature), (_FEATURES, _FEATURES.c.id)):
        for part in _parts(features):
            session.connection().execute(delete(table).where(column.in_(part or ())))


def delete_items(session: Session, items: Collection[str]) -> None:
    """Take items out of the working catalog. Their versions stay: they were published."""
    for table, column in ((_ITEM_TAGS, _ITEM_TAGS.c.item), (_ITEMS, _ITEMS.c.id)):
        for part in _parts(items):
            session.connection().execute(delete(table).where(column.in_(part or ())))


def update_published_items(unit: WriteUnit, updates: Mapping[str, PublishedItem]) -> None:
    """Say of items which rollouts are in force and which version is the newest; of some, that the draft is done."""
    for id_, its in sorted(updates.items()):
        values: dict[str, object] = {
            "rollouts": canonical_json(its.rollouts).decode(),
            "newest": its.newest,
            "etag": _ITEMS.c.etag + 1,
            "updated_at": unit.now,
        }
        if its.is_done:
            values["draft"] = None
        unit.session.connection().execute(update(_ITEMS).where(_ITEMS.c.id == id_).values(values))


# ── Versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def versions(session: Session, items: Collection[str]) -> dict[str, dict[int, Definition]]:
    """Every version of these items that was ever published."""
    found: dict[str, dict[int, Definition]] = {id_: {} for id_ in items}
    columns = _VERSIONS.c
    for part in _parts(items):
        query = select(columns.item, columns.version, columns.entitlements).where(columns.item.in_(part or ()))
        for id_, number, entitlements in session.connection().execute(query):
            found[id_][number] = Definition(number, _entitlements(entitlements))
    return found


def first_given(session: Session, features: Collection[str]) -> dict[str, tuple[str, int, int]]:
    """Which of these features some version ever gave: its item and number, and the publication that it came with."""
    found: dict[str, tuple[str, int, int]] = {}
    columns = _VERSIONS.c
    query = select(columns.item, columns.version, columns.publication, columns.entitlements)
    for id_, number, sequence, entitlements in session.connection().execute(query.order_by(columns.publication)):
        for feature in _keys(entitlements).keys() & features:
            found.setdefault(feature, (id_, number, sequence))
    return found


def write_versions(unit: WriteUnit, sequence: int, new: Iterable[tuple[str, Definition]]) -> None:
    """Keep versions that are published for the first time, by a publication."""
    rows = [
        {
            "item": id_,
            "version": definition.version,
            "entitlements": canonical_json(definition.entitlements).decode(),
            "publication": sequence,
            "published_at": unit.now,
        }
        for id_, definition in new
    ]
    if rows:
        unit.session.connection().execute(insert(VersionRow), rows)


# ── What subjects hold ───────────────────────────────────────────────────────────────────────────────────────────────


def pinned_versions(session: Session, items: Collection[str]) -> dict[str, frozenset[int]]:
    """The versions of these items to which some subscription is pinned."""
    found: dict[str, set[int]] = {id_: set() for id_ in items}
    columns = _HELD.c
    for part in _parts(items):
        query = select(columns.item, columns.version).distinct()
        query = query.where(columns.item.in_(part or ()), columns.version.is_not(None))
        for id_, version in session.connection().execute(query):
            found[id_].add(version)
    return {id_: frozenset(pins) for id_, pins in found.items()}


def override_uses(session: Session, feature: Feature) -> list[OverrideUse]:
    """The values that overrides give of a feature; of numbers and switches, one stands for all."""
    columns = _OVERRIDES.c
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
    query = select(func.count()).select_from(_SUSPENSIONS).where(_SUSPENSIONS.c.feature == feature)
    return int(session.connection().execute(query).scalar_one())


def held_quantities(session: Session, items: Mapping[str, int], limit: int) -> list[str]:
    """Customers who hold one of these items in more than its quantity given; at most `limit`."""
    if not items:
        return []
    many = or_(*((_HELD.c.item == id_) & (_HELD.c.quantity > quantity) for id_, quantity in items.items()))
    query = (
        select(_SUBSCRIPTIONS.c.customer)
        .distinct()
        .join(_HELD, _HELD.c.subscription == _SUBSCRIPTIONS.c.id)
        .where(many)
        .limit(limit)
    )
    return list(session.connection().execute(query).scalars())


# ── Publications ─────────────────────────────────────────────────────────────────────────────────────────────────────

_SHOWN = (
    _PUBLICATIONS.c.sequence,
    _PUBLICATIONS.c.revision,
    _PUBLICATIONS.c.position,
    _PUBLICATIONS.c.issued_at,
    _PUBLICATIONS.c.catalog,
    _PUBLICATIONS.c.rules,
    _PUBLICATIONS.c.roles,
    _PUBLICATIONS.c.rolled_back_to,
    _PUBLICATIONS.c.author,
    _PUBLICATIONS.c.note,
)


def publications(session: Session, before: int | None, limit: int) -> list[PublicationRecord]:
    """Publications, the latest first; `before`: only those of smaller sequences."""
    query = select(*_SHOWN).order_by(_PUBLICATIONS.c.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(_PUBLICATIONS.c.sequence < before)
    return [_publication(row) for row in session.connection().execute(query)]


def publication(session: Session, sequence: int) -> PublicationRecord:
    """One publication.

    Raises:
        NotFoundError: there is none of this sequence.
    """
    row = session.connection().execute(select(*_SHOWN).where(_PUBLICATIONS.c.sequence == sequence)).one_or_none()
    if row is None:
        raise NotFoundError("publication", str(sequence))
    return _publication(row)


def _publication(row: Any) -> PublicationRecord:  # noqa: ANN401 - a row of these columns
    return PublicationRecord(**row._mapping)  # noqa: SLF001 - documented, and named so only to stay clear of columns


def published_policies(unit: ReadUnit, sequence: int) -> tuple[Rules, str]:
    """The rules and the roles of a publication; the roles are empty where they are those that are shipped.

    Raises:
        NotFoundError: there is no such publication. Before the first one (0) there are no rules.
    """
    if not sequence:
        return Rules(), ""
    found = publication(unit.session, sequence)
    rules = msgspec.json.decode(unit.blob(found.rules), type=Rules) if found.rules else Rules()
    return rules, unit.blob(found.roles).decode() if found.roles else ""


def put_blobs(unit: WriteUnit, contents: Mapping[str, bytes]) -> None:
    """Keep immutable bytes under their hashes, which the caller computed; what is there already stays."""
    connection = unit.session.connection()
    for part in _parts(contents):
        known = set(connection.execute(select(_BLOBS.c.sha256).where(_BLOBS.c.sha256.in_(part or ()))).scalars())
        rows = [
            {"sha256": sha256, "content": contents[sha256], "created_at": unit.now}
            for sha256 in part or ()
            if sha256 not in known
        ]
        if rows:
            connection.execute(insert(BlobRow), rows)


def has_bundle(session: Session, revision: str) -> bool:
    """Say whether the store has a bundle of this revision."""
    query = select(_BUNDLES.c.revision).where(_BUNDLES.c.revision == revision)
    return session.connection().execute(query).one_or_none() is not None


def put_bundle(unit: WriteUnit, revision: str, manifest: bytes) -> None:
    """Keep a bundle's manifest, whose files are blobs; one that is there already stays."""
    if not has_bundle(unit.session, revision):
        row = {"revision": revision, "manifest": manifest, "created_at": unit.now}
        unit.session.connection().execute(insert(BundleRow), [row])


def bundle_manifest(session: Session, revision: str) -> bytes:
    """The manifest of a bundle.

    Raises:
        NotFoundError: the store has none of this revision.
    """
    query = select(_BUNDLES.c.manifest).where(_BUNDLES.c.revision == revision)
    manifest = session.connection().execute(query).scalar_one_or_none()
    if manifest is None:
        raise NotFoundError("bundle", revision)
    return bytes(manifest)
