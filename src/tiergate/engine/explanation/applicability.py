"""Whether each subscription, item, override and suspension counts at an instant, and why.

Uses the functions of `active_items` and `facts` wherever there is something to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.engine.acting_overrides import ActingOverrides, acting_overrides
from tiergate.engine.active_items import ValidityWindow, items_with_bases, rolled_out_version
from tiergate.engine.explanation.phrases import moment
from tiergate.engine.facts import source_of
from tiergate.model import (
    BEGINNING,
    LAST_INSTANT,
    ItemStatus,
    OverrideMode,
    SubjectType,
    SubscriptionStatus,
    format_instant,
)
from tiergate.model.value_display import display_value
from tiergate.naming import item_ref, version_ref
from tiergate.wire.explanation import (
    Applicability,
    ItemApplicability,
    OverrideApplicability,
    SubjectReference,
    SubscriptionApplicability,
    SuspensionApplicability,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tiergate.engine.explanation.explain import Explanation
    from tiergate.model import (
        Feature,
        IndexedItem,
        Instant,
        Override,
        Subject,
        SubjectRecord,
        Subscription,
        SubscriptionItem,
        Suspension,
    )

UNSET = msgspec.UNSET
EVERYBODY = "everybody"
_MOST_NAMED = 3


def written(instant: Instant) -> str | msgspec.UnsetType:
    """Return an instant as RFC 3339; absent if it is outside the range that can be written."""
    return UNSET if instant == BEGINNING or instant >= LAST_INSTANT else format_instant(instant)


class _Scope(NamedTuple):
    """One scope of overrides and suspensions. `idle`, `unfelt`: why none of them counts; empty if they may."""

    on: SubjectReference
    overrides: Sequence[Override]
    suspensions: Sequence[Suspension]
    idle: str
    unfelt: str


class ApplicabilityReader:
    """Finds what counts of one subject's record for one feature at one instant."""

    def __init__(self, explanation: Explanation, feature: Feature, record: SubjectRecord, subject: Subject) -> None:
        self._explanation = explanation
        self._feature = feature
        self._record = record
        self._now = explanation.now
        facts = explanation.evaluation.facts
        self._contributed = () if facts is None else tuple(by for _, by, _ in facts.contributions)
        self._alone = subject.type is SubjectType.SUBSCRIPTION
        self._subscriptions = [
            subscription for subscription in record.subscriptions if not self._alone or subscription.id == subject.id
        ]
        self._live = any(subscription.live_interval().contains(self._now) for subscription in self._subscriptions)
        self._total = self._of_customer()

    # ── subscriptions and their items ────────────────────────────────────────────────────────────────────────────────

    def subscriptions(self) -> Iterator[SubscriptionApplicability]:
        """Yield every subscription of the subject."""
        for subscription in self._subscriptions:
            live = subscription.live_interval()
            standing, why = _of_subscription(subscription, self._now)
            empty = live.start >= live.until
            yield SubscriptionApplicability(
                id=subscription.id,
                status=subscription.status,
                standing=standing,
                why=why,
                start=UNSET if empty else written(live.start),
                until=UNSET if empty else written(live.until),
                items=self._items(subscription),
            )

    def _items(self, subscription: Subscription) -> tuple[ItemApplicability, ...]:
        """Return the items of a subscription; each must know the others that it depends on."""
        versions = [(held, *self._in_force(held, subscription)) for held in subscription.items]
        known = self._explanation.items
        counting = items_with_bases({held.item: known[held.item] for held, _, why in versions if not why})
        return tuple(self._item(held, subscription, version, why, counting) for held, version, why in versions)

    def _in_force(self, held: SubscriptionItem, subscription: Subscription) -> tuple[int | None, str]:
        """Return the version of an item, and why it does not count by itself; empty if it may count."""
        item = self._explanation.items.get(held.item)
        version = held.version
        if item is not None and version is None:
            version = rolled_out_version(item, held, subscription, self._record.customer, ValidityWindow(self._now))
        standing, why = _in_time(held.start, held.until, self._now)
        if standing is not Applicability.COUNTS:
            return version, why
        if item is None:
            return version, "the catalog has no such item"
        if item.status is ItemStatus.DRAFT:
            return version, "it is a draft, which is given to nobody"
        if version is None:
            return version, "no active rollout of it applies to this customer"
        return version, "" if version in item.versions else f"the catalog has no version {version} of it"

    def _item(
        self,
        held: SubscriptionItem,
        subscription: Subscription,
        version: int | None,
        aside: str,
        counting: Collection[str],
    ) -> ItemApplicability:
        item = self._explanation.items.get(held.item)
        standing, why = _in_time(held.start, held.until, self._now)
        gives: str | msgspec.UnsetType = UNSET
        if standing is Applicability.COUNTS:
            if aside or item is None or version is None:
                standing, why = Applicability.SET_ASIDE, aside
            elif item.id not in counting:
                standing, why = Applicability.SET_ASIDE, _missing_base(item, counting)
            else:
                value = self._explanation.given.get(version_ref(item.kind, item.id, version))
                if value is not None and subscription.live_interval().contains(self._now):
                    gives = display_value(value, self._feature)
        return ItemApplicability(
            item=held.item if item is None else item_ref(item.kind, item.id),
            name=item.name if item is not None and item.name else UNSET,
            version=UNSET if version is None else version,
            pinned=held.version is not None,
            quantity=held.quantity,
            standing=standing,
            why=why or UNSET,
            gives=gives,
            start=written(held.start),
            until=written(held.until),
        )

    # ── overrides ────────────────────────────────────────────────────────────────────────────────────────────────────

    def overrides(self) -> Iterator[OverrideApplicability]:
        """Yield every override of the feature, the customer's first."""
        for scope in self._scopes():
            acting = acting_overrides(scope.overrides, self._feature, ValidityWindow(self._now))
            for override in scope.overrides:
                if override.feature == self._feature.id:
                    yield self._override(override, scope, acting)

    def _override(self, override: Override, scope: _Scope, acting: ActingOverrides) -> OverrideApplicability:
        standing, why = _in_time(override.start, override.until, self._now)
        if standing is Applicability.COUNTS:
            why = self._aside(override, scope, acting)
            standing = Applicability.SET_ASIDE if why else standing
        source = source_of(self._feature, "", override, override.value)
        return OverrideApplicability(
            id=override.id,
            on=scope.on,
            mode=override.mode.value,
            value=UNSET if source.value is None else source.value,
            unlimited=source.unlimited,
            standing=standing,
            why=why or UNSET,
            author=override.author or UNSET,
            reason=override.reason or UNSET,
            start=written(override.start),
            until=written(override.until),
        )

    def _aside(self, override: Override, scope: _Scope, acting: ActingOverrides) -> str:
        """Return why an override whose period is now does not count; empty if it does."""
        if scope.idle:
            return scope.idle
        base, floor = acting.base, acting.floor
        is_base = override.mode is OverrideMode.REPLACE or override.mode is OverrideMode.DISABLED
        if base is not None and base is not override and (is_base or acting.disables):
            return f"the override {base.id} stands before it"
        if override.mode is OverrideMode.AT_LEAST and floor is not None and floor is not override:
            return f"the override {floor.id} gives at least as much"
        facts = self._explanation.evaluation.facts
        if facts is None or override in self._contributed:
            return ""
        if override.mode is OverrideMode.DISABLED and (facts.active or scope.on.type == SubjectType.CUSTOMER):
            return ""
        return "as much is held without it" if facts.active else "the feature is a draft"

    def _of_customer(self) -> Override | None:
        """Return the customer's override that replaces everything below it, if there is one."""
        if self._alone and not self._live:
            return None
        return acting_overrides(self._record.customer.overrides, self._feature, ValidityWindow(self._now)).base

    def _scopes(self) -> Iterator[_Scope]:
        customer = self._record.customer
        idle = "the subscription does not count" if self._alone and not self._live else ""
        yield _Scope(SubjectReference("customer", customer.id), customer.overrides, customer.suspensions, idle, "")
        for subscription in self._subscriptions:
            if subscription.overrides or subscription.suspensions:
                below = self._below(subscription)
                idle = below or self._paused(subscription)
                unfelt = "" if self._alone else below or self._unfelt()
                on = SubjectReference("subscription", subscription.id)
                yield _Scope(on, subscription.overrides, subscription.suspensions, idle, unfelt)

    def _below(self, subscription: Subscription) -> str:
        """Return why overrides and suspensions of a subscription do not matter to its customer; empty if they do."""
        if not subscription.live_interval().contains(self._now):
            return "the subscription does not count"
        if self._total is not None:
            return f"the customer's override {self._total.id} stands in place of it"
        return ""

    def _unfelt(self) -> str:
        """Return why a suspension of one subscription does not matter to its customer; empty if it may."""
        facts = self._explanation.evaluation.facts
        if facts is None or facts.suspended:
            return ""
        return "something else gives it" if facts.held else "the subscription would not give it"

    def _paused(self, subscription: Subscription) -> str:
        for suspension in subscription.suspensions:
            if suspension.feature == self._feature.id and suspension.start <= self._now < suspension.until:
                return "the feature is suspended for this subscription"
        return ""

    # ── suspensions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def suspensions(self) -> Iterator[SuspensionApplicability]:
        """Yield every suspension of the feature: for everybody, the customer's, each subscription's."""
        for suspension in self._feature.suspensions:
            yield self._suspension(suspension, SubjectReference(EVERYBODY), "")
        for scope in self._scopes():
            for suspension in scope.suspensions:
                if suspension.feature == self._feature.id:
                    yield self._suspension(suspension, scope.on, scope.unfelt)

    def _suspension(self, suspension: Suspension, on: SubjectReference, idle: str) -> SuspensionApplicability:
        standing, why = _in_time(suspension.start, suspension.until, self._now)
        if standing is Applicability.COUNTS and idle:
            standing, why = Applicability.SET_ASIDE, idle
        return SuspensionApplicability(
            on=on,
            standing=standing,
            why=why or UNSET,
            reason=suspension.reason or UNSET,
            start=written(suspension.start),
            until=written(suspension.until),
        )


