"""Outcomes in the store: added once for each batch, read by minute, deleted."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tiergate.model import parse_instant
from tiergate.status.outcome_minutes import MinuteSum
from tiergate.status.outcomes import MINUTE_MS, Outcomes
from tiergate.store import SYSTEM, Store
from tiergate.store.outcomes import (
    HOUR_MS,
    SOURCE_MS,
    add_batch,
    drop_hours,
    drop_sources,
    minutes_of,
    minutes_of_all,
)

if TYPE_CHECKING:
    from tiergate.model import Instant

HOUR = parse_instant("2026-11-30T14:00:00Z")
LAST_MINUTE = HOUR + 59 * MINUTE_MS


def add(store: Store, source: str, number: int, *sums: MinuteSum) -> bool:
    """Add a batch, in a transaction of its own."""
    return store.change(lambda unit: add_batch(unit, source, number, sums), SYSTEM, brief=True)


def read(store: Store, feature: str, start: Instant = 0, until: Instant = HOUR * 2) -> dict[Instant, Outcomes]:
    """The minutes of a feature."""
    return store.read(lambda unit: minutes_of(unit, feature, start, until))


def test_a_batch_is_added_once_and_batches_add_up(store: Store) -> None:
    """A batch that comes again, late or twice, changes nothing; others add to the same minutes."""
    first = MinuteSum("calls", HOUR, 10, 1, ((300, 2),))
    assert add(store, "a", 1, first, MinuteSum("calls", LAST_MINUTE, 5), MinuteSum("calls", HOUR + HOUR_MS, 3))
    assert not add(store, "a", 1, first)
    assert add(store, "a", 2, MinuteSum("calls", HOUR, 4, 4), MinuteSum("movies", HOUR, 1))
    assert not add(store, "a", 1, first)
    assert add(store, "b", 1, MinuteSum("calls", HOUR, 1, 0, ((300, 1),)))
    assert read(store, "calls") == {
        HOUR: Outcomes(15, 5, {300: 3}),
        LAST_MINUTE: Outcomes(5),
        HOUR + HOUR_MS: Outcomes(3),
    }
    assert read(store, "movies") == {HOUR: Outcomes(1)}


def test_a_number_may_be_left_out_because_a_store_is_restored_from_a_backup(store: Store) -> None:
    """What follows is added; what came before the restored state and is gone is not asked for again."""
    assert add(store, "a", 7, MinuteSum("calls", HOUR, 1))
    assert not add(store, "a", 6, MinuteSum("calls", HOUR, 1))
    assert add(store, "a", 8, MinuteSum("calls", HOUR, 1))
    assert read(store, "calls") == {HOUR: Outcomes(2)}


def test_minutes_are_read_from_one_to_another_and_bad_hours_alone(store: Store) -> None:
    """Ends of a span are those of minutes; hours without a failure or a slow request can be left out."""
    sums = (MinuteSum("calls", HOUR + place * MINUTE_MS, place + 1, 0) for place in range(4))
    add(store, "a", 1, *sums, MinuteSum("movies", HOUR, 2, 0, ((100, 1),)), MinuteSum("seats", HOUR, 2, 2))
    assert list(read(store, "calls", HOUR + 1, HOUR + 3 * MINUTE_MS)) == [HOUR + MINUTE_MS, HOUR + 2 * MINUTE_MS]
    bad = store.read(lambda unit: list(minutes_of_all(unit, HOUR, HOUR + HOUR_MS, only_bad=True)))
    assert bad == [("movies", HOUR, Outcomes(2, 0, {100: 1})), ("seats", HOUR, Outcomes(2, 2))]
    chosen = store.read(lambda unit: list(minutes_of_all(unit, HOUR, HOUR + 1, features=["calls", "seats"])))
    assert chosen == [("calls", HOUR, Outcomes(1)), ("seats", HOUR, Outcomes(2, 2))]


def test_old_hours_and_sources_are_deleted(store: Store) -> None:
    """Hours go when they have ended before the instant; sources when they have been silent for long."""
    add(store, "a", 1, MinuteSum("calls", HOUR, 1), MinuteSum("calls", HOUR + HOUR_MS, 1))
    assert store.change(lambda unit: drop_hours(unit, HOUR + HOUR_MS - 1), SYSTEM) == 0
    assert store.change(lambda unit: drop_hours(unit, HOUR + HOUR_MS), SYSTEM) == 1
    assert list(read(store, "calls")) == [HOUR + HOUR_MS]
    now = store.clock()
    assert store.change(lambda unit: drop_sources(unit, now + SOURCE_MS - HOUR_MS), SYSTEM) == 0
    assert store.change(lambda unit: drop_sources(unit, now + SOURCE_MS + HOUR_MS), SYSTEM) == 1


def test_two_control_planes_take_batches_in_at_once(store_url: str) -> None:
    """Of several sidecars, about the same minutes, and some of them twice: nothing is lost or doubled."""
    planes = [Store.open(store_url) for _ in range(2)]
    features = [f"f{number}" for number in range(5)]
    sums = [MinuteSum(feature, HOUR + minute * MINUTE_MS, 1) for feature in features for minute in (0, 59, 60)]

    def deliver(sidecar: int) -> None:
        chosen = random.Random(sidecar)
        for number in range(1, 9):
            for _ in range(chosen.choice([1, 1, 2])):
                add(chosen.choice(planes), f"sidecar {sidecar}", number, *chosen.sample(sums, len(sums)))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(deliver, sidecar) for sidecar in range(4)]:
            done.result(60)
    for feature in features:
        assert read(planes[0], feature) == {HOUR + minute * MINUTE_MS: Outcomes(4 * 8) for minute in (0, 59, 60)}
    for plane in planes:
        plane.close()
