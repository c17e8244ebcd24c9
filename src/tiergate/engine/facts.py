"""Facts: the state of one feature for a subject at an instant, before Cedar decides on it (design, section 3).

The second step from data to facts, with all arithmetic of section 2: combining values, applying overrides and
suspensions. Pure. Cedar decides allow, deny and the reason.

Every type is counted: units for a quantity or a range, 0 or 1 for a switch, the rank for a custom feature. A switch
and a custom feature combine as a `max` that nothing multiplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec
from msgspec.structs import replace

from tiergate.engine.acting_overrides import NONE_ACTING, acting_overrides, units_of
from tiergate.engine.active_items import ActiveItems, ActiveVersion, ValidityWindow
from tiergate.engine.metered_limits import combine_softness
from tiergate.model import (
    MAX_TOTAL_UNITS,
    AddedAmount,
    Amount,
    Combine,
    Feature,
    FeatureStatus,
    FeatureType,
    Instant,
    Level,
    MeteredAmount,
    Override,
    OverrideMode,
    Per,
    Source,
    StatusWindow,
    SubjectType,
    Switch,
    Unlimited,
    Value,
    from_units,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tiergate.engine.acting_overrides import ActingOverrides
    from tiergate.engine.active_items import ActiveSubscription
    from tiergate.engine.sources import BundleSource
    from tiergate.model import Number, Subject, Suspension


HeldDefinition: TypeAlias = "tuple[str, ActiveVersion, Mapping[str, Value]]"
"""A version that a subject holds: in which subscription, and what it gives of each feature."""


_SUM, _UNIT = Combine.SUM, Per.UNIT
"""An attribute of an enumeration costs a tenth of a microsecond each time."""


class TotalOverflowError(ArithmeticError):
    """A subject's total exceeds 2^62 units: nothing can be decided on it."""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The facts of one subject and feature within `[start, until)`.

    `total`: units, rank, or 0 and 1; 0 where `unlimited`. `givers`: the item versions that say something of
    the feature, whose permits can matter. `contributions` are turned into sources by `sources`. `soft`: usage above the
    limit is allowed, up to `overage_max` units of it (`None`: any number). `drawn`: the facts of the feature that this
    one draws on. `status`: of the feature for the subject; `None` if no report concerns it.
    """

    feature: Feature
    active_items: ActiveItems
    active: bool
    suspended: bool
    live: bool
    total: int
    unlimited: bool
    given: bool
    overridden: bool
    disabled: bool
    givers: tuple[str, ...]
    contributions: tuple[tuple[str, ActiveVersion | Override, Value | None], ...]
    start: Instant
    until: Instant
    soft: bool = False
    overage_max: int | None = None
    drawn: Facts | None = None
    status: StatusWindow | None = None

    @property
    def held(self) -> bool:
        """Whether the subject holds a value that grants something, grants of units aside."""
        return self.unlimited or self.total > 0

    def sources(self) -> tuple[Source, ...]:
        """Return each item and override that contributed, with the value that its author wrote."""
        feature = self.feature
        return tuple([source_of(feature, where, by, value) for where, by, value in self.contributions])


class _Sum:
    """Values of one feature on their way to a total."""

    __slots__ = ("add", "best", "combine", "feature", "unlimited")

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        is_counted = feature.type is FeatureType.QUANTITY or feature.type is FeatureType.RANGE
        self.combine = feature.combine if is_counted else Combine.MAX
        self.best = 0
        self.add = 0
        self.unlimited = False

    def take(self, value: Value, quantity: int) -> None:
        if isinstance(value, Amount):
            multiplied = value.per is Per.UNIT or (value.per is None and self.combine is Combine.SUM)
            self.put(value.units * quantity if multiplied else value.units)
        elif isinstance(value, AddedAmount):
            self.add += value.units if value.per is Per.SUBSCRIPTION else value.units * quantity
        elif isinstance(value, Unlimited):
            self.unlimited = True
        elif isinstance(value, Switch):
            self.put(int(value.on))
        else:
            self.put(self.feature.rank(value.label))

    def put(self, units: int) -> None:
        if self.combine is Combine.SUM:
            self.best += units
        else:
            self.best = max(self.best, units)

    def merge(self, other: _Sum) -> None:
        """Add the values of another sum to these, and its additions."""
        self.put(other.best)
        self.add += other.add
        self.unlimited = self.unlimited or other.unlimited

    def outdo(self, other: _Sum) -> None:
        """Become as large as another sum with its additions, if that is larger."""
        self.best = max(self.best, other.total)
        self.unlimited = self.unlimited or other.unlimited

    def cap(self) -> None:
        most = self.feature.maximum
        if most is not None and (self.unlimited or self.total > most):
            self.best, self.add, self.unlimited = most, 0, False

    @property
    def total(self) -> int:
        return self.best + self.add

    @property
    def gives(self) -> bool:
        return self.unlimited or self.total > 0

    def replace(self, value: Value) -> None:
        self.best = self.add = 0
        self.unlimited = isinstance(value, Unlimited)
        if not self.unlimited:
            self.best = units_of(self.feature, value)

    def raise_to(self, value: Value) -> bool:
        """Raise this sum so that its total reaches a value; return whether that was necessary."""
        if self.unlimited:
            return False
        if isinstance(value, Unlimited):
            self.unlimited = True
            return True
        missing = units_of(self.feature, value) - self.total
        if missing <= 0:
            return False
        self.best += missing
        return True


def is_multiplied(feature: Feature, value: Value) -> bool:
    """Return whether what a value gives depends on the quantity of the item that has it, as `_Sum.take` multiplies."""
    if isinstance(value, AddedAmount):
        return value.per is not Per.SUBSCRIPTION
    return isinstance(value, Amount) and (
        value.per is Per.UNIT or (value.per is None and _Sum(feature).combine is Combine.SUM)
    )


class _Tally:
    """Combines what the subscriptions of a subject, then its customer, give of one feature.

    `total`: of subscriptions without acting overrides. `free`: of those with one, which the maximum of a range does not
    limit.
    """

    def __init__(self, feature: Feature, bundle: BundleSource, window: ValidityWindow) -> None:
        self.feature = feature
        self.bundle = bundle
        self.window = window
        self.total = _Sum(feature)
        self.free: _Sum | None = None
        self.greatest = feature.across is Combine.MAX
        self.contributions: list[tuple[str, ActiveVersion | Override, Value | None]] = []
        self.givers: list[str] = []
        self.given = self.overridden = self.disabled = False
        self.taken = self.paused = False

    def add_subscription(self, subscription: ActiveSubscription) -> None:
        """Add the values of a live subscription, after its own overrides and suspensions."""
        name = self.feature.id
        values: list[tuple[ActiveVersion, Value]] = []
        for version in subscription.versions:
            value = self.bundle.definition(version.ref).get(name)
            if value is not None:
                values.append((version, value))
                self.givers.append(version.ref)
        acting = NONE_ACTING
        if subscription.overrides:
            acting = acting_overrides(subscription.overrides, self.feature, self.window)
        is_paused = bool(subscription.suspensions) and _suspended(subscription.suspensions, name, self.window)
        if acting is NONE_ACTING and not is_paused and not self.greatest:
            for version, value in values:
                self.total.take(value, version.quantity)
                self.contributions.append((subscription.id, version, value))
                self.given = True
            return
        self._add_apart(subscription, values, acting, is_paused=is_paused)

    def _add_apart(
        self,
        subscription: ActiveSubscription,
        values: list[tuple[ActiveVersion, Value]],
        acting: ActingOverrides,
        *,
        is_paused: bool,
    ) -> None:
        """Add a subscription whose own total must be known."""
        if acting.disables:
            self.taken = True
            return
        own = _Sum(self.feature)
        contributions: list[tuple[str, ActiveVersion | Override, Value | None]] = []
        if acting.base is None:
            for version, value in values:
                own.take(value, version.quantity)
                contributions.append((subscription.id, version, value))
        given = bool(contributions)
        if self.greatest or acting is not NONE_ACTING:
            own.cap()
        overrides = _act(own, acting)
        if is_paused:
            self.paused = self.paused or own.gives
            return
        contributions += [(subscription.id, it, it.value) for it in overrides]
        self.contributions += contributions
        self.given = self.given or given
        self.overridden = self.overridden or bool(overrides)
        if self.greatest:
            self.total.outdo(own)
        elif not overrides or self.feature.maximum is None:
            self.total.merge(own)
        else:
            if self.free is None:
                self.free = _Sum(self.feature)
            self.free.merge(own)

    def cap(self) -> None:
        """Cap a range at the feature's maximum, except for what overrides of subscriptions give."""
        if not self.greatest:
            self.total.cap()
        if self.free is not None:
            self.total.merge(self.free)

    def customer(self, acting: ActingOverrides, *, live: bool) -> None:
        """Apply the customer's overrides to the total.

        An override that replaces the total also replaces what was paused or disabled below it. Without a subscription
        there are only the overrides, so that an `at_least` counts even if it raises nothing.
        """
        if acting.base is not None:
            self.clear()
            if acting.disables:
                self.disabled = True
                return
        found = _act(self.total, acting, alone=not live)
        self.contributions += [("", it, it.value) for it in found]
        self.overridden = self.overridden or bool(found)

    def clear(self) -> None:
        """Remove everything that was added so far."""
        self.total = _Sum(self.feature)
        self.contributions = []
        self.given = self.overridden = self.paused = self.taken = False


