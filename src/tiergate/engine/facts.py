"""Facts: what a subject has of one feature at an instant, before Cedar decides on it (design, section 3).

The second step from data to facts, and the whole of the arithmetic of section 2: values combined, overrides and
suspensions applied. Pure. Allow, deny and the reason are Cedar's.

Every type is counted: units for a quantity or a range, 0 or 1 for a switch, the rank for a custom feature. A switch
and a custom feature combine as a `max` that nothing multiplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.engine.holdings import HeldVersion, Holdings, Window
from tiergate.model import (
    MAX_TOTAL_UNITS,
    Amount,
    Combine,
    Extra,
    Feature,
    FeatureStatus,
    FeatureType,
    Given,
    Instant,
    Level,
    Override,
    OverrideMode,
    Per,
    Source,
    SubjectType,
    Unlimited,
    Value,
    from_units,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.engine.holdings import Holding
    from tiergate.engine.sources import BundleSource
    from tiergate.model import Number, Subject, Suspension

__all__ = ["Facts", "TotalOverflowError", "counted", "facts_about", "override_in_force", "source_of"]


class TotalOverflowError(ArithmeticError):
    """A subject's total passes 2^62 units: nothing can be decided on it."""


class Facts(msgspec.Struct, frozen=True):
    """The facts of one subject and feature within `[start, until)`.

    `total`: units, rank, or 0 and 1; 0 where `unlimited`. `givers`: the item versions that say something of
    the feature, whose permits can matter. `contributions` are turned into sources by `sources`.
    """

    feature: Feature
    holdings: Holdings
    active: bool
    suspended: bool
    live: bool
    total: int
    unlimited: bool
    given: bool
    overridden: bool
    disabled: bool
    givers: tuple[str, ...]
    contributions: tuple[tuple[str, HeldVersion | Override, Value | None], ...]
    start: Instant
    until: Instant

    @property
    def held(self) -> bool:
        """Whether the subject holds a value that grants something."""
        return self.unlimited or self.total > 0

    def sources(self) -> tuple[Source, ...]:
        """Each item and override that contributed, with the value that its author wrote."""
        return tuple(source_of(self.feature, *it) for it in self.contributions)


class _Sum:
    """Values of one feature on their way to a total."""

    __slots__ = ("add", "best", "combine", "feature", "plain", "unlimited")

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        self.plain = feature.type is FeatureType.SWITCH or feature.type is FeatureType.CUSTOM
        self.combine = Combine.MAX if self.plain else feature.combine
        self.best = 0
        self.add = 0
        self.unlimited = False

    def take(self, value: Value, quantity: int) -> None:
        if isinstance(value, Amount):
            multiplied = value.per is Per.UNIT or (value.per is None and self.combine is Combine.SUM)
            self.put(value.units * quantity if multiplied else value.units)
        elif isinstance(value, Extra):
            self.add += value.units if value.per is Per.SUBSCRIPTION else value.units * quantity
        elif isinstance(value, Unlimited):
            self.unlimited = True
        elif isinstance(value, Given):
            self.put(int(value.on))
        else:
            self.put(self.feature.rank(value.label))

    def put(self, units: int) -> None:
        if self.combine is Combine.SUM:
            self.best += units
        else:
            self.best = max(self.best, units)

    def merge(self, other: _Sum) -> None:
        self.put(other.best)
        self.add += other.add
        self.unlimited = self.unlimited or other.unlimited

    @property
    def total(self) -> int:
        return self.best + self.add

    def raise_to(self, value: Value) -> bool:
        """Lift this sum so that its total reaches a value, never lowering it; say whether that was needed."""
        if self.unlimited:
            return False
        if isinstance(value, Unlimited):
            self.unlimited = True
            return True
        missing = _count(self.feature, value) - self.total
        if missing <= 0:
            return False
        self.best += missing
        return True


