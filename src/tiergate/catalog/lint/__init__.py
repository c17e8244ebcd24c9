"""Warnings about a valid catalog that its author probably did not intend. `CODES` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.lint.addons import lint_addons
from tiergate.catalog.lint.features import lint_features
from tiergate.catalog.lint.findings import CODES
from tiergate.catalog.lint.granted_amounts import current_definition, grants_by_feature
from tiergate.catalog.lint.items import lint_items
from tiergate.catalog.lint.linked_limits import lint_linked
from tiergate.catalog.lint.metering import lint_metering
from tiergate.catalog.lint.plans import lint_plans
from tiergate.catalog.lint.rollouts import lint_rollouts
from tiergate.catalog.lint.service_levels import lint_service_levels
from tiergate.model import Problem, Severity

if TYPE_CHECKING:
    from tiergate.catalog.loader import LoadedCatalog
    from tiergate.catalog.reading.document import Position


def lint(loaded: LoadedCatalog) -> list[Problem]:
    """Return all warnings about a catalog, sorted by position.

    Compares the versions of the last rollouts to everybody.
    """
    catalog, positions = loaded.catalog, loaded.positions

    def place(item: str) -> Position:
        return positions.find("item", item) or ("", 0, 0)

    granted = {
        item.id: grants_by_feature(current_definition(item), catalog.features) for item in catalog.items.values()
    }
    findings = [
        *lint_features(catalog),
        *lint_items(catalog, granted, place),
        *lint_plans(catalog, granted, place),
        *lint_linked(catalog),
        *lint_metering(catalog, granted),
        *lint_addons(catalog, granted),
        *lint_rollouts(catalog),
        *lint_service_levels(catalog, granted),
    ]
    return sorted(
        Problem(*(positions.find(*finding.key) or ("", 0, 0)), finding.code, finding.message, Severity.WARNING)
        for finding in findings
    )
