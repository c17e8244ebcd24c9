"""The value of one feature in an entitlement or override (design, sections 1 and 2).

One type per meaning, so that a missing value is never read as unlimited.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Per(StrEnum):
    """Whether a number is multiplied by the quantity of its item."""

    UNIT = "unit"
    SUBSCRIPTION = "subscription"


class LimitKind(StrEnum):
    """Whether usage above the limit is denied (`hard`), or allowed and reported as overage (`soft`)."""

    HARD = "hard"
    SOFT = "soft"


class Switch(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """A switch: on, or explicitly off."""

    on: bool


class Amount(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """A quantity or range, in units of 10^-scale; `per` only if it differs from the default."""

    units: int
    per: Per | None = None


class MeteredAmount(Amount, frozen=True, array_like=True, tag="m"):
    """An amount of a metered quantity that does not follow its feature in what happens above the limit.

    `limit`: hard or soft. `overage_max`: units above a soft limit; `None`: any number.
    """

    limit: LimitKind = LimitKind.HARD
    overage_max: int | None = None


class Unlimited(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """The highest value of a quantity or range. It wins over every number."""


class AddedAmount(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """`{add: n}`: units in addition to the other entitlements; `per` as in `Amount`."""

    units: int
    per: Per | None = None


class Level(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """A level of a custom feature, by its label."""

    label: str


UNLIMITED = Unlimited()
"""The only value of `Unlimited`."""

Value = Switch | Amount | MeteredAmount | Unlimited | AddedAmount | Level
"""Every value that an entitlement may have."""
