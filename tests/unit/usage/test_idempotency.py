from __future__ import annotations

from random import Random

from tiergate.usage.idempotency import DIGEST_BYTES, KEY_TTL_MS, KeptKey, KeptKeys, KeyRecord, digest_of, key_of


def test_keys_of_different_sources_are_different() -> None:
    """A key is unique in its source only, however the two are put together."""
    assert len({key_of("a", "b"), key_of("", "ab"), key_of("ab", ""), key_of("b", "a")}) == 4
    assert key_of("a", "b") == key_of("a", "b")


def test_a_key_is_known_for_24_hours() -> None:
    """From the instant at which it was kept."""
    keys = KeptKeys()
    keys.keep(b"k", KeptKey(b"d", 1_000, b"answer"))
    assert keys.find(b"k", 1_000 + KEY_TTL_MS - 1) == KeptKey(b"d", 1_000, b"answer")
    assert keys.find(b"k", 1_000 + KEY_TTL_MS) is None


def test_pruning_forgets_old_keys_only() -> None:
    """The oldest are first. Several are forgotten together, if that is a small part of them."""
    keys = KeptKeys(capacity=16)
    for number in range(4):
        keys.keep(b"%d" % number, KeptKey(b"", number, b""))
    keys.prune(KEY_TTL_MS + 1)
    assert [key for key, _ in keys] == [b"2", b"3"]
    assert keys.forgotten_early == 0


def test_too_many_keys_forget_the_oldest_and_count_that() -> None:
    """Memory is bounded, and an operator can see that the time is shorter."""
    keys = KeptKeys(capacity=2)
    for number in range(5):
        keys.keep(b"%d" % number, KeptKey(b"", number, b""))
    assert [key for key, _ in keys] == [b"3", b"4"]
    assert keys.forgotten_early == 3


def test_a_key_that_is_kept_again_is_the_youngest() -> None:
    """It took the place of an outdated one."""
    keys = KeptKeys(capacity=2)
    for key in (b"a", b"b", b"a", b"c"):
        keys.keep(key, KeptKey(b"", 0, b""))
    assert [key for key, _ in keys] == [b"a", b"c"]


def test_many_keys_are_what_one_dictionary_makes_of_them() -> None:
    """Whatever is kept, kept again, and forgotten; answers too, which are compressed."""
    seed = Random(7)
    keys, model = KeptKeys(capacity=400), dict[bytes, KeptKey]()
    for step in range(3_000):
        key = b"%d" % seed.randrange(500)
        if seed.random() < 0.2:
            keys.forget(key)
            model.pop(key, None)
        else:
            kept = KeptKey(b"%d" % step, step, b"answer %d" % step * seed.randrange(5))
            keys.keep(key, kept)
            model.pop(key, None)
            model[key] = kept
        while len(model) > len(keys):
            del model[next(iter(model))]
        assert len(keys) <= 400
    assert dict(keys) == model
    assert list(keys) == list(model.items())
    assert {key: keys.find(key, 3_000) for key in model} == model
    assert keys.forgotten_early > 0


def test_frozen_keys_stay_as_they_were() -> None:
    """While others are kept and the oldest forgotten: for snapshots, which another thread writes."""
    keys = KeptKeys(capacity=64)
    for number in range(60):
        keys.keep(b"%d" % number, KeptKey(b"", number, b"%d" % number))
    expected, frozen = list(keys), keys.freeze()
    found = [next(frozen) for _ in range(10)]
    for number in range(60, 160):
        keys.keep(b"%d" % number, KeptKey(b"", number, b"%d" % number))
    assert [*found, *frozen] == expected


def test_a_key_of_the_ledger_may_stand_for_several_contents() -> None:
    """If sidecars acknowledged both before they could know."""
    first, second = digest_of(b"1"), digest_of(b"2")
    assert len(first) == DIGEST_BYTES
    assert KeyRecord(b"k", first + second, 0).contents == (first, second)
