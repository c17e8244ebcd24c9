"""What was so at a position of the feed, and what is said where it is not known any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.control.feeds import publish, remove_customer, write
from tests.unit.store.clocks import DAY, START
from tiergate.control.background_jobs import Retention, apply_retention
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.errors import ConflictError, NotFoundError, NotKeptError
from tiergate.store import SYSTEM
from tiergate.store.erasure import erase_customer
from tiergate.store.history import publication_at, publication_at_position, record_at, record_at_position

if TYPE_CHECKING:
    from tests.unit.store.clocks import Time
    from tiergate.store import Store


def region(store: Store, customer: str, position: int) -> str | None:
    """Where a customer was at a position; none where it was not."""
    past = store.read(lambda unit: record_at_position(unit.session, customer, position))
    return None if past.record is None else past.record.customer.attributes.get("region", "")


def test_a_record_is_found_by_position(store: Store) -> None:
    """Everything up to the position has happened, and nothing after it; a clock does not enter into it."""
    write(store, "a", region="us")
    write(store, "b")
    write(store, "a", region="fr")
    store.change(lambda unit: remove_customer(unit, "a"), SYSTEM)
    write(store, "a", region="de")

    assert [region(store, "a", position) for position in range(6)] == [None, "us", "us", "fr", None, "de"]
    assert [region(store, "never", position) for position in range(6)] == [None] * 6


def test_a_position_that_the_feed_does_not_have_is_refused(store: Store) -> None:
    """It is another store's, or of one that was put back to an older state."""
    write(store, "a")

    with pytest.raises(ConflictError, match="ends at position 1"):
        region(store, "a", 2)


def test_a_publication_is_found_by_position(store: Store) -> None:
    """The last one up to it."""
    write(store, "a")
    publish(store, "a")
    write(store, "b")
    publish(store, "b")

    found = [store.read(lambda unit, to=to: publication_at_position(unit.session, to)) for to in (2, 3, 4)]  # type: ignore[misc]
    assert [(it.sequence, it.revision[7]) for it in found] == [(1, "a"), (1, "a"), (2, "b")]
    with pytest.raises(NotFoundError, match=r"no active publication at `2023-11-14T22:13:19\.999Z`"):
        store.read(lambda unit: publication_at(unit.session, START - 1))
    with pytest.raises(NotFoundError, match="no active publication at position `1`"):
        store.read(lambda unit: publication_at_position(unit.session, 1))


def test_what_is_not_kept_any_more_is_never_guessed(store: Store, time: Time) -> None:
    """That is: before the first entry that is left of a customer who was there before it."""
    write(store, "a", region="us")
    write(store, "b")
    time.now += 1
    write(store, "a", region="eu")
    time.now += 100 * DAY
    write(store, "c")
    Snapshots(store).create(4)
    apply_retention(store, time.now, Retention(30, 50))

    for position in (1, 2):
        with pytest.raises(NotKeptError):
            region(store, "a", position)
    with pytest.raises(NotKeptError):
        store.read(lambda unit: record_at(unit.session, "a", START - 1))
    assert [region(store, "a", position) for position in (3, 4)] == ["eu", "eu"]
    assert region(store, "b", 2) == "eu"
    assert [region(store, "c", position) for position in (1, 2, 3, 4)] == [None, None, None, "eu"]
    assert region(store, "never", 1) is None


def test_a_record_that_was_erased_says_so(store: Store) -> None:
    """What is left of it still says what was held."""
    write(store, "a", "b", region="us")
    store.change(lambda unit: erase_customer(unit, "a", tags=False), SYSTEM)

    erased, other = (store.read(lambda unit, name=name: record_at_position(unit.session, name, 2)) for name in "ab")  # type: ignore[misc]
    assert (erased.redacted, other.redacted) == (True, False)
    assert erased.record is not None
    assert erased.record.customer.attributes == {}
