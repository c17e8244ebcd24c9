"""A decision's reasoning in plain sentences, for support staff to read out.

INVARIANT (sentences do not contradict): the first sentence is a yes exactly if the check is allowed, and names the
decision's reason; every number is one of the decision or the check. A property test parses the sentences.

The order: the answer, errors, numbers, their sources, what does not count and why, other reasons, future changes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from tiergate.engine.explanation.applicability import EVERYBODY
from tiergate.engine.explanation.phrases import moment, plain, times, with_unit
from tiergate.engine.explanation.summary import cause, feature_name, subject_phrase, verdict
from tiergate.engine.explanation.trace import build_reasoning
from tiergate.model import FeatureType, OverrideMode, Reason, Status, SubjectType, parse_instant
from tiergate.wire.decision import UNSET
from tiergate.wire.explanation import Applicability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import msgspec

    from tiergate.engine.explanation.explain import Explanation
    from tiergate.model import Feature, Subject, SubjectRecord
    from tiergate.wire.explanation import (
        Contribution,
        OverrideApplicability,
        PolicyText,
        Reasoning,
        SuspensionApplicability,
    )

T = TypeVar("T")

_MOST = 12
"""The most sentences of one kind; the data has all."""

_KINDS = {"plan": "plan", "addon": "add-on", "charge": "charge"}
_STOPPED = frozenset({Reason.UNKNOWN_SUBJECT, Reason.EVALUATION_ERROR})


def explanation_sentences(
    explanation: Explanation, feature: Feature, record: SubjectRecord | None, subject: Subject
) -> tuple[str, ...]:
    """Return sentences that explain a decision.

    `record`: the one that was decided on, or the same with reasons and authors; none where the subject is unknown.
    """
    return reasoning_sentences(build_reasoning(explanation, feature, record, subject))


def reasoning_sentences(reasoning: Reasoning) -> tuple[str, ...]:
    """Return the sentences of a reasoning."""
    return tuple(_SentenceWriter(reasoning).sentences())


_STATUSES: Final = {
    Status.OPERATIONAL: "works",
    Status.MAINTENANCE: "is under maintenance",
    Status.DEGRADED: "works worse than promised",
    Status.PARTIAL: "does not work for some",
    Status.DOWN: "does not work for anybody",
}


class _SentenceWriter:
    """Writes the sentences of one reasoning."""

    def __init__(self, reasoning: Reasoning) -> None:
        self._reasoning = reasoning
        self._asked = reasoning.asked
        self._type = FeatureType(reasoning.asked.type)
        self._reason = Reason(reasoning.decision.reason)
        self._unit = reasoning.asked.unit or ""
        self._feature = feature_name(reasoning)
        self._deciding = [policy for policy in reasoning.policies if policy.decided]

    def sentences(self) -> Iterator[str]:
        reasoning = self._reasoning
        yield verdict(reasoning)
        for error in reasoning.errors[:_MOST]:
            yield f"What went wrong: {plain(error)}."
        if reasoning.decision.stale:
            yield "The data that this rests on may be out of date."
        status, since = reasoning.decision.status, reasoning.decision.since
        if status:
            begun = 0 if not since else parse_instant(since)
            said = f"Since {moment(begun - begun % 1000)}, it is reported that" if since else "It is reported that"
            yield f"{said} {self._feature} {_STATUSES[Status(status)]}."
        if self._reason in _STOPPED:
            return
        yield from self._numbers()
        yield from self._resets()
        yield from self._given()
        yield from self._overrides()
        yield from self._suspensions()
        yield from self._idle()
        yield from self._besides()
        yield from self._changes()

    # ── the numbers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _of(self, value: object) -> str:
        """Return a number of the reasoning with its unit."""
        return with_unit(value, self._unit)

    def _numbers(self) -> Iterator[str]:
        held = self._reasoning.decision.entitlement
        match self._type:
            case FeatureType.QUANTITY if held.unlimited:
                yield f"There is no limit; {self._used()}."
            case FeatureType.QUANTITY:
                if held.value:
                    yield f"The limit is {self._of(held.value)}; {self._used()}, so {with_unit(held.remaining)} remain."
                    yield from self._metering()
            case FeatureType.RANGE if held.unlimited:
                yield f"{self._feature} may be set to any value."
            case FeatureType.RANGE if held.value:
                yield f"{self._feature} may be set up to {self._of(held.value)}."
            case FeatureType.CUSTOM if held.value is not None:
                levels = ", ".join(plain(label) for label in self._reasoning.counting.levels or ())
                yield f"The level held is {plain(str(held.value))}; the levels are, lowest first: {levels}."
            case _:
                return

    def _metering(self) -> Iterator[str]:
        held, counting = self._reasoning.decision.entitlement, self._reasoning.counting
        if counting.allowance is not UNSET:
            granted, allowance = with_unit(held.granted), with_unit(counting.allowance)
            yield f"Of that limit, {allowance} are the allowance and {granted} are granted units."
        if counting.soft:
            most = "" if counting.overage_max is UNSET else f", up to {with_unit(counting.overage_max)}"
            yield f"The limit is soft: use above it is allowed{most}."
        if held.overage:
            yield f"{with_unit(held.overage)} are above the limit."

    def _used(self) -> str:
        used = with_unit(self._reasoning.decision.entitlement.used)
        match self._asked.used_from:
            case "check":
                return f"the check says that {used} are used"
            case "metered":
                return f"{used} are counted as used"
            case _:
                return f"the check does not say that any are used, which counts as {used}"

    def _given(self) -> Iterator[str]:
        values = self._reasoning.values
        items = [value for value in values if value.source.item is not None]
        several = len({value.source.subscription for value in items}) > 1
        say = partial(self._contribution, several=several)
        yield from _several(items, say, "items that give some of it")
        held, maximum = self._reasoning.decision.entitlement, self._reasoning.counting.maximum
        if items and self._type is FeatureType.RANGE and held.value == maximum:
            yield f"What items give counts up to {self._of(maximum)}, and no further."
        elif len(values) > 1 and self._type is not FeatureType.SWITCH:
            yield self._combined()

    def _combined(self) -> str:
        """Return how several values are combined."""
        held = self._reasoning.decision.entitlement
        if held.unlimited:
            return "Unlimited stands above every number."
        if self._type is FeatureType.CUSTOM:
            return f"The highest level counts: {plain(str(held.value))}."
        if self._reasoning.counting.across and len({value.source.subscription for value in self._reasoning.values}) > 1:
            return f"The subscription that comes to most counts: that makes {self._of(held.value)}."
        if self._reasoning.counting.combine == "sum":
            return f"Together that makes {self._of(held.value)}."
        if any(value.source.add for value in self._reasoning.values):
            return f"The greatest of them, with what is added on top, makes {self._of(held.value)}."
        return f"The greatest of them counts: {self._of(held.value)}."

    def _contribution(self, contribution: Contribution, *, several: bool) -> str:
        source = contribution.source
        kind, _, item = (source.item or "").partition("/")
        name = plain(contribution.name or "") or item
        where = f", in subscription {source.subscription}" if several else ""
        head = f"{_KINDS.get(kind, kind).capitalize()} {name}, version {source.version}{where},"
        if source.unlimited:
            return f"{head} gives it without limit."
        if source.value is True:
            return f"{head} gives it."
        if source.value is False:
            return f"{head} says that it does not give it."
        if isinstance(source.value, str):
            return f"{head} gives the level {plain(source.value)}."
        verb = "adds" if source.add else "gives"
        quantity = source.quantity or 1
        each = self._of(source.value)
        if quantity == 1:
            return f"{head} {verb} {each}."
        if contribution.counts == source.value:
            return f"{head} {verb} {each}, however often it is held."
        return f"{head} {verb} {each} each, is held {times(quantity)}, and so {verb} {self._of(contribution.counts)}."

    # ── overrides, suspensions and changes ───────────────────────────────────────────────────────────────────────────

    def _overrides(self) -> Iterator[str]:
        yield from _several(self._reasoning.overrides, self._override, "overrides")

    def _override(self, override: OverrideApplicability) -> str:
        act = self._override_act(override)
        head = f"The override {override.id} on {override.on.type} {override.on.id}"
        about = _about(override.author, override.reason)
        if override.standing is Applicability.COUNTS:
            until = f" until {moment(parse_instant(override.until))}" if override.until else ""
            return f"{head} {act}{until}{about}."
        return f"{head}, which {act}, does not count: {override.why}{about}."

    def _override_act(self, override: OverrideApplicability) -> str:
        if override.mode == OverrideMode.DISABLED:
            return f"takes {self._feature} away"
        if isinstance(override.value, bool):
            return f"gives {self._feature}" if override.value else f"says that {self._feature} is not given"
        if override.unlimited:
            value = "no limit"
        else:
            value = (
                f"the level {plain(override.value)}" if isinstance(override.value, str) else self._of(override.value)
            )
        if override.mode == OverrideMode.AT_LEAST:
            return f"gives at least {value}"
        if override.mode == OverrideMode.ADD:
            return f"adds {value}"
        rest = (
            "everything that the customer has"
            if override.on.type == SubjectType.CUSTOMER
            else "what this subscription gives"
        )
        return f"puts {value} in place of {rest}"

    def _suspensions(self) -> Iterator[str]:
        suspensions = self._reasoning.suspensions
        felt = [suspension for suspension in suspensions if suspension.standing is not Applicability.OVER]
        yield from _several(felt, self._suspension, "suspensions")

    def _suspension(self, suspension: SuspensionApplicability) -> str:
        whose = EVERYBODY if suspension.on.type == EVERYBODY else f"{suspension.on.type} {suspension.on.id}"
        head, about = f"{self._feature} is suspended for {whose}", _about("", suspension.reason)
        match suspension.standing:
            case Applicability.COUNTS:
                until = f" until {moment(parse_instant(suspension.until))}" if suspension.until else ""
                return f"{head}{until}{about}."
            case Applicability.NOT_YET if suspension.start:
                return f"{head} from {moment(parse_instant(suspension.start))} on{about}."
            case _:
                return f"{head}, which does not matter: {suspension.why}{about}."

    def _idle(self) -> Iterator[str]:
        """Yield which subscriptions and items do not count, and why."""
        idle: list[tuple[str, str]] = []
        for subscription in self._reasoning.subscriptions:
            if subscription.standing is not Applicability.COUNTS:
                idle.append((f"Subscription {subscription.id}", subscription.why))
                continue
            idle += [
                (f"{plain(held.name or '') or held.item} in subscription {subscription.id}", held.why or "")
                for held in subscription.items
                if held.standing is not Applicability.COUNTS
            ]
        say = "{0[0]} does not count: {0[1]}.".format
        yield from _several(idle, say, "subscriptions and items that do not count")
        if self._reasoning.known and not self._reasoning.subscriptions:
            yield f"There is no subscription for {subject_phrase(self._reasoning)}."

    def _besides(self) -> Iterator[str]:
        """Yield what else decided: other reasons of the same denial, and rules by their names."""
        reasoning = self._reasoning
        others = {Reason(policy.reason) for policy in self._deciding if policy.reason} - {self._reason}
        for reason in sorted(others, key=list(Reason).index):
            yield f"Besides, {cause(reasoning, reason)}."
        yield from _several([policy for policy in self._deciding if policy.id.startswith("rule/")], _rule, "rules")

    def _resets(self) -> Iterator[str]:
        if self._reasoning.decision.resets_at:
            yield f"Usage is counted until {moment(parse_instant(self._reasoning.decision.resets_at))}."
        draws = self._reasoning.counting.draws
        if draws:
            most = "" if draws.ceiling is UNSET else f"; {with_unit(draws.used)} of {with_unit(draws.ceiling)} are used"
            yield f"The amount draws {with_unit(draws.amount)} of {draws.feature}{most}."

    def _changes(self) -> Iterator[str]:
        changes = self._reasoning.changes
        if changes:
            at = moment(parse_instant(changes[0].at))
            for change in changes[:_MOST]:
                yield f"This may change on {at}: {change.what}."
        elif (
            isinstance(until := self._reasoning.decision.valid_until, str)
            and parse_instant(until) > parse_instant(self._asked.at) + 1
        ):
            yield f"This may change on {moment(parse_instant(until))}."


def _rule(policy: PolicyText) -> str:
    act = "forbids" if policy.reason else "permits"
    says = f": {plain(policy.description)}" if policy.description else ""
    return f"The rule {policy.id.removeprefix('rule/')} {act} it{says}."


def _about(author: str | msgspec.UnsetType, reason: str | msgspec.UnsetType) -> str:
    by = f", given by {plain(author)}" if author else ""
    return f"{by}, because: {plain(reason)}" if reason else by


def _several(things: Sequence[T], say: Callable[[T], str], what: str) -> Iterator[str]:
    """Yield a sentence for each of the first things, and how many more there are."""
    yield from map(say, things[:_MOST])
    if len(things) > _MOST:
        yield f"There are {len(things) - _MOST} more {what}."
