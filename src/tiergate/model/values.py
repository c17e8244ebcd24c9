"""What an entitlement or an override says of one feature (design, sections 1 and 2).

One type per meaning, so that nothing is ever read as unlimited because it is missing.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Per(StrEnum):
    """Whether a number is multiplied by the quantity of the item that gives it."""

    UNIT = "unit"
    SUBSCRIPTION = "subscription"


class Switch(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A switch: on, or, explicitly, not."""

    on: bool


class Amount(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """A quantity or range, in units of 10^-scale; `per` only where the author departs from the default."""

    units: int
    per: Per | None = None


class Unlimited(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """The top of a quantity or range. Wins over every number and stays."""


class AddedAmount(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """`{add: n}`: units on top of what the other entitlements give; `per` as in `Amount`."""

    units: int
    per: Per | None = None


class Level(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """A level of a custom feature, by its label."""

    label: str


UNLIMITED = Unlimited()
"""The one value of `Unlimited`."""

Value = Switch | Amount | Unlimited | AddedAmount | Level
"""Everything that an entitlement may say."""
