from __future__ import annotations

import pytest

from tiergate.cedar import CedarResult
from tiergate.engine.shapes.answer_table import Answer
from tiergate.engine.shapes.rechecks import Difference, Rechecks
from tiergate.model import Reason


@pytest.mark.parametrize(("one_in", "least", "most"), [(0, 0, 0), (1, 5_000, 5_000), (10, 400, 600), (10**9, 0, 1)])
def test_a_share_is_due(one_in: int, least: int, most: int) -> None:
    """About one in so many, in no rhythm."""
    rechecks = Rechecks(one_in)
    assert least <= sum(rechecks.is_due() for _ in range(5_000)) <= most


def test_rechecks_and_differences_are_counted() -> None:
    """Differences are reported."""
    reported: list[Difference] = []
    rechecks = Rechecks(1, reported.append)
    difference = Difference("seats", Answer(True, (), False, Reason.GRANTED), CedarResult(False, (), ()))
    rechecks.count(None)
    rechecks.count(difference)
    assert (rechecks.checked, rechecks.differences, reported) == (2, 1, [difference])
