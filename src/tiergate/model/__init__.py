"""The domain as frozen values: features, items, subjects, checks and decisions. No I/O, no clock.

Values are :class:`msgspec.Struct` so that the same definition is the in-memory value, the replica's compact
record and the JSON of the bundle; nothing is mapped twice.
"""

from tiergate.model.amounts import (
    MAX_EDGE_UNITS,
    MAX_SCALE,
    MAX_TOTAL_UNITS,
    Number,
    ScaleError,
    format_units,
    from_units,
    to_units,
)
from tiergate.model.calendar_units import ResetPeriod
from tiergate.model.catalog import Catalog, CatalogIndex, IndexedItem, Ladder, PlanRule, Rules
from tiergate.model.checks import (
    Check,
    Decision,
    Entitlement,
    Reason,
    Source,
    Subject,
    SubjectType,
)
from tiergate.model.features import Batch, Caps, Combine, Feature, FeatureStatus, FeatureType, Metered
from tiergate.model.instants import (
    BEGINNING,
    FOREVER,
    Instant,
    Interval,
    format_instant,
    parse_instant,
)
from tiergate.model.items import Audience, AudienceType, Definition, Item, ItemKind, ItemStatus, Rollout
from tiergate.model.problems import Problem, Severity
from tiergate.model.subjects import (
    Customer,
    HeldItem,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionStatus,
    Suspension,
    Term,
)
from tiergate.model.value_text import format_value, parse_value
from tiergate.model.values import UNLIMITED, Amount, Extra, Given, Level, Per, Unlimited, Value

__all__ = [
    "BEGINNING",
    "FOREVER",
    "MAX_EDGE_UNITS",
    "MAX_SCALE",
    "MAX_TOTAL_UNITS",
    "UNLIMITED",
    "Amount",
    "Audience",
    "AudienceType",
    "Batch",
    "Caps",
    "Catalog",
    "CatalogIndex",
    "Check",
    "Combine",
    "Customer",
    "Decision",
    "Definition",
    "Entitlement",
    "Extra",
    "Feature",
    "FeatureStatus",
    "FeatureType",
    "Given",
    "HeldItem",
    "IndexedItem",
    "Instant",
    "Interval",
    "Item",
    "ItemKind",
    "ItemStatus",
    "Ladder",
    "Level",
    "Metered",
    "Number",
    "Override",
    "OverrideMode",
    "Per",
    "PlanRule",
    "Problem",
    "Reason",
    "ResetPeriod",
    "Rollout",
    "Rules",
    "ScaleError",
    "Severity",
    "Source",
    "Subject",
    "SubjectRecord",
    "SubjectType",
    "Subscription",
    "SubscriptionStatus",
    "Suspension",
    "Term",
    "Unlimited",
    "Value",
    "format_instant",
    "format_units",
    "format_value",
    "from_units",
    "parse_instant",
    "parse_value",
    "to_units",
]
