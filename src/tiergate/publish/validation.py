"""Validate that a catalog may replace the published one: edit rules, references, and what customers have.

Only changes are validated. The readers of files check values, so that what is published could come from a file. Only
customers who have something that changes can matter, and they are read only if their totals could be too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.publish.catalog_change import CatalogChange
from tiergate.publish.feature_validation import validate_features
from tiergate.publish.item_validation import validate_item_references, validate_ladders, validate_versions
from tiergate.publish.subject_validation import validate_subscribed_items, validate_totals

if TYPE_CHECKING:
    from tiergate.model import Catalog, Problem
    from tiergate.publish.catalog_change import SourcePositions
    from tiergate.store import ReadUnit


def validate_catalog(unit: ReadUnit, old: Catalog, new: Catalog, positions: SourcePositions) -> list[Problem]:
    """Return the problems that prevent replacing `old` by `new`, sorted by position."""
    change = CatalogChange.between(unit, old, new, positions)
    problems = {
        *validate_features(change),
        *validate_item_references(change),
        *validate_versions(change),
        *validate_ladders(change),
        *validate_subscribed_items(change),
    }
    return sorted(problems) or sorted(validate_totals(change))
