"""Features: what a product can offer (design, sections 1 and 2)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.model.calendar_units import CalendarUnit
from tiergate.model.subjects import Suspension
from tiergate.text_normalization import to_nfc


class FeatureType(StrEnum):
    """The type of a feature; it never changes after creation."""

    SWITCH = "switch"
    QUANTITY = "quantity"
    RANGE = "range"
    CUSTOM = "custom"


ACTIONS: dict[FeatureType, str] = {
    FeatureType.SWITCH: "use",
    FeatureType.QUANTITY: "consume",
    FeatureType.RANGE: "set",
    FeatureType.CUSTOM: "choose",
}
"""The Cedar action that a check of each type asks for, and the name of the template for its entitlements."""


class FeatureStatus(StrEnum):
    """Where a feature stands in its life."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Combine(StrEnum):
    """How the numbers that several entitlements give become one."""

    SUM = "sum"
    MAX = "max"


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a quantity is taken: at least `minimum` and a multiple of `increment`, both in units, both ≥ 1."""

    minimum: int | None = None
    increment: int | None = None


class Caps(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits beside the entitlement, in units: for everybody together, and for each user."""

    total: int | None = None
    per_user: int | None = None


class Metered(msgspec.Struct, frozen=True, omit_defaults=True):
    """Usage is counted for this quantity; it starts again with each period, or never."""

    reset: CalendarUnit | None = None


class Feature(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One feature of the catalog.

    Numbers are in units of 10^-scale. `levels` are labels for a custom feature, lowest first; for a quantity the
    numbers that definitions may give, `None` meaning that any may, with `unlimited_level` saying whether
    `unlimited` is among them. `across`: how the numbers of several subscriptions become one.
    """

    id: str
    type: FeatureType
    name: str = ""
    description: str = ""
    status: FeatureStatus = FeatureStatus.ACTIVE
    unit: str = ""
    scale: int = 0
    tags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    numbers: tuple[int, ...] | None = None
    unlimited_level: bool = True
    combine: Combine = Combine.SUM
    minimum: int | None = None
    maximum: int | None = None
    batch: Batch = Batch()
    caps: Caps = Caps()
    metered: Metered | None = None
    linked: tuple[str, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    across: Combine = Combine.SUM

    def label_of(self, text: str) -> str | None:
        """The label that a text in the normal form C names: the same, or one that was stored before in another form."""
        if text in self.labels:
            return text
        return next((label for label in self.labels if to_nfc(label) == text), None)

    def rank(self, label: str) -> int:
        """The place of a level, 1 for the lowest; 0 where the feature has no such level."""
        try:
            return self.labels.index(label) + 1
        except ValueError:
            return 0
