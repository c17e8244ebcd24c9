"""The effect of one override: now, for lists; and whether it can ever have one, for rejections.

An override has an effect if the customer, or one of its subscriptions, has another value with it than without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.catalog import override_data
from tiergate.errors import BodyProblem, ConflictError
from tiergate.impact.preview.subject_effects import overage_from_facts, value_from_facts
from tiergate.impact.subject_change.change_effects import catalog_definitions, effect_between, ever_differs, facts_at
from tiergate.impact.subject_change.shown_values import describe_entitlement, entitlement_form
from tiergate.model import Override, OverrideMode, Subject, SubjectRecord, SubjectType, format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.engine.facts import Facts
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import Customer, Instant, Override, SubjectRecord, Subscription
    from tiergate.store import PublishedCatalog


class OverrideLocation(NamedTuple):
    """An override of a subscription with the id `owner`, or of the customer for `None`."""

    owner: str | None
    override: Override

    def subject(self, record: SubjectRecord) -> Subject:
        """Return the subject that has the override."""
        if self.owner is None:
            return Subject(record.customer.id)
        return Subject(self.owner, SubjectType.SUBSCRIPTION)

    def without(self, record: SubjectRecord) -> SubjectRecord:
        """Return the record without the override."""
        return self.keep(record, lambda override: override.id != self.override.id)

    def keep(self, record: SubjectRecord, is_kept: Callable[[Override], bool]) -> SubjectRecord:
        """Return the record with only the kept overrides of the owner."""

        def kept(holder: Customer | Subscription) -> tuple[Override, ...]:
            return tuple(override for override in holder.overrides if is_kept(override))

        if self.owner is None:
            return replace(record, customer=replace(record.customer, overrides=kept(record.customer)))
        subscriptions = (
            replace(subscription, overrides=kept(subscription)) if subscription.id == self.owner else subscription
            for subscription in record.subscriptions
        )
        return replace(record, subscriptions=tuple(subscriptions))

    def find_blocker(self, record: SubjectRecord, source: CatalogDefinitions, now: Instant) -> OverrideLocation | None:
        """Return the override without which this one would have an effect from `now` on."""
        for other in self._others(record):
            rest = other.without(record)
            if ever_differs(self.without(rest), rest, self.override.feature, source, now):
                return other
        return None

    def _others(self, record: SubjectRecord) -> Iterator[OverrideLocation]:
        """Yield the other overrides of the feature: of the same subject, then of its customer."""
        holders: list[tuple[str | None, Customer | Subscription]] = [(None, record.customer)]
        holders[:0] = [(self.owner, it) for it in record.subscriptions if it.id == self.owner]
        for owner, holder in holders:
            for override in holder.overrides:
                is_self = owner == self.owner and override.id == self.override.id
                if override.feature == self.override.feature and not is_self:
                    yield OverrideLocation(owner, override)


_MOST_SUBJECTS: Final = 50
_WITHOUT_IT: Final = "without it the value is"


# ── Overrides that do nothing ────────────────────────────────────────────────────────────────────────────────────────


def reject_ineffective_overrides(
    state: PublishedCatalog, record: SubjectRecord, subscription: str | None, new: tuple[Override, ...], now: Instant
) -> None:
    """Check that each new override can have an effect, at some instant from `now` on.

    `record`: the customer with them. `subscription`: the one that has them, `None` for the customer. A customer without
    subscriptions may have any.

    Raises:
        ConflictError: if one cannot; the error names what prevents it.
    """
    if not new:
        return
    source = catalog_definitions(state.catalog, state.index)
    problems = []
    for override in new:
        if override.feature not in source.index.features:
            continue
        result = _idle(source, record, OverrideLocation(subscription, override), now)
        if result:
            problems.append(BodyProblem("", "override-without-effect", result))
    if problems:
        raise ConflictError("override-without-effect", "; ".join(problem.sentence for problem in problems), problems)


def _idle(source: CatalogDefinitions, record: SubjectRecord, location: OverrideLocation, now: Instant) -> str:
    """Return why an override can have no effect; empty if it can."""
    override = location.override
    whose = f"the override `{override.id}` has no effect"
    if override.until <= now:
        return f"{whose}: it ended at {format_instant(override.until)}"
    if not record.subscriptions or ever_differs(location.without(record), record, override.feature, source, now):
        return ""
    return f"{whose}: {_hindrance(source, record, location, max(now, override.start))}"


def _hindrance(source: CatalogDefinitions, record: SubjectRecord, location: OverrideLocation, at: Instant) -> str:
    """Return what prevents an override from having an effect from an instant on."""
    blocker = location.find_blocker(record, source, at)
    if blocker is not None:
        whose = "the" if blocker.owner == location.owner else "the customer's"
        return f"{whose} override `{blocker.override.id}` ({_sentence(blocker.override, source)}) decides instead"
    facts = facts_at(location.without(record), location.subject(record), location.override.feature, source, at)
    value = None if facts is None else _held(facts)
    return f"{_WITHOUT_IT} {describe_entitlement(value)}"


def _sentence(override: Override, source: CatalogDefinitions) -> str:
    data = override_data(override, source.index.features)
    mode = override.mode.value
    return mode if override.mode is OverrideMode.DISABLED else f"{mode} {describe_entitlement(data.get('value'))}"


# ── What an override does now ────────────────────────────────────────────────────────────────────────────────────────


def override_effect(
    state: PublishedCatalog, record: SubjectRecord, subscription: str | None, override: Override, now: Instant
) -> dict[str, object]:
    """Return the effect of an override on its subject's value at `now`, as JSON members.

    `state`: `raises` or `lowers` it; `acts` if only the decision changes; `none`, `scheduled` or `ended`. `from`, `to`:
    the value without it and with it, as entitlements are written. `because`: why there is no effect.
    """
    if override.until <= now:
        return {"state": "ended"}
    if override.start > now:
        return {"state": "scheduled"}
    source = catalog_definitions(state.catalog, state.index)
    if override.feature not in source.index.features:
        return {"state": "none", "because": f"no feature `{override.feature}` is published"}
    location = OverrideLocation(subscription, override)
    facts_pair = _values(source, record, location, now)
    if facts_pair is not None:
        was, facts = facts_pair
        effect = effect_between(was, facts)
        data = "acts" if effect is None else "lowers" if effect.reduces else "raises"
        return {"state": data, "from": _held(was), "to": _held(facts)}
    return {"state": "none", "because": _why(source, record, location, now)}


def _values(
    source: CatalogDefinitions, record: SubjectRecord, location: OverrideLocation, now: Instant
) -> tuple[Facts, Facts] | None:
    """Return the facts without an override and with it, of the first subject for which they differ at `now`."""
    rest = location.without(record)
    subjects = [location.subject(record), Subject(record.customer.id)]
    if location.owner is None:
        subjects += [Subject(it.id, SubjectType.SUBSCRIPTION) for it in record.subscriptions[:_MOST_SUBJECTS]]
    for subject in dict.fromkeys(subjects):
        facts, was = (facts_at(it, subject, location.override.feature, source, now) for it in (record, rest))
        if facts is None or was is None:
            continue
        if effect_between(was, facts) is not None or was.disabled != facts.disabled:
            return was, facts
    return None


def _held(facts: Facts) -> object:
    return entitlement_form(value_from_facts(facts), overage_from_facts(facts))


def _why(source: CatalogDefinitions, record: SubjectRecord, location: OverrideLocation, now: Instant) -> str:
    if location.owner is not None:
        owner = next(subscription for subscription in record.subscriptions if subscription.id == location.owner)
        live = owner.live_interval()
        if not live.start <= now < live.until:
            return f"the subscription `{owner.id}` does not count now ({owner.status.value})"
    return _hindrance(source, record, location, now)
