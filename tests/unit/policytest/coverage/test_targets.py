from __future__ import annotations

import pytest

from tiergate.model import AddedAmount, Amount, Feature, FeatureType, LimitKind, Metered, MeteredAmount, Per
from tiergate.policytest.coverage.targets import Aspect, mutate_value

CALLS = Feature(id="calls", type=FeatureType.QUANTITY, metered=Metered())


@pytest.mark.parametrize(
    "value",
    [
        Amount(5, Per.UNIT),
        AddedAmount(5, Per.SUBSCRIPTION),
        MeteredAmount(5, Per.UNIT, LimitKind.SOFT, 3),
        MeteredAmount(5, None, LimitKind.HARD),
    ],
)
def test_a_mutated_number_differs_in_its_units_alone(value: Amount | AddedAmount) -> None:
    """One less or one more; how it is multiplied, and what happens above it, stay."""
    less, more = (mutate_value(aspect, value, CALLS, 9) for aspect in (Aspect.LIMIT, Aspect.BEYOND))
    for mutated, units in ((less, 4), (more, 6)):
        assert type(mutated) is type(value)
        assert isinstance(mutated, Amount | AddedAmount)
        assert mutated.units == units
        assert [getattr(mutated, name) for name in type(value).__struct_fields__ if name != "units"] == [
            getattr(value, name) for name in type(value).__struct_fields__ if name != "units"
        ]