class _Tally:
    """What the subscriptions of a subject, then its customer, make of one feature."""

    __slots__ = (
        "bundle",
        "contributions",
        "disabled",
        "feature",
        "given",
        "givers",
        "overridden",
        "paused",
        "taken",
        "total",
        "window",
    )

    def __init__(self, feature: Feature, bundle: BundleSource, window: Window) -> None:
        self.feature = feature
        self.bundle = bundle
        self.window = window
        self.total = _Sum(feature)
        self.contributions: list[tuple[str, HeldVersion | Override, Value | None]] = []
        self.givers: list[str] = []
        self.given = self.overridden = self.disabled = False
        self.taken = self.paused = False

    def subscription(self, holding: Holding) -> None:
        """Add what a live subscription gives; its own override stands in place of that."""
        name = self.feature.id
        values: list[tuple[HeldVersion, Value]] = []
        for version in holding.versions:
            value = self.bundle.definition(version.ref).get(name)
            if value is not None:
                values.append((version, value))
                self.givers.append(version.ref)
        if holding.suspensions and _suspended(holding.suspensions, name, self.window):
            self.paused = True
            return
        override = override_in_force(holding.overrides, self.feature, self.window) if holding.overrides else None
        if override is None:
            self._take(self.total, holding, values)
        elif override.mode is OverrideMode.DISABLED:
            self.taken = True
        elif override.mode is OverrideMode.REPLACE:
            self._override(self.total, holding.subscription, override)
        else:
            own = _Sum(self.feature)
            self._take(own, holding, values)
            self._raise(own, holding.subscription, override)
            self.total.merge(own)

    def customer(self, override: Override, *, live: bool) -> None:
        """Put the customer's override in place of the total, or the total at least at it.

        What stands in place of the total also stands in place of what was paused or taken below it. Without any
        subscription there is nothing but the override, so that it decides even where it raises nothing.
        """
        if override.mode is OverrideMode.AT_LEAST:
            if live:
                self._raise(self.total, "", override)
            else:
                self._override(self.total, "", override)
            return
        self.clear()
        if override.mode is OverrideMode.DISABLED:
            self.disabled = True
        else:
            self._override(self.total, "", override)

    def clear(self) -> None:
        """Let nothing of what was added so far count."""
        self.total = _Sum(self.feature)
        self.contributions = []
        self.given = self.overridden = self.paused = self.taken = False

    def _take(self, total: _Sum, holding: Holding, values: list[tuple[HeldVersion, Value]]) -> None:
        for version, value in values:
            total.take(value, version.quantity)
            self.contributions.append((holding.subscription, version, value))
            self.given = True

    def _override(self, total: _Sum, subscription: str, override: Override) -> None:
        """Put in an override's value. It is never multiplied."""
        if isinstance(override.value, Unlimited):
            total.unlimited = True
        elif override.value is not None:
            total.put(_count(self.feature, override.value))
        self.contributions.append((subscription, override, override.value))
        self.overridden = True

    def _raise(self, total: _Sum, subscription: str, override: Override) -> None:
        if override.value is not None and total.raise_to(override.value):
            self.contributions.append((subscription, override, override.value))
            self.overridden = True


def facts_about(feature: Feature, holdings: Holdings, subject: Subject, bundle: BundleSource, now: Instant) -> Facts:
    """Resolve the facts about a feature for what a subject holds. `now` must lie within the holdings' window.

    Raises:
        TotalOverflowError: the total passes 2^62 units.
        BundleError: the bundle cannot be read.
    """
    window = Window(now, holdings.start, holdings.until)
    customer = holdings.customer
    suspended = bool(feature.suspensions) and _suspended(feature.suspensions, "", window)
    if holdings.suspensions:
        suspended = _suspended(holdings.suspensions, feature.id, window) or suspended
    tally = _Tally(feature, bundle, window)
    for holding in holdings.holdings:
        tally.subscription(holding)
    _cap(tally.total)
    live = bool(holdings.holdings)
    if customer.overrides and (live or subject.type is SubjectType.CUSTOMER):
        override = override_in_force(customer.overrides, feature, window)
        if override is not None:
            tally.customer(override, live=live)
    active = feature.status is not FeatureStatus.DRAFT
    if not active:
        tally.clear()
    total = tally.total
    if total.unlimited:
        total.best = total.add = 0
    if total.total > MAX_TOTAL_UNITS:
        msg = f"the total of `{feature.id}` passes 2^62 units"
        raise TotalOverflowError(msg)
    nothing = not total.unlimited and total.total == 0
    givers = tally.givers
    return Facts(
        feature=feature,
        holdings=holdings,
        active=active,
        suspended=suspended or (tally.paused and nothing),
        live=live,
        total=total.total,
        unlimited=total.unlimited,
        given=tally.given,
        overridden=tally.overridden,
        disabled=tally.disabled or (tally.taken and nothing),
        givers=tuple(sorted(set(givers))) if len(givers) > 1 else tuple(givers),
        contributions=tuple(tally.contributions),
        start=window.start,
        until=window.until,
    )


