"""A semantic comparison of two catalogs as one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiergate.impact.diff.counterexample import Counterexample
from tiergate.model import format_instant
from tiergate.wire.json import encode

if TYPE_CHECKING:
    import msgspec

    from tiergate.impact.diff.diff_result import DecisionChange, EntitlementDifference, FeatureChange, SemanticDiff

_DEFAULTS = Counterexample("", 0, "", "")
_ALWAYS = frozenset({"subject", "reason_before", "reason_after", "type"})


def diff_json(comparison: SemanticDiff) -> bytes:
    """Encode a comparison; numbers are exact, instants are text, absent values are left out."""
    return encode(
        {
            "same": comparison.is_same,
            "differs": comparison.differs,
            "cases": comparison.cases,
            "ruled": comparison.ruled,
            "items": comparison.items,
            "differences": [_difference(difference) for difference in comparison.differences],
            "features": [_with_evidence(change) for change in comparison.features],
            "turns": [_with_evidence(change) for change in comparison.turns],
            "unproved": comparison.unproved,
            "notes": comparison.notes,
        }
    )


def _difference(difference: EntitlementDifference) -> dict[str, Any]:
    data = _with_evidence(difference)
    data["everybody"] = difference.audience is None
    if difference.audience is not None and difference.audience.added is not None:
        data["audience"] = {**_fields(difference.audience), "added": format_instant(difference.audience.added)}
    for key in ("since", "until"):
        if data[key] is not None:
            data[key] = format_instant(data[key])
    return {key: value for key, value in data.items() if value is not None}


def _with_evidence(change: EntitlementDifference | FeatureChange | DecisionChange) -> dict[str, Any]:
    data = _fields(change)
    for name in ("shown_by", "also_by"):
        check = data.pop(name, None)
        if check is not None:
            data[name] = _evidence(check)
    return data


def _evidence(check: Counterexample) -> dict[str, Any]:
    """Return the fields of a check that are not defaults; a requested number is also written where it is 0."""
    data = {key: value for key, value in _fields(check).items() if key in _ALWAYS or value != getattr(_DEFAULTS, key)}
    if check.resets_at is not None:
        data["resets_at"] = format_instant(check.resets_at)
    return data | {"at": format_instant(check.at)}


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
