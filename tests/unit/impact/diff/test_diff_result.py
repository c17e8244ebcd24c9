"""Which of two levels is more, where both sides have levels of their own."""

from __future__ import annotations

import pytest

from tiergate.impact.diff.diff_result import classify_change
from tiergate.impact.single_subject_engine import EntitlementValue
from tiergate.model import Feature, FeatureType


@pytest.mark.parametrize(
    ("levels", "held", "becomes", "holds", "kind"),
    [
        ("ab", "a", "ab", "b", "more"),
        ("ab", "b", "ab", "a", "less"),
        ("ab", "b", "a", "a", "less"),
        ("a", "a", "ab", "b", "more"),
        ("ab", "b", "ac", "c", "other"),
        ("ab", "a", "ba", "b", "other"),
        ("ab", "b", "ba", "a", "other"),
        ("a", "a", "b", "b", "other"),
    ],
)
def test_levels_are_compared_by_what_may_be_asked_for(
    levels: str, held: str, becomes: str, holds: str, kind: str
) -> None:
    """More is what includes all that was allowed; a level that is gone, or stands elsewhere, is allowed no more."""
    old, new = (Feature(id="f", type=FeatureType.CUSTOM, labels=tuple(it)) for it in (levels, becomes))
    assert classify_change(EntitlementValue(held), EntitlementValue(holds), old, new) == kind
