"""Decisions from kept answers, and their JSON, without the objects in between.

Nearly every check that was not asked before is answered so. INVARIANT (one form): the JSON has the same bytes as that
of the decision that the evaluator makes; `tests/properties/test_shapes.py` compares them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.engine.active_items import ActiveVersion
from tiergate.engine.entitlements import entitlement_of, shown_caps
from tiergate.engine.facts import Facts, source_of
from tiergate.engine.shapes.answer_table import Answer
from tiergate.model import Amount, Feature, FeatureType, Level, MeteredUsage, Switch, format_units
from tiergate.model.checks import shown_status
from tiergate.model.features import COUNTED
from tiergate.wire.decision import instant_text
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.model import Instant, Reason


_RANGE = FeatureType.RANGE


class KeptText:
    """The sources and policies of the last answer that was written for some facts, as JSON."""

    __slots__ = ("answer", "json")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.json = ""


class KeptDecision(msgspec.Struct, frozen=True, gc=False):
    """A decision: its facts and Cedar's answer, and in units what is used and the amount of the check.

    `usage`: the metered usage that it rests on, if it does. `text`: where the writer keeps what is the same for all
    decisions with these facts. It does not read the time.
    """

    feature: Feature
    facts: Facts
    used: int
    answer: Answer
    amount: int = 0
    usage: MeteredUsage | None = None
    text: KeptText | None = None

    @property
    def reason(self) -> Reason:
        """The reason of the decision."""
        return self.answer.reason

    @property
    def until(self) -> Instant:
        """The instant until which it is valid, unless usage moves."""
        usage = self.usage
        if usage is None:
            return self.facts.until
        if usage.drawn is None:  # nearly always
            return min(self.facts.until, usage.until, usage.window_end)
        return min(self.facts.until, usage.valid_until)

    @property
    def start(self) -> Instant:
        """The instant from which it is valid."""
        return self.facts.start if self.usage is None else max(self.facts.start, self.usage.valid_from)


class _Texts(NamedTuple):
    """What is the same for all decisions on a feature: the first members, unit and caps; if few, each entitlement."""

    head: str
    unit: str
    caps: str
    entitlements: tuple[str, ...]


class DecisionWriter:
    """Writes the kept decisions of one bundle."""

    def __init__(self, publication: int, revision: str) -> None:
        self._tail = f',"publication":{publication},"revision":"{revision}"'
        self._features: dict[str, _Texts] = {}
        self._listed: dict[str, _Texts] = {}
        self._ending: tuple[Instant | None, str] = (None, "")
        self._listed_ending: tuple[Instant | None, str] = (None, "")
        self._metered_ending: tuple[Instant | None, Instant, str] = (None, 0, "")

    def write(self, kept: KeptDecision, until: Instant) -> bytes:
        """Encode a decision that is valid until `until`, in UTC milliseconds, and not stale."""
        feature, facts, answer, usage = kept.feature, kept.facts, kept.answer, kept.usage
        head, unit, caps, values = self._features.get(feature.id) or self._read(feature)
        if usage is None:
            ending = self._ending[1] if until == self._ending[0] else self._end(until)
        else:
            resets_at = usage.window_end
            known = self._metered_ending
            is_known = until == known[0] and resets_at == known[1]
            ending = known[2] if is_known else self._end_metered(until, resets_at)
        if values:
            entitlement = values[facts.total]
        elif _is_plain(kept):
            entitlement = _entitlement(feature, facts, kept.used, unit) + caps
        else:
            entitlement = _metered_entitlement(kept, kept.amount if answer.allowed else 0)
        text = kept.text
        if text is None:
            middle = _middle(facts, answer)
        else:
            if text.answer is not answer:
                text.answer, text.json = answer, _middle(facts, answer)
            middle = text.json
        if facts.status is not None:
            ending = ending.replace(',"stale":', f'{_status(kept)},"stale":')
        allowed = "true" if answer.allowed else "false"
        return f'{{"allowed":{allowed},"reason":"{answer.reason}"{head}{entitlement}{middle}{ending}'.encode()

    def write_entry(self, kept: KeptDecision) -> bytes:
        """Encode a decision that is not stale as an entry of an entitlement list."""
        feature, facts, answer, usage = kept.feature, kept.facts, kept.answer, kept.usage
        head, unit, caps, values = self._listed.get(feature.id) or self._read_listed(feature)
        if usage is None and not facts.soft:
            entitlement = values[facts.total] if values else _entitlement(feature, facts, kept.used, unit) + caps
            until = facts.until
            ending = self._listed_ending[1] if until == self._listed_ending[0] else self._end_listed(until)
        else:
            entitlement = _metered_entitlement(kept, 0)
            ending = f"{_instant('valid_until', kept.until)}{_resets_at(kept)}}}"
        if facts.status is not None:
            ending = f"{ending[:-1]}{_status(kept)}}}"
        return (
            f'{head}{"true" if answer.allowed else "false"},"reason":"{answer.reason}","entitlement":{{'
            f'{entitlement}}},"sources":[{_sources(facts)}]{ending}'
        ).encode()

    def _read(self, feature: Feature) -> _Texts:
        head = f',"feature":"{feature.id}","type":"{feature.type}","entitlement":{{'
        found = self._features[feature.id] = _Texts(head, _unit(feature), _caps(feature), _entitlements(feature))
        return found

    def _read_listed(self, feature: Feature) -> _Texts:
        scale = f',"scale":{feature.scale}' if feature.type in COUNTED else ""
        head = f'{{"feature":"{feature.id}","type":"{feature.type}"{scale},"allowed":'
        found = self._listed[feature.id] = _Texts(head, _unit(feature), _caps(feature), _entitlements(feature))
        return found

    def _end(self, until: Instant) -> str:
        self._ending = until, f'{self._tail}{_instant("valid_until", until)},"stale":false}}'
        return self._ending[1]

    def _end_metered(self, until: Instant, resets_at: Instant) -> str:
        text = f'{self._tail}{_instant("valid_until", until)}{_instant("resets_at", resets_at)},"stale":false}}'
        self._metered_ending = until, resets_at, text
        return text

    def _end_listed(self, until: Instant) -> str:
        self._listed_ending = until, f"{_instant('valid_until', until)}}}"
        return self._listed_ending[1]


@lru_cache(maxsize=4_096)
def _text(label: str) -> str:
    """Write a label of a level."""
    return encode(label).decode()


def _unit(feature: Feature) -> str:
    return f',"unit":{encode(feature.unit).decode()}' if feature.unit else ""


def _caps(feature: Feature) -> str:
    caps = shown_caps(feature) if feature.type is FeatureType.QUANTITY else msgspec.UNSET
    return "" if caps is msgspec.UNSET else f',"caps":{encode(caps).decode()}'


def _instant(name: str, instant: Instant) -> str:
    text = instant_text(instant)
    return f',"{name}":"{text}"' if isinstance(text, str) else ""


def _resets_at(kept: KeptDecision) -> str:
    return "" if kept.usage is None else _instant("resets_at", kept.usage.window_end)


def _status(kept: KeptDecision) -> str:
    shown = shown_status(kept.facts.status, kept.reason)
    return "" if shown is None else f',"status":"{shown.status}"{_instant("since", shown.since)}'


def _is_plain(kept: KeptDecision) -> bool:
    """Return whether the entitlement is written as that of a feature that is not metered, and has a hard limit."""
    facts, usage = kept.facts, kept.usage
    if facts.soft or (usage is not None and usage.granted):
        return False
    if usage is None or facts.unlimited:
        return True
    return kept.used + (kept.amount if kept.answer.allowed else 0) <= facts.total


def _middle(facts: Facts, answer: Answer) -> str:
    """Write what stands between the entitlement and the publication: the sources and the policies."""
    givers, name = facts.givers, facts.feature.id
    if answer.static:  # the name of a rule's file may need escapes
        policies = encode(answer.policies(givers, name)).decode()
    elif answer.by_items and givers:
        between = f'/{name}","'  # sorted as their versions are: a `/` comes before every digit
        policies = f'["{between.join(givers)}/{name}"]'
    else:
        policies = "[]"
    return f'}},"sources":[{_sources(facts)}],"policies":{policies}'


def _metered_entitlement(kept: KeptDecision, amount: int) -> str:
    return encode(entitlement_of(kept.facts, kept.used, amount, kept.usage)).decode()[1:-1]


def _entitlements(feature: Feature) -> tuple[str, ...]:
    """Write the entitlements of a switch or a custom feature by their total; none of a number."""
    values: tuple[bool | str | None, ...] = ()
    if feature.type is FeatureType.SWITCH:
        values = (False, True)
    elif feature.type is FeatureType.CUSTOM:
        values = (None, *feature.labels)
    return tuple([f'"value":{encode(value).decode()}' for value in values])


def _entitlement(feature: Feature, facts: Facts, used: int, unit: str) -> str:
    """Write the entitlement of a quantity or range."""
    kind, total = feature.type, facts.total
    scale, unlimited = feature.scale, facts.unlimited
    if unlimited:
        value = '"unlimited":true'
    elif scale:
        value = f'"value":{format_units(total, scale)},"unlimited":false'
    else:
        value = f'"value":{total},"unlimited":false'
    if kind is _RANGE:
        return value + unit
    if unlimited:
        return f'{value}{unit},"used":{format_units(used, scale)}'
    rest = total - used if total > used else 0
    if scale:
        return f'{value}{unit},"used":{format_units(used, scale)},"remaining":{format_units(rest, scale)}'
    return f'{value}{unit},"used":{used},"remaining":{rest}'


def _sources(facts: Facts) -> str:
    """Write the contributions as `source_of` shows them."""
    feature, contributions = facts.feature, facts.contributions
    if facts.overridden:
        return ",".join([encode(source_of(feature, *it)).decode() for it in contributions])
    texts: list[str] = []
    last, where, scale = "", "", feature.scale
    for subscription, by, value in contributions:  # items alone contribute, nearly always a plain value
        shown: str | int | None = None
        if type(value) is Amount:
            if value.per is None:
                shown = format_units(value.units, scale) if scale else value.units
        elif type(value) is Switch:
            shown = "true" if value.on else "false"
        elif type(value) is Level:
            shown = _text(value.label)
        if shown is None or type(by) is not ActiveVersion:
            texts.append(encode(source_of(feature, subscription, by, value)).decode())
            continue
        if subscription is not last:
            # Letters and digits need no escapes.
            last, where = subscription, f'"{subscription}"' if subscription.isalnum() else encode(subscription).decode()
        texts.append(f'{by.source},"subscription":{where},"value":{shown}}}')
    return ",".join(texts)
