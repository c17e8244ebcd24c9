"""A decision's reasoning in plain sentences, for support staff to read out.

INVARIANT (sentences do not contradict): the first sentence is a yes exactly if the check is allowed, and names the
decision's reason; every number is one of the decision or the check. A property test parses the sentences.

The order: the answer, errors, numbers, their sources, what does not count and why, other reasons, future changes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tiergate.engine.explanation.applicability import EVERYBODY
from tiergate.engine.explanation.phrases import moment, plain, times, with_unit
from tiergate.engine.explanation.summary import cause, feature_name, subject_phrase, verdict
from tiergate.engine.explanation.trace import build_reasoning
from tiergate.model import FeatureType, OverrideMode, Reason, SubjectType, parse_instant
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


class _SentenceWriter:
    """Writes the sentences of one reasoning."""

    def __init__(self, reasoning: Reasoning) -> None:
        self._it = reasoning
        self._asked = reasoning.asked
        self._type = FeatureType(reasoning.asked.type)
        self._reason = Reason(reasoning.decision.reason)
        self._unit = reasoning.asked.unit or ""
        self._feature = feature_name(reasoning)
        self._deciding = [it for it in reasoning.policies if it.decided]

    def sentences(self) -> Iterator[str]:
        it = self._it
        yield verdict(it)
        for error in it.errors[:_MOST]:
            yield f"What went wrong: {plain(error)}."
        if it.decision.stale:
            yield "The data that this rests on may be out of date."
        if self._reason in _STOPPED:
            return
        yield from self._numbers()
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
        held = self._it.decision.entitlement
        match self._type:
            case FeatureType.QUANTITY if held.unlimited:
                yield f"There is no limit; {self._used()}."
            case FeatureType.QUANTITY:
                if held.value:
                    yield f"The limit is {self._of(held.value)}; {self._used()}, so {with_unit(held.remaining)} remain."
            case FeatureType.RANGE if held.unlimited:
                yield f"{self._feature} may be set to any value."
            case FeatureType.RANGE if held.value:
                yield f"{self._feature} may be set up to {self._of(held.value)}."
            case FeatureType.CUSTOM if held.value is not None:
                levels = ", ".join(plain(label) for label in self._it.counting.levels or ())
                yield f"The level held is {plain(str(held.value))}; the levels are, lowest first: {levels}."
            case _:
                return

    def _used(self) -> str:
        used = with_unit(self._it.decision.entitlement.used)
        match self._asked.used_from:
            case "check":
                return f"the check says that {used} are used"
            case "metered":
                return f"{used} are counted as used"
            case _:
                return f"the check does not say that any are used, which counts as {used}"

    def _given(self) -> Iterator[str]:
        values = self._it.values
        items = [one for one in values if one.source.item is not None]
        several = len({one.source.subscription for one in items}) > 1
        say = partial(self._contribution, several=several)
        yield from _several(items, say, "items that give some of it")
        held, maximum = self._it.decision.entitlement, self._it.counting.maximum
        if items and self._type is FeatureType.RANGE and held.value == maximum:
            yield f"What items give counts up to {self._of(maximum)}, and no further."
        elif len(values) > 1 and self._type is not FeatureType.SWITCH:
            yield self._combined()

    def _combined(self) -> str:
        """Return how several values are combined."""
        held = self._it.decision.entitlement
        if held.unlimited:
            return "Unlimited stands above every number."
        if self._type is FeatureType.CUSTOM:
            return f"The highest level counts: {plain(str(held.value))}."
        if self._it.counting.across and len({one.source.subscription for one in self._it.values}) > 1:
            return f"The subscription that comes to most counts: that makes {self._of(held.value)}."
        if self._it.counting.combine == "sum":
            return f"Together that makes {self._of(held.value)}."
        if any(one.source.add for one in self._it.values):
            return f"The greatest of them, with what is added on top, makes {self._of(held.value)}."
        return f"The greatest of them counts: {self._of(held.value)}."

    def _contribution(self, one: Contribution, *, several: bool) -> str:
        source = one.source
        kind, _, item = (source.item or "").partition("/")
        name = plain(one.name or "") or item
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
        if one.counts == source.value:
            return f"{head} {verb} {each}, however often it is held."
        return f"{head} {verb} {each} each, is held {times(quantity)}, and so {verb} {self._of(one.counts)}."

    # ── what stands beside ───────────────────────────────────────────────────────────────────────────────────────────

    def _overrides(self) -> Iterator[str]:
        yield from _several(self._it.overrides, self._override, "overrides")

    def _override(self, one: OverrideApplicability) -> str:
        act = self._override_act(one)
        head = f"The override {one.id} on {one.on.type} {one.on.id}"
        about = _about(one.author, one.reason)
        if one.standing is Applicability.COUNTS:
            until = f" until {moment(parse_instant(one.until))}" if one.until else ""
            return f"{head} {act}{until}{about}."
        return f"{head}, which {act}, does not count: {one.why}{about}."

    def _override_act(self, one: OverrideApplicability) -> str:
        if one.mode == OverrideMode.DISABLED:
            return f"takes {self._feature} away"
        if isinstance(one.value, bool):
            return f"gives {self._feature}" if one.value else f"says that {self._feature} is not given"
        if one.unlimited:
            value = "no limit"
        else:
            value = f"the level {plain(one.value)}" if isinstance(one.value, str) else self._of(one.value)
        if one.mode == OverrideMode.AT_LEAST:
            return f"gives at least {value}"
        if one.mode == OverrideMode.ADD:
            return f"adds {value}"
        rest = "all that is held" if one.on.type == SubjectType.CUSTOMER else "what this subscription gives"
        return f"puts {value} in place of {rest}"

    def _suspensions(self) -> Iterator[str]:
        felt = [one for one in self._it.suspensions if one.standing is not Applicability.OVER]
        yield from _several(felt, self._suspension, "suspensions")

    def _suspension(self, one: SuspensionApplicability) -> str:
        whose = EVERYBODY if one.on.type == EVERYBODY else f"{one.on.type} {one.on.id}"
        head, about = f"{self._feature} is suspended for {whose}", _about("", one.reason)
        match one.standing:
            case Applicability.COUNTS:
                until = f" until {moment(parse_instant(one.until))}" if one.until else ""
                return f"{head}{until}{about}."
            case Applicability.NOT_YET if one.start:
                return f"{head} from {moment(parse_instant(one.start))} on{about}."
            case _:
                return f"{head}, which does not matter: {one.why}{about}."

    def _idle(self) -> Iterator[str]:
        """Yield which subscriptions and items do not count, and why."""
        found: list[tuple[str, str]] = []
        for one in self._it.subscriptions:
            if one.standing is not Applicability.COUNTS:
                found.append((f"Subscription {one.id}", one.why))
                continue
            found += [
                (f"{plain(held.name or '') or held.item} in subscription {one.id}", held.why or "")
                for held in one.items
                if held.standing is not Applicability.COUNTS
            ]
        say = "{0[0]} does not count: {0[1]}.".format
        yield from _several(found, say, "subscriptions and items that do not count")
        if self._it.known and not self._it.subscriptions:
            yield f"There is no subscription for {subject_phrase(self._it)}."

    def _besides(self) -> Iterator[str]:
        """Yield what else decided: other reasons of the same denial, and rules by their names."""
        it = self._it
        others = {Reason(one.reason) for one in self._deciding if one.reason} - {self._reason}
        for reason in sorted(others, key=list(Reason).index):
            yield f"Besides, {cause(it, reason)}."
        yield from _several([one for one in self._deciding if one.id.startswith("rule/")], _rule, "rules")

    def _changes(self) -> Iterator[str]:
        changes = self._it.changes
        if changes:
            at = moment(parse_instant(changes[0].at))
            for one in changes[:_MOST]:
                yield f"This may change on {at}: {one.what}."
        elif (
            isinstance(until := self._it.decision.valid_until, str)
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
