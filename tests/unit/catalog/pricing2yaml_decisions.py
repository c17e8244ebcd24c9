"""Decisions about imported pricings, in the terms of any YAML reader."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from tiergate.model import FeatureType

if TYPE_CHECKING:
    from tiergate.model import Decision


def held_value(decision: Decision) -> object:
    """What the engine says that somebody holds, in the same terms; `None` for nothing."""
    entitlement = decision.entitlement
    if entitlement.unlimited is True:
        return math.inf
    value = entitlement.value
    if decision.type is FeatureType.QUANTITY and value is not msgspec.UNSET:
        return Fraction(str(value)) or None
    return value or None
