"""Answers about usage, as JSON: a decision as it is after what was counted, and what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tiergate.engine.shapes.kept_decision import DecisionWriter, KeptDecision
from tiergate.model import from_units, to_units
from tiergate.wire.decision import decision_json
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from tiergate.model import Decision, Entitlement, Feature, Instant, Number
    from tiergate.sidecar.state import Generation

Member = tuple[bytes, "Number | str"]
"""The beginning of a member, and its value."""

_REPLAYED = (b'"replayed":false}', b'"replayed":true}')


class AnswerWriter:
    """Writes the answers of one generation."""

    def __init__(self) -> None:
        self._writer: tuple[Generation, DecisionWriter] | None = None

    def kept(self, generation: Generation, decision: KeptDecision, until: Instant, counted: int) -> bytes:
        """Write a decision from a kept answer, after so many units were counted."""
        if self._writer is None or self._writer[0] is not generation:
            self._writer = generation, DecisionWriter(generation.publication, generation.revision)
        if counted:
            used = decision.used + counted
            decision = KeptDecision(
                decision.feature, decision.facts, used, decision.answer, 0, decision.usage, decision.text
            )
        return self._writer[1].write(decision, until)

    @staticmethod
    def decided(decision: Decision, feature: Feature, counted: int) -> bytes:
        """Write a decision, after so many units were counted."""
        if counted:
            decision = replace(decision, entitlement=_after(decision.entitlement, feature, counted))
        return decision_json(decision)


def _after(entitlement: Entitlement, feature: Feature, counted: int) -> Entitlement:
    """Return an entitlement after so many units more were used; what exceeds the limit contains them already."""
    used, remaining = entitlement.used, entitlement.remaining
    if used is msgspec.UNSET:
        return entitlement
    scale = feature.scale
    after = to_units(used, scale) + counted
    if remaining is msgspec.UNSET:
        return replace(entitlement, used=from_units(after, scale))
    left = max(0, to_units(remaining, scale) - counted)
    return replace(entitlement, used=from_units(after, scale), remaining=from_units(left, scale))


def with_members(answer: bytes, *members: Member) -> bytes:
    """Return the JSON of an answer with further members, and that it is the first one."""
    parts = [answer[:-1]]
    for name, value in members:
        parts += (name, encode(value))
    parts.append(b',"replayed":false}')
    return b"".join(parts)


def member(name: str) -> bytes:
    """Return the beginning of a member of an answer."""
    return f',"{name}":'.encode()


def as_replay(answer: bytes) -> bytes:
    """Return the first answer to a request as that to a repeated one."""
    return answer.removesuffix(_REPLAYED[0]) + _REPLAYED[1]
