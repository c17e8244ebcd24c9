"""Builds the reasoning of an explanation and the record that it is based on, one part after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, TypeVar

import msgspec

from tiergate.engine.active_items import ActiveVersion
from tiergate.engine.explanation.applicability import EVERYBODY, ApplicabilityReader, written
from tiergate.engine.explanation.phrases import plain
from tiergate.engine.facts import counted, source_of
from tiergate.engine.metered_limits import NO_CEILING
from tiergate.model import AddedAmount, Amount, Combine, FeatureType, Override, format_instant, from_units
from tiergate.wire.decision import decision_document
from tiergate.wire.explanation import (
    Cap,
    Change,
    Contribution,
    Counting,
    Draw,
    ExplainedCheck,
    Reasoning,
    SubjectReference,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.engine.explanation.explain import Explanation
    from tiergate.model import Feature, Number, Subject, SubjectRecord, Value
    from tiergate.wire.explanation import OverrideApplicability, SubscriptionApplicability, SuspensionApplicability

UNSET = msgspec.UNSET

T = TypeVar("T")

_COUNTING = ("begins to count", "no longer counts")


def build_reasoning(
    explanation: Explanation, feature: Feature, record: SubjectRecord | None, subject: Subject
) -> Reasoning:
    """Build the reasoning behind a decision.

    `record`: the decided one, or the same with reasons and authors; none if the subject is unknown.
    """
    builder = ReasoningBuilder(explanation, feature, record, subject)
    for _ in builder.work():
        pass
    return builder.reasoning()


class ReasoningBuilder:
    """Builds a reasoning in steps, so that a customer with a thousand subscriptions delays nobody."""

    def __init__(
        self, explanation: Explanation, feature: Feature, record: SubjectRecord | None, subject: Subject
    ) -> None:
        self._explanation = explanation
        self._feature = feature
        self._record = record
        self._subject = subject
        self._subscriptions: list[SubscriptionApplicability] = []
        self._overrides: list[OverrideApplicability] = []
        self._suspensions: list[SuspensionApplicability] = []
        self._values: list[Contribution] = []

    def work(self) -> Iterator[None]:
        """Derive the parts one by one; the reasoning is complete at the end."""
        if self._record is not None:
            reader = ApplicabilityReader(self._explanation, self._feature, self._record, self._subject)
            yield from _collect(reader.subscriptions(), self._subscriptions)
            yield from _collect(reader.overrides(), self._overrides)
            yield from _collect(reader.suspensions(), self._suspensions)
        yield from _collect(_values(self._explanation, self._feature), self._values)

    def reasoning(self) -> Reasoning:
        """Return the reasoning."""
        explanation, feature = self._explanation, self._feature
        return Reasoning(
            asked=_asked(explanation, feature, self._subject),
            decision=decision_document(explanation.decision),
            known=self._record is not None,
            subscriptions=tuple(self._subscriptions),
            held=explanation.held,
            values=tuple(self._values),
            counting=_counting(explanation, feature),
            overrides=tuple(self._overrides),
            suspensions=tuple(self._suspensions),
            changes=_changes(explanation, self._subscriptions, self._overrides, self._suspensions),
            principal=explanation.principal,
            action=explanation.action,
            context=explanation.context,
            policies=explanation.policies,
            errors=explanation.decision.errors,
        )


def _collect(parts: Iterable[T], collected: list[T]) -> Iterator[None]:
    for part in parts:
        collected.append(part)
        yield


def _asked(explanation: Explanation, feature: Feature, subject: Subject) -> ExplainedCheck:
    question = explanation.question
    check = explanation.evaluation.check

    def edge(units: int) -> Number:
        return from_units(units, feature.scale)

    is_quantity = feature.type is FeatureType.QUANTITY
    used_from = "check" if check.used is not None else "metered" if explanation.metered else "nothing"
    return ExplainedCheck(
        subject=SubjectReference(subject.type.value, subject.id, UNSET if subject.user is None else subject.user),
        feature=feature.id,
        type=feature.type.value,
        at=format_instant(explanation.now),
        name=feature.name or UNSET,
        unit=feature.unit or UNSET,
        amount=edge(question.amount) if is_quantity else UNSET,
        used=explanation.decision.entitlement.used,
        used_from=used_from if is_quantity else UNSET,
        value=edge(question.value) if feature.type is FeatureType.RANGE and check.value is not None else UNSET,
        level=UNSET if check.level is None else check.level,
    )


def _values(explanation: Explanation, feature: Feature) -> Iterator[Contribution]:
    facts = explanation.evaluation.facts
    for subscription, by, value in () if facts is None else facts.contributions:
        item = explanation.items.get(by.item.partition("/")[2]) if isinstance(by, ActiveVersion) else None
        yield Contribution(
            source=source_of(feature, subscription, by, value),
            name=item.name if item is not None and item.name else UNSET,
            counts=_counts(feature, by, value),
        )


def _counts(feature: Feature, by: ActiveVersion | Override, value: Value | None) -> Number | msgspec.UnsetType:
    """Return how much of a number a contribution makes; absent if it is not a number."""
    if not isinstance(value, Amount | AddedAmount):
        return UNSET
    units = value.units if isinstance(by, Override) else counted(feature, value, by.quantity)
    return from_units(units, feature.scale)


def _counting(explanation: Explanation, feature: Feature) -> Counting:
    def edge(units: int | None) -> Number | msgspec.UnsetType:
        return UNSET if units is None else from_units(units, feature.scale)

    match feature.type:
        case FeatureType.SWITCH:
            return Counting(combine="any")
        case FeatureType.CUSTOM:
            return Counting(combine="highest", levels=feature.labels)
        case FeatureType.RANGE:
            return Counting(
                combine=feature.combine.value,
                minimum=edge(feature.minimum),
                maximum=edge(feature.maximum),
                across=_across(feature),
            )
        case FeatureType.QUANTITY:
            return Counting(
                combine=feature.combine.value,
                minimum=edge(feature.batch.minimum),
                increment=edge(feature.batch.increment),
                user_cap=_cap(explanation, "userCap", feature),
                total_cap=_cap(explanation, "totalCap", feature),
                across=_across(feature),
                **_metering(explanation, feature),
            )


class _Metering(TypedDict, total=False):
    soft: bool
    overage_max: Number
    allowance: Number
    draws: Draw


def _metering(explanation: Explanation, feature: Feature) -> _Metering:
    """Return what metering adds, as Cedar evaluated it."""
    facts, context, metering = explanation.evaluation.facts, explanation.context, _Metering()
    if facts is None:
        return metering
    if facts.soft and not facts.unlimited:
        metering["soft"] = True
        if facts.overage_max is not None:
            metering["overage_max"] = from_units(facts.overage_max, feature.scale)
    if explanation.evaluation.usage.granted and not facts.unlimited:
        metering["allowance"] = from_units(facts.total, feature.scale)
    draws, source = context.get("draws"), facts.drawn
    if draws is not None and source is not None:
        scale = source.feature.scale
        amount, used, ceiling = (from_units(draws[name], scale) for name in ("amount", "used", "ceiling"))
        bound = UNSET if draws["ceiling"] >= NO_CEILING else ceiling
        metering["draws"] = Draw(source.feature.id, amount, used, bound)
    return metering


def _across(feature: Feature) -> str | msgspec.UnsetType:
    return UNSET if feature.across is Combine.SUM else feature.across.value


def _cap(explanation: Explanation, name: str, feature: Feature) -> Cap | msgspec.UnsetType:
    """Return a cap as Cedar evaluated it; absent if the feature has none, or nothing was evaluated."""
    cap = explanation.context.get(name)
    if cap is None:
        return UNSET
    return Cap(from_units(cap["limit"], feature.scale), from_units(cap["used"], feature.scale))


def _changes(
    explanation: Explanation,
    subscriptions: Iterable[SubscriptionApplicability],
    overrides: Iterable[OverrideApplicability],
    suspensions: Iterable[SuspensionApplicability],
) -> tuple[Change, ...]:
    """Return what begins or ends when the decision may change."""
    at = written(explanation.decision.until)
    if at is UNSET:
        return ()
    changes: list[str] = []
    for subscription in subscriptions:
        label = f"subscription {subscription.id}"
        changes += _turns(label, subscription.start, subscription.until, at, _COUNTING)
        for held in subscription.items:
            label = f"{plain(held.name) if held.name else held.item} in subscription {subscription.id}"
            changes += _turns(label, held.start, held.until, at, _COUNTING)
            item = explanation.items.get(held.item.rpartition("/")[2])
            if item is not None and not held.pinned and any(written(rollout.start) == at for rollout in item.rollouts):
                changes.append(f"another version of {held.item} may come into force")
    for override in overrides:
        changes += _turns(f"the override {override.id}", override.start, override.until, at, ("begins", "ends"))
    for suspension in suspensions:
        on = "" if suspension.on.type == EVERYBODY else f" on {suspension.on.type} {suspension.on.id}"
        changes += _turns(f"the suspension{on}", suspension.start, suspension.until, at, ("begins", "ends"))
    usage = explanation.decision.usage
    if usage is not None:
        if written(usage.window_end) == at:
            changes.append("the window of its usage ends")
        if usage.drawn is not None and written(usage.drawn.window_end) == at:
            changes.append("the window of the usage that it draws on ends")
        if written(usage.until) == at:
            changes.append("granted units begin or end")
    status = explanation.decision.status
    if status is not None and written(status.until) == at:
        changes.append("a report on the status of the feature begins or ends")
    return tuple(Change(at, text) for text in dict.fromkeys(changes))


def _turns(
    label: str, start: str | msgspec.UnsetType, until: str | msgspec.UnsetType, at: str, words: tuple[str, str]
) -> list[str]:
    return [f"{label} {word}" for end, word in zip((start, until), words, strict=True) if end == at]
