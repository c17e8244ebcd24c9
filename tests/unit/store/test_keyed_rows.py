"""Rows by many keys at once, on either database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.store.keyed_rows import RowWrites, delete_rows, read_rows, update_rows
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import USAGE_KEYS, USAGE_LEASES

if TYPE_CHECKING:
    from tiergate.store import Store

KEY = ("holder", "number")


def lease(holder: str, number: int, spent: int = 0) -> dict[str, object]:
    """A row with a key of two columns."""
    account = {"customer": 'a"b\\', "feature": "f", "scope": "customer", "member": "", "start": -(2**62)}
    return account | {
        "holder": holder,
        "number": number,
        "units": 10**18,
        "spent": spent,
        "expires": 0,
        "written_off": False,
    }


def test_rows_are_read_updated_and_deleted_by_their_keys(store: Store) -> None:
    """Those that exist, and no others."""
    with store.database.writing() as session:
        connection = session.connection()
        insert_rows(connection, USAGE_LEASES, [lease("h", 1), lease("h", 2), lease("ü'", 1), lease("other", 1)])
        keys = [("h", 1), ("h", 3), ("ü'", 1)]
        found = read_rows(connection, USAGE_LEASES, KEY, keys, lock=True)
        assert [(row.holder, row.number, row.customer, row.start) for row in found] == [
            ("h", 1, 'a"b\\', -(2**62)),
            ("ü'", 1, 'a"b\\', -(2**62)),
        ]
        changed = [{"holder": holder, "number": number, "spent": 7, "written_off": True} for holder, number in keys]
        assert update_rows(connection, USAGE_LEASES, KEY, changed) == 2
        assert delete_rows(connection, USAGE_LEASES, KEY, [("h", 2), ("h", 9)]) == 1
        rest = read_rows(connection, USAGE_LEASES, ("holder",), [("h",), ("other",), ("ü'",)])
        assert sorted((row.holder, row.number, row.spent, row.written_off) for row in rest) == [
            ("h", 1, 7, True),
            ("other", 1, 0, False),
            ("ü'", 1, 7, True),
        ]


def test_keys_may_be_bytes(store: Store) -> None:
    """Which JSON does not have."""
    with store.database.writing() as session:
        connection = session.connection()
        rows = [{"key": bytes([number, 0, 255]), "digests": b"", "at": number, "answer": None} for number in range(3)]
        insert_rows(connection, USAGE_KEYS, rows)
        found = read_rows(connection, USAGE_KEYS, ("key",), [(b"\x01\x00\xff",), (b"\x02\x00\xff",), (b"",)])
        assert sorted(row.at for row in found) == [1, 2]


def test_nothing_is_read_or_written_for_no_keys(store: Store) -> None:
    """Not even a statement."""
    with store.database.writing() as session:
        connection = session.connection()
        assert read_rows(connection, USAGE_KEYS, ("key",), []) == []
        assert update_rows(connection, USAGE_KEYS, ("key",), []) == 0
        assert delete_rows(connection, USAGE_KEYS, ("key",), []) == 0


def test_many_rows_are_more_than_one_statement_can_have(store: Store) -> None:
    """They are read and changed in parts."""
    keys = [("h", number) for number in range(1, 12_001)]
    with store.database.writing() as session:
        connection = session.connection()
        insert_rows(connection, USAGE_LEASES, [lease(*key) for key in keys])
        assert len(read_rows(connection, USAGE_LEASES, KEY, keys)) == len(keys)
        assert update_rows(
            connection, USAGE_LEASES, KEY, [{"holder": "h", "number": n, "spent": n} for _, n in keys]
        ) == len(keys)
        assert delete_rows(connection, USAGE_LEASES, KEY, keys) == len(keys)


def test_writes_of_several_tables_run_together(store: Store) -> None:
    """Inserts, updates and deletes; nothing to write is no statement."""
    with store.database.writing() as session:
        connection = session.connection()
        insert_rows(connection, USAGE_LEASES, [lease("h", 1), lease("h", 2)])
        writes = RowWrites()
        writes.insert(USAGE_KEYS, [{"key": b'\\"\x00', "digests": b"", "at": 1, "answer": None}])
        writes.insert(USAGE_LEASES, [lease("h", 3)])
        writes.update(USAGE_LEASES, KEY, [{"holder": "h", "number": 1, "spent": 7}])
        writes.delete(USAGE_LEASES, KEY, [("h", 2)])
        writes.insert(USAGE_LEASES, [])
        writes.run(connection)
        RowWrites().run(connection)
        found = read_rows(connection, USAGE_LEASES, ("holder",), [("h",)])
        assert sorted((row.number, row.spent) for row in found) == [(1, 7), (3, 0)]
        assert len(read_rows(connection, USAGE_KEYS, ("key",), [(b'\\"\x00',)])) == 1
