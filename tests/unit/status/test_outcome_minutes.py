"""Sums of many minutes, most of them packed, against a plain dictionary."""

from __future__ import annotations

import random

from tiergate.status.outcome_minutes import Minutes, MinuteSum
from tiergate.status.outcomes import MINUTE_MS, Outcomes


def test_packed_minutes_are_as_others() -> None:
    """Whatever is added, taken and dropped, in whatever order."""
    choose = random.Random(3)
    minutes = Minutes()
    plain: dict[tuple[int, str], Outcomes] = {}
    for _ in range(3_000):
        match choose.randrange(40):
            case 0:
                first = sorted(plain)[: choose.randrange(20)]
                taken = minutes.take(len(first))
                assert [(one.minute, one.feature, one.outcomes) for one in taken] == [
                    (*it, plain.pop(it)) for it in first
                ]
            case 1:
                before = choose.randrange(20) * MINUTE_MS
                gone = [it for it in plain if it[0] < before]
                assert minutes.drop(before) == sum(plain.pop(it).requests for it in gone)
            case 2:
                oldest = min((minute for minute, _ in plain), default=None)
                assert minutes.oldest == oldest
                minutes.drop_oldest()
                plain = {it: outcomes for it, outcomes in plain.items() if it[0] != oldest}
            case _:
                minute, feature = choose.randrange(60) * MINUTE_MS, choose.choice("abc")
                one = Outcomes(choose.randrange(1, 9), 0, choose.choice([{}, {300: 1}, {100: 2, 300: 1}]))
                minutes.add(MinuteSum.of(feature, minute, one))
                plain[minute, feature] = plain.get((minute, feature), Outcomes()) + one
        assert minutes.count == len(plain)
    assert {(one.minute, one.feature): one.outcomes for one in minutes} == plain
    searched = {one.minute: one.outcomes for one in minutes.search("b", 30 * MINUTE_MS) if one is not None}
    assert searched == {it[0]: outcomes for it, outcomes in plain.items() if it[1] == "b" and it[0] >= 30 * MINUTE_MS}
