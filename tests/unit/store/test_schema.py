"""The store's schema: how it is made, brought up to date, and demanded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

import tiergate.store.schema as schema_module
from tests.databases import PROGRAMS
from tiergate.errors import StoreError
from tiergate.store import SYSTEM, Store
from tiergate.store.database import Database
from tiergate.store.schema import SCHEMA_VERSION, check_schema, migrate, schema_version, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from tests.conftest import Golden
    from tests.databases import PostgresServer

GOLDEN = Path(__file__).parents[2] / "golden" / "schema"
VERSIONS = range(1, SCHEMA_VERSION + 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'store.sqlite'}")
        yield database
        database.dispose()
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.database() as url:
            database = Database(url)
            yield database
            database.dispose()


@pytest.fixture
def current(store_url: str) -> Iterator[Database]:
    """The database of a store as this release makes it."""
    database = Database(store_url)
    yield database
    database.dispose()


def differences(database: Database) -> list[object]:
    """What alembic would change for the tables to be as the code says."""
    with database.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))


def stored_rows(version: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table as a store of this version had them; bytes are written `{"hex": …}`."""
    tables: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / f"rows-{version}.json").read_text("utf-8"))
    return {
        table: [
            {name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value for name, value in row.items()}
            for row in rows
        ]
        for table, rows in tables.items()
    }


def write_rows(connection: Connection, version: int) -> None:
    """Fill a database of this version with its stored rows, through its tables as they are there."""
    metadata = MetaData()
    metadata.reflect(connection)
    for table, rows in stored_rows(version).items():
        connection.execute(insert(metadata.tables[table]), rows)


def test_the_version_served_is_that_of_the_newest_script() -> None:
    """Whoever adds a script raises the version, and each script is numbered by its version."""
    scripts = ScriptDirectory(str(Path(schema_module.__file__).with_name("migrations")))
    numbers = [int(script.revision) for script in scripts.walk_revisions()]
    assert sorted(numbers) == list(VERSIONS)


def test_the_migrations_make_the_tables_that_the_code_says(empty: Database) -> None:
    """A new database has every table, column and index of the code, and no other."""
    assert migrate(empty) == 0
    assert differences(empty) == []
    check_schema(empty)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_any_version_comes_up_to_this_one(empty: Database, version: int) -> None:
    """Step by step from each earlier version, rows and all: the schema is this release's, and no row is lost."""
    upgrade(empty, version)
    with empty.writing() as session:
        write_rows(session.connection(), version)
        session.commit()
    for step in range(version + 1, SCHEMA_VERSION + 1):
        assert upgrade(empty, step) == step - 1
    assert differences(empty) == []
    with empty.reading() as session:
        for name, rows in stored_rows(version).items():
            table = SQLModel.metadata.tables[name]
            assert session.connection().execute(select(func.count()).select_from(table)).scalar_one() == len(rows)


def test_the_stored_rows_fill_every_table() -> None:
    """What this version's stores hold is written down for the releases to come: each table has rows."""
    assert stored_rows(SCHEMA_VERSION).keys() == SQLModel.metadata.tables.keys()


def test_the_schema_on_sqlite_is_as_written_down(sqlite_url: str, golden: Golden) -> None:
    """A change of the schema is seen as such, statement by statement."""
    database = Database(sqlite_url)
    with database.reading() as session:
        found = session.connection().execute(
            text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name")
        )
        lines = [re.sub(r"[ \t]+$", "", row.sql, flags=re.MULTILINE) for row in found]
    database.dispose()
    golden(GOLDEN / f"sqlite-{SCHEMA_VERSION}.sql", "".join(f"{line};\n\n" for line in lines))


