"""Decisions as the JSON of the sidecar's own API (design, section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import LAST_INSTANT, Entitlement, Source, format_instant

if TYPE_CHECKING:
    from tiergate.model import Decision


class Answer(msgspec.Struct, frozen=True):
    """A decision in the order and the words of the API. `type` is absent where there is no catalog to know it from."""

    allowed: bool
    reason: str
    feature: str
    type: str | msgspec.UnsetType
    entitlement: Entitlement
    sources: tuple[Source, ...]
    policies: tuple[str, ...]
    publication: int
    revision: str
    valid_until: str | msgspec.UnsetType
    stale: bool


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def answer(decision: Decision, *, stale: bool = False) -> Answer:
    """Put a decision in the API's form. `valid_until` is absent where nothing ever changes by itself."""
    return Answer(
        allowed=decision.allowed,
        reason=decision.reason.value,
        feature=decision.feature,
        type=decision.type.value,
        entitlement=decision.entitlement,
        sources=decision.sources,
        policies=decision.policies,
        publication=decision.publication,
        revision=decision.revision,
        valid_until=msgspec.UNSET if decision.until >= LAST_INSTANT else format_instant(decision.until),
        stale=stale or decision.stale,
    )


def decision_json(decision: Decision, *, stale: bool = False) -> bytes:
    """Encode a decision as JSON; numbers are exact."""
    return _ENCODER.encode(answer(decision, stale=stale))


def answer_json(given: Answer) -> bytes:
    """Encode an answer as JSON; numbers are exact."""
    return _ENCODER.encode(given)
