from __future__ import annotations

from tiergate.model import Feature, FeatureType
from tiergate.model.features import ACTIONS

SUPPORT = Feature(id="support", type=FeatureType.CUSTOM, labels=("email", "chat", "phone"))


def test_ranks_count_from_one_for_the_lowest_level() -> None:
    """The order of the labels is the order of the levels."""
    assert [SUPPORT.rank(label) for label in SUPPORT.labels] == [1, 2, 3]


def test_what_is_no_level_has_rank_zero() -> None:
    """Zero is below every level."""
    assert [SUPPORT.rank(label) for label in ("fax", "", "Email")] == [0, 0, 0]


def test_every_type_has_an_action_of_its_own() -> None:
    """A check of each type asks Cedar something else."""
    assert set(ACTIONS) == set(FeatureType)
    assert len(set(ACTIONS.values())) == len(FeatureType)
