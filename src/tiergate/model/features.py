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
"""Feature type → the Cedar action of its checks, which is also the name of the template for its entitlements."""


class FeatureStatus(StrEnum):
    """The lifecycle status of a feature."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Combine(StrEnum):
    """How the numbers of several entitlements are combined."""

    SUM = "sum"
    MAX = "max"


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """The allowed amounts of a quantity: at least `minimum` and a multiple of `increment`, in units, both ≥ 1."""

    minimum: int | None = None
    increment: int | None = None


class Caps(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits in addition to the entitlement, in units: for all subjects together, and for each user."""

    total: int | None = None
    per_user: int | None = None


class Metered(msgspec.Struct, frozen=True, omit_defaults=True):
    """Usage of this quantity is counted; it resets with each period, or never."""

    reset: CalendarUnit | None = None


class Feature(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One feature of the catalog.

    Numbers are in units of 10^-scale. `labels`: the levels of a custom feature, lowest first. `numbers`: the numbers
    that definitions of a quantity may give (`None`: any); `unlimited_level`: whether `unlimited` is allowed too.
    `across`: how the numbers of several subscriptions are combined.
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
        """Return the label that equals a text in the normal form C, also if the label was stored in another form."""
        if text in self.labels:
            return text
        return next((label for label in self.labels if to_nfc(label) == text), None)

    def rank(self, label: str) -> int:
        """Return the rank of a level, 1 for the lowest; 0 if the feature has no such level."""
        try:
            return self.labels.index(label) + 1
        except ValueError:
            return 0
