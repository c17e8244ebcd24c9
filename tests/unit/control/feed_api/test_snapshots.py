"""Snapshots: made once, kept for a while, and what the tables say."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, update

from tests.unit.control.feeds import publish, put_customer, remove_customer, write
from tiergate.bundle import read_snapshot_page
from tiergate.control.feed_api import snapshots as module
from tiergate.control.feed_api.snapshots import Snapshots, StoredSnapshot
from tiergate.errors import NotFoundError
from tiergate.model import SubjectRecord
from tiergate.store import SYSTEM, Store
from tiergate.store.snapshots import snapshots as listed
from tiergate.store.tables import BLOBS, FEED_HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.store import WriteUnit


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store, on either database."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


def records(made: Snapshots, offer: StoredSnapshot) -> list[SubjectRecord]:
    """All that a snapshot holds."""
    found = [record for entry in offer.manifest.pages for record in read_snapshot_page(made.page(entry.sha256), entry)]
    assert all(isinstance(record, SubjectRecord) for record in found), "a record cannot be read"
    return [record for record in found if isinstance(record, SubjectRecord)]


def blob_count(store: Store) -> int:
    """How many blobs there are."""
    query = select(func.count()).select_from(BLOBS)
    return store.read(lambda unit: unit.session.connection().execute(query).scalar_one())


def many(store: Store, count: int) -> None:
    """Write many customers at once."""

    def work(unit: WriteUnit) -> None:
        for number in range(count):
            put_customer(unit, f"c{number:05}")

    store.change(work, SYSTEM)


def test_a_snapshot_of_an_empty_store_is_empty(store: Store) -> None:
    """There is one even before anything was written."""
    made = Snapshots(store)
    assert made.newest() is None
    offer = made.create(0)
    assert (offer.manifest.position, offer.manifest.pages, offer.publication) == (0, (), 0)
    assert made.newest() == offer


def test_a_snapshot_is_what_the_tables_say_at_its_position(store: Store) -> None:
    """All that is there, nothing that is gone, with the publication then in force."""
    write(store, "b", "a", "gone")
    store.change(lambda unit: remove_customer(unit, "gone"), SYSTEM)
    publish(store)
    made = Snapshots(store)
    offer = made.create(1)
    head = store.read(lambda unit: unit.head())
    assert (offer.manifest.position, offer.manifest.chain, offer.publication) == (head.position, head.chain, 1)
    assert records(made, offer) == [store.read(lambda unit, id_=id_: unit.record(id_, public=True)) for id_ in "ab"]  # type: ignore[misc]
    assert (offer.manifest.customers, offer.manifest.subscriptions) == (2, 0)


def test_nothing_is_made_that_is_there_already(store: Store) -> None:
    """A snapshot that reaches the position that is asked for is given again."""
    write(store, "a", "b")
    made = Snapshots(store)
    offer = made.create(1)
    write(store, "c")
    assert made.create(2) == offer
    assert made.create(3).manifest.position == 3


def test_one_is_made_where_many_ask_at_once(store_url: str) -> None:
    """Threads and control planes wait for the first, and take its snapshot."""
    stores = [Store.open(store_url) for _ in range(3)]
    write(stores[0], "a")
    offers: list[StoredSnapshot] = []

    def make(one: Store) -> None:
        offers.append(Snapshots(one).create(1))

    threads = [threading.Thread(target=make, args=(one,)) for one in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({offer.sha256 for offer in offers}) == 1
    assert len(stores[0].read(lambda unit: listed(unit.session))) == 1
    for one in stores:
        one.close()


def test_two_are_kept_and_what_the_others_alone_had_is_removed(store: Store) -> None:
    """A sidecar that is loading the one before can go on."""
    made = Snapshots(store)
    before = blob_count(store)
    for number in range(1, 5):
        write(store, f"c{number}")
        made.create(number)
    assert [entry.position for entry in store.read(lambda unit: listed(unit.session))] == [4, 3]
    assert blob_count(store) == before + 4  # two manifests, two pages


def test_snapshots_share_the_pages_in_which_nothing_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pages end depends on the ids alone."""
    monkeypatch.setattr(module, "_LEAST", 10)
    monkeypatch.setattr(module, "_CUT", 20)
    many(store, 400)
    made = Snapshots(store)
    first = made.create(1)
    write(store, "c00200a")
    second = made.create(401)
    old, new = set(first.manifest.pages), set(second.manifest.pages)
    assert len(old) > 10
    assert len(new - old) == 1
    assert len(records(made, second)) == 401


def test_a_snapshot_from_before_the_floor_is_neither_offered_nor_kept(store: Store) -> None:
    """What was taken out of the feed must not be had from a snapshot."""
    write(store, "a")
    made = Snapshots(store)
    offer = made.create(1)
    write(store, "b")
    raise_floor_to(store, 2)
    assert made.newest() is None
    made.remove_outdated()
    for entry in offer.manifest.pages:
        with pytest.raises(NotFoundError):
            made.page(entry.sha256)
    assert made.create(2).manifest.position == 2


def raise_floor_to(store: Store, floor: int) -> None:
    """Have the feed begin after a position."""
    query = update(FEED_HEAD).values(floor=floor)
    store.change(lambda unit: unit.session.connection().execute(query), SYSTEM)
