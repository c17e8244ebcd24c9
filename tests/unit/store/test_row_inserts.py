from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from tiergate.store import row_inserts
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import AUDIT, RECORDS, SUBSCRIPTIONS, TOMBSTONES

if TYPE_CHECKING:
    from tiergate.store import Store

Row = dict[str, object]


def audit_entry(number: int, **changes: object) -> Row:
    """A row of the audit log, which gets its id from the database."""
    row: Row = {"at": number, "actor": "ada", "actor_kind": "key", "action": "x", "kind": "customer"}
    return row | {"resource": f"c{number}", "reason": "", "request_id": "", "redacted": False} | changes


def test_values_of_every_type_come_back(store: Store) -> None:
    """Texts of any script, large numbers, nothing, booleans and bytes."""
    texts = ["it's", 'q"uote', "b\\slash", "日本\n\t", "%s ? :x", "{1,2}", "NULL", ""]
    entries = [audit_entry(2**62 + n, before=text, redacted=n % 2 == 0) for n, text in enumerate(texts)]
    entries.append(audit_entry(0, before=None))
    records: list[Row] = [
        {"customer": f"c{n}", "position": n, "record": bytes(range(n, 256)), "next_at": None} for n in range(3)
    ]
    with store.database.writing() as session:
        connection = session.connection()
        insert_rows(connection, AUDIT, entries)
        insert_rows(connection, RECORDS, records)
        columns = [AUDIT.c[name] for name in entries[0]]
        kept = [dict(row._mapping) for row in connection.execute(select(*columns).order_by(AUDIT.c.id))]
        held = [dict(row._mapping) for row in connection.execute(select(RECORDS).order_by(RECORDS.c.position))]
    assert kept == entries
    assert [{**row, "record": bytes(row["record"])} for row in held] == records


def test_a_column_may_have_the_name_of_a_keyword(store: Store) -> None:
    """As the end of a subscription has."""
    row: Row = {"id": "s", "customer": "c", "status": "active", "end": 5, "created_at": 1, "updated_at": 1}
    row |= {"etag": 1, "metadata": "{}", "external_ids": "{}", "search": ""}
    with store.database.writing() as session:
        insert_rows(session.connection(), SUBSCRIPTIONS, [row])
        assert session.connection().execute(select(SUBSCRIPTIONS.c.end, SUBSCRIPTIONS.c.term)).one() == (5, None)


def test_rows_are_inserted_in_their_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that the database gives are in the order of the rows, in several statements too."""
    monkeypatch.setattr(row_inserts, "_AT_ONCE", 7)
    with store.database.writing() as session:
        insert_rows(session.connection(), AUDIT, [audit_entry(number) for number in range(50)])
        kept = session.connection().execute(select(AUDIT.c.at).order_by(AUDIT.c.id)).scalars().all()
    assert kept == list(range(50))


def test_rows_replace_those_with_their_key(store: Store) -> None:
    """Others stay, and a new key is inserted."""
    before, after = (
        [{"customer": id_, "position": at, "record": b"%d" % at, "next_at": at} for id_, at in rows]
        for rows in ((("a", 1), ("b", 2)), (("b", 3), ("c", 4)))
    )
    with store.database.writing() as session:
        connection = session.connection()
        insert_rows(connection, RECORDS, before)
        insert_rows(connection, RECORDS, after, replacing="customer")
        held = [tuple(row) for row in connection.execute(select(RECORDS).order_by(RECORDS.c.customer))]
    assert [(id_, at, bytes(record), next_at) for id_, at, record, next_at in held] == [
        ("a", 1, b"1", 1),
        ("b", 3, b"3", 3),
        ("c", 4, b"4", 4),
    ]


def test_no_rows_are_no_statement(store: Store) -> None:
    """Nothing happens."""
    with store.database.writing() as session:
        insert_rows(session.connection(), AUDIT, [])
        assert session.connection().execute(select(func.count()).select_from(AUDIT)).scalar_one() == 0


def test_a_rejected_row_is_an_error_of_sqlalchemy(store: Store) -> None:
    """So that the store sees a lost race in it."""
    rows: list[Row] = [{"kind": "item", "id": "a", "etag": 1}] * 2
    with store.database.writing() as session, pytest.raises(IntegrityError):
        insert_rows(session.connection(), TOMBSTONES, rows)