def test_the_schema_on_postgresql_is_as_written_down(postgres_url: str, golden: Golden) -> None:
    """A change of the schema is seen as such, statement by statement."""
    dumped = subprocess.run(
        [PROGRAMS / "bin" / "pg_dump", "--schema-only", "--no-owner", "--no-privileges", postgres_url],
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    statements = re.sub(r"^(--.*|\\.*|SET .*|SELECT pg_catalog.*)?\n", "", dumped, flags=re.MULTILINE)
    golden(GOLDEN / f"postgresql-{SCHEMA_VERSION}.sql", statements)


def test_migrating_what_is_current_changes_nothing(current: Database) -> None:
    """It says the version that was there."""
    assert migrate(current) == SCHEMA_VERSION


def test_replicas_that_migrate_at_once_do_so_once(empty: Database) -> None:
    """Several control planes that begin together all end with the schema and the same store."""
    url = empty.engine.url.render_as_string(hide_password=False)
    together = threading.Barrier(4)
    ids: list[str] = []

    def open_one() -> None:
        together.wait()
        store = Store.open(url, migrating=True)
        ids.append(store.id)
        store.close()

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_a_migration_that_fails_changes_nothing(empty: Database) -> None:
    """What was made before the failure is taken back, and the version is the old one."""
    with empty.writing() as session:
        session.connection().execute(text("CREATE TABLE webhook (id int)"))  # in the way of the first script
        session.commit()
    with pytest.raises(StoreError, match=r"stays at version 0: .*webhook"):
        migrate(empty)
    assert schema_version(empty) == 0
    with empty.reading() as session:
        metadata = MetaData()
        metadata.reflect(session.connection())
    assert list(metadata.tables) == ["webhook"]


def test_a_database_without_a_schema_is_not_served(empty: Database) -> None:
    """The refusal names the command that helps."""
    with pytest.raises(StoreError, match="no schema yet: run `tiergate migrate`"):
        check_schema(empty)


@pytest.mark.parametrize(
    ("found", "said"), [("0000", "no schema yet"), ("0099", "newer than this release's"), ("a1b2", "another program")]
)
def test_a_schema_of_another_version_is_not_served(current: Database, found: str, said: str) -> None:
    """Neither an older nor a newer schema is read or written, and the newer one is not migrated either."""
    with current.writing() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
        session.commit()
    with pytest.raises(StoreError, match=said):
        check_schema(current)
    if found == "0099":
        with pytest.raises(StoreError, match=said):
            migrate(current)


def test_an_older_schema_is_refused_with_the_way_out(current: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that needs a later version says which, and how to get there."""
    monkeypatch.setattr(schema_module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match=f"needs {SCHEMA_VERSION + 1}: run `tiergate migrate`"):
        check_schema(current)


# ── The audit log ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def audited(current: Database) -> Database:
    """A store with one entry in its audit log."""
    store = Store(current, lambda: 1_700_000_000_000)
    store.change(lambda unit: unit.audit("edit", "feature", "movies", before=1, after=2), SYSTEM)
    return current


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit",
        "UPDATE audit SET after = '3'",
        "UPDATE audit SET at = 0, redacted = true",
        "UPDATE audit SET action = 'none', redacted = true",
        "UPDATE audit SET id = 7, redacted = true",
    ],
)
def test_the_audit_log_is_only_ever_added_to(audited: Database, statement: str) -> None:
    """The database itself refuses to change or to delete an entry."""
    with audited.writing() as session, pytest.raises(DBAPIError, match="only ever added to"):
        session.connection().execute(text(statement))


def test_the_audit_log_cannot_be_emptied_at_once(postgres_url: str) -> None:
    """PostgreSQL's quick way to delete all rows is closed too."""
    database = Database(postgres_url)
    with database.writing() as session, pytest.raises(DBAPIError, match="only ever added to"):
        session.connection().execute(text("TRUNCATE audit"))
    database.dispose()


def test_a_persons_data_can_be_taken_out_of_the_audit_log(audited: Database) -> None:
    """An entry can lose what it says, and is marked so for ever."""
    with audited.writing() as session:
        session.connection().execute(text("UPDATE audit SET before = NULL, after = NULL, redacted = true"))
        session.commit()
    with audited.writing() as session, pytest.raises(DBAPIError, match="only ever added to"):
        session.connection().execute(text("UPDATE audit SET redacted = false"))
