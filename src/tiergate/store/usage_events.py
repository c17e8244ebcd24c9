"""Events of usage: reached thresholds, and windows that end and start. Amounts are numbers, as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import Interval, WindowAnchor, format_instant, from_units, threshold_data
from tiergate.model.instants import FIRST_INSTANT, LAST_INSTANT
from tiergate.store.outbox import Event, EventType
from tiergate.store.usage_state import key_of
from tiergate.usage.accounts import Account, Scope
from tiergate.usage.bookings import limit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.model import CatalogIndex, Instant, Number
    from tiergate.store.usage_state import UsageState
    from tiergate.usage.accounts import AccountRecord
    from tiergate.usage.thresholds import ReachedThreshold


class EndedWindow(NamedTuple):
    """A window of a customer's account that has ended, what was used in it, and its limit (`None`: unlimited)."""

    account: Account
    until: Instant
    used: int
    limit: int | None


class OpenedWindow(NamedTuple):
    """A window that was opened by usage. `ended`: the window before, if its end was not told yet."""

    account: Account
    until: Instant
    limit: int | None
    ended: EndedWindow | None


def threshold_event(reached: ReachedThreshold, index: CatalogIndex) -> Event:
    """Return the event of a reached threshold."""
    account = reached.account
    feature = index.features.get(account.feature)
    scale = 0 if feature is None else feature.scale
    data: dict[str, object] = {
        "customer": account.customer,
        "feature": account.feature,
        "threshold": threshold_data(reached.threshold, scale),
        "used": from_units(reached.used, scale),
        "limit": limit_data(index, account.feature, reached.limit),
        "window": window_data(reached.window),
    }
    return Event(EventType.THRESHOLD_REACHED, data)


def find_opened(state: UsageState, records: Iterable[AccountRecord]) -> list[OpenedWindow]:
    """Find the windows of customers that changed accounts have opened."""
    found: list[OpenedWindow] = []
    for record in records:
        account = record.account
        if account.scope is not Scope.CUSTOMER:
            continue
        latest = state.latest.get(key_of(account))
        if latest is not None and latest.account.window >= account.window:
            continue
        ended = None
        if latest is not None and latest.account not in state.told:
            was = state.records.account(latest.account)
            ended = EndedWindow(was.account, was.until, was.booked, state.stored[was.account].limit)
        bound = state.bounds.get(account)
        limit = None if bound is None else limit_of(state.records, record, bound, state.now)
        found.append(OpenedWindow(account, record.until, limit, ended))
    return found


def opening_events(opened: OpenedWindow, index: CatalogIndex) -> Iterator[Event]:
    """Yield the events of a window that usage has opened, with the end of the one before if nobody has told it."""
    window = Interval(opened.account.window, opened.until)
    if opened.ended is not None:
        yield ended_event(opened.ended, index)
    follows = opened.ended is not None and opened.ended.until == window.start
    if opens_with_use(index, opened.account.feature) or follows:
        yield started_event(opened.account, window, opened.limit, index)


def ended_event(ended: EndedWindow, index: CatalogIndex) -> Event:
    """Return the event of the end of a window, at that instant."""
    account = ended.account
    data = {
        "customer": account.customer,
        "feature": account.feature,
        "window": window_data(Interval(account.window, ended.until)),
        "used": number_data(index, account.feature, ended.used),
        "limit": limit_data(index, account.feature, ended.limit),
    }
    return Event(EventType.WINDOW_ENDED, data, ended.until)


def started_event(account: Account, window: Interval, limit: int | None, index: CatalogIndex) -> Event:
    """Return the event of the start of a window of an account, at that instant."""
    data = {
        "customer": account.customer,
        "feature": account.feature,
        "window": window_data(window),
        "limit": limit_data(index, account.feature, limit),
    }
    return Event(EventType.WINDOW_STARTED, data, window.start)


def opens_with_use(index: CatalogIndex, feature: str) -> bool:
    """Return whether windows of a feature open with usage only."""
    found = index.features.get(feature)
    return found is not None and found.metered is not None and found.metered.anchor is WindowAnchor.FIRST_USE


def limit_changes(index: CatalogIndex, feature: str, before: int | None, after: int | None) -> list[dict[str, object]]:
    """Return the change of the limit of a feature, with grants, as events have it; nothing if it stays."""
    if before == after:
        return []
    sides = (limit_data(index, feature, limit) for limit in (before, after))
    return [{"feature": feature} | dict(zip(("before", "after"), sides, strict=True))]


def window_data(window: Interval) -> dict[str, str]:
    """Return a window as JSON; an end that there is not is left out."""
    data = {}
    if window.start >= FIRST_INSTANT:
        data["from"] = format_instant(window.start)
    if window.until <= LAST_INSTANT:
        data["until"] = format_instant(window.until)
    return data


def number_data(index: CatalogIndex, feature: str, units: int) -> Number:
    """Return units of a feature as a number; those of one that is not published any more as they are stored."""
    found = index.features.get(feature)
    return from_units(units, 0 if found is None else found.scale)


def limit_data(index: CatalogIndex, feature: str, units: int | None) -> Number | str:
    """Return a limit as a number, or `unlimited`."""
    return "unlimited" if units is None else number_data(index, feature, units)
