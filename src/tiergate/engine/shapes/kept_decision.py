"""Decisions from kept answers, and their JSON, without the objects in between.

Nearly every check that was not asked before is answered so. INVARIANT (one form): the JSON has the same bytes as that
of the decision that the evaluator makes; `tests/properties/test_shapes.py` compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.model import FeatureType, Source, format_units
from tiergate.wire.decision import valid_until
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.engine.facts import Facts
    from tiergate.engine.shapes.answer_table import Answer
    from tiergate.model import Feature, Instant, Reason


class KeptDecision(NamedTuple):
    """A decision on a feature that is not metered: its facts and Cedar's answer. `used` is in units, 0 if not given.

    It is valid within the window of its facts, and does not read the time.
    """

    feature: Feature
    facts: Facts
    used: int
    answer: Answer

    @property
    def reason(self) -> Reason:
        """The reason of the decision."""
        return self.answer.reason


class _Basis(msgspec.Struct, frozen=True):
    """What a decision rests on, as it stands in its JSON."""

    sources: tuple[Source, ...]
    policies: tuple[str, ...]


class DecisionWriter:
    """Writes the kept decisions of one bundle."""

    def __init__(self, publication: int, revision: str) -> None:
        self._tail = f',"publication":{publication},"revision":"{revision}"'
        self._features: dict[str, tuple[str, str]] = {}
        self._ending: tuple[Instant | None, str] = (None, "")

    def write(self, kept: KeptDecision, until: Instant) -> bytes:
        """Encode a decision that is valid until `until`, in UTC milliseconds, and not stale."""
        feature, facts, answer = kept.feature, kept.facts, kept.answer
        head, unit = self._features.get(feature.id) or self._read(feature)
        basis = encode(_Basis(facts.sources(), answer.policies(facts.givers, feature.id)))
        allowed = "true" if answer.allowed else "false"
        ending = self._ending[1] if until == self._ending[0] else self._end(until)
        return (
            f'{{"allowed":{allowed},"reason":"{answer.reason.value}"{head}{_entitlement(kept, unit)}}},'
            f"{basis[1:-1].decode()}{ending}"
        ).encode()

    def _read(self, feature: Feature) -> tuple[str, str]:
        """Return what is the same for all decisions on a feature: the members before its entitlement, and its unit."""
        unit = f',"unit":{encode(feature.unit).decode()}' if feature.unit else ""
        found = f',"feature":"{feature.id}","type":"{feature.type.value}","entitlement":{{', unit
        self._features[feature.id] = found
        return found

    def _end(self, until: Instant) -> str:
        text = valid_until(until)
        shown = f',"valid_until":"{text}"' if isinstance(text, str) else ""
        self._ending = until, f'{self._tail}{shown},"stale":false}}'
        return self._ending[1]


def _entitlement(kept: KeptDecision, unit: str) -> str:
    feature, total = kept.feature, kept.facts.total
    if feature.type is FeatureType.SWITCH:
        return '"value":true' if total else '"value":false'
    if feature.type is FeatureType.CUSTOM:
        return f'"value":{encode(feature.labels[total - 1] if total else None).decode()}'
    used, unlimited = kept.used, kept.facts.unlimited
    rest = total - used if total > used else 0
    shown: tuple[int | str, ...] = (total, used, rest)
    if feature.scale:
        shown = tuple(format_units(units, feature.scale) for units in (total, used, rest))
    value = '"unlimited":true' if unlimited else f'"value":{shown[0]},"unlimited":false'
    if feature.type is FeatureType.RANGE:
        return value + unit
    if unlimited:
        return f'{value}{unit},"used":{shown[1]}'
    return f'{value}{unit},"used":{shown[1]},"remaining":{shown[2]}'
