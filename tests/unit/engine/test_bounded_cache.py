from __future__ import annotations

from tiergate.engine import BoundedCache


def filled(entries: int = 3, size: int = 1_000) -> BoundedCache[str, int]:
    """A cache that holds `a`, `b` and `c`, of 50 bytes each."""
    cache: BoundedCache[str, int] = BoundedCache(entries, size)
    for value, key in enumerate("abc"):
        cache.put(key, value, 50)
    return cache


def test_what_was_put_is_found() -> None:
    """Hits and misses are counted."""
    cache = filled()
    assert [cache.get(key) for key in "abcd"] == [0, 1, 2, None]
    assert (cache.hits, cache.misses, len(cache), cache.bytes) == (3, 1, 3, 150)


def test_an_entry_that_was_not_used_makes_room_for_one_too_many() -> None:
    """A look counts as a use."""
    cache = filled()
    cache.get("a")
    cache.put("d", 3, 50)
    assert [cache.get(key) for key in "abcd"] == [0, None, 2, 3]
    assert cache.evictions == 1


def test_bytes_are_bounded_too() -> None:
    """As many make room as are needed."""
    cache = filled(entries=100, size=500)
    for place in range(7):
        cache.put(f"k{place}", place, 50)
    assert cache.bytes == 500
    cache.put("last", 9, 26)
    assert cache.bytes <= 500
    assert cache.evictions == 1
    assert cache.get("a") is None


def test_a_value_larger_than_a_tenth_is_not_kept() -> None:
    """It would drive out everything else; what it would replace goes."""
    cache = filled()
    cache.put("a", 7, 101)
    assert cache.get("a") is None
    assert len(cache) == 2
    cache.put("a", 7, 100)
    assert cache.get("a") == 7


def test_a_value_put_again_replaces_the_old_one() -> None:
    """With its size."""
    cache = filled()
    cache.put("a", 9, 70)
    assert cache.get("a") == 9
    assert (len(cache), cache.bytes, cache.evictions) == (3, 170, 0)


def test_a_cache_for_no_entries_keeps_nothing() -> None:
    """Caching can be turned off."""
    assert len(filled(entries=0)) == 0
    assert len(filled(size=0)) == 0


def test_an_offer_is_kept_from_the_second_time_on() -> None:
    """What is asked once and never again drives out nothing."""
    cache = filled()
    cache.offer("d", 3, 50)
    assert cache.get("d") is None
    assert cache.get("a") == 0
    cache.offer("d", 3, 50)
    assert cache.get("d") == 3


def test_offers_that_are_remembered_are_bounded() -> None:
    """After many others, an offer counts as the first again."""
    cache = filled(entries=3)
    cache.offer("d", 3, 50)
    for place in range(1_000):
        cache.offer(f"x{place}", 0, 50)
    cache.offer("d", 3, 50)
    assert cache.get("d") is None


def test_an_eviction_passes_over_what_was_used_but_not_for_long() -> None:
    """Even if every entry was used, one makes room; the next use of those that were passed over counts anew."""
    cache: BoundedCache[int, int] = BoundedCache(40, 10_000)
    for key in range(40):
        cache.put(key, key, 10)
        cache.get(key)
    cache.put(40, 40, 10)
    assert [key for key in range(41) if cache.get(key) is None] == [16]
    assert (len(cache), cache.bytes) == (40, 400)


def test_a_key_can_be_dropped() -> None:
    """And is as if it had never been there; one that is not there does not matter."""
    cache = filled()
    cache.drop("a")
    cache.drop("a")
    assert cache.get("a") is None
    assert len(cache) == 2


def test_everything_can_be_forgotten() -> None:
    """Offers too."""
    cache = filled()
    cache.offer("d", 3, 50)
    cache.clear()
    cache.offer("d", 3, 50)
    assert (len(cache), cache.bytes, cache.get("d")) == (0, 0, None)
