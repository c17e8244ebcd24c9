"""Invariant 7: the feed loses nothing and reorders nothing, whoever writes at the same time; and no update is lost."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import event, select

from tests.stored_lines import read_after
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.feed.lines import encode_record
from tiergate.model import Customer, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.customers import Account, open_account
from tiergate.store.subjects import read_record
from tiergate.store.tables import RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.model import SubjectRecord
    from tiergate.store import ReadUnit

WRITERS = 6
CHANGES = 12
CUSTOMERS = ("acme", "beta", "gamma")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with a few customers, on either kind of database."""
    opened = Store.open(store_url)
    for id_ in CUSTOMERS:
        opened.change(partial(begin, id_=id_), SYSTEM)
    yield opened
    opened.close()


def begin(unit: WriteUnit, id_: str) -> None:
    """Add a customer with one subscription."""
    account = Account.create(unit, Customer(id_))
    held = Subscription(f"s-{id_}", id_, SubscriptionStatus.ACTIVE, (SubscriptionItem("seats", 1),))
    account.write_subscription(held)


def one_more(unit: WriteUnit, id_: str) -> None:
    """Raise a quantity by one: what is lost if two read the same."""
    account = open_account(unit, id_)
    before = account.subscription(f"s-{id_}").subscription
    held = before.items[0]
    account.write_subscription(replace(before, items=(replace(held, quantity=held.quantity + 1),)))


class Reader:
    """Follows the feed from its beginning, as a sidecar does: what comes after the last position that it has seen."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lines: list[bytes] = []
        self.positions: list[int] = []

    def poll(self) -> None:
        """Read on, a few entries at a time."""
        after = self.positions[-1] if self.positions else 0
        for entry in self.store.read(lambda unit: read_after(unit.session, after, 5)):
            self.positions.append(entry.position)
            self.lines.append(entry.line)


def test_racing_writers_lose_nothing_and_a_reader_beside_them_misses_nothing(store: Store, store_url: str) -> None:
    """Positions have no gaps, each customer's last line is what the tables say, and the chain is the reader's own."""
    other = Store.open(store_url)  # the reader stands for another process
    reader, done = Reader(other), threading.Event()

    def follow() -> None:
        while not done.is_set():
            reader.poll()

    def write(writer: int) -> None:
        for number in range(CHANGES):
            store.change(partial(one_more, id_=CUSTOMERS[(writer + number) % len(CUSTOMERS)]), SYSTEM)

    following = threading.Thread(target=follow)
    following.start()
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, range(WRITERS)))
    finally:
        done.set()
        following.join()
    head = store.read(lambda unit: unit.head())
    while not reader.positions or reader.positions[-1] < head.position:
        reader.poll()
    other.close()

    assert reader.positions == list(range(1, len(CUSTOMERS) + WRITERS * CHANGES + 1))
    chain = chain_start(store.id)
    for line in reader.lines:
        chain = extend_chain(chain, line_digest(line))
    assert chain == head.chain
    raised = Counter(CUSTOMERS[(writer + number) % 3] for writer in range(WRITERS) for number in range(CHANGES))
    for id_ in CUSTOMERS:
        record, kept = store.read(partial(what_stands, id_=id_))
        assert record.subscriptions[0].items[0].quantity == 1 + raised[id_]
        last = next(line for line in reversed(reader.lines) if json.loads(line)["customer"] == id_)
        assert json.loads(last)["record"] == json.loads(kept)
        assert kept == encode_record(record)


def what_stands(unit: ReadUnit, id_: str) -> tuple[SubjectRecord, bytes]:
    """A customer as its rows say it, and as the feed is said to have said it."""
    record = read_record(unit.session, id_, public=True)
    assert record is not None
    columns = RECORDS.c
    kept = unit.session.connection().execute(select(columns.record).where(columns.customer == id_)).scalar_one()
    return record, kept


# ── The one interleaving that a sequence gets wrong ──────────────────────────────────────────────────────────────────


class Feed(Protocol):
    """Something that gives out positions, and is read by them."""

    def write(self, name: str, before_commit: Callable[[], object]) -> None:
        """Append an entry, and call back between its getting a position and its commit."""

    def read(self, after: int) -> list[tuple[int, str]]:
        """The entries after a position."""


class OurFeed:
    """The store's feed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.local = threading.local()
        event.listen(store.database.engine, "commit", lambda _: getattr(self.local, "call", int)())

    def write(self, name: str, before_commit: Callable[[], object]) -> None:
        """Change a customer."""
        self.local.call = before_commit
        self.store.change(lambda unit: begin(unit, name), SYSTEM)

    def read(self, after: int) -> list[tuple[int, str]]:
        """Read from the store."""
        entries = self.store.read(lambda unit: read_after(unit.session, after, 10))
        return [(entry.position, entry.customer or "") for entry in entries]


class NaiveFeed:
    """A table whose positions come from a sequence, at the moment of inserting: what one would write first."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url) as connection:
            connection.execute("CREATE SEQUENCE naive_position")
            connection.execute("CREATE TABLE naive (position bigint PRIMARY KEY, name text)")

    def write(self, name: str, before_commit: Callable[[], object]) -> None:
        """Insert a row."""
        with psycopg.connect(self.url) as connection:
            connection.execute("INSERT INTO naive VALUES (nextval('naive_position'), %s)", [name])
            before_commit()

    def read(self, after: int) -> list[tuple[int, str]]:
        """Read from the table."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT position, name FROM naive WHERE position > %s ORDER BY 1", [after])
            return [(int(row[0]), str(row[1])) for row in found]


def seen_beside_a_slow_writer(feed: Feed) -> list[str]:
    """What a reader sees where the first writer has its position and then takes its time to commit."""
    has_position, other_is_done = threading.Event(), threading.Event()
    seen: list[str] = []
    cursor = 0

    def poll() -> None:
        nonlocal cursor
        for position, name in feed.read(cursor):
            cursor = position
            seen.append(name)

    def pause() -> None:
        has_position.set()
        other_is_done.wait(0.3)  # with a feed that is right the other one cannot even begin

    slow = threading.Thread(target=lambda: feed.write("slow", pause))
    slow.start()
    has_position.wait()
    feed.write("quick", int)
    poll()
    other_is_done.set()
    slow.join()
    poll()
    return seen


def test_a_reader_misses_nothing_beside_a_slow_writer(store_url: str) -> None:
    """Whoever has a position commits before another one gets the next."""
    store = Store.open(store_url)
    try:
        assert seen_beside_a_slow_writer(OurFeed(store)) == ["slow", "quick"]
    finally:
        store.close()


def test_the_same_reader_misses_an_entry_of_a_naive_sequence(postgres_url: str) -> None:
    """So the test above can fail: with positions from a sequence the slow writer's entry is never seen."""
    assert seen_beside_a_slow_writer(NaiveFeed(postgres_url)) == ["quick"]
