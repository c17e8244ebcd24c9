from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tiergate.sidecar.response_cache import ResponseCache


@dataclass
class Thing:
    """Something to remember."""

    name: str
    weight: int = 10


def test_what_was_put_is_found() -> None:
    """Under its own key and no other."""
    memo: ResponseCache[Thing] = ResponseCache(300)
    thing = Thing("a")
    memo.put(b"a", thing)

    assert (memo.get(b"a"), memo.get(b"b")) == (thing, None)


def test_a_memo_without_room_remembers_nothing() -> None:
    """That is how it is turned off."""
    memo: ResponseCache[Thing] = ResponseCache(0)
    memo.put(b"a", Thing("a"))

    assert memo.get(b"a") is None


def test_what_weighs_too_much_is_not_remembered() -> None:
    """It would drive out everything else."""
    memo: ResponseCache[Thing] = ResponseCache(300)
    memo.put(b"small", Thing("small"))
    memo.put(b"large", Thing("large", 101))

    assert (memo.get(b"large"), memo.get(b"small")) == (None, Thing("small"))


def test_what_is_asked_for_outlives_what_is_not() -> None:
    """A lookup in the old half brings an entry into the young one."""
    memo: ResponseCache[Thing] = ResponseCache(300)
    memo.put(b"wanted", Thing("wanted"))
    memo.put(b"unwanted", Thing("unwanted"))
    for turn in range(40):
        memo.put(b"%d" % turn, Thing(str(turn)))
        memo.get(b"wanted")

    assert memo.get(b"wanted") is not None
    assert memo.get(b"unwanted") is None


def test_clearing_forgets_at_once() -> None:
    """Nothing is found any more, though it is freed little by little."""
    memo: ResponseCache[Thing] = ResponseCache(3_000)
    for place in range(50):
        memo.put(b"%d" % place, Thing(str(place)))
    memo.clear()

    assert (len(memo), memo.size, memo.get(b"1")) == (0, 0, None)


def test_what_was_cleared_is_freed_by_what_comes() -> None:
    """A few buried entries go with each new one, until none is left."""
    memo: ResponseCache[Thing] = ResponseCache(3_000)
    for place in range(50):
        memo.put(b"%d" % place, Thing(str(place)))
    memo.clear()
    for place in range(20):
        memo.put(b"new %d" % place, Thing(str(place)))

    assert not memo._buried


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "get", "drop", "clear"]), st.integers(0, 12), st.integers(1, 120)),
        max_size=120,
    )
)
def test_a_memo_is_a_forgetful_mapping_within_its_bounds(steps: list[tuple[str, int, int]]) -> None:
    """It finds the newest value or none, never more than its limit, and its size is the weight of what it finds."""
    memo: ResponseCache[Thing] = ResponseCache(600)
    model: dict[bytes, Thing] = {}
    for action, name, weight in steps:
        key = b"%d" % name
        if action == "put":
            model[key] = Thing(f"{name} {weight}", weight)
            memo.put(key, model[key])
        elif action == "get":
            found = memo.get(key)
            assert found is None or found is model[key]
        elif action == "drop":
            memo.drop(key)
            model.pop(key, None)
        else:
            memo.clear()
            model.clear()
        held = {**memo._old, **memo.young}
        assert sum(thing.weight for thing in held.values()) == memo.size <= 600
        buried = sum(thing.weight for half in memo._buried for thing in half.values())
        assert memo.size + buried <= 600
