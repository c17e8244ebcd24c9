"""The book of outcomes of one sidecar: sums, batches, ids."""

from __future__ import annotations

from tests.outcome_books import found
from tiergate.status.outcome_book import (
    ID_TTL_MS,
    Begun,
    BookRecord,
    Counted,
    Delivered,
    Dropped,
    OutcomeBook,
    Pending,
    RecentIds,
    Sealed,
    decode_record,
    digest_of_id,
    encode_record,
)
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS

ONE, TWO = 60 * MINUTE_MS, 61 * MINUTE_MS


def book(*records: BookRecord) -> OutcomeBook:
    """A book of these records, each as the journal gives it back."""
    made = OutcomeBook(10)
    for record in records:
        made.apply(decode_record(encode_record(record)))
    return made


def counted(*sums: MinuteSum) -> Counted:
    """Sums that were counted."""
    return Counted(sums)


def test_one_batch_at_a_time_has_the_oldest_sums_and_a_name_that_stays() -> None:
    """What is counted meanwhile waits; the same batch stays until it is delivered, whatever starts in between."""
    made = book(
        Begun("a"),
        counted(MinuteSum("b", TWO, 1), MinuteSum("b", ONE, 2), MinuteSum("a", ONE, 3)),
        counted(MinuteSum("a", ONE, 4, 1, ((300, 2),))),
        Sealed(2),
        counted(MinuteSum("a", ONE, 1)),
        Sealed(),
        Begun("b"),
    )
    first = Pending("a", 1, (MinuteSum("a", ONE, 7, 1, ((300, 2),)), MinuteSum("b", ONE, 2)))
    assert made.pending == first
    assert (made.undelivered, made.oldest_undelivered) == (4, ONE)
    made.apply(Delivered())
    made.apply(Sealed())
    assert made.pending == Pending("b", 1, (MinuteSum("a", ONE, 1), MinuteSum("b", TWO, 1)))
    assert found(made, "a", ONE) == [MinuteSum("a", ONE, 8, 1, ((300, 2),))]
    assert found(made, "b", ONE + 1) == [MinuteSum("b", TWO, 1)]


def test_nothing_to_seal_makes_no_batch_and_no_number() -> None:
    """An empty batch is not sent, and a second delivery of one changes nothing."""
    made = book(Begun("a"), Sealed(), Delivered(), counted(MinuteSum("a", ONE, 1)), Sealed())
    assert made.pending == Pending("a", 1, (MinuteSum("a", ONE, 1),))


def test_a_snapshot_makes_the_same_book() -> None:
    """With its batch, what waits, what was delivered, and the ids."""
    made = book(
        Begun("a"),
        Counted((MinuteSum("a", ONE, 1, 0, ((5, 1),)),), (digest_of_id("a", "1"),), 5),
        Sealed(),
        Delivered(),
        Counted((MinuteSum("a", ONE, 2),), (digest_of_id("a", "2"),), 6),
        Sealed(),
        counted(MinuteSum("a", TWO, 3)),
    )
    again = book(*made.freeze())
    assert (again.source, again.number, again.pending) == ("a", 2, made.pending)
    assert list(again.waiting) == list(made.waiting)
    assert list(again.delivered) == list(made.delivered)
    assert digest_of_id("a", "1") in again.ids
    assert digest_of_id("a", "2") in again.ids
    assert digest_of_id("b", "2") not in again.ids


def test_old_minutes_are_given_up_and_delivered_ones_forgotten() -> None:
    """What waits is dropped by a record, and counted; what was delivered goes by age and number."""
    made = book(counted(MinuteSum("a", ONE, 5), MinuteSum("a", TWO, 1)), Dropped(TWO))
    assert (made.dropped, made.undelivered) == (5, 1)
    made = book(counted(*(MinuteSum("a", minute * MINUTE_MS, 1) for minute in range(10))), Sealed(), Delivered())
    made.prune_delivered(2 * MINUTE_MS, 5)
    assert [one.minute // MINUTE_MS for one in made.delivered] == [5, 6, 7, 8, 9]


def test_ids_are_known_for_an_hour_and_at_most_so_many() -> None:
    """At least the newest half of them; what is forgotten before its time is counted."""
    ids = RecentIds(10)
    ids.add([b"%d" % number for number in range(5)], ID_TTL_MS)
    ids.add([b"5"], ID_TTL_MS + 1)
    assert b"0" in ids
    assert (len(ids), ids.forgotten_early) == (6, 0)
    ids.add([b"%d" % number for number in range(6, 11)], ID_TTL_MS + 2)
    assert b"0" not in ids
    assert b"5" in ids
    assert ids.forgotten_early == 5
    ids.add([b"x"], 3 * ID_TTL_MS)
    ids.add([b"y"], 5 * ID_TTL_MS)
    assert b"5" not in ids
    assert (len(ids), ids.forgotten_early) == (2, 5)
