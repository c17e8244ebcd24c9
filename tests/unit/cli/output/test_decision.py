"""Answers in words, for people."""

from __future__ import annotations

from tiergate.cli.output.decision import answer_rows, verdict
from tiergate.client.answers import Answer, Entitlement


def test_an_answer_from_before_there_was_data_does_not_say_what_is_held() -> None:
    """Nobody knows; and it is not that the source fell silent."""
    answer = Answer(
        allowed=False, reason="stale_data", feature="movies", type="", entitlement=Entitlement(), stale=True
    )

    assert verdict(answer) == "no: the data is too old to decide (stale_data)"
    assert answer_rows(answer) == [("entitlement", "unknown"), ("stale", "the sidecar has not loaded anything yet")]
