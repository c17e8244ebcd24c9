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
    "feature-not-given": "an active feature that no item gives",
    "gives-nothing": "a plan or an add-on that gives nothing",
    "ids-differ-by-case": "two ids that differ by upper and lower case only",
    "limit-below-minimum": "a plan whose limit is below the least amount that can be taken",
    "linked-limit-missing": "a plan that gives a switch, but no linked limit",
    "linked-limit-zero": "a limit of zero that is linked to a given switch",
    "not-enforced": "a setting that is not enforced yet",
    "no-rollout-for-everybody": "an item that some customers get no version of",
    "plan-not-sellable": "a plan that depends on something that nobody can buy",
    "plan-contained": "a plan that gives no more than one that looks cheaper",
    "range-summed": "a range with `combine: sum` in a plan",
    "same-entitlements": "two items that give the same",
    "share-of-nobody": "a rollout to a share of 0 percent",
    "version-not-rolled-out": "a highest version that nobody gets",
}
"""Code → meaning; docs/reference/lint.md explains more."""


class Finding(NamedTuple):
    """A warning for the catalog's author; `key` locates it, as in `CatalogPositions`."""

    key: tuple[str | int, ...]
    code: str
    message: str