def counted(feature: Feature, value: Value, quantity: int) -> int:
    """What an item's value counts, in units or as a rank, where the item is held `quantity` times; 0 for unlimited."""
    one = _Sum(feature)
    one.take(value, quantity)
    return one.total


def _suspended(suspensions: Iterable[Suspension], feature: str, window: Window) -> bool:
    found = False
    for suspension in suspensions:
        if suspension.feature == feature and window.holds(suspension.start, suspension.until):
            found = True
    return found


def override_in_force(overrides: Iterable[Override], feature: Feature, window: Window) -> Override | None:
    """The override in force in one scope: disabled, else the latest replacement, else the largest `at_least`.

    Narrows `window` to the instants within which that stays so.
    """
    chosen: Override | None = None
    for override in overrides:
        if override.feature != feature.id or not window.holds(override.start, override.until):
            continue
        if chosen is None or _force(override, feature) > _force(chosen, feature):
            chosen = override
    return chosen


def _force(override: Override, feature: Feature) -> tuple[int, int, int, str]:
    match override.mode:
        case OverrideMode.DISABLED:
            return (3, 0, override.start, override.id)
        case OverrideMode.REPLACE:
            return (2, 0, override.start, override.id)
        case OverrideMode.AT_LEAST:
            if isinstance(override.value, Unlimited):
                return (1, MAX_TOTAL_UNITS + 1, 0, override.id)
            return (1, 0 if override.value is None else _count(feature, override.value), 0, override.id)


def _count(feature: Feature, value: Value) -> int:
    """What a value that is not unlimited counts, multiplied by nothing."""
    if isinstance(value, Amount | Extra):
        return value.units
    if isinstance(value, Given):
        return int(value.on)
    if isinstance(value, Level):
        return feature.rank(value.label)
    return MAX_TOTAL_UNITS


def _cap(total: _Sum) -> None:
    """Cap a range at the feature's maximum."""
    feature = total.feature
    if feature.type is not FeatureType.RANGE or feature.maximum is None:
        return
    if total.unlimited or total.total > feature.maximum:
        total.best, total.add, total.unlimited = feature.maximum, 0, False


def source_of(feature: Feature, subscription: str, by: HeldVersion | Override, value: Value | None) -> Source:
    """An item version or an override as an answer shows it; `subscription` is empty for one on the customer."""
    shown: bool | Number | str | None = None
    per: str | None = None
    if isinstance(value, Amount | Extra):
        shown = from_units(value.units, feature.scale)
        per = value.per.value if value.per is not None else None
    elif isinstance(value, Given):
        shown = value.on
    elif isinstance(value, Level):
        shown = value.label
    add, unlimited = isinstance(value, Extra), isinstance(value, Unlimited)
    where = subscription or None
    if isinstance(by, Override):
        return Source(
            override=by.id, mode=by.mode.value, subscription=where, value=shown, unlimited=unlimited, add=add, per=per
        )
    return Source(
        item=by.item,
        version=by.version,
        quantity=by.quantity,
        subscription=where,
        value=shown,
        unlimited=unlimited,
        add=add,
        per=per,
    )
