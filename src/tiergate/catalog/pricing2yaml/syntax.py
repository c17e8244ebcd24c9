"""The words of the Pricing2Yaml format, versions 1.0 to 3.1: keys, value types, periods.

Source: the specification of the format, https://github.com/isa-group/sphere-docs, `Pricing2Yaml/versions`. Later
versions only add keys, except for `version`: up to 2.0 it is the version of the syntax, from 2.1 on that of the
pricing, and `syntaxVersion` is that of the syntax. So one set of keys serves all versions. Many keys are about prices
and pages; they are listed so that a misspelt key can be reported.
"""

from __future__ import annotations

from enum import StrEnum

from tiergate.model import CalendarUnit

SYNTAX_VERSIONS = ("1.0", "1.1", "2.0", "2.1", "3.0", "3.1")
"""The published versions of the format."""

PRICING_KEYS = frozenset(
    {
        *("syntaxVersion", "version", "saasName", "createdAt", "url", "tags", "custom"),
        *("currency", "billing", "variables", "hasAnnualPayment", "day", "month", "year", "starts", "ends"),
        *("features", "usageLimits", "plans", "addOns"),
    }
)
"""The keys of a pricing."""

FEATURE_KEYS = frozenset(
    {
        *("description", "type", "tag", "valueType", "defaultValue", "expression", "serverExpression", "render"),
        *("automationType", "integrationType", "docUrl", "docURL"),
        *("pricingUrls", "pricingURLs", "pricingsUrls", "pricingsURLs"),  # each is found in published pricings
    }
)
"""The keys of a feature."""

LIMIT_KEYS = frozenset(
    {
        *("description", "type", "valueType", "defaultValue", "unit", "period", "trackable", "linkedFeatures"),
        "render",
    }
)
"""The keys of a usage limit."""

PLAN_KEYS = frozenset(
    {
        *("description", "private", "isPrivate", "unit", "price", "monthlyPrice", "annualPrice"),
        *("features", "usageLimits"),
    }
)
"""The keys of a plan."""

ADD_ON_KEYS = PLAN_KEYS | {
    *("availableFor", "dependsOn", "excludes"),
    *("usageLimitsExtensions", "subscriptionConstraints"),
}
"""The keys of an add-on."""

VALUE_KEYS = frozenset({"value"})
"""The keys of a plan's or add-on's value of one feature or limit."""

PERIOD_KEYS = frozenset({"value", "unit"})
"""The keys of the period of a renewable limit."""


class ValueType(StrEnum):
    """The type of a feature's or limit's value."""

    BOOLEAN = "BOOLEAN"
    NUMERIC = "NUMERIC"
    TEXT = "TEXT"


class LimitType(StrEnum):
    """The type of a limit."""

    NON_RENEWABLE = "NON_RENEWABLE"
    RENEWABLE = "RENEWABLE"
    TIME_DRIVEN = "TIME_DRIVEN"
    RESPONSE_DRIVEN = "RESPONSE_DRIVEN"


_MONTH = 30 * 86_400
_YEAR = 365 * 86_400

PERIOD_LENGTHS = {"SEC": 1, "MIN": 60, "HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800, "MONTH": _MONTH, "YEAR": _YEAR}
"""The units of a period, in seconds, as in the specification."""

RESETS = {
    3_600: CalendarUnit.HOUR,
    86_400: CalendarUnit.DAY,
    604_800: CalendarUnit.WEEK,
    _MONTH: CalendarUnit.MONTH,
    _YEAR: CalendarUnit.YEAR,
}
"""The lengths, in seconds, of one calendar unit each."""
