"""The databases that tests run on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from watchfiles import watch

from tests.databases import PostgresServer
from tiergate.errors import StoreError
from tiergate.store import SYSTEM, Store

ROOT = Path(__file__).parents[2]

HOLDER = """
import os, signal
from tests.databases import PostgresServer
from tiergate.errors import StoreError
from tiergate.store import SYSTEM, Store
with PostgresServer.run() as server:
    print(server.url("postgres").partition("host=")[2], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_of_a_server_whose_holder_was_killed() -> None:
    """The server stops and its folder goes, although nobody lived to say so."""
    done = subprocess.run(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("tiergate-pg-"), done.stderr
    for _ in watch(folder.parent, rust_timeout=100, yield_on_timeout=True, recursive=False):
        if not folder.exists():
            break
    assert not (folder / "data" / "postmaster.pid").exists()


def test_what_was_committed_outlives_a_killed_server() -> None:
    """A server that is killed and started again has every row whose commit was confirmed, and no other."""
    with PostgresServer.run() as server, server.database() as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (number int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO kept VALUES (2)")
            server.kill()
            connection.close()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]


def test_a_store_that_was_used_before_has_nothing_of_it(postgres: PostgresServer, postgres_template: str) -> None:
    """No row, no number that was given out, and nobody who is still connected."""
    with postgres.store(postgres_template) as url:
        before = Store.open(url, migrating=True)
        before.change(lambda unit: unit.audit("edit", "feature", "movies"), SYSTEM)
    with postgres.store(postgres_template) as url:
        after = Store.open(url, migrating=True)
        assert after.id != before.id
        after.change(lambda unit: unit.audit("edit", "feature", "movies"), SYSTEM)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT id FROM audit").fetchall() == [(1,)]
        with pytest.raises(StoreError, match="does not exist"):
            before.change(lambda unit: unit.audit("edit", "feature", "movies"), SYSTEM)
        after.close()
    before.close()
