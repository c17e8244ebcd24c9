"""The database's errors in plain words: what is the operator's to mend, what is begun again, what is a defect."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from tiergate.errors import ReadOnlyStoreError, StoreError
from tiergate.store import SYSTEM, Store
from tiergate.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.databases import PostgresServer
    from tiergate.store import ReadUnit, WriteUnit


def sql(statement: str) -> Callable[[ReadUnit], Any]:
    """Work that runs one statement."""
    return lambda unit: unit.session.connection().exec_driver_sql(statement).all()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://host:port/name",
        "postgresql://host:99999999999/name",
        "postgresql://[::1/name",
        "nothing",
        "",
        "mysql://host/name",
        "sqlite://",
        "sqlite:///store.sqlite?timeout=soon",
        "postgresql://host/name?prepare_threshold=often",
    ],
)
def test_a_url_that_cannot_be_is_refused_in_one_sentence(url: str) -> None:
    """Whatever makes it impossible, and without what may be a password."""
    with pytest.raises(StoreError) as caught:
        Database(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["sslmode=never", "colour=red", "connect_timeout=soon", "options=-c nothing=1"])
def test_an_option_that_the_driver_does_not_take_is_the_operators(postgres: PostgresServer, option: str) -> None:
    """It shows at the first connection."""
    with postgres.database() as url, pytest.raises(StoreError, match="database"):
        Store.open(f"{url}&{option}")


def test_an_option_of_sqlite_that_there_is_not_is_the_operators(tmp_path: Path) -> None:
    """As on PostgreSQL."""
    with pytest.raises(StoreError, match="database"):
        Store.open(f"sqlite:///{tmp_path}/store.sqlite?colour=red", migrating=True)


def test_a_file_that_is_no_database_is_the_operators(tmp_path: Path) -> None:
    """It is said what it is."""
    (tmp_path / "store.sqlite").write_text("a shopping list\n" * 100)
    with pytest.raises(StoreError, match="no database"):
        Store.open(f"sqlite:///{tmp_path}/store.sqlite", migrating=True)


def test_a_folder_that_is_not_there_is_the_operators(tmp_path: Path) -> None:
    """The file cannot be made in it."""
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/store.sqlite", migrating=True)


def test_a_database_that_is_not_there_is_the_operators(postgres: PostgresServer) -> None:
    """Nor is one."""
    with pytest.raises(StoreError, match="database"):
        Store.open(postgres.url("nowhere"))


def test_a_read_only_file_is_read_and_not_written(sqlite_url: str) -> None:
    """Reads go on; a change is refused as such, and remembered until one succeeds."""
    path = sqlite_url.removeprefix("sqlite:///")
    store = Store.open(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert store.read(lambda unit: unit.head().position) == 0
    with pytest.raises(ReadOnlyStoreError, match="read-only"):
        store.change(lambda unit: unit.audit("it", "thing", "it"), SYSTEM)
    assert store.database.read_only_error is not None
    store.close()


@pytest.mark.parametrize("brief", [False, True])
def test_a_full_disk_takes_no_changes_until_there_is_room(sqlite_url: str, *, brief: bool) -> None:
    """The change is refused whole; `probe` finds out when it can be written again."""
    store = Store.open(sqlite_url)
    size = store.read(lambda unit: unit.session.connection().exec_driver_sql("PRAGMA page_count").scalar_one())

    def fill(unit: WriteUnit) -> None:
        unit.session.connection().exec_driver_sql(f"PRAGMA max_page_count = {size}")
        for number in range(1000):
            unit.put_blob(f"{number:064}", bytes(10_000))

    with pytest.raises(ReadOnlyStoreError, match="full"):
        store.change(fill, SYSTEM, brief=brief)
    assert store.read(lambda unit: unit.session.connection().exec_driver_sql("SELECT count(*) FROM blob").scalar()) == 0
    store.database.dispose()
    store.database.probe()
    assert store.database.read_only_error is None
    store.close()


def test_a_role_without_a_privilege_is_told_so(postgres: PostgresServer, postgres_url: str) -> None:
    """In reading, in writing, and in migrating."""
    postgres.execute("CREATE ROLE nobody_here LOGIN")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON alembic_version, store TO nobody_here")
    theirs = postgres_url.replace("tiergate@", "nobody_here@")
    try:
        store = Store.open(theirs)
        with pytest.raises(StoreError, match="lacks a privilege"):
            store.read(lambda unit: unit.head())
        with pytest.raises(StoreError, match="lacks a privilege"):
            store.change(lambda unit: unit.audit("it", "thing", "it"), SYSTEM)
        store.close()
        with postgres.database() as empty, pytest.raises(StoreError, match="permission denied"):
            Store.open(empty.replace("tiergate@", "nobody_here@"), migrating=True)
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY nobody_here")
            connection.execute("DROP ROLE nobody_here")


def test_a_statement_that_takes_too_long_is_told_so(postgres_url: str) -> None:
    """Where the operator has bounded them."""
    store = Store.open(f"{postgres_url}&options=-c%20statement_timeout%3D50")
    with pytest.raises(StoreError, match="took too long"):
        store.read(sql("SELECT pg_sleep(10)"))
    store.close()


def test_a_deadlock_is_begun_again(postgres_url: str) -> None:
    """Two changes that lock two rows in opposite orders both come true."""
    store = Store.open(postgres_url)
    store.change(lambda unit: unit.put_blob("a" * 64, b"1"), SYSTEM)
    store.change(lambda unit: unit.put_blob("b" * 64, b"1"), SYSTEM)
    both = threading.Barrier(2)
    tries: list[str] = []

    def lock(first: str, second: str) -> None:
        met = False

        def work(unit: WriteUnit) -> None:
            nonlocal met
            tries.append(first)
            query = "SELECT 1 FROM blob WHERE sha256 = '{}' FOR UPDATE"
            unit.session.connection().exec_driver_sql(query.format(first * 64))
            if not met:
                met = True
                both.wait(10)
            unit.session.connection().exec_driver_sql(query.format(second * 64))

        store.change(work, SYSTEM)

    threads = [threading.Thread(target=lock, args=order) for order in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(tries) == 3
    store.close()


def test_a_connection_that_ends_before_the_commit_is_begun_again(postgres_url: str) -> None:
    """On another connection: a failover in the midst of a change is not noticed."""
    store = Store.open(postgres_url)
    begun = 0

    def work(unit: WriteUnit) -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            number = unit.session.connection().exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", [number])
        unit.put_blob("c" * 64, b"1")

    store.change(work, SYSTEM)
    assert begun == 2
    assert store.read(lambda unit: unit.blob("c" * 64)) == b"1"
    store.close()


def test_a_commit_whose_outcome_nobody_knows_is_not_begun_again(postgres_url: str) -> None:
    """It may have been committed: who asked is told that it is not known, and nothing is done twice."""
    store = Store.open(postgres_url)
    begun = 0

    def work(unit: WriteUnit) -> None:
        nonlocal begun
        begun += 1
        connection = unit.session.connection()
        number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        unit.put_blob("d" * 64, b"1")
        settle = unit.settle

        def settle_and_lose() -> None:
            settle()
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [number])

        unit.settle = settle_and_lose  # type: ignore[method-assign]

    with pytest.raises(StoreError, match="may be committed"):
        store.change(work, SYSTEM)
    assert begun == 1
    store.close()


def test_a_mistake_in_a_statement_is_no_operators_fault(postgres_url: str) -> None:
    """A defect of ours stays what it is."""
    store = Store.open(postgres_url)
    with pytest.raises(ProgrammingError):
        store.change(sql("SELEC 1"), SYSTEM)
    with pytest.raises(SQLAlchemyError):
        store.read(sql("SELECT 1 / 0"))
    store.close()


def test_an_exhausted_pool_is_told_plainly(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds no connection within the time is told that the database cannot be used."""
    monkeypatch.setattr("tiergate.store.database._POOL_SECONDS", 0.05)
    database = Database(sqlite_url, pool_size=1)
    held = [database.engine.connect() for _ in range(3)]
    with pytest.raises(StoreError, match="in use"), database.reading():
        pass
    for connection in held:
        connection.close()
    database.dispose()
