"""How far back the feed goes, and what of it is history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from tests.unit.control.feeds import publish, write
from tests.unit.store.clocks import DAY
from tiergate.control.background_jobs import Retention, apply_retention
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.store import SYSTEM
from tiergate.store.idempotency import IdempotencyKey, StoredResponse, store_response
from tiergate.store.tables import FEED, IDEMPOTENCY

if TYPE_CHECKING:
    from tests.unit.store.clocks import Time
    from tiergate.store import Store


def positions(store: Store) -> list[int]:
    """The entries that are there."""
    query = select(FEED.c.position).order_by("position")
    return list(store.read(lambda unit: unit.session.connection().execute(query).scalars().all()))


def floor(store: Store) -> int:
    """Where the feed begins."""
    return store.read(lambda unit: unit.head().floor)


def test_the_feed_begins_where_it_was_so_many_days_ago(store: Store, time: Time) -> None:
    """Readers who were away for longer begin with the snapshot that there is."""
    write(store, "a", "b")
    time.now += 31 * DAY
    write(store, "c")
    Snapshots(store).create(3)
    apply_retention(store, time.now, Retention())
    assert floor(store) == 2
    assert positions(store) == [1, 2, 3]


def test_the_feed_always_goes_back_to_every_snapshot(store: Store, time: Time) -> None:
    """Who is sent away finds a snapshot to go on from, whatever its age."""
    write(store, "a", "b")
    apply_retention(store, time.now + 400 * DAY, Retention())
    assert floor(store) == 0
    snapshots = Snapshots(store)
    snapshots.create(2)
    write(store, "c")
    snapshots.create(3)
    apply_retention(store, time.now + 400 * DAY, Retention())
    assert floor(store) == 2
    assert snapshots.newest() is not None


def test_history_keeps_what_held_at_its_beginning(store: Store, time: Time) -> None:
    """Of each customer the last entry before the kept time stays, and nothing that a later one superseded then."""
    write(store, "a", "b", region="us")
    publish(store)
    write(store, "a", region="eu")
    time.now += 100 * DAY
    write(store, "a", region="fr")
    Snapshots(store).create(5)
    apply_retention(store, time.now, Retention(30, 50))
    assert positions(store) == [2, 4, 5]


def test_answers_kept_for_requests_sent_again_are_forgotten(store: Store, time: Time) -> None:
    """After a day."""
    key, answer = IdempotencyKey("me", "k", "00"), StoredResponse(200, {}, b"")
    store.change(lambda unit: store_response(unit, key, answer), SYSTEM)
    table = IDEMPOTENCY
    for days, left in ((0, 1), (2, 0)):
        apply_retention(store, time.now + days * DAY, Retention())
        assert len(store.read(lambda unit: unit.session.connection().execute(select(table)).all())) == left
