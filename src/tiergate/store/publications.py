"""Published versions, types, publications and bundles; and the effect of a publication on the working items.

The package `publish` decides what may be published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import insert, select, update

from tiergate.errors import NotFoundError
from tiergate.model import Definition, FeatureType, Rollout, Rules, Value
from tiergate.model.canonical_json import canonical_json
from tiergate.store.batches import in_batches
from tiergate.store.tables import (
    BUNDLES,
    ITEMS,
    PUBLICATIONS,
    PUBLISHED_FEATURES,
    VERSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlmodel import Session

    from tiergate.model import Feature, Instant
    from tiergate.store.units import ReadUnit, WriteUnit


_entitlements = msgspec.json.Decoder(dict[str, Value]).decode
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class PublishedItem:
    """The state of a working item after a publication; `is_done`: the publication used up its draft."""

    rollouts: tuple[Rollout, ...]
    newest: int
    is_done: bool = False


class PublicationRecord(NamedTuple):
    """A stored publication. `catalog`, `rules` and `roles` are hashes of blobs."""

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


def update_published_items(unit: WriteUnit, updates: Mapping[str, PublishedItem]) -> None:
    """Set the active rollouts and the newest versions of items; remove drafts that are done."""
    for id_, item in sorted(updates.items()):
        values: dict[str, object] = {
            "rollouts": canonical_json(item.rollouts).decode(),
            "newest": item.newest,
            "etag": ITEMS.c.etag + 1,
            "updated_at": unit.now,
        }
        if item.is_done:
            values["draft"] = None
        unit.session.connection().execute(update(ITEMS).where(ITEMS.c.id == id_).values(values))


def versions(session: Session, items: Collection[str]) -> dict[str, dict[int, Definition]]:
    """Return every version of these items that was ever published."""
    definitions: dict[str, dict[int, Definition]] = {id_: {} for id_ in items}
    columns = VERSIONS.c
    for part in in_batches(items):
        query = select(columns.item, columns.version, columns.entitlements).where(columns.item.in_(part))
        for id_, number, entitlements in session.connection().execute(query):
            definitions[id_][number] = Definition(number, _entitlements(entitlements))
    return definitions


def first_versions_with(session: Session, features: Collection[str]) -> dict[str, tuple[str, int, int]]:
    """Return the first version that gave each of these features: item, number, and publication."""
    first: dict[str, tuple[str, int, int]] = {}
    columns = VERSIONS.c
    query = select(columns.item, columns.version, columns.publication, columns.entitlements)
    for id_, number, sequence, entitlements in session.connection().execute(query.order_by(columns.publication)):
        for feature in _keys(entitlements).keys() & features:
            first.setdefault(feature, (id_, number, sequence))
    return first


def write_versions(unit: WriteUnit, sequence: int, new: Iterable[tuple[str, Definition]]) -> None:
    """Store the new versions of a publication."""
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
        unit.session.connection().execute(insert(VERSIONS), rows)


def published_types(session: Session, features: Collection[str]) -> dict[str, FeatureType]:
    """Return the types of those of some features that were ever published, by id."""
    types: dict[str, FeatureType] = {}
    for part in in_batches(features):
        query = select(PUBLISHED_FEATURES.c.id, PUBLISHED_FEATURES.c.type).where(PUBLISHED_FEATURES.c.id.in_(part))
        types.update({id_: FeatureType(type_) for id_, type_ in session.connection().execute(query)})
    return types


def record_published_types(unit: WriteUnit, features: Iterable[Feature]) -> None:
    """Record the types of published features. A recorded type stays: past versions come back by rollbacks and pins."""
    types = {feature.id: feature.type.value for feature in features}
    known = published_types(unit.session, types)
    rows = [{"id": id_, "type": type_} for id_, type_ in sorted(types.items()) if id_ not in known]
    if rows:
        unit.session.connection().execute(insert(PUBLISHED_FEATURES), rows)


# ── Publications ─────────────────────────────────────────────────────────────────────────────────────────────────────

_COLUMNS = [PUBLICATIONS.c[name] for name in PublicationRecord._fields]


def publications(session: Session, before: int | None, limit: int) -> list[PublicationRecord]:
    """Read up to `limit` publications, the latest first; `before`: only those with smaller sequences."""
    query = select(*_COLUMNS).order_by(PUBLICATIONS.c.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(PUBLICATIONS.c.sequence < before)
    return [PublicationRecord(*row) for row in session.connection().execute(query)]


def publication(session: Session, sequence: int) -> PublicationRecord:
    """Read one publication.

    Raises:
        NotFoundError: if there is none with this sequence.
    """
    row = session.connection().execute(select(*_COLUMNS).where(PUBLICATIONS.c.sequence == sequence)).one_or_none()
    if row is None:
        raise NotFoundError("publication", str(sequence))
    return PublicationRecord(*row)


def published_policies(unit: ReadUnit, sequence: int) -> tuple[Rules, str]:
    """Read the rules and the roles of a publication; the roles are empty if they are the built-in ones.

    Raises:
        NotFoundError: if there is no such publication. State 0, before the first one, has no rules.
    """
    if not sequence:
        return Rules(), ""
    record = publication(unit.session, sequence)
    rules = msgspec.json.decode(unit.blob(record.rules), type=Rules) if record.rules else Rules()
    return rules, unit.blob(record.roles).decode() if record.roles else ""


def has_bundle(session: Session, revision: str) -> bool:
    """Return whether the store has a bundle with this revision."""
    query = select(BUNDLES.c.revision).where(BUNDLES.c.revision == revision)
    return session.connection().execute(query).one_or_none() is not None


def put_bundle(unit: WriteUnit, revision: str, manifest: bytes) -> None:
    """Store the manifest of a bundle, whose files are blobs; an existing one stays."""
    if not has_bundle(unit.session, revision):
        row = {"revision": revision, "manifest": manifest, "created_at": unit.now}
        unit.session.connection().execute(insert(BUNDLES), [row])


def bundle_manifest(session: Session, revision: str) -> bytes:
    """Return the manifest of a bundle.

    Raises:
        NotFoundError: if there is none with this revision.
    """
    query = select(BUNDLES.c.manifest).where(BUNDLES.c.revision == revision)
    manifest = session.connection().execute(query).scalar_one_or_none()
    if manifest is None:
        raise NotFoundError("bundle", revision)
    return bytes(manifest)
