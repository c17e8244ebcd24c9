"""What was asked recently is known again; what was asked long ago is not."""

from __future__ import annotations

from tiergate.sidecar import recent_keys
from tiergate.sidecar.recent_keys import RecentKeys


def test_a_key_is_known_from_its_second_use_on() -> None:
    """Other keys do not matter."""
    keys = RecentKeys()
    assert [keys.add(key) for key in (b"a", b"b", b"a", b"a", b"b")] == [False, False, True, True, True]


def test_no_more_than_two_halves_are_remembered() -> None:
    """The older half is dropped as a whole."""
    keys, half = RecentKeys(), recent_keys._PER_HALF
    for number in range(2 * half):
        assert not keys.add(b"%d" % number)
    assert keys.add(b"%d" % half)
    assert not keys.add(b"0")