def _act(total: _Sum, acting: ActingOverrides, *, alone: bool = False) -> list[Override]:
    """Apply the overrides of one scope to its total; return those that changed something.

    `alone`: there is nothing besides them, so that an `at_least` counts in any case.
    """
    applied: list[Override] = []
    base, floor = acting.base, acting.floor
    if base is not None and base.value is not None:
        total.replace(base.value)
        applied.append(base)
    if floor is not None and floor.value is not None and (total.raise_to(floor.value) or (alone and base is None)):
        applied.append(floor)
    for override in acting.adds:
        if isinstance(override.value, Amount) and not total.unlimited:
            total.add += override.value.units
            applied.append(override)
    return applied


def resolve_facts(
    feature: Feature,
    active: ActiveItems,
    subject: Subject,
    bundle: BundleSource,
    now: Instant,
    held: Sequence[HeldDefinition] | None = None,
) -> Facts:
    """Resolve the facts about a feature for what a subject holds. `now` must lie within the window of `active`.

    `held`: what `held_definitions` returns for `active`, if it is known because of another feature.

    Raises `TotalOverflowError` if the total exceeds 2^62 units, and `BundleError`.
    """
    facts = _resolve(feature, active, subject, bundle, now, held)
    if feature.metered is None and feature.draws is None:
        return facts
    facts = _with_softness(facts)
    source = None if feature.draws is None else bundle.index.features.get(feature.draws.source)
    if source is None:
        return facts
    drawn = _with_softness(_resolve(source, active, subject, bundle, now, held))
    return replace(facts, drawn=drawn, start=max(facts.start, drawn.start), until=min(facts.until, drawn.until))


