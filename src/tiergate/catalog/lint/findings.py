"""The codes of lint, stable for filters, and findings before they become problems."""

from __future__ import annotations

from typing import Final, NamedTuple

CODES: Final = {
    "add-on-not-sellable": "an add-on or a charge that nobody can buy",
    "add-on-without-effect": "an add-on that gives nothing to those who can buy it",
    "archived-feature-given": "a newer version gives an archived feature that the one before did not",
    "batch-below-increment": "a minimum amount that is not a multiple of the increment",
    "broken-ladder": "a plan of a ladder that gives less than the plan below it",
    "cap-without-effect": "a cap per user above the total cap",
    "dead-rollout": "a rollout that a later one always overrules",
    "draws-on-draft": "an active feature that draws on a draft",
    "feature-not-given": "an active feature that no item gives",
    "gives-nothing": "a plan or an add-on that gives nothing",
    "ids-differ-by-case": "two ids that differ by upper and lower case only",
    "limit-below-minimum": "a plan whose limit is below the least amount that can be taken",
    "limit-repeated": "an entitlement with a `limit` of its own that is the feature's anyway",
    "linked-limit-missing": "a plan that gives a switch, but no linked limit",
    "linked-limit-zero": "a limit of zero that is linked to a given switch",
    "no-rollout-for-everybody": "an item that some customers get no version of",
    "plan-contained": "a plan that gives no more than one that looks cheaper",
    "plan-not-sellable": "a plan that depends on something that nobody can buy",
    "range-summed": "a range with `combine: sum` in a plan",
    "same-entitlements": "two items that give the same",
    "service-level-down-below-degraded": "a minute that is down from a lower percentage than the one for degraded",
    "service-level-not-given": "an item that promises a service level of a feature that it does not give",
    "service-level-repeated": "an item that promises what the feature promises anyway",
    "service-level-weaker": "an item that promises less than the feature promises to everybody",
    "share-of-nobody": "a rollout to a share of 0 percent",
    "soft-limit-zero": "a soft limit of 0",
    "source-below-cost": "a plan that gives less of what a feature draws on than its least use costs",
    "source-missing": "a plan that gives a feature, but nothing of what it draws on",
    "threshold-above-hard-limit": "a threshold above 100 % of a limit that is hard",
    "time-zone-without-effect": "a `timezone` of hours that are counted from the subscription or the first use",
    "version-not-rolled-out": "a highest version that nobody gets",
}
"""Code → meaning; docs/reference/lint.md explains more."""


class Finding(NamedTuple):
    """A warning for the catalog's author; `key` locates it, as in `CatalogPositions`."""

    key: tuple[str | int, ...]
    code: str
    message: str
