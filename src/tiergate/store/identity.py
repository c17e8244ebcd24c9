"""The identity of a store: an id that it gets once, and the start of its feed, which depends on that id."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from tiergate.errors import StoreError
from tiergate.feed.hash_chain import chain_start
from tiergate.store.tables import EVENT_HEAD, FEED_HEAD, ONLY_ROW, STORE

if TYPE_CHECKING:
    from sqlmodel import Session

    from tiergate.model import Instant
    from tiergate.store.database import Database

_ID = select(STORE.c.id)


def initialize_store(database: Database, now: Instant) -> None:
    """Give a new store its id and the start of its feed; do nothing if it has them.

    Raises:
        StoreError: if the database cannot be used.
    """
    with database.reading() as session:
        if session.connection().execute(_ID).first() is not None:
            return
    with database.writing() as session:
        connection = session.connection()
        if connection.execute(_ID).first() is not None:
            return
        id_ = f"st-{secrets.token_hex(12)}"
        try:
            connection.execute(insert(STORE), [{"key": ONLY_ROW, "id": id_, "created_at": now}])
            head = {"key": ONLY_ROW, "position": 0, "chain": chain_start(id_), "floor": 0, "publication": 0}
            connection.execute(insert(FEED_HEAD), [head])
            events = {"key": ONLY_ROW, "position": 0, "checked_publication": 0, "catalog_told": now}
            connection.execute(insert(EVENT_HEAD), [events])
            session.commit()
        except IntegrityError:  # another control plane was first
            session.rollback()


def store_id(session: Session) -> str:
    """Return the id of the store.

    Raises:
        StoreError: if it has none yet.
    """
    id_ = session.connection().execute(_ID).scalar_one_or_none()
    if id_ is None:
        raise StoreError("the store is not initialized: run `tiergate migrate`")
    return str(id_)
