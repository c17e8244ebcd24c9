"""Brief changes that commit together: each stands or falls by itself, and is told of after the commit."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import OperationalError, PendingRollbackError

from tests.stored_lines import read_after
from tiergate.errors import ReadOnlyStoreError, StoreError
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.database_errors import ConnectionLostError
from tiergate.store.tables import CUSTOMERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from tiergate.model import Instant
    from tiergate.store.shared_changes import Publishing


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}", migrating=True)
    yield opened
    opened.close()


@pytest.fixture
def commits(store: Store) -> list[int]:
    """Grows by one with each commit."""
    found: list[int] = []
    event.listen(store.database.engine, "commit", lambda _: found.append(1))
    return found


def add(unit: WriteUnit, customer: str) -> None:
    """Write a customer."""
    row = {"id": customer, "tags": "[]", "attributes": "{}", "etag": 1, "created_at": 1, "updated_at": 1}
    unit.session.connection().execute(insert(CUSTOMERS), [{**row, "erased_at": None}])
    unit.audit("customer.created", "customer", customer)
    unit.touch(customer)


def adding(customer: str) -> Callable[[WriteUnit], None]:
    """A change that writes a customer."""
    return lambda unit: add(unit, customer)


def failing(customer: str) -> Callable[[WriteUnit], None]:
    """A change that writes a customer, and raises."""

    def work(unit: WriteUnit) -> None:
        add(unit, customer)
        raise ValueError(customer)

    return work


def at_once(store: Store, works: Sequence[Callable[[WriteUnit], object]]) -> list[Future[object]]:
    """Run brief changes, the first of which lasts until all others wait for it."""
    begun = threading.Event()

    def first(unit: WriteUnit) -> object:
        again = begun.is_set()
        begun.set()
        while not again and store.waiting_changes < len(works) - 1:
            time.sleep(0.001)
        return works[0](unit)

    with ThreadPoolExecutor(len(works)) as threads:
        running = [threads.submit(store.change, first, SYSTEM, brief=True)]
        begun.wait()
        running += [threads.submit(store.change, work, SYSTEM, brief=True) for work in works[1:]]
    return running


def customers(store: Store) -> set[str | None]:
    """Those that stand and the feed tells of, whose positions and chain are seen to be right."""
    entries = store.read(lambda unit: read_after(unit.session, 0, 1000))
    assert [entry.position for entry in entries] == [*range(1, len(entries) + 1)]
    chain = chain_start(store.id)
    for entry in entries:
        chain = extend_chain(chain, line_digest(entry.line))
    head = store.read(lambda unit: unit.head())
    assert (head.position, head.chain) == (len(entries), chain)
    told = {entry.customer for entry in entries}
    ids = select(CUSTOMERS.c.id)
    rows = store.read(lambda unit: unit.session.connection().execute(ids).scalars().all())
    assert set(rows) == told
    return told


def test_those_that_wait_commit_once(store: Store, commits: list[int]) -> None:
    """One commit is enough for all, and the feed tells of each."""
    for one in at_once(store, [adding(f"c{n}") for n in range(6)]):
        one.result()
    assert customers(store) == {f"c{n}" for n in range(6)}
    assert len(commits) < 4  # those whose turn comes late in a slow hour begin another


def test_a_change_alone_commits_alone(store: Store, commits: list[int]) -> None:
    """Nobody is waited for where nobody is."""
    store.change(adding("c1"), SYSTEM, brief=True)
    store.change(adding("c2"), SYSTEM, brief=True)
    assert (customers(store), len(commits)) == ({"c1", "c2"}, 2)


@pytest.mark.parametrize("at", range(4))
def test_one_that_raises_falls_alone(store: Store, at: int) -> None:
    """Its caller hears of it, nothing of it is left, and the others stand."""
    works = [failing(f"c{n}") if n == at else adding(f"c{n}") for n in range(4)]
    running = at_once(store, works)
    assert [type(one.exception()) for one in running] == [ValueError if n == at else type(None) for n in range(4)]
    assert customers(store) == {f"c{n}" for n in range(4) if n != at}


def test_all_may_raise(store: Store, commits: list[int]) -> None:
    """Then there is nothing to commit."""
    running = at_once(store, [failing(f"c{n}") for n in range(3)])
    assert [str(one.exception()) for one in running] == ["c0", "c1", "c2"]
    assert (customers(store), commits) == (set(), [])


def test_a_failing_commit_fails_all_and_tells_nobody(store: Store) -> None:
    """Whoever was in it hears what the database said; then all goes on."""
    told: list[int] = []
    store.database.on_commit(lambda: told.append(1))

    def full(_: object) -> None:
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))

    event.listen(store.database.engine, "commit", full)
    running = at_once(store, [adding(f"c{n}") for n in range(4)])
    event.remove(store.database.engine, "commit", full)
    assert all(isinstance(one.exception(), StoreError) for one in running)
    assert {str(one.exception()) for one in running} == {"the database cannot be used: database or disk is full"}
    assert (customers(store), told) == (set(), [])
    store.change(adding("c0"), SYSTEM, brief=True)
    assert (customers(store), told) == ({"c0"}, [1])


def test_a_refusal_is_not_told_before_what_it_rests_on(store: Store) -> None:
    """A change that failed by what another one did, which then failed, is begun again or fails with it."""

    def full(_: object) -> None:
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))

    def refuse(unit: WriteUnit) -> None:
        if unit.record("c0") is not None:
            raise ValueError("exists already")

    event.listen(store.database.engine, "commit", full)
    running = at_once(store, [adding("c0"), refuse])
    event.remove(store.database.engine, "commit", full)
    assert [type(one.exception()) for one in running] == [StoreError, StoreError]


def test_a_transaction_that_is_lost_is_begun_again(store: Store) -> None:
    """SQLite undoes all by itself after some errors: who had no part in it does not notice."""

    def lose(unit: WriteUnit) -> None:
        unit.session.connection().exec_driver_sql("ROLLBACK")
        raise ValueError("lost")

    running = at_once(store, [adding("c0"), adding("c1"), lose, adding("c2")])
    assert [str(one.exception()) for one in running] == ["None", "None", "lost", "None"]
    assert customers(store) == {"c0", "c1", "c2"}


def test_who_finds_the_connection_lost_by_another_is_run_again(store: Store) -> None:
    """SQLAlchemy refuses every statement on a connection that was lost before."""
    refused: list[bool] = []

    def find_lost(unit: WriteUnit) -> None:
        if not refused:
            refused.append(True)
            raise PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")
        adding("c1")(unit)

    running = at_once(store, [adding("c0"), find_lost, adding("c2")])
    assert [one.exception() for one in running] == [None, None, None]
    assert customers(store) == {"c0", "c1", "c2"}


def test_a_full_database_fails_whom_it_cannot_hold(store: Store) -> None:
    """What needs the space that there is not fails; what had a place before stands."""

    def fill(unit: WriteUnit) -> None:
        connection = unit.session.connection()
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 4
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        try:
            unit.put_blob("0" * 64, bytes(10**6))
        finally:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    running = at_once(store, [adding("c0"), fill, adding("c1")])
    assert [type(one.exception()) for one in running] == [type(None), ReadOnlyStoreError, type(None)]
    assert customers(store) == {"c0", "c1"}


def test_who_writes_alone_finds_nothing_open(store: Store) -> None:
    """What waits for a brief change, but is not brief, comes after its commit."""
    seen: list[set[str | None]] = []

    def alone() -> None:
        with store.database.writing():
            seen.append(customers(store))  # as another connection sees it: what is committed

    other = threading.Thread(target=alone)

    def first(unit: WriteUnit) -> None:
        add(unit, "c0")
        other.start()

    for one in at_once(store, [first, adding("c1"), adding("c2")]):
        one.result()
    other.join()
    assert "c0" in seen[0]
    assert customers(store) == {"c0", "c1", "c2"}


def test_many_writers_lose_nothing(store: Store, commits: list[int]) -> None:
    """Whoever was told that it is done is in the feed, and whoever was refused is not."""

    def run(writer: int) -> list[str]:
        kept = []
        for turn in range(40):
            name = f"c{writer}-{turn}"
            if turn % 5 == 4:
                with pytest.raises(ValueError, match=name):
                    store.change(failing(name), SYSTEM, brief=True)
            else:
                store.change(adding(name), SYSTEM, brief=turn % 7 != 0)
                kept.append(name)
        return kept

    with ThreadPoolExecutor(6) as threads:
        told = [name for names in threads.map(run, range(6)) for name in names]
    assert customers(store) == set(told)
    assert len(commits) < len(told)


def test_what_publishes_is_not_brief(store: Store) -> None:
    """What others keep in memory of a publication was committed."""

    def publish(sequence: int, position: int, at: Instant) -> Publishing:
        raise AssertionError((sequence, position, at))

    with pytest.raises(RuntimeError, match="cannot be brief"):
        store.change(lambda unit: unit.append_publication(0, publish), SYSTEM, brief=True)


@pytest.mark.parametrize("brief", [True, False])
def test_a_brief_change_cannot_begin_another(store: Store, *, brief: bool) -> None:
    """It would wait for itself."""
    with pytest.raises(RuntimeError, match="cannot begin"):
        store.change(lambda _: store.change(adding("c1"), SYSTEM, brief=brief), SYSTEM, brief=True)
    assert customers(store) == set()


def test_a_closed_store_takes_no_changes(store: Store) -> None:
    """Those that waited are finished."""
    running = at_once(store, [adding(f"c{n}") for n in range(3)])
    store.close()
    assert [one.exception() for one in running] == [None, None, None]
    with pytest.raises(StoreError, match="closed"):
        store.change(adding("c9"), SYSTEM, brief=True)


def test_a_commit_that_may_have_happened_is_not_repeated(store: Store) -> None:
    """The connection was lost in the middle of it: all callers hear that nobody knows."""
    works = []

    def lost(_: object) -> None:
        raise ConnectionLostError("gone")

    def counted(unit: WriteUnit) -> None:
        works.append(1)
        add(unit, f"c{len(works)}")

    event.listen(store.database.engine, "commit", lost)
    running = at_once(store, [counted, counted])
    event.remove(store.database.engine, "commit", lost)
    assert {str(one.exception()) for one in running} == {
        "the connection was lost during the commit; the change may be committed: gone"
    }
    assert len(works) == 2
