"""Queries past SQLAlchemy: their rows, and their errors, are those that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import bindparam, column, select, table
from sqlalchemy.exc import PendingRollbackError, SQLAlchemyError

from tiergate.store import Store
from tiergate.store.database_errors import ConnectionLostError
from tiergate.store.id_lists import is_among
from tiergate.store.prepared_queries import Query, fetch_together
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import RECORDS, TOMBSTONES

if TYPE_CHECKING:
    from collections.abc import Iterator

_GRAVES = select(TOMBSTONES.c.id, TOMBSTONES.c.etag).order_by(TOMBSTONES.c.id)
_OF_KIND = Query(_GRAVES.where(TOMBSTONES.c.kind == bindparam("kind"), is_among(TOMBSTONES.c.id)))
_ITEMS = Query(_GRAVES.where(TOMBSTONES.c.kind == "item", is_among(TOMBSTONES.c.id, "some")))
_RECORDS = Query(select(RECORDS))
_ABSENT = Query(select(table("no_such_table", column("id"))))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on either database."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


def test_queries_are_answered_in_their_order(store: Store) -> None:
    """With parameters of every kind, fixed ones too, and columns of every type."""
    with store.database.writing() as session:
        connection = session.connection()
        rows = [
            {"kind": kind, "id": id_, "etag": 2**40 + place}
            for place, kind in enumerate(("item", "rule"))
            for id_ in "ab"
        ]
        insert_rows(connection, TOMBSTONES, rows)
        insert_rows(connection, RECORDS, [{"customer": "ü'\"", "position": 7, "record": b"\x00\xff"}])
        rules, items, none, records = fetch_together(
            connection,
            [
                (_OF_KIND, {"kind": "rule", "ids": ["b", "c"]}),
                (_ITEMS, {"some": ["b", "a"]}),
                (_ITEMS, {"some": []}),
                (_RECORDS, {}),
            ],
        )
    assert [(row.id, row.etag) for row in rules] == [("b", 2**40 + 1)]
    assert [tuple(row) for row in items] == [("a", 2**40), ("b", 2**40)]
    assert none == []
    assert [tuple(row) for row in records] == [("ü'\"", 7, b"\x00\xff", None)]


def test_a_rejected_query_is_an_error_of_sqlalchemy(store: Store) -> None:
    """And the connection can be used again afterwards."""
    with store.database.reading() as session, pytest.raises(SQLAlchemyError):
        fetch_together(session.connection(), [(_ABSENT, {})])
    with store.database.reading() as session:
        assert fetch_together(session.connection(), [(_ITEMS, {"some": ["a"]})]) == [[]]


def lose(store: Store) -> None:
    """Use a connection that the server has ended; nothing else runs on it afterwards."""
    with store.database.writing() as session:
        connection = session.connection()
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with store.database.engine.connect() as other:
            other.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (backend,))
        try:
            fetch_together(connection, [(_ITEMS, {"some": ["a"]})])
        finally:
            with pytest.raises(PendingRollbackError):
                connection.exec_driver_sql("SELECT 1")


def test_a_lost_connection_is_known(postgres_url: str) -> None:
    """As after a failover: nothing else runs on it, and the pool makes another one."""
    store = Store.open(postgres_url)
    try:
        with pytest.raises(ConnectionLostError):
            lose(store)
        with store.database.reading() as session:
            assert fetch_together(session.connection(), [(_RECORDS, {})]) == [[]]
    finally:
        store.close()
