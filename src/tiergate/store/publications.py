"""What is published: versions, publications, bundles and their blobs; and what publishing makes of the working items.

Rows to the model and back, and nothing else: what may be published is the `publish` package's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy import insert, select, update

from tiergate.errors import NotFoundError
from tiergate.model import Definition, Rollout, Rules, Value
from tiergate.model.canonical_json import canonical_json
from tiergate.store.batches import in_batches
from tiergate.store.tables import (
    BLOBS,
    BUNDLES,
    ITEMS,
    PUBLICATIONS,
    VERSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.transactions import ReadUnit, WriteUnit


_entitlements = msgspec.json.Decoder(dict[str, Value]).decode
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class PublishedItem:
    """What publishing makes of a working item; `is_done`: its draft is what was published."""

    rollouts: tuple[Rollout, ...]
    newest: int
    is_done: bool = False


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


def update_published_items(unit: WriteUnit, updates: Mapping[str, PublishedItem]) -> None:
    """Say of items which rollouts are in force and which version is the newest; of some, that the draft is done."""
    for id_, its in sorted(updates.items()):
        values: dict[str, object] = {
            "rollouts": canonical_json(its.rollouts).decode(),
            "newest": its.newest,
            "etag": ITEMS.c.etag + 1,
            "updated_at": unit.now,
        }
        if its.is_done:
            values["draft"] = None
        unit.session.connection().execute(update(ITEMS).where(ITEMS.c.id == id_).values(values))


# ── Versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def versions(session: Session, items: Collection[str]) -> dict[str, dict[int, Definition]]:
    """Every version of these items that was ever published."""
    found: dict[str, dict[int, Definition]] = {id_: {} for id_ in items}
    columns = VERSIONS.c
    for part in in_batches(items):
        query = select(columns.item, columns.version, columns.entitlements).where(columns.item.in_(part))
        for id_, number, entitlements in session.connection().execute(query):
            found[id_][number] = Definition(number, _entitlements(entitlements))
    return found


def first_versions_with(session: Session, features: Collection[str]) -> dict[str, tuple[str, int, int]]:
    """Which of these features some version ever gave: its item and number, and the publication that it came with."""
    found: dict[str, tuple[str, int, int]] = {}
    columns = VERSIONS.c
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
        unit.session.connection().execute(insert(VERSIONS), rows)


# ── Publications ─────────────────────────────────────────────────────────────────────────────────────────────────────

_SHOWN = (
    PUBLICATIONS.c.sequence,
    PUBLICATIONS.c.revision,
    PUBLICATIONS.c.position,
    PUBLICATIONS.c.issued_at,
    PUBLICATIONS.c.catalog,
    PUBLICATIONS.c.rules,
    PUBLICATIONS.c.roles,
    PUBLICATIONS.c.rolled_back_to,
    PUBLICATIONS.c.author,
    PUBLICATIONS.c.note,
)


def publications(session: Session, before: int | None, limit: int) -> list[PublicationRecord]:
    """Publications, the latest first; `before`: only those of smaller sequences."""
    query = select(*_SHOWN).order_by(PUBLICATIONS.c.sequence.desc()).limit(limit)
    if before is not None:
        query = query.where(PUBLICATIONS.c.sequence < before)
    return [_publication(row) for row in session.connection().execute(query)]


def publication(session: Session, sequence: int) -> PublicationRecord:
    """One publication.

    Raises:
        NotFoundError: there is none of this sequence.
    """
    row = session.connection().execute(select(*_SHOWN).where(PUBLICATIONS.c.sequence == sequence)).one_or_none()
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
    for part in in_batches(sorted(contents)):
        known = set(connection.execute(select(BLOBS.c.sha256).where(BLOBS.c.sha256.in_(part))).scalars())
        rows = [
            {"sha256": sha256, "content": contents[sha256], "created_at": unit.now}
            for sha256 in part
            if sha256 not in known
        ]
        if rows:
            connection.execute(insert(BLOBS), rows)


def has_bundle(session: Session, revision: str) -> bool:
    """Say whether the store has a bundle of this revision."""
    query = select(BUNDLES.c.revision).where(BUNDLES.c.revision == revision)
    return session.connection().execute(query).one_or_none() is not None


def put_bundle(unit: WriteUnit, revision: str, manifest: bytes) -> None:
    """Keep a bundle's manifest, whose files are blobs; one that is there already stays."""
    if not has_bundle(unit.session, revision):
        row = {"revision": revision, "manifest": manifest, "created_at": unit.now}
        unit.session.connection().execute(insert(BUNDLES), [row])


def bundle_manifest(session: Session, revision: str) -> bytes:
    """The manifest of a bundle.

    Raises:
        NotFoundError: the store has none of this revision.
    """
    query = select(BUNDLES.c.manifest).where(BUNDLES.c.revision == revision)
    manifest = session.connection().execute(query).scalar_one_or_none()
    if manifest is None:
        raise NotFoundError("bundle", revision)
    return bytes(manifest)
