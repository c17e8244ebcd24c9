"""The version of the store's schema: brought up to date by `migrate`, demanded by whoever serves.

A release serves exactly one version. It refuses an older one, for it would read and write what is not there, and a
newer one, for it would write what the newer release no longer reads. Migrating is one transaction under a lock, so
that it happens whole or not at all, and once when several control planes begin it together.
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

SCHEMA_VERSION: Final = 5
"""The version that this release serves: that of the newest script in `migrations/versions`."""

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_ONE_AT_A_TIME: Final = threading.Lock()  # alembic's environment is global
_LOCK: Final = 0x7469_6572  # of all who migrate a PostgreSQL database; any number that others do not use


def schema_version(database: Database) -> int:
    """Read the version of the schema; 0 for a database without one.

    Raises:
        StoreError: the database cannot be reached, or its version is none of ours.
    """
    with database.reading() as session:
        return _version(session.connection())


def check_schema(database: Database) -> None:
    """Make sure that this release can serve the database.

    Raises:
        StoreError: the schema is older or newer than this release's; the message says what to do.
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
    """Bring the schema up to this release's version, and return the version that it had.

    Raises:
        StoreError: the schema is of a newer release, or the database refuses; nothing has changed then.
    """
    return upgrade(database, SCHEMA_VERSION)


def upgrade(database: Database, version: int) -> int:
    """Bring the schema up to `version`, if it is older, and return the version that it had.

    Raises:
        StoreError: the schema is newer than this release's, or the database refuses; nothing has changed then.
    """
    # Alembic takes a while to import, and nothing but a migration needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    with database.writing() as session:
        connection = session.connection()
        if not database.is_sqlite:  # there, a writing transaction has the whole database
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _version(connection)
        if found > SCHEMA_VERSION:
            raise _newer(found)
        if found < version:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
            config.set_main_option("path_separator", "newline")
            try:
                with _ONE_AT_A_TIME:
                    command.upgrade(config, f"{version:04}")
                session.commit()
            except DBAPIError as error:
                raise StoreError(f"the schema stays at version {found}: {first_line(error)}") from error
    return found


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(_VERSION.name):
        return 0
    found = connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()
    if found is None:
        return 0
    if not found.isdecimal():
        raise StoreError(f"the database has another program's schema: `{found}` is no version of ours")
    return int(found)


def _newer(found: int) -> StoreError:
    return StoreError(
        f"the database's schema has version {found}, newer than this release's {SCHEMA_VERSION}: "
        "run the release that made it, or a newer one"
    )
