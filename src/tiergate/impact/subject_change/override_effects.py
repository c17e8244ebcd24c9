"""The effect of one override: now, for lists; and whether it can ever have one, for rejections.

An override has an effect if the customer, or one of its subscriptions, has another value with it than without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.catalog import override_data
from tiergate.errors import BodyProblem, ConflictError
from tiergate.impact.subject_change.change_effects import (
    catalog_definitions,
    comparable_size,
    ever_differs,
    facts_at,
    granted_value,
)
from tiergate.model import Customer, Override, OverrideMode, Subject, SubjectRecord, SubjectType, format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine.facts import Facts
    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import Instant, Subscription
    from tiergate.store import PublishedCatalog

_MOST_SUBJECTS: Final = 50
_WITHOUT_IT: Final = "without it the value is"


class _Place(NamedTuple):
    """An override of a customer, or of its subscription with this id."""

    subscription: str | None
    override: Override

    def words(self, asked: str | None) -> str:
        """Return its name beside an override of `asked`."""
        if self.subscription == asked:
            return f"the override `{self.override.id}`"
        return f"the customer's override `{self.override.id}`"


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
    source = catalog_definitions(state.catalog, state.index)
    problems = []
    for override in new:
        if override.feature not in source.index.features:
            continue
        result = _idle(source, record, _Place(subscription, override), now)
        if result:
            problems.append(BodyProblem("", "override-without-effect", result))
    if problems:
        raise ConflictError("override-without-effect", "; ".join(problem.sentence for problem in problems), problems)


def _idle(source: CatalogDefinitions, record: SubjectRecord, place: _Place, now: Instant) -> str:
    """Return why an override can have no effect; empty if it can."""
    override = place.override
    whose = f"the override `{override.id}` has no effect"
    if override.until <= now:
        return f"{whose}: it ended at {format_instant(override.until)}"
    if not record.subscriptions or ever_differs(_without(record, place), record, override.feature, source, now):
        return ""
    return f"{whose}: {_hindrance(source, record, place, max(now, override.start))}"


def _hindrance(source: CatalogDefinitions, record: SubjectRecord, place: _Place, at: Instant) -> str:
    """Return what prevents an override from having an effect from an instant on."""
    other = _in_its_way(source, record, place, at)
    if other is not None:
        return f"{other.words(place.subscription)} ({_sentence(other.override, source)}) decides instead"
    facts = facts_at(_without(record, place), _subject(record, place), place.override.feature, source, at)
    value = None if facts is None else granted_value(facts)
    return f"{_WITHOUT_IT} {_shown(value)}"


def _in_its_way(source: CatalogDefinitions, record: SubjectRecord, place: _Place, at: Instant) -> _Place | None:
    """Return the override without which this one would have an effect from an instant on."""
    for other in _places(record, place):
        rest = _without(record, other)
        if ever_differs(_without(rest, place), rest, place.override.feature, source, at):
            return other
    return None


def _places(record: SubjectRecord, place: _Place) -> Iterator[_Place]:
    """Yield the other overrides of the feature that can prevent it: of the same subject, then of its customer."""
    feature = place.override.feature
    if place.subscription is not None:
        held = next(value for value in record.subscriptions if value.id == place.subscription)
        for override in held.overrides:
            if override.feature == feature and override.id != place.override.id:
                yield _Place(place.subscription, override)
    for override in record.customer.overrides:
        if override.feature == feature and (place.subscription is not None or override.id != place.override.id):
            yield _Place(None, override)


def _without(record: SubjectRecord, place: _Place) -> SubjectRecord:
    """Return the record without an override."""

    def rest(holder: Customer | Subscription) -> tuple[Override, ...]:
        return tuple(override for override in holder.overrides if override.id != place.override.id)

    if place.subscription is None:
        return replace(record, customer=replace(record.customer, overrides=rest(record.customer)))
    return replace(
        record,
        subscriptions=tuple(
            replace(entry, overrides=rest(entry)) if entry.id == place.subscription else entry
            for entry in record.subscriptions
        ),
    )


def _subject(record: SubjectRecord, place: _Place) -> Subject:
    if place.subscription is None:
        return Subject(record.customer.id)
    return Subject(place.subscription, SubjectType.SUBSCRIPTION)


def _sentence(override: Override, source: CatalogDefinitions) -> str:
    data = override_data(override, source.index.features)
    mode = override.mode.value
    return mode if override.mode is OverrideMode.DISABLED else f"{mode} {_shown(data.get('value'))}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else f"{value}"


# ── What an override does now ────────────────────────────────────────────────────────────────────────────────────────


def override_effect(
    state: PublishedCatalog, record: SubjectRecord, subscription: str | None, override: Override, now: Instant
) -> dict[str, object]:
    """Return the effect of an override on its subject's value at `now`, as JSON members.

    `state`: `raises` or `lowers` it; `acts` if only the decision changes; `none`, `scheduled` or `ended`. `from`, `to`:
    the value without it and with it. `because`: why there is no effect.
    """
    if override.until <= now:
        return {"state": "ended"}
    if override.start > now:
        return {"state": "scheduled"}
    source = catalog_definitions(state.catalog, state.index)
    if override.feature not in source.index.features:
        return {"state": "none", "because": f"no feature `{override.feature}` is published"}
    place = _Place(subscription, override)
    found = _values(source, record, place, now)
    if found is not None:
        was, facts = found
        before, after = comparable_size(was), comparable_size(facts)
        data = "acts" if before == after else "raises" if after > before else "lowers"
        return {"state": data, "from": granted_value(was), "to": granted_value(facts)}
    return {"state": "none", "because": _why(source, record, place, now)}


def _values(
    source: CatalogDefinitions, record: SubjectRecord, place: _Place, now: Instant
) -> tuple[Facts, Facts] | None:
    """Return the facts without an override and with it, of the first subject for which they differ at `now`."""
    rest = _without(record, place)
    subjects = [_subject(record, place), Subject(record.customer.id)]
    if place.subscription is None:
        subjects += [Subject(it.id, SubjectType.SUBSCRIPTION) for it in record.subscriptions[:_MOST_SUBJECTS]]
    for subject in dict.fromkeys(subjects):
        facts, was = (facts_at(it, subject, place.override.feature, source, now) for it in (record, rest))
        if facts is None or was is None:
            continue
        if comparable_size(was) != comparable_size(facts) or was.disabled != facts.disabled:
            return was, facts
    return None


def _why(source: CatalogDefinitions, record: SubjectRecord, place: _Place, now: Instant) -> str:
    if place.subscription is not None:
        held = next(subscription for subscription in record.subscriptions if subscription.id == place.subscription)
        live = held.live_interval()
        if not live.start <= now < live.until:
            return f"the subscription `{held.id}` does not count now ({held.status.value})"
    return _hindrance(source, record, place, now)