def _with_softness(facts: Facts) -> Facts:
    softness = combine_softness(facts.feature, facts.contributions)
    return replace(facts, soft=True, overage_max=softness.overage_max) if softness.soft else facts


def _resolve(
    feature: Feature,
    active: ActiveItems,
    subject: Subject,
    bundle: BundleSource,
    now: Instant,
    held: Sequence[HeldDefinition] | None,
) -> Facts:
    is_plain = active.is_plain and not feature.suspensions and feature.status is not FeatureStatus.DRAFT
    if is_plain and feature.across is not Combine.MAX:
        return _plain_facts(feature, active, held_definitions(active, bundle) if held is None else held)
    window = ValidityWindow(now, active.start, active.until)
    customer = active.customer
    suspended = bool(feature.suspensions) and _suspended(feature.suspensions, "", window)
    if active.suspensions:
        suspended = _suspended(active.suspensions, feature.id, window) or suspended
    tally = _Tally(feature, bundle, window)
    for subscription in active.subscriptions:
        tally.add_subscription(subscription)
    tally.cap()
    live = bool(active.subscriptions)
    if customer.overrides and (live or subject.type is SubjectType.CUSTOMER):
        acting = acting_overrides(customer.overrides, feature, window)
        if acting is not NONE_ACTING:
            tally.customer(acting, live=live)
    is_active = feature.status is not FeatureStatus.DRAFT
    if not is_active:
        tally.clear()
    total = tally.total
    if total.unlimited:
        total.best = total.add = 0
    if total.total > MAX_TOTAL_UNITS:
        raise TotalOverflowError(f"the total of `{feature.id}` exceeds 2^62 units")
    nothing = not total.unlimited and total.total == 0
    givers = tally.givers
    return Facts(
        feature=feature,
        active_items=active,
        active=is_active,
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


def held_definitions(active: ActiveItems, bundle: BundleSource) -> list[HeldDefinition]:
    """Return what each version that a subject holds gives, for `resolve_facts`; raises `BundleError`."""
    definition = bundle.definition
    return [
        (subscription.id, version, definition(version.ref))
        for subscription in active.subscriptions
        for version in subscription.versions
    ]


def _plain_facts(feature: Feature, active: ActiveItems, held: Sequence[HeldDefinition]) -> Facts:
    """Resolve the facts where only items give anything, as for nearly all subjects: values, combined and capped."""
    name = feature.id
    given = [(where, by, value) for where, by, values in held if (value := values.get(name)) is not None]
    units, unlimited = combined(feature, given)
    if units > MAX_TOTAL_UNITS:
        raise TotalOverflowError(f"the total of `{name}` exceeds 2^62 units")
    givers = active.refs if len(given) == len(held) else tuple(sorted({by.ref for _, by, _ in given}))
    return Facts(
        feature,
        active,
        True,  # active
        False,  # suspended
        bool(active.subscriptions),
        units,
        unlimited,
        bool(givers),
        False,  # overridden
        False,  # disabled
        givers,
        tuple(given),
        active.start,
        active.until,
    )


def combined(feature: Feature, given: Sequence[tuple[str, ActiveVersion, Value]]) -> tuple[int, bool]:
    """Combine and cap what versions give of a feature, as a `_Sum` does; return the units, and whether unlimited."""
    units, is_sum = 0, feature.combine is _SUM
    for _, version, value in given:
        if type(value) is Amount:
            number, per = value.units, value.per
            if version.quantity != 1 and (is_sum if per is None else per is _UNIT):
                number *= version.quantity
            if is_sum:
                units += number
            elif number > units:
                units = number
        elif type(value) is Switch:
            units = 1 if value.on else units
        elif type(value) is Level:
            units = max(units, feature.rank(value.label))
        else:
            break
    else:
        most = feature.maximum
        return (units if most is None or units <= most else most), False
    total = _Sum(feature)
    for _, version, value in given:
        total.take(value, version.quantity)
    total.cap()
    return (0, True) if total.unlimited else (total.total, False)


def counted(feature: Feature, value: Value, quantity: int) -> int:
    """Return what an item's value counts for `quantity` items, in units or as a rank; 0 for unlimited."""
    total = _Sum(feature)
    total.take(value, quantity)
    return total.total


def _suspended(suspensions: Iterable[Suspension], feature: str, window: ValidityWindow) -> bool:
    found = False
    for suspension in suspensions:
        if suspension.feature == feature and window.contains(suspension.start, suspension.until):
            found = True
    return found


def source_of(feature: Feature, subscription: str, by: ActiveVersion | Override, value: Value | None) -> Source:
    """An item version or an override as an answer shows it; `subscription` is empty for one on the customer."""
    if type(value) is Amount and type(by) is ActiveVersion and value.per is None:  # nearly always
        shown_units = from_units(value.units, feature.scale)
        return Source(by.item, by.version, by.quantity, None, None, subscription or None, shown_units)
    shown: bool | Number | str | None = None
    per: str | None = None
    if isinstance(value, (Amount, AddedAmount)):  # a union would be made anew each time
        shown = from_units(value.units, feature.scale)
        per = value.per.value if value.per is not None else None
    elif isinstance(value, Switch):
        shown = value.on
    elif isinstance(value, Level):
        shown = value.label
    add, unlimited = isinstance(value, AddedAmount), isinstance(value, Unlimited)
    where = subscription or None
    limit: str | None = None
    overage_max: Number | None = None
    if isinstance(value, MeteredAmount):
        limit = value.limit.value
        overage_max = None if value.overage_max is None else from_units(value.overage_max, feature.scale)
    if isinstance(by, Override):
        add, mode = by.mode is OverrideMode.ADD, by.mode.value
        return Source(None, None, None, by.id, mode, where, shown, unlimited, add, per, limit, overage_max)
    return Source(by.item, by.version, by.quantity, None, None, where, shown, unlimited, add, per, limit, overage_max)
