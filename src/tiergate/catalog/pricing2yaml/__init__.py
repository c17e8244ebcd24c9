"""Import pricings in the Pricing2Yaml format: plans, features, limits and add-ons become one catalog.

`conversion` maps the parts, `identifiers` makes the ids, `scalars` and `syntax` define the format's words;
docs/how-to/import-pricings.md explains it for users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.checks.item_references import Holdability
from tiergate.catalog.pricing2yaml.conversion import Converted, convert
from tiergate.catalog.pricing2yaml.reader import read_pricing
from tiergate.catalog.reading.document import shorten
from tiergate.catalog.reading.problem_report import ProblemLog
from tiergate.errors import ImportSourceError
from tiergate.model import Catalog, Feature, Item

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiergate.catalog.pricing2yaml.pricing import Pricing

_MAX_PROBLEMS = 10_000
_SHOWN_IDS = 3


def import_pricings(paths: Sequence[Path], *, prefix: bool = False) -> Catalog:
    """Import Pricing2Yaml files, versions 1.0 to 3.1 of the format, into one catalog.

    With `prefix`, every id begins with the service and the version of its pricing, so that several pricings can
    coexist. The result does not depend on the order of the files.

    Raises:
        ImportSourceError: with all problems of all files, sorted by position: files that are not pricings, wrong
            references, values that the model does not support, and ids that several files use.
    """
    log = ProblemLog(_MAX_PROBLEMS)
    pricings = [pricing for path in paths if (pricing := read_pricing(path, log)) is not None]
    if prefix:
        for pricing in pricings:
            _check_prefix(pricing)
    log.raise_any(ImportSourceError)
    merged = _Merged()
    for pricing in pricings:
        converted = convert(pricing, prefix=prefix)
        _check_holdable(pricing, converted)
        merged.add(pricing, converted)
    log.raise_any(ImportSourceError)
    return Catalog(dict(sorted(merged.features.items())), dict(sorted(merged.items.items())))


def _check_prefix(pricing: Pricing) -> None:
    if not pricing.service:
        pricing.report.add(0, "missing-key", "the prefix needs the key `saasName`")
    if not pricing.version:
        pricing.report.add(0, "missing-key", "the prefix needs the key `version` or `createdAt`")


def _check_holdable(pricing: Pricing, converted: Converted) -> None:
    holdability = Holdability(converted.items)
    for item in converted.items.values():
        obstacle = holdability.obstacle(item)
        if obstacle:
            pricing.report.add(converted.places["item", item.id], "unsatisfiable", obstacle)


class _Merged:
    """The features and items of the files so far, and the file of each."""

    def __init__(self) -> None:
        self.features: dict[str, Feature] = {}
        self.items: dict[str, Item] = {}
        self._pricings: dict[tuple[str, str], Pricing] = {}

    def add(self, pricing: Pricing, converted: Converted) -> None:
        """Add the content of one file; report ids that earlier files use, once per earlier file."""
        taken: dict[str, list[tuple[int, str, str]]] = {}
        for (what, id_), place in converted.places.items():
            first = self._pricings.setdefault((what, id_), pricing)
            if first is not pricing:
                taken.setdefault(first.report.source.file, []).append((place, what, id_))
        for file, collisions in taken.items():
            collisions.sort()
            shown = ", ".join(f"the {what} `{shorten(id_)}`" for _, what, id_ in collisions[:_SHOWN_IDS])
            more = f" and {len(collisions) - _SHOWN_IDS} more" if len(collisions) > _SHOWN_IDS else ""
            verb = "exists" if len(collisions) == 1 else "exist"
            message = f"{shown}{more} {verb} already in {file}: import with a prefix, or each file by itself"
            pricing.report.add(collisions[0][0], "duplicate-id", message)
        self.features.update(converted.features)
        self.items.update(converted.items)