def _missing_base(item: IndexedItem, counting: Collection[str]) -> str:
    """Return which item or plan is missing for an item to count."""
    if item.available_for and not any(plan in counting for plan in item.available_for):
        shown = item.available_for[:_MOST_NAMED]
        more = len(item.available_for) - len(shown)
        plans = " or ".join(shown) + (f" or {more} more" if more else "")
        return f"it counts only with {plans}, which the subscription does not have now"
    missing = next(needed for needed in item.depends_on if needed not in counting)
    return f"it depends on {missing}, which does not count"


def _in_time(start: Instant, until: Instant, now: Instant) -> tuple[Applicability, str]:
    if start >= until:
        return Applicability.OVER, "its time ends before it begins"
    if now >= until:
        return Applicability.OVER, f"it ended on {moment(until)}"
    if now < start:
        return Applicability.NOT_YET, f"it begins on {moment(start)}"
    return Applicability.COUNTS, ""


def _of_subscription(subscription: Subscription, now: Instant) -> tuple[Applicability, str]:
    live = subscription.live_interval()
    if live.start >= live.until:
        return Applicability.SET_ASIDE, _never(subscription)
    if now >= live.until:
        return Applicability.OVER, _ended(subscription, live.until)
    if now < live.start:
        begin = f"is paused until {moment(live.start)}" if live.start == subscription.resume_at else ""
        return Applicability.NOT_YET, f"it {begin or f'begins on {moment(live.start)}'}"
    return Applicability.COUNTS, _running(subscription, live.until)


