"""Puts a catalog in force on a store at once, for tests of what stands beside publishing: no bundle, no signature."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import insert, update

from tiergate.store import SYSTEM, Publishing
from tiergate.store.tables import ITEMS, VERSIONS

if TYPE_CHECKING:
    from tiergate.model import Catalog, Instant
    from tiergate.store import Store, WriteUnit


def put_in_force(store: Store, catalog: Catalog) -> int:
    """Publish a catalog whose items are in the working catalog: its new versions, its rollouts. Return the sequence."""

    def work(unit: WriteUnit) -> int:
        before = unit.published
        content = msgspec.json.encode(catalog)
        sha256 = hashlib.sha256(content).hexdigest()
        unit.put_blob(sha256, content)
        connection = unit.session.connection()
        table = ITEMS
        for item in catalog.items.values():
            old = before.catalog.items.get(item.id)
            known = {version.version for version in old.versions} if old else set()
            rows = [
                {
                    "item": item.id,
                    "version": version.version,
                    "entitlements": msgspec.json.encode(version.entitlements).decode(),
                    "publication": before.sequence + 1,
                    "published_at": unit.now,
                }
                for version in item.versions
                if version.version not in known
            ]
            if rows:
                connection.execute(insert(VERSIONS), rows)
            values = {
                "newest": max(version.version for version in item.versions),
                "rollouts": msgspec.json.encode(item.rollouts).decode(),
            }
            connection.execute(update(table).where(table.c.id == item.id).values(**values))

        def make(sequence: int, position: int, now: Instant) -> Publishing:
            row = {
                "sequence": sequence,
                "revision": "sha256:" + sha256,
                "position": position,
                "issued_at": now,
                "envelope": b"{}",
                "catalog": sha256,
                "rules": "",
                "roles": "",
                "author": "test",
                "note": "",
            }
            return Publishing(row, b"{}")

        unit.append_publication(before.sequence, make)
        return before.sequence + 1

    return store.change(work, SYSTEM)
