"""The version of the store's schema: `migrate` updates it, and every server checks it.

A release serves exactly one version: in an older one, tables are missing; a newer release could not read what this one
writes. A migration is one transaction under a lock: complete or without effect, and once if several control planes
start it together.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError

from tiergate.errors import StoreError
from tiergate.store.database_errors import first_line

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tiergate.store.database import Database

SCHEMA_VERSION: Final = 9
"""The version of this release, that of the newest script in `migrations/versions`."""

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_ONE_AT_A_TIME: Final = threading.Lock()  # the environment of alembic is global
_LOCK: Final = 0x7469_6572  # for migrations of a PostgreSQL database; an arbitrary number


def schema_version(database: Database) -> int:
    """Read the version of the schema; 0 for a database without one.

    Raises:
        StoreError: if the database cannot be reached, or has the schema of another program.
    """
    with database.reading() as session:
        return _version(session.connection())


def check_schema(database: Database) -> None:
    """Check that this release can serve the database.

    Raises:
        StoreError: if the schema is older or newer; the message names the remedy.
    """
    found = schema_version(database)
    if found == 0:
        raise StoreError("the database has no schema yet: run `tiergate migrate`")
    if found < SCHEMA_VERSION:
        raise StoreError(
            f"the database's schema has version {found}, this release needs {SCHEMA_VERSION}: run `tiergate migrate`"
        )
    if found > SCHEMA_VERSION:
        raise _newer(found)


def migrate(database: Database) -> int:
    """Upgrade the schema to this release, and return its version before. Raises as `upgrade`."""
    return upgrade(database, SCHEMA_VERSION)


def upgrade(database: Database, version: int) -> int:
    """Upgrade the schema to `version`, if it is older, and return its version before.

    Raises:
        StoreError: if the schema is newer than this release, or the database fails; then nothing changes.
    """
    # Alembic is slow to import, and only a migration needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    with database.writing() as session:
        connection = session.connection()
        if not database.is_sqlite:  # on SQLite, a writing transaction locks the whole database
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        version_before = _version(connection)
        if version_before > SCHEMA_VERSION:
            raise _newer(version_before)
        if version_before < version:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
            config.set_main_option("path_separator", "newline")
            try:
                with _ONE_AT_A_TIME:
                    command.upgrade(config, f"{version:04}")
                session.commit()
            except DBAPIError as error:
                raise StoreError(f"the schema stays at version {version_before}: {first_line(error)}") from error
    return version_before


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(_VERSION.name):
        return 0
    found = connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
    if found is None:
        return 0
    if not found.isdecimal():
        raise StoreError(f"the database has the schema of another program, with version `{found}`")
    return int(found)


def _newer(found: int) -> StoreError:
    return StoreError(
        f"the database's schema has version {found}, newer than this release's {SCHEMA_VERSION}: "
        "run the release that made it, or a newer one"
    )
