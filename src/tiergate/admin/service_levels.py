"""Service levels as people see them: of one feature over any interval, and all of them in a list.

Durations and budgets are whole milliseconds, availability is an exact percentage.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.admin.service_level_figures import Standing, Wanted, compute, wanted_promise
from tiergate.catalog.entries.service_levels import PERCENT_DIGITS
from tiergate.catalog.writing.service_levels import service_level_data
from tiergate.errors import NotFoundError, ParameterError
from tiergate.model import FIRST_INSTANT, MILLIONTHS, Interval, ServiceLevel, format_instant, from_units
from tiergate.naming import nearest
from tiergate.status.promises import PromiseKey, target_at
from tiergate.status.windows import window_at
from tiergate.store.service_levels import read_promises

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiergate.model import Instant
    from tiergate.status.figures import Target
    from tiergate.store import ReadUnit

MAX_PLACE: Final = 100_000
"""How many service levels can be paged through."""

_NOTHING: Final = ServiceLevel(availability=0)
"""Its windows, months in UTC, are those of a feature of which nothing is promised."""

_SHARE_DIGITS: Final = 6


class LevelOrder(StrEnum):
    """The order of a list."""

    FEATURE = "feature"
    BUDGET_LEFT = "budget_left"


class PromisedBy(StrEnum):
    """Whose promises are listed: those of features, to everybody, or those of items."""

    FEATURE = "feature"
    ITEM = "item"


class LevelFilter(NamedTuple):
    """Conditions on service levels, all of which must hold; empty and none are no conditions.

    `features`: one of these; `tags`: all of them, of the feature. `at`: an instant in the windows; by default now.
    """

    features: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    item: str | None = None
    promised_by: PromisedBy | None = None
    kept: bool | None = None
    at: Instant | None = None


class Windows:
    """The windows of service levels; each is computed once."""

    def __init__(self) -> None:
        """No window is known yet."""
        self._known: dict[tuple[object, ...], Interval] = {}

    def at(self, level: ServiceLevel, instant: Instant) -> Interval:
        """Return the window of a service level that contains an instant."""
        key = (level.window, level.every, level.timezone)
        known = self._known.get(key)
        if known is None or not known.contains(instant):
            known = self._known[key] = window_at(level, instant)
        return known


def feature_service_level(
    unit: ReadUnit,
    feature: str,
    item: str | None = None,
    *,
    start: Instant | None = None,
    until: Instant | None = None,
    at: Instant | None = None,
) -> dict[str, object]:
    """Return how what is promised of a feature, or by an item, is kept over an interval.

    By default that of the window that contains `at`, or now.

    Raises:
        NotFoundError: there is no such feature or item, now or in what was promised.
        ParameterError: the interval is empty, or begins later than now.
    """
    promises = read_promises(unit.session.connection(), [feature])
    _require_known(unit, promises, feature, item)
    key = PromiseKey(feature, item or "")
    if start is None and until is None:
        instant = unit.now if at is None else at
        targets = wanted_promise(promises, key, Interval()).targets
        target = target_at(targets, instant)
        window = window_at(_NOTHING if target is None else target.service_level or _NOTHING, instant)
    else:
        window = _interval(unit, start, until)
    if (window.start if at is None else at) > unit.now:
        raise ParameterError("from" if at is None else "at", "must not be later than now")
    (standing,) = compute(unit, [wanted_promise(promises, key, window)])
    return standing_data(standing)


def _interval(unit: ReadUnit, start: Instant | None, until: Instant | None) -> Interval:
    """Return the interval of a request: until now if it has no end, and since a day before its end without a start."""
    end = unit.now if until is None else until
    begin = end - 24 * 3_600_000 if start is None else start
    if begin >= end:
        raise ParameterError("until", "must be after `from`")
    return Interval(max(begin, FIRST_INSTANT), end)


def _require_known(
    unit: ReadUnit, promises: Mapping[PromiseKey, Sequence[Target]], feature: str, item: str | None
) -> None:
    catalog = unit.published.catalog
    if feature not in catalog.features and not promises:
        raise NotFoundError("feature", feature, nearest(feature, catalog.features))
    if item is not None and item not in catalog.items and PromiseKey(feature, item) not in promises:
        public = (it.id for it in catalog.items.values() if not it.private_to)
        raise NotFoundError("item", item, nearest(item, public))


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def list_service_levels(unit: ReadUnit, wanted: LevelFilter) -> list[Standing]:
    """Return how promises are kept in the windows that contain an instant, by feature and item.

    Raises:
        ParameterError: the instant is later than now.
    """
    at = unit.now if wanted.at is None else wanted.at
    if at > unit.now:
        raise ParameterError("at", "must not be later than now")
    listed = promises_at(unit, wanted, at)
    standings = compute(unit, listed, of_all=not (wanted.features or wanted.tags or wanted.item))
    if wanted.kept is None:
        return standings
    return [it for it in standings if it.figures.kept is wanted.kept]


def promises_at(unit: ReadUnit, wanted: LevelFilter, at: Instant) -> list[Wanted]:
    """Return what is promised at an instant, each with the window that contains it, by feature and item."""
    promises = read_promises(unit.session.connection(), wanted.features or None)
    windows = Windows()
    return [
        wanted_promise(promises, key, windows.at(target.service_level, at))
        for key, targets in promises.items()
        if is_wanted(unit, key, wanted)
        and (target := target_at(targets, at)) is not None
        and target.service_level is not None
    ]


def is_wanted(unit: ReadUnit, key: PromiseKey, wanted: LevelFilter) -> bool:
    """Return whether a promise meets the conditions, but for the instant and whether it is kept."""
    if wanted.features and key.feature not in wanted.features:
        return False
    if wanted.item is not None and key.item != wanted.item:
        return False
    if wanted.promised_by is not None and (wanted.promised_by is PromisedBy.ITEM) is not bool(key.item):
        return False
    if wanted.tags:
        feature = unit.published.catalog.features.get(key.feature)
        return feature is not None and set(wanted.tags) <= set(feature.tags)
    return True


def sorted_by_budget(standings: Sequence[Standing]) -> list[Standing]:
    """Return those with the smallest part of their budget left first; of an empty one that is spent, nothing is."""
    return sorted(standings, key=_budget_order)


def _budget_order(standing: Standing) -> tuple[float, str, str]:
    budget = standing.budget
    share = 0.0 if budget is None else budget.share_spent
    if share is None:
        share = float("inf") if budget is not None and budget.spent else 0.0
    return -share, *standing.key


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def standing_data(standing: Standing) -> dict[str, object]:
    """Return the answer about one promise."""
    figures, budget = standing.figures, standing.budget
    data: dict[str, object] = {"feature": standing.key.feature}
    if standing.key.item:
        data["item"] = standing.key.item
    data |= {
        "from": format_instant(standing.window.start),
        "until": format_instant(standing.window.until),
        "measured_until": format_instant(standing.until),
    }
    if standing.level is not None:
        data["service_level"] = service_level_data(standing.level)
    data["durations_ms"] = {name: getattr(figures.durations, name) for name in figures.durations.__struct_fields__}
    if figures.availability is not None:
        data["availability"] = percent_of(figures.availability)
    if figures.kept is not None:
        data["kept"] = figures.kept
    if budget is not None:
        data["budget"] = _budget_data(standing)
    rates = burn_rates(standing)
    return data | {"burn_rates": rates} if rates else data


def _budget_data(standing: Standing) -> dict[str, object]:
    budget = standing.budget
    if budget is None:
        return {}
    data: dict[str, object] = {
        "allowed_ms": budget.allowed // MILLIONTHS,
        "spent_ms": budget.spent,
        "left_ms": budget.left,
    }
    share = budget.share_spent
    return data if share is None else data | {"spent_share": round(share, _SHARE_DIGITS)}


def burn_rates(standing: Standing) -> dict[str, float]:
    """Return how fast the budget burns, in the window and in the last hours; 1 spends exactly all of it."""
    found = {"window": standing.figures} | standing.recent()
    return {name: round(it.burn_rate, _SHARE_DIGITS) for name, it in found.items() if it.burn_rate is not None}


def percent_of(millionths: int) -> object:
    """Return millionths as an exact percentage."""
    return from_units(millionths, PERCENT_DIGITS)


def windows_between(targets: Sequence[Target], start: Instant, until: Instant) -> Iterator[Interval]:
    """Yield the windows of what was promised that overlap an interval, in order; none where nothing was promised."""
    at = start
    while at < until:
        target = target_at(targets, at)
        if target is None or target.service_level is None:
            coming = [it.interval.start for it in targets if it.interval.start > at and it.service_level is not None]
            if not coming:
                return
            at = min(coming)
            continue
        window = window_at(target.service_level, at)
        yield window
        at = window.until
