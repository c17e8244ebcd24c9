"""The flags of kept decisions, as nearly all are, written without the objects in between.

INVARIANT (one form): the bytes are those of `translation`; a property test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import FeatureType, format_units
from tiergate.sidecar.api.ofrep.translation import TURNED_BY_NUMBERS, evaluate_both, kept_feature, protocol_reason
from tiergate.wire.json import encode
from tiergate.wire.ofrep import ALLOWED, MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from tiergate.engine.shapes.kept_decision import KeptDecision
    from tiergate.model import Feature, Reason

_NUMBERS = (FeatureType.QUANTITY, FeatureType.RANGE)


class _Texts(NamedTuple):
    """What is the same for all flags of a feature with a number."""

    head: str
    head_of_decision: str
    unit: str
    is_quantity: bool


class KeptFlagWriter:
    """Writes the flags of one bundle."""

    def __init__(self, revision: str) -> None:
        self._revision = revision
        self._tail = f',"revision":"{revision}","stale":false}}}}'
        self._numbers: dict[str, _Texts] = {}
        self._others: dict[tuple[str, Reason, int], bytes] = {}

    def write_both(self, kept: KeptDecision) -> bytes:
        """Encode the two flags of a feature, with a comma between them."""
        feature, facts, answer = kept.feature, kept.facts, kept.answer
        if kept.usage is not None or facts.soft:
            return evaluate_both(feature.id, kept_feature(kept), self._revision)
        if feature.type not in _NUMBERS:  # few values, for each of which there is one text
            key = (feature.id, answer.reason, facts.total)
            found = self._others.get(key)
            if found is None:
                found = self._others[key] = evaluate_both(feature.id, kept_feature(kept), self._revision)
            return found
        return self._write_number(kept)

    def _write_number(self, kept: KeptDecision) -> bytes:
        feature, facts, answer = kept.feature, kept.facts, kept.answer
        head, head_of_decision, unit, is_quantity = self._numbers.get(feature.id) or self._read(feature)
        scale, total, used, reason = feature.scale, facts.total, kept.used, answer.reason
        holds = reason in TURNED_BY_NUMBERS
        is_unlimited = holds and facts.unlimited
        if is_unlimited:
            value, variant = str(MAX_SAFE_INTEGER), "unlimited"
        else:
            value = variant = format_units(min(total, MAX_SAFE_INTEGER * 10**scale) if scale else total, scale)
            if not holds:
                value = variant = "0"
            elif not scale and total > MAX_SAFE_INTEGER:
                value = variant = str(MAX_SAFE_INTEGER)
        if scale and "." not in value:
            value += ".0"
        amounts = ""
        if is_quantity:
            amounts = f',"used":{format_units(used, scale)}'
            if not is_unlimited:
                amounts += f',"remaining":{format_units(max(0, total - used), scale) if holds else "0"}'
        allowed, word = ("true", "allowed") if answer.allowed else ("false", "denied")
        unlimited = "true" if is_unlimited else "false"
        end = (
            f'","reason":"{protocol_reason(reason)}","metadata":{{"allowed":{allowed},"reason":"{reason}",'
            f'"unlimited":{unlimited}{unit}{amounts}{self._tail}'
        )
        return f'{head}{value},"variant":"{variant}{end},{head_of_decision}{allowed},"variant":"{word}{end}'.encode()

    def _read(self, feature: Feature) -> _Texts:
        name = feature.id
        found = self._numbers[name] = _Texts(
            f'{{"key":"{name}","value":',
            f'{{"key":"{name}{ALLOWED}","value":',
            f',"unit":{encode(feature.unit).decode()}' if feature.unit else "",
            feature.type is FeatureType.QUANTITY,
        )
        return found
