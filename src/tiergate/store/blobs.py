"""Blobs: immutable bytes under their SHA-256, for bundles, catalogs, rules and snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from tiergate.errors import NotFoundError
from tiergate.store.batches import in_batches
from tiergate.store.tables import BLOBS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlmodel import Session

    from tiergate.store.units import WriteUnit


def find_blob(session: Session, sha256: str) -> bytes | None:
    """Return the content of a blob, if the store has it."""
    content = session.connection().execute(select(BLOBS.c.content).where(BLOBS.c.sha256 == sha256)).scalar_one_or_none()
    return None if content is None else bytes(content)


def read_blobs(session: Session, hashes: Collection[str]) -> dict[str, bytes]:
    """Read blobs by their hashes.

    Raises:
        NotFoundError: if one is missing.
    """
    contents: dict[str, bytes] = {}
    for part in in_batches(hashes):
        query = select(BLOBS.c.sha256, BLOBS.c.content).where(BLOBS.c.sha256.in_(part))
        contents.update((sha256, bytes(content)) for sha256, content in session.connection().execute(query))
    missing = next((sha256 for sha256 in sorted(hashes) if sha256 not in contents), None)
    if missing is not None:
        raise NotFoundError("blob", missing)
    return contents


def put_blobs(unit: WriteUnit, contents: Mapping[str, bytes]) -> None:
    """Store bytes under their hashes, which the caller computed; blobs that exist stay."""
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


def delete_blobs(unit: WriteUnit, hashes: Collection[str]) -> None:
    """Delete blobs to which nothing refers any more, as the caller ensures."""
    for part in in_batches(sorted(hashes)):
        unit.session.connection().execute(delete(BLOBS).where(BLOBS.c.sha256.in_(part)))
