"""Transactions of the store: what commits together, and what the feed says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select

from tests.stored_lines import read_after
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.model import Customer, Subscription, SubscriptionItem, SubscriptionStatus
from tiergate.store import SYSTEM, Store, WriteUnit
from tiergate.store.subject_writer import write_customer_parts, write_subscription_parts
from tiergate.store.tables import AUDIT, CUSTOMERS, RECORDS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}", clock=lambda: NOW, migrating=True)
    yield opened
    opened.close()


def add(unit: WriteUnit, customer: Customer, *subscriptions: Subscription) -> None:
    """Write a customer with subscriptions."""
    times = {"etag": 1, "created_at": unit.now, "updated_at": unit.now}
    connection = unit.session.connection()
    tags, attributes = json.dumps(customer.tags), json.dumps(customer.attributes)
    connection.execute(
        insert(CUSTOMERS), [{"id": customer.id, "tags": tags, "attributes": attributes, "erased_at": None, **times}]
    )
    write_customer_parts(unit.session, customer)
    for held in subscriptions:
        row = {"id": held.id, "customer": held.customer, "status": held.status.value, "start": held.start, **times}
        connection.execute(insert(SUBSCRIPTIONS), [row])
        write_subscription_parts(unit.session, held)
    unit.touch(customer.id)


ACME = Customer("acme", tags=("eu",), attributes={"region": "fr"})
SUB = Subscription("sub_1", "acme", SubscriptionStatus.ACTIVE, (SubscriptionItem("gold", 2),), start=5)


def test_a_change_appends_the_whole_record_of_each_customer_touched(store: Store) -> None:
    """The feed says what a customer has become."""
    store.change(lambda unit: add(unit, ACME, SUB), SYSTEM)
    (entry,) = store.read(lambda unit: read_after(unit.session, 0, 10))
    said = json.loads(entry.line)
    assert (said["position"], said["at"], said["customer"]) == (1, NOW, "acme")
    assert said["record"][1][0][:4] == ["sub_1", "acme", "active", [["gold", 2, None, None, -(2**62), 2**62]]]
    record = store.read(lambda unit: unit.record("acme"))
    assert record is not None
    assert record.subscriptions == (SUB,)


def test_the_chain_covers_every_line(store: Store) -> None:
    """The head's chain is what a reader computes from the lines."""
    store.change(lambda unit: add(unit, ACME), SYSTEM)
    store.change(lambda unit: add(unit, Customer("beta")), SYSTEM)
    chain = chain_start(store.id)
    for entry in store.read(lambda unit: read_after(unit.session, 0, 10)):
        chain = extend_chain(chain, line_digest(entry.line))
    head = store.read(lambda unit: unit.head())
    assert (head.position, head.chain) == (2, chain)


def test_a_failed_change_leaves_nothing(store: Store) -> None:
    """What raises is rolled back, audit log and feed included."""

    def fail(unit: WriteUnit) -> None:
        add(unit, ACME)
        unit.audit("editCustomer", "customer", "acme")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.change(fail, SYSTEM)
    assert store.read(lambda unit: unit.head()).position == 0
    assert store.read(lambda unit: unit.session.connection().execute(select(AUDIT)).all()) == []


def test_a_touch_that_changes_nothing_says_nothing(store: Store) -> None:
    """The feed grows by what is different."""
    store.change(lambda unit: add(unit, ACME), SYSTEM)
    store.change(lambda unit: unit.touch("acme"), SYSTEM)
    assert store.read(lambda unit: unit.head()).position == 1


def test_a_customer_who_is_gone_is_said_to_be_gone(store: Store) -> None:
    """A deletion is an entry whose record is null."""
    store.change(lambda unit: add(unit, ACME), SYSTEM)

    def remove(unit: WriteUnit) -> None:
        unit.touch("acme")
        unit.session.connection().execute(CUSTOMERS.delete())

    store.change(remove, SYSTEM)
    entries = store.read(lambda unit: read_after(unit.session, 1, 10))
    assert [json.loads(entry.line)["record"] for entry in entries] == [None]
    assert store.read(lambda unit: unit.session.connection().execute(select(RECORDS)).all()) == []


def test_a_store_keeps_its_id(tmp_path: Path) -> None:
    """Opening a store again finds the same store."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    ids = []
    for _ in range(2):
        store = Store.open(url, migrating=True)
        ids.append(store.id)
        store.close()
    assert len(set(ids)) == 1
