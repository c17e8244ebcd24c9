"""Features: what a product can offer (design, sections 1 and 2)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tiergate.model.calendar_units import CalendarUnit
from tiergate.model.service_levels import ServiceLevel
from tiergate.model.subjects import Suspension
from tiergate.model.thresholds import Threshold
from tiergate.model.values import LimitKind
from tiergate.text_normalization import to_nfc


class FeatureType(StrEnum):
    """The type of a feature; it never changes after creation."""

    SWITCH = "switch"
    QUANTITY = "quantity"
    RANGE = "range"
    CUSTOM = "custom"


COUNTED = (FeatureType.QUANTITY, FeatureType.RANGE)
"""The types whose values are numbers."""

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


class WindowAnchor(StrEnum):
    """What the windows of metered usage are counted from (design, section 10).

    `calendar`: the calendar of the time zone. `subscription`: the anchor of the subscription that gives the feature.
    `first_use`: a window begins with the first consumption after the last window ended.
    """

    CALENDAR = "calendar"
    SUBSCRIPTION = "subscription"
    FIRST_USE = "first_use"


class SpendOrder(StrEnum):
    """What is spent first: the allowance of the window, or grants."""

    ALLOWANCE_FIRST = "allowance_first"
    GRANTS_FIRST = "grants_first"


class OfflineUse(StrEnum):
    """What a sidecar does with a consumption that it has no lease for, while it cannot reach its control plane."""

    DENY = "deny"
    ALLOW = "allow"


DEFAULT_LATE_MS = 3 * 24 * 3600 * 1000
"""How long after the end of its window usage is still accepted, in milliseconds, if a feature does not say: 3 days."""


class Metered(msgspec.Struct, frozen=True, omit_defaults=True):
    """How usage of a quantity is counted (design, section 10).

    It resets every `every` (at least 1) of `reset`, or never, by the clocks of `timezone` (an IANA name), counted from
    `anchor`. `overage_max`: units above a soft limit; `None`: any number. `rollover_max`: how many units of a window's
    unused allowance become a grant for the next window, at most; 0: none. `late`: milliseconds after the end of its
    window in which usage is still accepted. `offline`: `None` stands for `deny` with a hard limit, `allow` with a soft.
    `thresholds`: the levels at which somebody is told, in their order, unless a customer has others.
    """

    reset: CalendarUnit | None = None
    every: int = 1
    anchor: WindowAnchor = WindowAnchor.CALENDAR
    timezone: str = "UTC"
    limit: LimitKind = LimitKind.HARD
    overage_max: int | None = None
    rollover_max: int = 0
    late: int = DEFAULT_LATE_MS
    spend: SpendOrder = SpendOrder.ALLOWANCE_FIRST
    offline: OfflineUse | None = None
    thresholds: tuple[Threshold, ...] = ()


class Draws(msgspec.Struct, frozen=True, omit_defaults=True):
    """A consumption of one whole unit of this feature also consumes `cost` units (10^-scale) of the feature `source`.

    `source` is a metered quantity that draws on nothing itself, such as credits. What a consumption costs is rounded up
    to a whole unit (10^-scale) of the source.

    INVARIANT (scale of a cost): `scale` is the source's, so that a feature can be written without its source.
    """

    source: str
    cost: int
    scale: int = 0


class Feature(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One feature of the catalog.

    Numbers are in units of 10^-scale. `labels`: the levels of a custom feature, lowest first. `numbers`: the numbers
    that definitions of a quantity may give (`None`: any); `unlimited_level`: whether `unlimited` is allowed too.
    `across`: how the numbers of several subscriptions are combined. `service_level`: what is promised of it; no bundle
    has it, because no decision depends on it.
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
    draws: Draws | None = None
    linked: tuple[str, ...] = ()
    suspensions: tuple[Suspension, ...] = ()
    across: Combine = Combine.SUM
    service_level: ServiceLevel | None = None

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
