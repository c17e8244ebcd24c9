"""The domain as immutable values: features, items, subjects, checks and decisions. No I/O, no clock.

Values are :class:`msgspec.Struct`: one definition is the in-memory value, the compact record of a replica and the JSON
of a bundle.
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
from tiergate.model.calendar_units import CalendarUnit
from tiergate.model.catalog import Catalog, CatalogIndex, IndexedItem, Ladder, PlansPerSubscription, Rules
from tiergate.model.checks import (
    Check,
    Decision,
    Entitlement,
    Reason,
    ShownCaps,
    ShownValue,
    Source,
    Subject,
    SubjectType,
)
from tiergate.model.durations import DURATION_PATTERN, format_duration, parse_duration
from tiergate.model.features import (
    DEFAULT_LATE_MS,
    Batch,
    Caps,
    Combine,
    Draws,
    Feature,
    FeatureStatus,
    FeatureType,
    Metered,
    OfflineUse,
    SpendOrder,
    WindowAnchor,
)
from tiergate.model.instants import (
    BEGINNING,
    FIRST_INSTANT,
    FOREVER,
    LAST_INSTANT,
    Instant,
    Interval,
    format_instant,
    parse_instant,
)
from tiergate.model.items import Audience, AudienceType, Definition, Item, ItemKind, ItemStatus, Rollout
from tiergate.model.metered_usage import NO_METERED_USAGE, MeteredUsage
from tiergate.model.problems import Problem, Severity
from tiergate.model.service_levels import (
    MILLIONTHS,
    FeatureReports,
    ItemServiceLevel,
    ReportedStatus,
    Reporter,
    ReporterKind,
    ServiceLevel,
    Status,
    StatusAudience,
    StatusReport,
    StatusWindow,
)
from tiergate.model.subjects import (
    Customer,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
    Term,
)
from tiergate.model.thresholds import (
    MAX_PERCENT,
    MAX_THRESHOLDS,
    Threshold,
    parse_percent,
    sorted_thresholds,
    threshold_data,
)
from tiergate.model.value_text import format_value, parse_value
from tiergate.model.values import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Level,
    LimitKind,
    MeteredAmount,
    Per,
    Switch,
    Unlimited,
    Value,
)
