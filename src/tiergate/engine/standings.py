"""Whether each subscription, item, override and suspension counts at an instant, and why.

Says of each single thing what `holdings` and `facts` made of all of them together, and asks their own functions where
there is something to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.engine.facts import override_in_force, source_of
from tiergate.engine.holdings import Window, version_in_force
from tiergate.engine.phrases import moment
from tiergate.engine.reasoning import (
    ItemStanding,
    OverrideStanding,
    Standing,
    SubscriptionStanding,
    SuspensionStanding,
    Whom,
)
from tiergate.model import (
    BEGINNING,
    FOREVER,
    OverrideMode,
    SubjectType,
    SubscriptionStatus,
    format_instant,
)
from tiergate.model.wording import readable
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiergate.engine.explain import Explanation
    from tiergate.model import Feature, HeldItem, Instant, Override, Subject, SubjectRecord, Subscription, Suspension

__all__ = ["EVERYBODY", "Standings", "written"]

UNSET = msgspec.UNSET
EVERYBODY = "everybody"
_LAST_INSTANT = 253_402_300_799_999


def written(instant: Instant) -> str | msgspec.UnsetType:
    """An instant as RFC 3339; absent where it is before or after every one that can be written."""
    return UNSET if instant == BEGINNING or instant >= min(FOREVER, _LAST_INSTANT) else format_instant(instant)


class _Scope(NamedTuple):
    """Where overrides and suspensions stand, and why none of them counts there, empty where they may."""

    whom: Whom
    overrides: Sequence[Override]
    suspensions: Sequence[Suspension]
    idle: str
    unfelt: str


class Standings:
    """What counts of one subject's record for one feature at one instant."""

    def __init__(self, explanation: Explanation, feature: Feature, record: SubjectRecord, subject: Subject) -> None:
        self._explanation = explanation
        self._feature = feature
        self._record = record
        self._now = explanation.now
        facts = explanation.evaluation.facts
        self._contributed = () if facts is None else tuple(by for _, by, _ in facts.contributions)
        self._alone = subject.type is SubjectType.SUBSCRIPTION
        self._subscriptions = [one for one in record.subscriptions if not self._alone or one.id == subject.id]
        self._live = any(one.live().holds(self._now) for one in self._subscriptions)
        self._total = self._of_customer()

    # ── subscriptions and their items ────────────────────────────────────────────────────────────────────────────────

    def subscriptions(self) -> Iterator[SubscriptionStanding]:
        """Every subscription of the subject."""
        for one in self._subscriptions:
            live = one.live()
            standing, why = _of_subscription(one, self._now)
            empty = live.start >= live.until
            yield SubscriptionStanding(
                id=one.id,
                status=one.status,
                standing=standing,
                why=why,
                start=UNSET if empty else written(live.start),
                until=UNSET if empty else written(live.until),
                items=tuple(self._item(held, one) for held in one.items),
            )

    def _item(self, held: HeldItem, subscription: Subscription) -> ItemStanding:
        item = self._explanation.items.get(held.item)
        standing, why = _in_time(held.start, held.until, self._now)
        version = held.version
        gives: str | msgspec.UnsetType = UNSET
        if item is not None and version is None:
            version = version_in_force(item, held, subscription, self._record.customer, Window(self._now))
        if standing is Standing.COUNTS:
            if item is None:
                standing, why = Standing.SET_ASIDE, "the catalog has no such item"
            elif version is None:
                standing, why = Standing.SET_ASIDE, "no rollout of it is in force for this customer"
            elif version not in item.versions:
                standing, why = Standing.SET_ASIDE, f"the catalog has no version {version} of it"
            else:
                value = self._explanation.given.get(version_ref(item.kind, item.id, version))
                if value is not None and subscription.live().holds(self._now):
                    gives = readable(value, self._feature)
        return ItemStanding(
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

    def overrides(self) -> Iterator[OverrideStanding]:
        """Every override of the feature, the customer's first."""
        for scope in self._scopes():
            chosen = override_in_force(scope.overrides, self._feature, Window(self._now))
            for override in scope.overrides:
                if override.feature == self._feature.id:
                    yield self._override(override, scope, chosen)

    def _override(self, override: Override, scope: _Scope, chosen: Override | None) -> OverrideStanding:
        standing, why = _in_time(override.start, override.until, self._now)
        if standing is Standing.COUNTS:
            why = self._aside(override, scope, chosen)
            standing = Standing.SET_ASIDE if why else standing
        source = source_of(self._feature, "", override, override.value)
        return OverrideStanding(
            id=override.id,
            on=scope.whom,
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

    def _aside(self, override: Override, scope: _Scope, chosen: Override | None) -> str:
        """Why an override whose time it is does not count; empty where it does."""
        if scope.idle:
            return scope.idle
        if chosen is not None and chosen is not override:
            return f"the override {chosen.id} stands before it"
        facts = self._explanation.evaluation.facts
        if facts is None or override in self._contributed:
            return ""
        if override.mode is OverrideMode.DISABLED and (facts.active or scope.whom.type == SubjectType.CUSTOMER):
            return ""
        return "as much is held without it" if facts.active else "the feature is a draft"

    def _of_customer(self) -> Override | None:
        """The customer's override that stands in place of everything below it, if there is one."""
        found = override_in_force(self._record.customer.overrides, self._feature, Window(self._now))
        if found is None or found.mode is OverrideMode.AT_LEAST or (self._alone and not self._live):
            return None
        return found

    def _scopes(self) -> Iterator[_Scope]:
        customer = self._record.customer
        idle = "the subscription does not count" if self._alone and not self._live else ""
        yield _Scope(Whom("customer", customer.id), customer.overrides, customer.suspensions, idle, "")
        for one in self._subscriptions:
            if one.overrides or one.suspensions:
                below = self._below(one)
                idle = below or self._paused(one)
                unfelt = "" if self._alone else below
                yield _Scope(Whom("subscription", one.id), one.overrides, one.suspensions, idle, unfelt)

    def _below(self, subscription: Subscription) -> str:
        """Why what stands on a subscription is not looked at for its customer; empty where it is."""
        if not subscription.live().holds(self._now):
            return "the subscription does not count"
        if self._total is not None:
            return f"the customer's override {self._total.id} stands in place of it"
        return ""

    def _paused(self, subscription: Subscription) -> str:
        for it in subscription.suspensions:
            if it.feature == self._feature.id and it.start <= self._now < it.until:
                return "the feature is suspended for this subscription"
        return ""

    # ── suspensions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def suspensions(self) -> Iterator[SuspensionStanding]:
        """Every suspension of the feature: for everybody, the customer's, each subscription's."""
        for it in self._feature.suspensions:
            yield self._suspension(it, Whom(EVERYBODY), "")
        for scope in self._scopes():
            for it in scope.suspensions:
                if it.feature == self._feature.id:
                    yield self._suspension(it, scope.whom, scope.unfelt)

    def _suspension(self, it: Suspension, whom: Whom, idle: str) -> SuspensionStanding:
        standing, why = _in_time(it.start, it.until, self._now)
        if standing is Standing.COUNTS and idle:
            standing, why = Standing.SET_ASIDE, idle
        return SuspensionStanding(
            on=whom,
            standing=standing,
            why=why or UNSET,
            reason=it.reason or UNSET,
            start=written(it.start),
            until=written(it.until),
        )


def _in_time(start: Instant, until: Instant, now: Instant) -> tuple[Standing, str]:
    if start >= until:
        return Standing.OVER, "its time ends before it begins"
    if now >= until:
        return Standing.OVER, f"it ended on {moment(until)}"
    if now < start:
        return Standing.NOT_YET, f"it begins on {moment(start)}"
    return Standing.COUNTS, ""


def _of_subscription(one: Subscription, now: Instant) -> tuple[Standing, str]:
    live = one.live()
    if live.start >= live.until:
        return Standing.SET_ASIDE, _never(one)
    if now >= live.until:
        return Standing.OVER, _ended(one, live.until)
    if now < live.start:
        begin = f"is paused until {moment(live.start)}" if live.start == one.resume_at else ""
        return Standing.NOT_YET, f"it {begin or f'begins on {moment(live.start)}'}"
    return Standing.COUNTS, _running(one, live.until)


def _never(one: Subscription) -> str:
    """Why a subscription never counts as it stands."""
    match one.status:
        case SubscriptionStatus.EXPIRED:
            return "it has expired"
        case SubscriptionStatus.PAUSED if one.resume_at is None:
            return "it is paused"
        case SubscriptionStatus.PAST_DUE if one.grace_until is None:
            return "its payment is past due, and there is no grace period"
        case SubscriptionStatus.TRIALING if one.trial_end is None:
            return "it is a trial without an end, which does not count"
        case SubscriptionStatus.CANCELED if one.end is None:
            return "it is canceled"
        case _:
            return f"it is {one.status.replace('_', ' ')}, and its time ends before it begins"


def _ended(one: Subscription, until: Instant) -> str:
    match one.status:
        case SubscriptionStatus.TRIALING if until == one.trial_end:
            return f"its trial ended on {moment(until)}"
        case SubscriptionStatus.PAST_DUE if until == one.grace_until:
            return f"its payment is past due, and the grace period ended on {moment(until)}"
        case SubscriptionStatus.CANCELED:
            return f"it is canceled and ended on {moment(until)}"
        case _:
            return f"it ended on {moment(until)}"


def _running(one: Subscription, until: Instant) -> str:
    end = "" if until >= _LAST_INSTANT else f" until {moment(until)}"
    match one.status:
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
