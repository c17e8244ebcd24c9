"""What was asked recently is known again; what was asked long ago is not."""

from __future__ import annotations

from tiergate.engine.recent_keys import RecentKeys


def test_a_key_is_known_from_its_second_use_on() -> None:
    """Keys of other slots do not matter; a number is its own hash."""
    keys = RecentKeys(1_024)
    assert [keys.add(key) for key in (1, 2, 1, 1, 2)] == [False, False, True, True, True]


def test_a_key_is_forgotten_when_another_takes_its_slot() -> None:
    """So the memory is bounded. The slots are a power of two."""
    keys = RecentKeys(1_000)
    assert [keys.add(key) for key in (1, 1_001, 1, 1_025, 1)] == [False, False, True, False, False]


def test_as_many_keys_as_slots_are_remembered() -> None:
    """If each has its own."""
    keys = RecentKeys(8)
    assert not any(keys.add(key) for key in range(1, 9))
    assert all(keys.add(key) for key in range(1, 9))


def test_everything_can_be_forgotten() -> None:
    """As at the beginning."""
    keys = RecentKeys(8)
    keys.add(1)
    keys.clear()
    assert not keys.add(1)
