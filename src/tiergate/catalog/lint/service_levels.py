"""Findings about service levels of features, and of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog.lint.findings import Finding
from tiergate.model import from_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.catalog.lint.granted_amounts import Granted
    from tiergate.model import Catalog, ServiceLevel

_PERCENT_DIGITS: Final = 4


def lint_service_levels(catalog: Catalog, granted: Granted) -> Iterator[Finding]:
    """Check promises that nobody gets, that contradict themselves, or that are less than the feature promises."""
    for feature in catalog.features.values():
        if feature.service_level is not None:
            yield from _limits(("feature", feature.id), f"`{feature.id}`", feature.service_level)
    for item in catalog.items.values():
        key = ("item", item.id)
        for id_, own in item.service_levels.items():
            general = catalog.features[id_].service_level
            level = own.promise(general)
            if id_ not in granted[item.id]:
                message = f"`{item.id}` promises a service level of `{id_}`, which it does not give"
                yield Finding(key, "service-level-not-given", message)
            if level is None:
                continue
            if own.degraded is not None or own.down is not None:
                yield from _limits(key, f"`{id_}` in `{item.id}`", level)
            if level == general:
                message = f"`{item.id}` promises of `{id_}` what the feature promises anyway"
                yield Finding(key, "service-level-repeated", message)
            elif general is not None:
                for how in _weaker(level, general):
                    message = f"`{item.id}` promises less of `{id_}` than the feature promises to everybody: {how}"
                    yield Finding(key, "service-level-weaker", message)


def _limits(key: tuple[str | int, ...], whose: str, level: ServiceLevel) -> Iterator[Finding]:
    if level.down < level.degraded:
        message = (
            f"a minute of {whose} is down from {level.down} %, which is less than the {level.degraded} % from which it "
            "is degraded"
        )
        yield Finding(key, "service-level-down-below-degraded", message)


def _weaker(own: ServiceLevel, general: ServiceLevel) -> Iterator[str]:
    """Yield in which ways a promise is less than another, where they can be compared."""
    if own.availability < general.availability:
        yield f"{_percent(own)} instead of {_percent(general)}"
    if general.latency_ms is not None and own.latency_ms is not None and own.latency_ms > general.latency_ms:
        yield f"{own.latency_ms} ms instead of {general.latency_ms} ms"
    if own.spent_by.rank > general.spent_by.rank:
        yield f"only `{own.spent_by}` spends the budget, not `{general.spent_by}` too"


def _percent(level: ServiceLevel) -> str:
    return f"{from_units(level.availability, _PERCENT_DIGITS)} %"
