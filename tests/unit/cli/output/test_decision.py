"""Answers in words, for people."""

from __future__ import annotations

from tiergate.cli.output.decision import answer_rows, verdict
from tiergate.client.answers import Answer, Entitlement
from tiergate.model import ShownCaps


def test_an_answer_from_before_there_was_data_does_not_say_what_is_held() -> None:
    """Nobody knows; and it is not that the source fell silent."""
    answer = Answer(
        allowed=False, reason="stale_data", feature="movies", type="", entitlement=Entitlement(), stale=True
    )

    assert verdict(answer) == "no: the data is too old to decide (stale_data)"
    assert answer_rows(answer) == [("entitlement", "unknown"), ("stale", "the sidecar has not loaded anything yet")]


def test_caps_stand_beside_the_limit() -> None:
    """Those that there are, in words."""
    held = Entitlement(unlimited=True, used=50, caps=ShownCaps(1000, 10))
    answer = Answer(allowed=False, reason="cap_reached", feature="q", type="quantity", entitlement=held, stale=False)
    shown = "unlimited, 50 used, at most 1000 by everybody together, at most 10 per user"
    assert answer_rows(answer) == [("entitlement", shown)]
    one = Answer(
        allowed=True, reason="granted", feature="q", type="quantity", stale=False,
        entitlement=Entitlement(value=5, used=0, remaining=5, caps=ShownCaps(per_user=2)),
    )  # fmt: skip
    assert answer_rows(one) == [("entitlement", "5, 0 used, 5 remaining, at most 2 per user")]
