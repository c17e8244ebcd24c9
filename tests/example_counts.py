"""How much of a long test `make test` runs: a few examples, so that it takes minutes; the others are `slow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


def seeds(few: int, total: int) -> list[int | ParameterSet]:
    """Parameters 0 to `total` - 1, of which those from `few` on run in `make test-slow` only."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(few, total))]


def part_of_examples(divisor: int) -> int:
    """The examples of the profile, divided, for a property whose examples take long: two at least."""
    return max(2, settings().max_examples // divisor)
