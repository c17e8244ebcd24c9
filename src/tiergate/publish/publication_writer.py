"""Writes a publication into the store: its blobs and bundle, versions, the audit log, and the signed row."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from tiergate.bundle import Publication, encode_manifest
from tiergate.publish.published_state import PublishedState
from tiergate.status.promises import changed_promises
from tiergate.store import Publishing
from tiergate.store.blobs import put_blobs
from tiergate.store.publications import (
    has_bundle,
    put_bundle,
    record_published_types,
    update_published_items,
    write_versions,
)
from tiergate.store.service_levels import write_promises

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.publish.changeset import Changeset
    from tiergate.publish.incremental_compiler import Compilation
    from tiergate.publish.loss_estimate import ImpactLine
    from tiergate.publish.publication_stages import PreparedPublication
    from tiergate.publish.signer import Signer
    from tiergate.store import WriteUnit


def write_publication(
    unit: WriteUnit,
    prepared: PreparedPublication,
    compilation: Compilation,
    signer: Signer,
    impact: ImpactLine | None,
) -> PublishedState:
    """Write everything; the store appends the signed row at the end of the transaction, under the feed's lock."""
    current, plan, changeset = prepared.current, prepared.plan, prepared.plan.changeset
    sequence, revision = current.sequence + 1, compilation.manifest.revision
    blobs = _Blobs(changeset)
    if not has_bundle(unit.session, revision):
        blobs.add_files(compilation)
        put_bundle(unit, revision, encode_manifest(compilation.manifest))
    put_blobs(unit, blobs.contents)
    write_versions(unit, sequence, changeset.versions)
    new_features = changeset.catalog.features.keys() - current.catalog.features.keys()
    record_published_types(unit, (it for id_, it in changeset.catalog.features.items() if id_ in new_features))
    update_published_items(unit, changeset.items)
    write_promises(unit, changed_promises(current.catalog, changeset.catalog), sequence)
    plan.also(unit, sequence)
    after: dict[str, object] = {
        "publication": sequence,
        "revision": revision,
        "changes": prepared.changes,
        "note": plan.note,
    }
    if impact is not None:
        after["customers"] = impact["customers"]
    unit.audit(plan.action, "publication", str(sequence), after=after)

    def sign(sequence: int, position: int, at: Instant) -> Publishing:
        statement = Publication(
            store=unit.store.id,
            issued_at=at,
            sequence=sequence,
            revision=revision,
            position=position,
            rolled_back_to=plan.rolled_back_to,
        )
        envelope = signer.sign(statement)
        row = {
            "sequence": sequence,
            "revision": revision,
            "position": position,
            "issued_at": at,
            "envelope": envelope,
            "catalog": blobs.catalog,
            "rules": blobs.rules,
            "roles": blobs.roles,
            "rolled_back_to": plan.rolled_back_to,
            "author": unit.actor.id,
            "note": plan.note,
        }
        return Publishing(row, envelope)

    unit.append_publication(current.sequence, sign)
    return PublishedState(sequence, revision, changeset.catalog, changeset.rules, changeset.roles)


class _Blobs:
    """The contents of a publication, by their SHA-256."""

    def __init__(self, changeset: Changeset) -> None:
        self.contents: dict[str, bytes] = {}
        self.catalog = self._put(msgspec.json.encode(changeset.catalog))
        self.rules = self._put(msgspec.json.encode(changeset.rules))
        self.roles = self._put(changeset.roles.encode())

    def add_files(self, compilation: Compilation) -> None:
        for path, entry in compilation.manifest.files.items():
            self.contents[entry.sha256] = compilation.files[path]

    def _put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.contents[sha256] = content
        return sha256
