"""A decision's reasoning in plain sentences that a support person can read out.

Says only what stands in the reasoning. INVARIANT (sentences do not contradict): the first sentence says yes exactly
where the check is allowed and names the decision's reason; every number is one of the decision's or the question's. A
property test reads them again.

The first sentence answers; then come what could not be evaluated, the numbers, what gave them, what does not count and
why, what else stood against it, and what will change.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from tiergate.engine.derivations import reason_out
from tiergate.engine.phrases import joined, moment, number, plain, times
from tiergate.engine.reasoning import Standing
from tiergate.engine.standings import EVERYBODY
from tiergate.model import FeatureType, OverrideMode, Reason, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import msgspec

    from tiergate.engine.explain import Explanation, PolicyText
    from tiergate.engine.reasoning import Contribution, OverrideStanding, Reasoning
    from tiergate.model import Feature, Number, Subject, SubjectRecord

__all__ = ["sentences", "told"]

_MOST = 12
"""The most things of one sort that are told one by one; data has all."""

_KINDS = {"plan": "plan", "addon": "add-on", "charge": "charge"}
_STOPPED = frozenset({Reason.UNKNOWN_SUBJECT, Reason.EVALUATION_ERROR})


def sentences(
    explanation: Explanation, feature: Feature, record: SubjectRecord | None, subject: Subject
) -> tuple[str, ...]:
    """Say why a decision is as it is, each sentence a text of its own.

    `record`: the one that was decided on, or the same with reasons and authors; none where the subject is unknown.
    """
    return told(reason_out(explanation, feature, record, subject))


def told(reasoning: Reasoning) -> tuple[str, ...]:
    """Say a reasoning, each sentence a text of its own."""
    return tuple(_Telling(reasoning).sentences())


class _Telling:
    """One reasoning on its way into words."""

    def __init__(self, reasoning: Reasoning) -> None:
        self._it = reasoning
        self._asked = reasoning.asked
        self._type = FeatureType(reasoning.asked.type)
        self._reason = Reason(reasoning.decision.reason)
        self._unit = reasoning.asked.unit or ""
        self._feature = plain(reasoning.asked.name or "") or reasoning.asked.feature
        self._deciding = [it for it in reasoning.policies if it.decided]

    def sentences(self) -> Iterator[str]:
        it = self._it
        yield self._verdict()
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

    # ── the answer ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _verdict(self) -> str:
        at = moment(parse_instant(self._asked.at))
        whom, act = self._whom(), self._act()
        if self._it.decision.allowed:
            return f"Yes: on {at}, {whom} may {act}."
        return f"No: on {at}, {whom} may not {act}, because {self._cause(self._reason)}."

    def _whom(self) -> str:
        subject = self._asked.subject
        user = f"user {subject.user} of " if subject.user else ""
        return f"{user}{subject.type} {subject.id}"

    def _act(self) -> str:
        asked, feature = self._asked, self._feature
        match self._type:
            case FeatureType.SWITCH:
                return f"use {feature}"
            case FeatureType.QUANTITY:
                return f"take {_bare(asked.amount)} more of {feature}"
            case FeatureType.RANGE:
                return f"set {feature} to {self._of(asked.value)}" if asked.value else f"set {feature}"
            case FeatureType.CUSTOM:
                return f"choose the level {plain(asked.level)} of {feature}" if asked.level else f"use {feature}"

    def _cause(self, reason: Reason) -> str:
        """Why not, for every reason of a denial."""
        feature = self._feature
        match reason:
            case Reason.UNKNOWN_SUBJECT:
                return f"no {self._asked.subject.type} {self._asked.subject.id} is known"
            case Reason.EVALUATION_ERROR:
                return "the check could not be evaluated, and what cannot be evaluated is denied"
            case Reason.STALE_DATA:
                return f"the data is too old to decide on {feature} by"
            case Reason.FEATURE_INACTIVE:
                return f"{feature} is a draft that nobody has yet"
            case Reason.FEATURE_SUSPENDED:
                return f"{feature} is suspended"
            case Reason.SUBSCRIPTION_INACTIVE:
                return "no subscription counts at that time"
            case Reason.OVERRIDE_DENIED:
                return f"an override takes {feature} away"
            case Reason.RULE_DENIED:
                return f"{self._rules()} forbids it"
            case Reason.AMOUNT_INVALID:
                return f"that amount cannot be taken: {self._amounts()}"
            case Reason.CAP_REACHED:
                return f"a cap is reached: {self._caps()}"
            case Reason.NOT_ENTITLED:
                return f"nothing that is held gives {feature}"
            case Reason.LIMIT_REACHED:
                return f"the limit is reached: {self._beyond()}"
            case Reason.OUT_OF_RANGE:
                return f"that is out of range: no more than {self._of(self._value())} is granted"
            case Reason.LEVEL_TOO_LOW:
                return f"the level held is too low: it is {plain(str(self._value()))}"
            case Reason.GRANTED:
                return "it is granted"
            case _:
                assert_never(reason)

    def _beyond(self) -> str:
        used, amount, limit = self._asked.used, self._asked.amount, self._value()
        return f"{_bare(used)} are used, and {_bare(amount)} more would pass the limit of {self._of(limit)}"

    def _rules(self) -> str:
        rules = [it for it in self._deciding if it.reason == Reason.RULE_DENIED]
        return f"the rule {_named(rules[0])}" if len(rules) == 1 else "more than one rule"

    def _amounts(self) -> str:
        counting = self._it.counting
        parts = []
        if counting.minimum:
            parts.append(f"at least {self._of(counting.minimum)}")
        if counting.increment:
            parts.append(f"in steps of {self._of(counting.increment)}")
        return f"it must be {joined(parts)}"

    def _caps(self) -> str:
        """The caps that decided, or, where other reasons go before them, none."""
        counting, deciding = self._it.counting, {it.id for it in self._deciding}
        amount = _bare(self._asked.amount)
        parts = []
        for policy, cap, whose in (
            ("guard/user-cap-reached", counting.user_cap, "each user"),
            ("guard/total-cap-reached", counting.total_cap, "everybody together"),
        ):
            if policy in deciding and cap:
                parts.append(
                    f"{whose} may take at most {self._of(cap.limit)}, {_bare(cap.used)} are used, and {amount} more "
                    "would pass that"
                )
        return joined(parts)

    # ── the numbers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _value(self) -> Number | str | bool | None:
        """What is held, where it is not unlimited."""
        return self._it.decision.entitlement.value or 0

    def _of(self, value: object) -> str:
        """A number of the reasoning with its unit."""
        return number(value, self._unit) if isinstance(value, int | Decimal) else ""

    def _numbers(self) -> Iterator[str]:
        held = self._it.decision.entitlement
        match self._type:
            case FeatureType.QUANTITY if held.unlimited:
                yield f"There is no limit; {self._used()}."
            case FeatureType.QUANTITY:
                if held.value:
                    yield f"The limit is {self._of(held.value)}; {self._used()}, so {_bare(held.remaining)} remain."
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
        used = _bare(self._it.decision.entitlement.used)
        match self._asked.used_from:
            case "check":
                return f"the check says that {used} are used"
            case "metered":
                return f"{used} are counted as used"
            case _:
                return f"the check does not say that any are used, which counts as {used}"

    def _given(self) -> Iterator[str]:
        items = [one for one in self._it.values if one.source.item is not None]
        several = len({one.source.subscription for one in items}) > 1
        yield from _several([self._contribution(one, several=several) for one in items], "items that give some of it")
        held = self._it.decision.entitlement
        if len(self._it.values) > 1 and self._type is not FeatureType.SWITCH:
            if held.unlimited:
                yield "Unlimited stands above every number."
            elif self._type is FeatureType.CUSTOM:
                yield f"The highest level counts: {plain(str(held.value))}."
            else:
                how = (
                    "Together that"
                    if self._it.counting.combine == "sum"
                    else "The greatest of them, with what is added,"
                )
                yield f"{how} makes {self._of(held.value)}."
        maximum = self._it.counting.maximum
        if self._it.values and self._type is FeatureType.RANGE and held.value == maximum:
            yield f"More than {self._of(maximum)} cannot be set, whatever is held."

    def _contribution(self, one: Contribution, *, several: bool) -> str:
        source = one.source
        kind, _, item = (source.item or "").partition("/")
        name = plain(one.name or "") or item
        where = f" in subscription {source.subscription}" if several else ""
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
        yield from _several([self._override(one) for one in self._it.overrides], "overrides")

    def _override(self, one: OverrideStanding) -> str:
        value = self._override_value(one)
        match one.mode:
            case OverrideMode.DISABLED:
                act = f"takes {self._feature} away"
            case OverrideMode.AT_LEAST:
                act = f"gives at least {value}"
            case _:
                act = f"puts {value} in place of what is held"
        head = f"The override {one.id} on {one.on.type} {one.on.id}"
        about = _about(one.author, one.reason)
        if one.standing is Standing.COUNTS:
            until = f" until {moment(parse_instant(one.until))}" if one.until else ""
            return f"{head} {act}{until}{about}."
        return f"{head}, which {act}, does not count: {one.why}{about}."

    def _override_value(self, one: OverrideStanding) -> str:
        if one.unlimited:
            return "no limit"
        if isinstance(one.value, bool):
            return "on" if one.value else "off"
        return f"the level {plain(one.value)}" if isinstance(one.value, str) else self._of(one.value)

    def _suspensions(self) -> Iterator[str]:
        found = []
        for one in self._it.suspensions:
            if one.standing is Standing.OVER:
                continue
            whose = EVERYBODY if one.on.type == EVERYBODY else f"{one.on.type} {one.on.id}"
            head = f"{self._feature} is suspended for {whose}"
            if one.standing is Standing.COUNTS:
                until = f" until {moment(parse_instant(one.until))}" if one.until else ""
                found.append(f"{head}{until}{_about('', one.reason)}.")
            elif one.standing is Standing.NOT_YET and one.start:
                found.append(f"{head} from {moment(parse_instant(one.start))} on{_about('', one.reason)}.")
            else:
                found.append(f"{head}, which does not matter: {one.why}{_about('', one.reason)}.")
        yield from _several(found, "suspensions")

    def _idle(self) -> Iterator[str]:
        """What of the subject's subscriptions and items does not count, and why."""
        found = []
        for one in self._it.subscriptions:
            if one.standing is not Standing.COUNTS:
                found.append(f"Subscription {one.id} does not count: {one.why}.")
                continue
            for held in one.items:
                if held.standing is not Standing.COUNTS:
                    name = plain(held.name or "") or held.item
                    found.append(f"{name} in subscription {one.id} does not count: {held.why}.")
        yield from _several(found, "subscriptions and items that do not count")
        if self._it.known and not self._it.subscriptions:
            yield f"There is no subscription for {self._whom()}."

    def _besides(self) -> Iterator[str]:
        """What else decided: other reasons of the same denial, and rules by their names."""
        others = {Reason(it.reason) for it in self._deciding if it.reason} - {self._reason}
        for reason in sorted(others, key=list(Reason).index):
            yield f"Besides, {self._cause(reason)}."
        rules = [it for it in self._deciding if it.id.startswith("rule/")]
        yield from _several([self._rule(it) for it in rules], "rules")

    def _rule(self, it: PolicyText) -> str:
        act = "forbids" if it.reason else "permits"
        says = f": {plain(it.description)}" if it.description else ""
        return f"The rule {it.id.removeprefix('rule/')} {act} it{says}."

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


def _bare(value: object) -> str:
    """A number without its unit, which the limit beside it has."""
    return number(value) if isinstance(value, int | Decimal) else ""


def _named(policy: PolicyText) -> str:
    return policy.id.removeprefix("rule/")


def _about(author: str | msgspec.UnsetType, reason: str | msgspec.UnsetType) -> str:
    by = f", given by {plain(author)}" if author else ""
    return f"{by}, because: {plain(reason)}" if reason else by


def _several(found: Sequence[str], what: str) -> Iterator[str]:
    """These sentences, or the first of them and how many more there are."""
    yield from found[:_MOST]
    if len(found) > _MOST:
        yield f"There are {len(found) - _MOST} more {what}."
