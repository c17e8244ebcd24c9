"""From a decision to flags. Nothing is decided here: each value and reason is a table of what the decision says.

A decision that no other number or level could turn (its reason comes before those of amounts) has a value that denies:
false, 0, or the empty text. Otherwise the value is the entitlement's; of a switch it is the decision itself.

Numbers of a feature with a scale are written with a point, and others without one: clients in typed languages take the
first for floats and the second for integers. A variant names the value, because some clients need one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine.entitlements import entitlement_of
from tiergate.model import FeatureType, Reason
from tiergate.model.checks import REASON_PRECEDENCE
from tiergate.wire.decision import UNSET, instant_text, resets_at
from tiergate.wire.json import encode
from tiergate.wire.ofrep import ALLOWED, DISABLED, MAX_SAFE_INTEGER, TARGETING_MATCH, UNKNOWN, FlagMetadata

if TYPE_CHECKING:
    from tiergate.engine.shapes.kept_decision import KeptDecision
    from tiergate.model import Decision, Entitlement, Feature
    from tiergate.wire.decision import Absent

_REASONS: Final = {
    Reason.FEATURE_INACTIVE: DISABLED,
    Reason.FEATURE_SUSPENDED: DISABLED,
    Reason.UNKNOWN_SUBJECT: UNKNOWN,
    Reason.EVALUATION_ERROR: UNKNOWN,
    Reason.STALE_DATA: UNKNOWN,
}
"""The reasons of the protocol that are not `TARGETING_MATCH`."""

TURNED_BY_NUMBERS: Final = frozenset(
    reason for reason in Reason if REASON_PRECEDENCE[reason] > REASON_PRECEDENCE[Reason.RULE_DENIED]
)
"""The reasons of decisions that another amount, value or level could turn."""


class DecidedFeature(NamedTuple):
    """What a decision says, whatever form it is in. `feature`: none as long as there is no catalog."""

    feature: Feature | None
    allowed: bool
    reason: Reason
    entitlement: Entitlement
    resets_at: str | Absent
    stale: bool


def decided_feature(decision: Decision, feature: Feature | None) -> DecidedFeature:
    """Return what a decision says."""
    return DecidedFeature(
        feature, decision.allowed, decision.reason, decision.entitlement, resets_at(decision), decision.stale
    )


def kept_feature(kept: KeptDecision) -> DecidedFeature:
    """Return what a kept decision says, which is not stale."""
    answer, usage = kept.answer, kept.usage
    entitlement = entitlement_of(kept.facts, kept.used, kept.amount if answer.allowed else 0, usage)
    until = UNSET if usage is None else instant_text(usage.window_end)
    return DecidedFeature(kept.feature, answer.allowed, answer.reason, entitlement, until, stale=False)


def protocol_reason(reason: Reason) -> str:
    """Return the protocol's reason for one of ours."""
    return _REASONS.get(reason, TARGETING_MATCH)


def split_key(key: str) -> tuple[str, bool]:
    """Return the feature of a flag's key, and whether the flag is its decision."""
    return (key.removesuffix(ALLOWED), True) if key.endswith(ALLOWED) else (key, False)


def evaluate(key: str, decided: DecidedFeature, revision: str, *, is_decision: bool) -> bytes:
    """Encode the flag that a key names."""
    value = _decision_of(decided) if is_decision else _value_of(decided)
    return _flag(key, value, decided.reason, encode(_metadata_of(decided, revision)))


def evaluate_both(feature: str, decided: DecidedFeature, revision: str) -> bytes:
    """Encode the two flags of a feature, with a comma between them."""
    metadata = encode(_metadata_of(decided, revision))
    return b"%b,%b" % (
        _flag(feature, _value_of(decided), decided.reason, metadata),
        _flag(feature + ALLOWED, _decision_of(decided), decided.reason, metadata),
    )


class _Value(NamedTuple):
    """A value and its variant, both as JSON."""

    json: bytes
    variant: bytes


_TRUE: Final = b"true"
_FALSE: Final = b"false"
_ON, _OFF = _Value(_TRUE, b'"on"'), _Value(_FALSE, b'"off"')
_GRANTED, _DENIED = _Value(_TRUE, b'"allowed"'), _Value(_FALSE, b'"denied"')
_NO_LEVEL: Final = _Value(b'""', b'"none"')


def _decision_of(decided: DecidedFeature) -> _Value:
    return _GRANTED if decided.allowed else _DENIED


def _value_of(decided: DecidedFeature) -> _Value:
    """Return the natural value; without a catalog, the decision."""
    feature, entitlement = decided.feature, decided.entitlement
    if feature is None or feature.type is FeatureType.SWITCH:
        return _ON if decided.allowed else _OFF
    value = entitlement.value if decided.reason in TURNED_BY_NUMBERS else UNSET
    if feature.type is FeatureType.CUSTOM:
        return _level(value) if isinstance(value, str) and value else _NO_LEVEL
    is_unlimited = entitlement.unlimited is True and decided.reason in TURNED_BY_NUMBERS
    number = MAX_SAFE_INTEGER if is_unlimited else value if isinstance(value, int | Decimal) else 0
    number = min(number, MAX_SAFE_INTEGER)
    text = f"{number:f}" if isinstance(number, Decimal) else str(number)
    json = f"{text}.0" if feature.scale and "." not in text else text
    return _Value(json.encode(), b'"unlimited"' if is_unlimited else b'"%b"' % text.encode())


def _level(label: str) -> _Value:
    text = encode(label)
    return _Value(text, text)


def _metadata_of(decided: DecidedFeature, revision: str) -> FlagMetadata:
    entitlement = decided.entitlement
    unlimited, remaining = entitlement.unlimited, entitlement.remaining
    if decided.reason not in TURNED_BY_NUMBERS:
        unlimited = UNSET if unlimited is UNSET else False
        remaining = UNSET if entitlement.used is UNSET else 0
    return FlagMetadata(
        allowed=decided.allowed,
        reason=decided.reason.value,
        unlimited=unlimited,
        unit=entitlement.unit,
        used=entitlement.used,
        remaining=remaining,
        resets_at=decided.resets_at,
        revision=revision,
        stale=decided.stale,
    )


def _flag(key: str, value: _Value, reason: Reason, metadata: bytes) -> bytes:
    return b'{"key":"%b","value":%b,"variant":%b,"reason":"%b","metadata":%b}' % (
        key.encode(),  # an id, perhaps with `:allowed`, needs no escapes
        value.json,
        value.variant,
        protocol_reason(reason).encode(),
        metadata,
    )