def _never(subscription: Subscription) -> str:
    """Return why a subscription never counts in its current state."""
    match subscription.status:
        case SubscriptionStatus.EXPIRED:
            return "it has expired"
        case SubscriptionStatus.PAUSED if subscription.resume_at is None:
            return "it is paused"
        case SubscriptionStatus.PAST_DUE if subscription.grace_until is None:
            return "its payment is past due, and there is no grace period"
        case SubscriptionStatus.TRIALING if subscription.trial_end is None:
            return "it is a trial without an end, which does not count"
        case SubscriptionStatus.CANCELED if subscription.end is None:
            return "it is canceled"
        case _:
            return f"it is {subscription.status.replace('_', ' ')}, and its time ends before it begins"


def _ended(subscription: Subscription, until: Instant) -> str:
    match subscription.status:
        case SubscriptionStatus.TRIALING if until == subscription.trial_end:
            return f"its trial ended on {moment(until)}"
        case SubscriptionStatus.PAST_DUE if until == subscription.grace_until:
            return f"its payment is past due, and the grace period ended on {moment(until)}"
        case SubscriptionStatus.CANCELED:
            return f"it is canceled and ended on {moment(until)}"
        case _:
            return f"it ended on {moment(until)}"


def _running(subscription: Subscription, until: Instant) -> str:
    end = "" if until >= LAST_INSTANT else f" until {moment(until)}"
    match subscription.status:
        case SubscriptionStatus.ACTIVE:
            return f"it is active{end}"
        case SubscriptionStatus.TRIALING:
            return f"its trial runs{end}"
        case SubscriptionStatus.PAST_DUE:
            return f"its payment is past due, and the grace period runs{end}"
        case SubscriptionStatus.CANCELED:
            return f"it is canceled, and runs{end}"
        case SubscriptionStatus.PAUSED:
            return f"its pause is over{end and f', and it runs{end}'}"
        case SubscriptionStatus.EXPIRED:
            return "it has expired"
