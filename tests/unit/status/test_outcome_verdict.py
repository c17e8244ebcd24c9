"""The status that services say by the last minutes: it begins and ends late, and does not flicker."""

from __future__ import annotations

import pytest

from tiergate.model import ServiceLevel, Status
from tiergate.status.outcome_verdict import LOOK_BACK, Verdict, verdict
from tiergate.status.outcomes import MINUTE_MS, Outcomes

LEVEL = ServiceLevel(availability=999_000, latency_ms=300)
NOW = 100 * MINUTE_MS
MINUTES = {
    "g": Outcomes(100),
    "d": Outcomes(100, 5),
    "s": Outcomes(100, 0, {300: 5}),
    "D": Outcomes(100, 50),
    "f": Outcomes(4, 4),  # fewer than say anything
}
OK, DEGRADED, DOWN = Status.OPERATIONAL, Status.DEGRADED, Status.DOWN


@pytest.mark.parametrize(
    ("minutes", "shown", "status", "begun"),
    [
        ("", OK, OK, None),
        ("ggggg", OK, OK, None),
        ("gggd", OK, OK, None),  # one may be chance
        ("ggdd", OK, DEGRADED, 2),
        ("ggsd", OK, DEGRADED, 2),
        ("dgd", OK, OK, None),
        ("ggD", OK, OK, None),
        ("gDD", OK, DOWN, 2),
        ("gdD", OK, DEGRADED, 2),
        ("gdDD", OK, DOWN, 2),
        ("d-d", OK, OK, None),  # a minute that says nothing is not bad
        ("fff", OK, OK, None),
        ("ddgg", DEGRADED, DEGRADED, None),
        ("ddggg", DEGRADED, OK, 3),
        ("ddgfgg", DEGRADED, OK, 4),
        ("ddg-g-g", DEGRADED, OK, 5),
        ("ddggd", DEGRADED, DEGRADED, None),
        ("dd" + "-" * (LOOK_BACK - 1), DEGRADED, DEGRADED, None),
        ("dd" + "-" * LOOK_BACK, DEGRADED, OK, LOOK_BACK),
        ("DDdd", DOWN, DOWN, None),
        ("DDddd", DOWN, DEGRADED, 3),
        ("DDggg", DOWN, OK, 3),
        ("DDgdg", DOWN, DEGRADED, 3),
        ("ddDD", DEGRADED, DOWN, 2),
        ("ddD", DEGRADED, DEGRADED, None),
    ],
)
def test_a_status_begins_and_ends_late(minutes: str, shown: Status, status: Status, begun: int | None) -> None:
    """`begun`: so many minutes ago, where the status is another than the one shown."""
    first = NOW - len(minutes) * MINUTE_MS
    known = {first + place * MINUTE_MS: MINUTES[one] for place, one in enumerate(minutes) if one != "-"}
    found = verdict(known, LEVEL, NOW, shown)
    if begun is None:
        assert found.status is status
    else:
        assert found == Verdict(status, NOW - begun * MINUTE_MS)
