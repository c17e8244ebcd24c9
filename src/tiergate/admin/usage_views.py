"""Usage as people see it: of a customer now and in the past, its series, and the customers of a feature.

`used` is exact as of the last report of each sidecar; `leased` is what sidecars hold besides, and may give back.
Numbers are exact decimals by the feature's scale. In the current window the limit is the one that holds now; in one
that has ended it is what it was at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.admin.usage_debits import metered_feature
from tiergate.errors import NotFoundError, ParameterError
from tiergate.model import BEGINNING, FOREVER, format_instant, from_units
from tiergate.naming import nearest
from tiergate.store.usage_present import present_usage
from tiergate.store.usage_reads import UsageOrder, customers_by_use, most_volatile, used_windows
from tiergate.store.usage_series import DAY_MS, HOUR_MS, daily_use, hourly_use
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.pools import ALLOWANCE, OVERAGE, ROLLOVER
from tiergate.wire.usage import window_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tiergate.model import CatalogIndex, Feature, Instant
    from tiergate.store import ReadUnit
    from tiergate.store.usage_ledger import Bounds
    from tiergate.store.usage_reads import CustomerUse, UsedWindow

VOLATILE_DAYS: Final = 28
"""Over how many days before today the variation of daily usage is computed."""

MAX_PLACE: Final = 10_000
"""How many customers of a feature can be paged through."""

MAX_POINTS: Final = 4_000
"""The most hours or days of one series: eleven years of days, or five months of hours."""

MAX_SERIES: Final = 50
"""The most features of one request of series."""


class WantedUsage(NamedTuple):
    """What windows are wanted: of a feature or all, of one scope, that overlap an interval; by default now."""

    feature: str | None = None
    scope: Scope = Scope.CUSTOMER
    start: Instant | None = None
    until: Instant | None = None


def usage_of_customer(
    unit: ReadUnit, bounds: Bounds, customer: str, wanted: WantedUsage, cursor: str | None, limit: int
) -> tuple[list[dict[str, object]], str | None]:
    """Return a page of windows of usage of a customer, by feature, member and start, and the cursor of the next.

    Now, every metered feature has one, used or not; of other times, and of subscriptions and users, there are those in
    which something was used.

    Raises:
        NotFoundError: there is no such customer, or no such metered feature.
        ParameterError: the interval is empty, or the cursor is none.
    """
    if unit.record(customer) is None:
        raise NotFoundError("customer", customer)
    after = None if cursor is None else _parse_cursor(cursor)
    index, scope = unit.published.index, wanted.scope
    features = {it.id for it in _features(index, wanted.feature)}
    is_now = wanted.start is None and wanted.until is None
    start = unit.now if is_now else BEGINNING if wanted.start is None else wanted.start
    until = unit.now + 1 if is_now else FOREVER if wanted.until is None else wanted.until
    if start >= until:
        raise ParameterError("until", "must be after `from`")
    windows = {
        used.account: used
        for used in used_windows(unit, customer, start, until, features)
        if used.account.scope is scope
    }
    accounts = {account for account, used in windows.items() if used.window.contains(unit.now)}
    if is_now and scope is Scope.CUSTOMER:
        accounts |= {Account(id_, scope, customer, "", BEGINNING) for id_ in features}
    for used in present_usage(unit, bounds, accounts).values():
        windows[used.account] = used
    found = sorted((used for used in windows.values() if after is None or _place(used) > after), key=_place)
    page = found[:limit]
    data = [_window_data(index.features[used.account.feature], used, unit.now) for used in page]
    return data, _cursor_of(page[-1]) if len(found) > limit else None


def _place(used: UsedWindow) -> tuple[str, str, Instant]:
    return used.account.feature, used.account.member, used.window.start


def _cursor_of(used: UsedWindow) -> str:
    feature, member, start = _place(used)
    return f"{feature}\n{start}\n{member}"  # no id has a line break


def _parse_cursor(cursor: str) -> tuple[str, str, Instant]:
    parts = cursor.split("\n")
    if len(parts) != 3 or not parts[1].lstrip("-").isdecimal():
        raise ParameterError("cursor", "is not one that a list gave out")
    return parts[0], parts[2], int(parts[1])


def _features(index: CatalogIndex, feature: str | None) -> Iterable[Feature]:
    if feature is not None:
        return [metered_feature(index, feature)]
    return [it for it in index.features.values() if it.metered is not None]


def _window_data(feature: Feature, used: UsedWindow, now: Instant) -> dict[str, object]:
    scale, account, limit = feature.scale, used.account, used.limit
    data: dict[str, object] = {"feature": feature.id, "scale": scale}
    if feature.unit:
        data["unit"] = feature.unit
    if account.scope in {Scope.SUBSCRIPTION, Scope.USER}:
        data[account.scope.value] = account.member
    data |= {
        "window": window_document(used.window),
        "used": from_units(used.booked, scale),
        "leased": from_units(used.leased, scale),
        "unlimited": limit is None,
    }
    if limit is not None:
        data["limit"] = from_units(limit, scale)
        data["remaining"] = from_units(max(0, limit - used.booked), scale)
        if used.booked > limit:
            data["overage"] = from_units(used.booked - limit, scale)
    if used.window.contains(now) and used.window.until < FOREVER:
        data["resets_at"] = format_instant(used.window.until)
    data["pools"] = [_pool_data(pool, from_units(units, scale)) for pool, units in sorted(used.drawn.items()) if units]
    return data


def _pool_data(pool: str, units: object) -> dict[str, object]:
    if pool == ALLOWANCE:
        return {"pool": "allowance", "units": units}
    if pool == OVERAGE:
        return {"pool": "overage", "units": units}
    return {"pool": "rollover" if pool.startswith(ROLLOVER) else "grant", "grant": pool, "units": units}


# ── series ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def usage_series(
    unit: ReadUnit, customer: str, wanted: Sequence[str], by: str, start: Instant | None, until: Instant | None
) -> dict[str, object]:
    """Return what a customer used of features, all or the `wanted` ones, by each `hour` or `day` in UTC.

    By default the last 24 hours or 30 days, the present one included. The first period is the one of `start`.

    Raises:
        NotFoundError: there is no such customer, or no such metered feature.
        ParameterError: the interval is empty, or has too many periods; or there are too many features.
    """
    if unit.record(customer) is None:
        raise NotFoundError("customer", customer)
    index = unit.published.index
    features = [metered_feature(index, id_) for id_ in dict.fromkeys(wanted)] or list(_features(index, None))
    if len(features) > MAX_SERIES:
        raise ParameterError("feature", f"must name at most {MAX_SERIES} features")
    step, count = (HOUR_MS, 24) if by == "hour" else (DAY_MS, 30)
    until = unit.now + 1 if until is None else until
    start = (until - 1) // step * step - (count - 1) * step if start is None else start // step * step
    if start >= until:
        raise ParameterError("until", "must be after `from`")
    if until - start > MAX_POINTS * step:
        raise ParameterError("from", f"must be at most {MAX_POINTS} {by}s before `until`")
    read = hourly_use if by == "hour" else daily_use
    series = read(unit, customer, [feature.id for feature in features], start, until)
    return {
        "by": by,
        "from": format_instant(start),
        "until": format_instant(until),
        "series": [
            {
                "feature": feature.id,
                "scale": feature.scale,
                "total": from_units(sum(point.units for point in series[feature.id]), feature.scale),
                "points": [
                    {"at": format_instant(point.start), "used": from_units(point.units, feature.scale)}
                    for point in series[feature.id]
                ],
            }
            for feature in features
        ],
    }


# ── customers of a feature ───────────────────────────────────────────────────────────────────────────────────────────


def customers_of_feature(unit: ReadUnit, feature: str, order: str, place: int, count: int) -> list[dict[str, object]]:
    """Return customers by their usage of a feature, from a place in the order on: `UsageOrder`, or `volatile`.

    Raises:
        NotFoundError: there is no such metered feature.
        ParameterError: the place is beyond `MAX_PLACE`.
    """
    found = metered_feature(unit.published.index, feature)
    if place > MAX_PLACE:
        raise ParameterError("cursor", f"is beyond the first {MAX_PLACE} customers")
    if order == "volatile":
        whole = 10**found.scale
        volatile = most_volatile(unit, feature, unit.now, VOLATILE_DAYS, place + count)[place:]
        return [
            {
                "customer": it.customer,
                "daily_mean": round(it.mean / whole, 6),
                "variation": round(it.coefficient, 6),
            }
            for it in volatile
        ]
    uses = customers_by_use(unit, feature, unit.now, UsageOrder(order), place + count)[place:]
    return [_use_data(it, found.scale, unit.now) for it in uses]


def usage_order(text: str | None) -> str:
    """Return the order that a parameter names; by default `most_used`.

    Raises:
        ParameterError: there is no such order.
    """
    orders = [*UsageOrder, "volatile"]
    if text is None:
        return UsageOrder.MOST_USED.value
    if text not in orders:
        suggestion = nearest(text, orders)
        listed = ", ".join(f"`{order}`" for order in orders)
        hint = f"; did you mean `{suggestion}`?" if suggestion else ""
        raise ParameterError("order", f"must be one of {listed}{hint}")
    return text


def _use_data(use: CustomerUse, scale: int, now: Instant) -> dict[str, object]:
    data: dict[str, object] = {
        "customer": use.customer,
        "window": window_document(use.window),
        "used": from_units(use.used, scale),
    }
    if use.limit is None:
        return data
    data["limit"] = from_units(use.limit, scale)
    data["remaining"] = from_units(max(0, use.limit - use.used), scale)
    if use.limit:
        data["utilisation"] = round(use.used / use.limit, 6)
    reached = _reaches_limit_at(use, use.limit, now)
    return data if reached is None else data | {"reaches_limit_at": format_instant(reached)}


def _reaches_limit_at(use: CustomerUse, limit: int, now: Instant) -> Instant | None:
    """Return when the limit is reached at the rate of the window so far, if that is before the window ends."""
    if not 0 < use.used < limit or use.window.start <= BEGINNING:
        return None
    at = now + (limit - use.used) * (now - use.window.start + 1) // use.used
    return at if at < use.window.until and at < FOREVER else None
